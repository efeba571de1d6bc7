//! The listener for operators, apart from that of clients: health and metrics. It has no access
//! control of its own, so it belongs on an address that only operators reach.

use crate::error_chain::error_chain;
use crate::gate::Gate;
use crate::metrics;
use crate::response::{Body, full, json_error};
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Further connections wait.
const MAX_CONNECTIONS: usize = 64;
/// For the head of a request, and until the next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, gate: Arc<Gate>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move {
                    serve_connection(stream, gate).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the admin listener");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, gate: Arc<Gate>) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let gate = Arc::clone(&gate);
        async move { Ok::<_, Infallible>(answer(request.method(), request.uri().path(), &gate).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(error = error_chain(&error), "admin connection failed");
    }
}

async fn answer(method: &Method, path: &str, gate: &Gate) -> http::Response<Body> {
    if !matches!(path, "/live" | "/ready" | "/health" | "/metrics") {
        return json_error(StatusCode::NOT_FOUND, "not_found", "the paths are /live, /ready, /health and /metrics");
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = json_error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "use GET");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/live" => text("text/plain; charset=utf-8", "ok\n".to_owned()),
        "/metrics" => match gate.metrics_text().await {
            Some(metrics) => text(metrics::CONTENT_TYPE, metrics),
            None => json_error(StatusCode::NOT_FOUND, "not_found", "this mode of the edge has no metrics"),
        },
        _ => gate.health().await,
    }
}

fn text(content_type: &'static str, text: String) -> http::Response<Body> {
    let mut response = http::Response::new(full(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
