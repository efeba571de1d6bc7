//! Small TCP servers between and behind the real parts: one that counts and can be cut, one that says what it was sent, and those
//! that misbehave.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the edges ask their origin begins so.
const QUESTION: &[u8] = b"GET /edge/v1/";
/// No head of a test's request is longer.
const MAX_HEAD: usize = 64 << 10;

/// A TCP server that ends with the test.
pub struct TcpServer {
    /// Where it answers.
    pub url: String,
    task: JoinHandle<()>,
}

impl TcpServer {
    /// Serves every connection by `serve`.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Result<Self>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // How a connection ends is seen by whoever is at its other end.
                tokio::spawn(serve(stream));
            }
        });
        Ok(Self { url, task })
    }

    /// An upstream that answers every request with its head as it came.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn echo() -> Result<Self> {
        Self::start(|mut stream| async move {
            loop {
                let head = read_head(&mut stream).await?;
                respond(&mut stream, &head).await?;
            }
        })
        .await
    }

    /// An upstream that takes every request and never answers.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn silent() -> Result<Self> {
        Self::start(|mut stream| async move {
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
            Ok(())
        })
        .await
    }

    /// An upstream that answers the first request of each connection, and ends the connection when the second one comes; counts
    /// all requests.
    ///
    /// # Errors
    /// When there is no port for it.
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

/// The head of the next request.
///
/// # Errors
/// When the connection ends before.
pub async fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD {
            bail!("a head without an end");
        }
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head)?)
}

async fn respond(stream: &mut TcpStream, body: &str) -> Result<()> {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    Ok(stream.write_all(answer.as_bytes()).await?)
}

/// A way to an origin that counts the questions of edges and can be cut.
pub struct CountingRelay {
    /// Where it answers.
    pub url: String,
    questions: Arc<AtomicUsize>,
    is_cut: Arc<AtomicBool>,
    _server: TcpServer,
}

impl CountingRelay {
    /// A way to what answers at `url`.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn to(url: &str) -> Result<Self> {
        let target = url.strip_prefix("http://").context("an http address")?.to_owned();
        let (questions, is_cut) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, cut) = (Arc::clone(&questions), Arc::clone(&is_cut));
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
        Ok(Self { url: server.url.clone(), questions, is_cut, _server: server })
    }

    /// Questions that edges have asked.
    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }

    /// Ends all connections, and each new one at once; or passes them on again.
    pub fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }
}

async fn until_cut(is_cut: &AtomicBool) {
    while !is_cut.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn pass(client: TcpStream, target: &str, questions: &AtomicUsize) -> Result<()> {
    let server = TcpStream::connect(target).await?;
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let there = async {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let length = from_client.read(&mut buffer).await?;
            let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
            // A question is small and comes in one piece.
            let count = bytes.windows(QUESTION.len()).filter(|window| *window == QUESTION).count();
            questions.fetch_add(count, Ordering::SeqCst);
            to_server.write_all(bytes).await?;
        }
    };
    let back = async { tokio::io::copy(&mut from_server, &mut to_client).await };
    tokio::select! {
        ended = there => ended,
        ended = back => Ok(ended.map(drop)?),
    }
}
