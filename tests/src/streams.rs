//! Streams through an edge, with real libraries at both ends: WebSocket, server-sent events, and
//! gRPC.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::{SinkExt as _, StreamExt as _};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::client_script;
use crate::tcp_server::{TcpServer, read_head};

/// Longest wait for data or for an end. No test depends on its length.
const TIMEOUT: Duration = Duration::from_secs(60);
const EVENT_INTERVAL: Duration = Duration::from_millis(20);

/// The kinds of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    WebSocket,
    /// Server-sent events.
    Events,
    /// A bidirectional call.
    Grpc,
}

impl StreamKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::WebSocket, Self::Events, Self::Grpc];

    /// A path that no route rule names.
    pub fn path(self) -> &'static str {
        match self {
            Self::WebSocket | Self::Events => "/live",
            Self::Grpc => "/live.Echo/Chat",
        }
    }

    /// A path of its own, for a route whose streams continue.
    pub fn kept_path(self) -> &'static str {
        match self {
            Self::WebSocket | Self::Events => "/kept",
            Self::Grpc => "/kept.Echo/Chat",
        }
    }

    /// How a stream ends while the revocation status of its token is unknown.
    pub fn end_while_stale(self) -> StreamEnd {
        match self {
            Self::WebSocket => StreamEnd::Closed(1013),
            Self::Events => StreamEnd::Broken,
            Self::Grpc => StreamEnd::Status("UNAVAILABLE".to_owned()),
        }
    }

    /// How a stream ends whose token is no longer good.
    pub fn end_by_token(self) -> StreamEnd {
        match self {
            Self::WebSocket => StreamEnd::Closed(1008),
            Self::Events => StreamEnd::Broken,
            Self::Grpc => StreamEnd::Status("UNAUTHENTICATED".to_owned()),
        }
    }
}

/// How a stream ended for its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEnd {
    /// A WebSocket, with the code of the close frame.
    Closed(u16),
    /// The connection, or a body before its end.
    Broken,
    /// A body, regularly.
    Complete,
    /// A gRPC call, with the name of its status.
    Status(String),
}

/// An upstream of streams, stopped when dropped.
pub struct StreamUpstream {
    /// URL for an edge's settings.
    pub url: String,
    closes: Arc<Mutex<Vec<u16>>>,
    _server: Server,
}

enum Server {
    Tcp(#[expect(dead_code, reason = "serves until dropped")] TcpServer),
    Grpc(
        #[expect(dead_code, reason = "serves until dropped")] Child,
        #[expect(dead_code, reason = "its files")] TempDir,
    ),
}

impl StreamUpstream {
    /// Starts an upstream for this kind of streams.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn start(kind: StreamKind) -> Result<Self> {
        let closes = Arc::default();
        if kind == StreamKind::Grpc {
            let (mut command, folder) = client_script::command("grpc_server.py")?;
            let mut server = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
            let mut lines = BufReader::new(server.stdout.take().context("standard output")?).lines();
            let port = lines.next_line().await?.context("the server prints its port")?;
            return Ok(Self { url: format!("h2c://127.0.0.1:{port}"), closes, _server: Server::Grpc(server, folder) });
        }
        let closes_of_server: Arc<Mutex<Vec<u16>>> = Arc::clone(&closes);
        let server = TcpServer::start(move |stream| serve(stream, Arc::clone(&closes_of_server))).await?;
        Ok(Self { url: server.url.clone(), closes, _server: Server::Tcp(server) })
    }

    /// Codes of the close frames that the upstream got.
    pub fn close_codes(&self) -> Vec<u16> {
        self.closes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves a WebSocket that returns each message, or events without end.
async fn serve(mut stream: TcpStream, closes: Arc<Mutex<Vec<u16>>>) -> Result<()> {
    let head = read_head(&mut stream).await?;
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
    });
    let Some(key) = key else { return serve_events(stream).await };
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    while let Some(message) = socket.next().await {
        match message? {
            Message::Close(frame) => {
                let code = frame.map_or(1005, |frame| frame.code.into());
                closes.lock().unwrap_or_else(PoisonError::into_inner).push(code);
            }
            message @ (Message::Text(_) | Message::Binary(_)) => socket.send(message).await?,
            _ => {}
        }
    }
    Ok(())
}

