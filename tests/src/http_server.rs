//! A small HTTP server of a test: an upstream that says what it was sent, or what stands between an edge and its origin.

use std::future::{Future, pending};

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Bytes of a request's head at most.
const MAX_HEAD: usize = 64 << 10;

/// A server that ends when it is dropped.
pub struct HttpServer {
    /// Where it answers.
    pub url: String,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Answers each request without a body by its head. None: never.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn start<F>(answer: impl Fn(String) -> F + Clone + Send + Sync + 'static) -> Result<Self>
    where
        F: Future<Output = Option<(u16, Vec<u8>)>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move { serve(stream, answer).await });
            }
        });
        Ok(Self { url, task })
    }

    /// An upstream that answers with the head of the request.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn echo() -> Result<Self> {
        Self::start(|head| async move { Some((200, head.into_bytes())) }).await
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<F>(mut stream: TcpStream, answer: impl Fn(String) -> F) -> Result<()>
where
    F: Future<Output = Option<(u16, Vec<u8>)>>,
{
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            ensure!(head.len() < MAX_HEAD, "a head without an end");
            head.push(stream.read_u8().await?);
        }
        let Some((status, body)) = answer(String::from_utf8(head)?).await else { return pending().await };
        stream.write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes()).await?;
        stream.write_all(&body).await?;
    }
}
