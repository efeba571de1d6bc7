//! A client's own web server: what it publishes, and what the origin asks it and tells it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A running server. It ends when it is dropped.
pub struct RecordingServer {
    /// Where it answers, without a slash at the end.
    pub url: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl RecordingServer {
    /// Starts a server on this machine that answers every request with this status and body, after a delay.
    pub async fn start(status: u16, body: &str, delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (status, body) = (StatusCode::from_u16(status)?, body.to_owned());
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&requests);
        let router = Router::new().fallback(async move |request: Request| {
            let line = format!("{} {}", request.method(), request.uri());
            let sent = axum::body::to_bytes(request.into_body(), 64 * 1024).await.unwrap_or_default();
            let line = format!("{line} {}", String::from_utf8_lossy(&sent)).trim_end().to_owned();
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            sleep(delay).await;
            (status, body)
        });
        let task = tokio::spawn(async move {
            // It is aborted in the end; until then it does not fail.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, requests, task })
    }

    /// The requests that came: method, path and body of each.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for RecordingServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