async fn serve_events(mut stream: TcpStream) -> Result<()> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    for number in 0_u64.. {
        let event = format!("data: {number}\n\n");
        stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
        tokio::time::sleep(EVENT_INTERVAL).await;
    }
    Ok(())
}

/// A client's end of a stream.
pub enum TestStream {
    WebSocket(Box<WebSocketStream<TcpStream>>),
    Events(reqwest::Response),
    Grpc(Box<GrpcCall>),
}

/// A call of `grpc_client.py`.
pub struct GrpcCall {
    _client: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _folder: TempDir,
}

impl TestStream {
    /// Opens a stream through the edge at `edge` (a base URL), and exchanges data on it.
    ///
    /// # Errors
    /// If no data comes.
    pub async fn open(kind: StreamKind, edge: &str, path: &str, token: &str) -> Result<Self> {
        let address = edge.strip_prefix("http://").context("an http URL")?;
        let mut stream = match kind {
            StreamKind::WebSocket => {
                let mut request = format!("ws://{address}{path}").into_client_request()?;
                request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
                let (socket, _) = client_async(request, TcpStream::connect(address).await?).await?;
                Self::WebSocket(Box::new(socket))
            }
            StreamKind::Events => {
                let request = reqwest::Client::new().get(format!("{edge}{path}")).bearer_auth(token);
                Self::Events(request.send().await?.error_for_status()?)
            }
            StreamKind::Grpc => {
                let (mut command, folder) = client_script::command("grpc_client.py")?;
                command.args([address, path, token]).stdin(Stdio::piped()).stdout(Stdio::piped());
                let mut client = command.kill_on_drop(true).spawn()?;
                let input = client.stdin.take().context("standard input")?;
                let output = BufReader::new(client.stdout.take().context("standard output")?).lines();
                Self::Grpc(Box::new(GrpcCall { _client: client, input, output, _folder: folder }))
            }
        };
        stream.exchange().await.with_context(|| format!("the new {kind:?} at {path}"))?;
        Ok(stream)
    }

    /// Sends a message, if the client can, and waits for one.
    ///
    /// # Errors
    /// If the stream ends.
    pub async fn exchange(&mut self) -> Result<()> {
        match self {
            Self::WebSocket(socket) => socket.send(Message::text("hello")).await?,
            Self::Events(_) => {}
            Self::Grpc(call) => call.input.write_all(b"hello\n").await?,
        }
        match timeout(TIMEOUT, self.next()).await.context("no data")?? {
            None => Ok(()),
            Some(end) => bail!("the stream ended: {end:?}"),
        }
    }

    /// Waits until the stream ends.
    ///
    /// # Errors
    /// If it stays open.
    pub async fn end(&mut self) -> Result<StreamEnd> {
        let ended = async {
            loop {
                if let Some(end) = self.next().await? {
                    return Ok(end);
                }
            }
        };
        timeout(TIMEOUT, ended).await.context("the stream stays open")?
    }

    /// Waits for data (none), or for the end.
    async fn next(&mut self) -> Result<Option<StreamEnd>> {
        Ok(match self {
            Self::WebSocket(socket) => match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => Some(StreamEnd::Closed(frame.code.into())),
                Some(Ok(Message::Close(None))) => Some(StreamEnd::Closed(1005)),
                Some(Ok(_)) => None,
                Some(Err(_)) | None => Some(StreamEnd::Broken),
            },
            Self::Events(response) => match response.chunk().await {
                Ok(Some(_)) => None,
                Ok(None) => Some(StreamEnd::Complete),
                Err(_) => Some(StreamEnd::Broken),
            },
            Self::Grpc(call) => {
                let line = call.output.next_line().await?.context("the gRPC client ended without a status")?;
                match line.split_once(' ') {
                    Some(("message", text)) => {
                        ensure!(text == "hello", "the server returned {text:?}");
                        None
                    }
                    Some(("end", status)) => Some(StreamEnd::Status(status.to_owned())),
                    _ => bail!("the gRPC client printed {line:?}"),
                }
            }
        })
    }
}
