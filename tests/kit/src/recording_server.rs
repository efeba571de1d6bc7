//! A web server that records its requests: for the JWK set a client publishes, and for back-channel
//! logout.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// HTTP server, stopped when dropped.
pub struct RecordingServer {
    /// Base URL, without a trailing slash.
    pub url: String,
    requests: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    task: JoinHandle<()>,
}

impl RecordingServer {
    /// Starts a server that answers every request with this status and body, after a delay.
    pub async fn start(status: u16, body: &str, delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (status, body) = (StatusCode::from_u16(status)?, body.to_owned());
        let requests = Arc::<Mutex<Vec<(String, HeaderMap)>>>::default();
        let seen = Arc::clone(&requests);
        let router = Router::new().fallback(async move |request: Request| {
            let (line, headers) = (format!("{} {}", request.method(), request.uri()), request.headers().clone());
            let sent = axum::body::to_bytes(request.into_body(), 64 * 1024).await.unwrap_or_default();
            let line = format!("{line} {}", String::from_utf8_lossy(&sent)).trim_end().to_owned();
            seen.lock().unwrap_or_else(PoisonError::into_inner).push((line, headers));
            sleep(delay).await;
            (status, body)
        });
        let task = tokio::spawn(async move {
            // The task ends when it is aborted; serving does not fail before.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, requests, task })
    }

    /// Method, path and body of each request received.
    pub fn requests(&self) -> Vec<String> {
        self.lock().iter().map(|(line, _)| line.clone()).collect()
    }

    /// Headers of each request received.
    pub fn headers(&self) -> Vec<HeaderMap> {
        self.lock().iter().map(|(_, headers)| headers.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, HeaderMap)>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RecordingServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
