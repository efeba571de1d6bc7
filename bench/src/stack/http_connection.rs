//! A minimal HTTP/1.1 client: writes prepared requests to a persistent connection and reads answers
//! by their length. Clients and server share the processors, so a cheap client leaves more of them
//! to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tollgate_bench::measure::sorted;

/// Largest body of an answer, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;

/// A persistent connection.
pub(crate) struct HttpConnection {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl HttpConnection {
    /// Connects to an address such as `127.0.0.1:8080`.
    pub(crate) async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), line: String::new(), body: Vec::new() })
    }

    /// Sends a request and returns the body of the answer, which must have status 200.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.get_mut().write_all(request).await?;
        self.line().await?;
        let status = self.line.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut length, mut is_chunked) = (0, false);
        while self.line().await? > 2 {
            let (name, value) = self.line.split_once(':').context("a header without a colon")?;
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
            is_chunked |= name.eq_ignore_ascii_case("transfer-encoding") && value.trim() == "chunked";
        }
        self.body.clear();
        if is_chunked {
            while self.chunk().await? > 0 {}
        } else {
            self.read_body(length).await?;
        }
        ensure!(status == "200", "status {status}: {}", String::from_utf8_lossy(&self.body));
        Ok(&self.body)
    }

    /// Reads a chunk, and returns its length; 0 for the last one.
    async fn chunk(&mut self) -> Result<usize> {
        self.line().await?;
        let length = usize::from_str_radix(self.line.trim(), 16).context("the length of a chunk")?;
        self.read_body(length).await?;
        ensure!(self.line().await? == 2, "a chunk does not end");
        Ok(length)
    }

    async fn read_body(&mut self, length: usize) -> Result<()> {
        let start = self.body.len();
        ensure!(start + length <= MAX_BODY_BYTES, "the answer has more than {MAX_BODY_BYTES} bytes");
        self.body.resize(start + length, 0);
        self.stream.read_exact(&mut self.body[start..]).await?;
        Ok(())
    }

    async fn line(&mut self) -> Result<usize> {
        self.line.clear();
        let read = self.stream.read_line(&mut self.line).await?;
        ensure!(read > 0, "the connection was closed");
        Ok(read)
    }
}

/// A GET request.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// A POST request with a form and client credentials in the header.
pub(crate) fn post(path: &str, client: &str, secret: &str, form: &str) -> Vec<u8> {
    let credentials = STANDARD.encode(format!("{client}:{secret}"));
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic {credentials}\r\ncontent-type: \
         application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    )
    .into_bytes()
}

/// What a number of connections got from a server.
pub(crate) struct Load {
    /// Answers per second.
    pub(crate) rate: f64,
    /// Milliseconds from each request to its answer, sorted.
    pub(crate) times: Vec<f64>,
}

/// Requests that connections send in turn. The turn goes on from one load to the next, so that a
/// request is repeated only after all others.
pub(crate) struct Requests {
    all: Vec<Vec<u8>>,
    next: AtomicUsize,
}

impl Requests {
    /// Requests of at least one kind.
    pub(crate) fn new(all: Vec<Vec<u8>>) -> Arc<Self> {
        Arc::new(Self { all, next: AtomicUsize::new(0) })
    }

    /// The next request in turn.
    pub(crate) fn next(&self) -> &[u8] {
        let nth = self.next.fetch_add(1, Ordering::Relaxed);
        &self.all[nth % self.all.len()]
    }
}

/// Sends the requests on this number of connections, one at a time on each.
pub(crate) async fn load(
    address: &str,
    requests: &Arc<Requests>,
    connections: usize,
    length: Duration,
) -> Result<Load> {
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for _ in 0..connections {
        let (address, requests) = (address.to_owned(), Arc::clone(requests));
        tasks.spawn(async move {
            let (mut connection, mut times) = (HttpConnection::connect(&address).await?, Vec::new());
            while started.elapsed() < length {
                let sent = Instant::now();
                connection.send(requests.next()).await?;
                times.push(sent.elapsed().as_secs_f64() * 1e3);
            }
            anyhow::Ok(times)
        });
    }
    let times = tasks.join_all().await.into_iter().collect::<Result<Vec<_>>>()?.concat();
    Ok(Load { rate: times.len() as f64 / started.elapsed().as_secs_f64(), times: sorted(times) })
}

/// Sends the requests as [`load`] does, and returns the answers per second.
pub(crate) async fn repeat(address: &str, request: &Arc<Requests>, callers: usize, length: Duration) -> Result<f64> {
    Ok(load(address, request, callers, length).await?.rate)
}

/// A text member of an answer.
pub(crate) fn text(body: &[u8], member: &str) -> Result<String> {
    let body: Value = serde_json::from_slice(body)?;
    Ok(body[member].as_str().with_context(|| format!("the answer has no {member}"))?.to_owned())
}
