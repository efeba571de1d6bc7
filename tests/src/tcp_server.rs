//! TCP servers for tests: an upstream that echoes requests, upstreams that misbehave, and a relay
//! that counts requests and can be cut.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How every request of an edge to its origin begins.
const EDGE_REQUEST: &[u8] = b"GET /edge/v1/";
/// Longest request head that the servers read, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// TCP server, stopped when dropped.
pub struct TcpServer {
    /// Base URL.
    pub url: String,
    task: JoinHandle<()>,
}

impl TcpServer {
    /// Handles every connection with `serve`.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Result<Self>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // The test sees at its end of the connection how it ended.
                tokio::spawn(serve(stream));
            }
        });
        Ok(Self { url, task })
    }

    /// Starts an upstream that answers every request with its head as received.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn echo() -> Result<Self> {
        Self::start(|mut stream| async move {
            loop {
                let head = read_head(&mut stream).await?;
                respond(&mut stream, &head).await?;
            }
        })
        .await
    }

    /// Starts an upstream that accepts requests and never answers.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn silent() -> Result<Self> {
        Self::start(|mut stream| async move {
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
            Ok(())
        })
        .await
    }

    /// Starts an upstream that answers the first request of each connection and closes the
    /// connection when the second arrives. Counts all requests.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn closing(requests: Arc<AtomicUsize>) -> Result<Self> {
        Self::start(move |mut stream| {
            let requests = Arc::clone(&requests);
            async move {
                let head = read_head(&mut stream).await?;
                requests.fetch_add(1, Ordering::SeqCst);
                respond(&mut stream, &head).await?;
                read_head(&mut stream).await?;
                requests.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        })
        .await
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads the head of the next request.
///
/// # Errors
/// If the connection ends first.
pub async fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD_BYTES {
            bail!("the request head is too long");
        }
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head)?)
}

async fn respond(stream: &mut TcpStream, body: &str) -> Result<()> {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    Ok(stream.write_all(answer.as_bytes()).await?)
}

/// Relay to an origin that counts the requests of edges and can be cut.
pub struct CountingRelay {
    /// Base URL.
    pub url: String,
    requests: Arc<AtomicUsize>,
    is_cut: Arc<AtomicBool>,
    _server: TcpServer,
}

impl CountingRelay {
    /// Relays to the server at `url`.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn to(url: &str) -> Result<Self> {
        let target = url.strip_prefix("http://").context("an http URL")?.to_owned();
        let (requests, is_cut) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, cut) = (Arc::clone(&requests), Arc::clone(&is_cut));
        let server = TcpServer::start(move |stream| {
            let (target, counted, cut) = (target.clone(), Arc::clone(&counted), Arc::clone(&cut));
            async move {
                tokio::select! {
                    passed = pass(stream, &target, &counted) => passed,
                    () = until_cut(&cut) => Ok(()),
                }
            }
        })
        .await?;
        Ok(Self { url: server.url.clone(), requests, is_cut, _server: server })
    }

    /// Number of edge requests relayed so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Cuts all connections and every new one, or relays again.
    pub fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }
}

async fn until_cut(is_cut: &AtomicBool) {
    while !is_cut.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn pass(client: TcpStream, target: &str, requests: &AtomicUsize) -> Result<()> {
    let server = TcpStream::connect(target).await?;
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let there = async {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let length = from_client.read(&mut buffer).await?;
            let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
            // A request is small and arrives in one piece.
            let count = bytes.windows(EDGE_REQUEST.len()).filter(|window| *window == EDGE_REQUEST).count();
            requests.fetch_add(count, Ordering::SeqCst);
            to_server.write_all(bytes).await?;
        }
    };
    let back = async { tokio::io::copy(&mut from_server, &mut to_client).await };
    tokio::select! {
        ended = there => ended,
        ended = back => Ok(ended.map(drop)?),
    }
}
