//! A minimal HTTP server that answers each request from its head.

use std::future::{Future, pending};

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longest request head, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// HTTP server, stopped when dropped.
pub struct HttpServer {
    /// Base URL.
    pub url: String,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Starts a server that answers each request (without a body) by its head; `None`: never
    /// answers.
    ///
    /// # Errors
    /// If no port is free.
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

    /// Starts an upstream that answers with the head of the request.
    ///
    /// # Errors
    /// If no port is free.
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
            ensure!(head.len() < MAX_HEAD_BYTES, "the request head is too long");
            head.push(stream.read_u8().await?);
        }
        let Some((status, body)) = answer(String::from_utf8(head)?).await else { return pending().await };
        stream.write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes()).await?;
        stream.write_all(&body).await?;
    }
}
