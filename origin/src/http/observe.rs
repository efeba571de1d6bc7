//! What is done with every request beside answering it: it is counted, timed and logged.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use super::AppState;

/// Why a request was refused, in one of few words: an answer carries it to where it is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal(pub(crate) &'static str);

/// Counts, times and logs a request. The log names the route, never the path or the query as sent, and no headers: any of them may
/// carry a secret.
pub(super) async fn observe(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("unknown", MatchedPath::as_str);
    let span = tracing::info_span!("request", method = %request.method(), route);
    let started = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status(), started.elapsed());
    app.meters.answered(route, status.as_u16(), took);
    if let Some(Refusal(reason)) = response.extensions().get() {
        app.meters.refused(route, reason);
    }
    let (status, took_ms) = (status.as_u16(), took.as_secs_f64() * 1000.0);
    span.in_scope(|| {
        if response.status().is_server_error() {
            tracing::warn!(status, took_ms, "answered");
        } else {
            tracing::debug!(status, took_ms, "answered");
        }
    });
    response
}
