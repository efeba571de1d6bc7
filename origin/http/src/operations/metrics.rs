//! `GET /metrics`: the issuer's metrics in Prometheus text format.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tollgate_keys::PublicKey;
use tollgate_model::{Edge, KeyState};
use tollgate_services::rate_limit::RateLimiter;
use tollgate_services::telemetry::{BUCKET_BOUNDS_SECONDS, LabelledCounter, LabelledHistogram, Metrics};
use tollgate_services::worker_pool::WorkerLoad;
use tower::{Service, ServiceExt as _};

use super::state::Operations;
use crate::problem::{self, Problem};

/// A gauge of each edge: name, help text, and value (edge, newest sequence, Unix milliseconds).
type EdgeGauge = (&'static str, &'static str, fn(&Edge, u64, u64) -> Option<u64>);

const EDGE_GAUGES: [EdgeGauge; 3] = [
    ("tollgate_edge_acknowledged_sequence", "The highest sequence that the edge acknowledged.", |edge, _, _| {
        Some(edge.acknowledged)
    }),
    ("tollgate_edge_lag", "Changes that the edge has not acknowledged.", |edge, newest, _| {
        Some(newest.saturating_sub(edge.acknowledged))
    }),
    ("tollgate_edge_contact_age_milliseconds", "Milliseconds since the edge's last request.", |edge, _, now_ms| {
        edge.contacted_at_ms.map(|at| now_ms.saturating_sub(at))
    }),
];

/// Marks requests that arrived at the metrics listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnMetricsListener;

/// The router of the metrics listener: `/metrics` below the path of each issuer, nothing else.
/// `issuers` dispatches requests to the issuers.
pub fn listener<S>(issuers: S) -> Router
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
{
    Router::new().fallback(async move |mut request: Request| {
        if !request.uri().path().ends_with("/metrics") {
            return Problem::not_found().into_response();
        }
        request.extensions_mut().insert(OnMetricsListener);
        match issuers.clone().oneshot(request).await {
            Ok(response) => response,
            Err(impossible) => match impossible {},
        }
    })
}

