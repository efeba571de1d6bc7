//! `GET /metrics`: how far each registered edge has come, in Prometheus's text format.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::AppState;
use crate::ambient;
use crate::domain::Edge;

/// What is told of an edge: the metric's name, what it means, and its value if there is one.
type Gauge = (&'static str, &'static str, fn(&Edge, u64, u64) -> Option<u64>);

const EDGE_GAUGES: [Gauge; 3] = [
    ("tollgate_edge_acknowledged_sequence", "The highest sequence that the edge acknowledged.", |edge, _, _| {
        Some(edge.acknowledged)
    }),
    ("tollgate_edge_lag", "Changes that the edge has not acknowledged.", |edge, newest, _| {
        Some(newest.saturating_sub(edge.acknowledged))
    }),
    ("tollgate_edge_contact_age_milliseconds", "Milliseconds since the edge was last heard of.", |edge, _, now_ms| {
        edge.contacted_at_ms.map(|at| now_ms.saturating_sub(at))
    }),
];

/// 200 with the figures as they are now; 503 while the database cannot be read.
#[utoipa::path(
    get, path = "/metrics",
    responses(
        (
            status = 200,
            description = "Prometheus's text format",
            body = String,
            content_type = "text/plain; version=0.0.4; charset=utf-8",
        ),
        (status = 503, description = "The database does not answer"),
    ),
)]
pub(super) async fn get(State(app): State<AppState>) -> Response {
    let (head, edges) = match (app.store.head().await, app.store.edges().await) {
        (Ok(head), Ok(edges)) => (head, edges),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "the metrics cannot be read");
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    };
    let text = exposition(head.sequence, &edges, ambient::now_ms());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn exposition(newest: u64, edges: &[Edge], now_ms: u64) -> String {
    let mut text = String::from("# HELP tollgate_feed_sequence The newest sequence of the history of revocations.\n");
    let _ = writeln!(text, "# TYPE tollgate_feed_sequence counter\ntollgate_feed_sequence {newest}");
    for (name, help, value) in EDGE_GAUGES {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for edge in edges {
            if let Some(value) = value(edge, newest, now_ms) {
                // The characters of an edge's name need no escape.
                let _ = writeln!(text, "{name}{{edge=\"{}\"}} {value}", edge.name.as_str());
            }
        }
    }
    text
}
