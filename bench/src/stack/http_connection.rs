//! A minimal HTTP/1.1 client: writes prepared requests to a persistent connection and reads answers
//! by their length. Clients and server share the processors, so a cheap client leaves more of them
//! to the server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

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
        let mut length = 0;
        while self.line().await? > 2 {
            let (name, value) = self.line.split_once(':').context("a header without a colon")?;
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        ensure!(length <= MAX_BODY_BYTES, "the answer has {length} bytes");
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body).await?;
        ensure!(status == "200", "status {status}: {}", String::from_utf8_lossy(&self.body));
        Ok(&self.body)
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

/// Repeats the requests on this number of connections, and returns the answers per second.
pub(crate) async fn repeat(address: &str, requests: &[Vec<u8>], callers: usize, length: Duration) -> Result<f64> {
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    let requests: Arc<[Vec<u8>]> = requests.into();
    for caller in 0..callers {
        let (address, requests) = (address.to_owned(), Arc::clone(&requests));
        tasks.spawn(async move {
            let (mut connection, mut count) = (HttpConnection::connect(&address).await?, 0_u64);
            let mut requests = requests.iter().cycle().skip(caller % requests.len());
            while started.elapsed() < length {
                connection.send(requests.next().context("no request")?).await?;
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let count = tasks.join_all().await.into_iter().sum::<Result<u64>>()?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// A text member of an answer.
pub(crate) fn text(body: &[u8], member: &str) -> Result<String> {
    let body: Value = serde_json::from_slice(body)?;
    Ok(body[member].as_str().with_context(|| format!("the answer has no {member}"))?.to_owned())
}