/// Prometheus metrics. 503 while the database cannot be read.
#[utoipa::path(
    get, path = "/metrics",
    responses(
        (
            status = 200,
            description = "Metrics in Prometheus text format",
            body = String,
            content_type = "text/plain; version=0.0.4; charset=utf-8",
        ),
        (status = 404, description = "Not served on this listener: see TOLLGATE_METRICS_LISTEN and TOLLGATE_METRICS_PUBLIC", body = problem::Body, content_type = "application/problem+json"),
        (status = 503, description = "The database does not answer"),
    ),
)]
pub(crate) async fn get(
    State(operations): State<Arc<Operations>>,
    on_metrics_listener: Option<Extension<OnMetricsListener>>,
) -> Response {
    if !operations.metrics_public && on_metrics_listener.is_none() {
        return Problem::not_found().into_response();
    }
    match metrics_text(&operations).await {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be read");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

async fn metrics_text(operations: &Operations) -> Result<String, tollgate_storage::StoreError> {
    let (head, edges) = (operations.database.feed_head().await?, operations.database.edges().await?);
    let mut text = Text::default();
    text.counters(&operations.metrics);
    text.scalar("tollgate_feed_sequence", "Newest sequence of the revocation log.", "counter", head.sequence);
    text.scalar("tollgate_writer_queue", "Queued write requests.", "gauge", operations.writer.queued());
    text.limits(&operations.rate_limiter);
    text.scalar(
        "tollgate_allowed_origins_reads_total",
        "Times that all clients were read to find the origins that CORS allows.",
        "counter",
        operations.allowed_origins.read_count(),
    );
    text.scalar(
        "tollgate_long_polls",
        "Waiting long polls of edges and event receivers.",
        "gauge",
        u64::try_from(operations.long_polls.waiting_count()).unwrap_or(u64::MAX),
    );
    text.hashing(&operations.password_hasher.load());
    text.signing(&operations.keys.signing_load());
    text.keys(operations.keys.current().listing(), operations.clock.now());
    text.edges(&edges, head.sequence, operations.clock.now_ms());
    Ok(text.0)
}

/// Prometheus text. Escapes label values; names and help texts are constants without special
/// characters.
#[derive(Default)]
struct Text(String);

impl Text {
    fn counters(&mut self, metrics: &Metrics) {
        let Metrics { requests, durations, issued, refused, introspected, revoked, .. } = metrics;
        let name = "tollgate_http_requests_total";
        self.counter_family(name, "Responses by route and status class.", ["route", "status"], requests);
        self.histogram("tollgate_http_request_duration_seconds", "Response times by route.", durations);
        self.counter_family(
            "tollgate_tokens_issued_total",
            "Access tokens issued by grant type.",
            ["grant_type"],
            issued,
        );
        self.counter_family("tollgate_refusals_total", "Refusals by route and reason.", ["route", "reason"], refused);
        let name = "tollgate_introspections_total";
        self.counter_family(name, "Introspections by the token's status.", ["active"], introspected);
        self.counter_family("tollgate_revocations_total", "Revocations by kind.", ["kind"], revoked);
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn scalar(&mut self, name: &str, help: &str, kind: &str, value: u64) {
        self.head(name, help, kind);
        self.sample(name, &[], value);
    }

    fn counter_family<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        family: &LabelledCounter<N>,
    ) {
        self.head(name, help, "counter");
        for (values, count) in family.read() {
            let pairs: Vec<_> = labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
            self.sample(name, &pairs, count);
        }
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &LabelledHistogram) {
        self.head(name, help, "histogram");
        for ([route], durations) in histogram.read() {
            let mut cumulative = 0;
            for (class, count) in durations.counts.iter().enumerate() {
                cumulative += count;
                let bound = BUCKET_BOUNDS_SECONDS.get(class).map_or_else(|| "+Inf".to_owned(), f64::to_string);
                self.sample(&format!("{name}_bucket"), &[("route", &route), ("le", &bound)], cumulative);
            }
            self.sample(&format!("{name}_sum"), &[("route", &route)], durations.sum.as_secs_f64());
            self.sample(&format!("{name}_count"), &[("route", &route)], cumulative);
        }
    }

    fn limits(&mut self, rate_limiter: &RateLimiter) {
        let name = "tollgate_rate_limited_total";
        self.head(name, "Requests refused by rate limits, by limit.", "counter");
        for (limit, refused) in rate_limiter.refusal_counts() {
            self.sample(name, &[("limit", limit.as_str())], refused);
        }
    }

    fn hashing(&mut self, load: &WorkerLoad) {
        let WorkerLoad { queued, capacity, workers, working, done, refused, abandoned } = *load;
        for (name, help, kind, value) in [
            ("tollgate_hashing_queue", "Queued password hashes.", "gauge", queued as u64),
            ("tollgate_hashing_queue_capacity", "Capacity of the password hashing queue.", "gauge", capacity as u64),
            ("tollgate_hashing_workers", "Password hashing threads.", "gauge", workers as u64),
            ("tollgate_hashing_workers_busy", "Busy password hashing threads.", "gauge", working as u64),
            ("tollgate_hashes_total", "Password hashes computed.", "counter", done),
            (
                "tollgate_hashes_refused_total",
                "Password hashes refused because the queue was full.",
                "counter",
                refused,
            ),
            (
                "tollgate_hashes_abandoned_total",
                "Password hashes dropped because the request had ended.",
                "counter",
                abandoned,
            ),
        ] {
            self.scalar(name, help, kind, value);
        }
    }

    fn signing(&mut self, load: &WorkerLoad) {
        let WorkerLoad { queued, capacity, workers, working, done, refused, abandoned } = *load;
        for (name, help, kind, value) in [
            ("tollgate_signing_queue", "Queued RSA signatures.", "gauge", queued as u64),
            ("tollgate_signing_queue_capacity", "Capacity of the queue of RSA signatures.", "gauge", capacity as u64),
            ("tollgate_signing_workers", "RSA signing threads.", "gauge", workers as u64),
            ("tollgate_signing_workers_busy", "Busy RSA signing threads.", "gauge", working as u64),
            ("tollgate_rsa_signatures_total", "RSA signatures made.", "counter", done),
            (
                "tollgate_rsa_signatures_refused_total",
                "Requests refused because the queue of RSA signatures was full.",
                "counter",
                refused,
            ),
            (
                "tollgate_rsa_signatures_abandoned_total",
                "RSA signatures dropped because the request had ended.",
                "counter",
                abandoned,
            ),
        ] {
            self.scalar(name, help, kind, value);
        }
    }

    /// Age of the active signing keys.
    fn keys(&mut self, keys: &[PublicKey], now: u64) {
        let name = "tollgate_signing_key_age_seconds";
        self.head(name, "Seconds since the active key began to sign.", "gauge");
        for key in keys.iter().filter(|key| key.state == KeyState::Active) {
            let began = key.signs_from.unwrap_or(key.created_at);
            let labels = [("purpose", key.purpose.as_str()), ("alg", &key.alg), ("kid", &key.kid)];
            self.sample(name, &labels, now.saturating_sub(began));
        }
    }

    fn edges(&mut self, edges: &[Edge], newest: u64, now_ms: u64) {
        for (name, help, value) in EDGE_GAUGES {
            self.head(name, help, "gauge");
            for edge in edges {
                if let Some(value) = value(edge, newest, now_ms) {
                    self.sample(name, &[("edge", edge.name.as_str())], value);
                }
            }
        }
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn counters_and_histograms_are_rendered() {
        let metrics = Metrics::new(tollgate_system::Clock::system());
        metrics.answered("/oauth/token", 200, Duration::from_micros(900));
        metrics.refused("/oauth/token", "invalid_client");
        let mut text = Text::default();
        text.counters(&metrics);
        for line in [
            "# TYPE tollgate_http_requests_total counter",
            "tollgate_http_requests_total{route=\"/oauth/token\",status=\"2xx\"} 1",
            "tollgate_http_request_duration_seconds_bucket{route=\"/oauth/token\",le=\"0.0005\"} 0",
            "tollgate_http_request_duration_seconds_bucket{route=\"/oauth/token\",le=\"0.001\"} 1",
            "tollgate_http_request_duration_seconds_bucket{route=\"/oauth/token\",le=\"+Inf\"} 1",
            "tollgate_http_request_duration_seconds_sum{route=\"/oauth/token\"} 0.0009",
            "tollgate_refusals_total{route=\"/oauth/token\",reason=\"invalid_client\"} 1",
        ] {
            assert!(text.0.lines().any(|other| other == line), "{line} in\n{}", text.0);
        }
    }

    #[test]
    fn label_values_are_escaped() {
        let mut text = Text::default();
        text.sample("m", &[("l", "a\"b\\c\nd")], 1);
        assert_eq!(text.0, "m{l=\"a\\\"b\\\\c\\nd\"} 1\n");
    }
}
