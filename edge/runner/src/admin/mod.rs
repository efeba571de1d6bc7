//! The listener for operators, apart from that of clients: health, metrics and profiles. It has no
//! access control of its own, so it belongs on an address that only operators reach.

use crate::error_chain::error_chain;
use crate::gate::Gate;
use crate::metrics;
use crate::response::{Body, full, json_error};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tollgate_profiles::{DEFAULT_DURATION, MAX_DURATION, sample_cpu};

/// Further connections wait.
const MAX_CONNECTIONS: usize = 64;
/// For the head of a request, and until the next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// As in Go.
const PROFILE_PATH: &str = "/debug/pprof/profile";
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);

/// What answers operators.
struct Admin {
    gate: Arc<Gate>,
    /// Held while the processor's time is sampled: a process has one such timer.
    sampling: Mutex<()>,
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, gate: Arc<Gate>) {
    let admin = Arc::new(Admin { gate, sampling: Mutex::new(()) });
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let admin = Arc::clone(&admin);
                tokio::spawn(async move {
                    serve_connection(stream, admin).await;
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

async fn serve_connection(stream: TcpStream, admin: Arc<Admin>) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let admin = Arc::clone(&admin);
        async move { Ok::<_, Infallible>(admin.answer(request.method(), request.uri()).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(error = error_chain(&error), "admin connection failed");
    }
}

impl Admin {
    async fn answer(&self, method: &Method, uri: &Uri) -> http::Response<Body> {
        let path = uri.path();
        if !matches!(path, "/live" | "/ready" | "/health" | "/metrics" | PROFILE_PATH) {
            let paths = "the paths are /live, /ready, /health, /metrics and /debug/pprof/profile";
            return json_error(StatusCode::NOT_FOUND, "not_found", paths);
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = json_error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "use GET");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/live" => with_type("text/plain; charset=utf-8", "ok\n"),
            "/metrics" => match self.gate.metrics_text().await {
                Some(metrics) => with_type(metrics::CONTENT_TYPE, metrics),
                None => json_error(StatusCode::NOT_FOUND, "not_found", "this mode of the edge has no metrics"),
            },
            PROFILE_PATH => self.profile(uri.query().unwrap_or_default()).await,
            _ => self.gate.health().await,
        }
    }

    /// Samples the processor's time for `seconds`, for `go tool pprof`.
    async fn profile(&self, query: &str) -> http::Response<Body> {
        let duration = match query.strip_prefix("seconds=").map(str::parse) {
            None => DEFAULT_DURATION,
            Some(Ok(seconds)) => Duration::from_secs(seconds).min(MAX_DURATION),
            Some(Err(_)) => return json_error(StatusCode::BAD_REQUEST, "invalid_request", "seconds must be a number"),
        };
        let Ok(_sampling) = self.sampling.try_lock() else {
            return json_error(StatusCode::CONFLICT, "busy", "another profile is being taken");
        };
        let profile = sample_cpu(duration).await;
        match profile.and_then(|profile| profile.encode().map_err(|error| error.to_string())) {
            Ok(profile) => with_type("application/octet-stream", profile),
            Err(error) => json_error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", &error),
        }
    }
}

fn with_type(content_type: &'static str, content: impl Into<Bytes>) -> http::Response<Body> {
    let mut response = http::Response::new(full(content));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
