//! Export to an OpenTelemetry collector, over HTTP as protobuf (OTLP 1.x): traces to
//! `{endpoint}/v1/traces`, metrics to `/v1/metrics`, logs to `/v1/logs`.
//!
//! Requests do not wait for the export. Spans and log records pass through queues; while one is
//! full, because the collector is slow or cannot be reached, they are dropped, and the log has
//! their number. Metrics are read once per interval.
//!
//! The messages are encoded here in some hundred lines, instead of by the OpenTelemetry SDK, which
//! no other part of the workspace needs.

mod batches;
mod logs;
mod metrics;
mod traces;

pub use logs::{LogExport, LogLayer};
pub use metrics::export_metrics;
pub use traces::{Span, SpanExporter};

use std::time::Duration;

use tollgate_profiles::protobuf::{Message, text_attribute};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// An OpenTelemetry collector. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Collector {
    http: reqwest::Client,
    endpoint: String,
}

impl Collector {
    /// The collector at a URL.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(endpoint: &str) -> Result<Collector, reqwest::Error> {
        let http =
            reqwest::Client::builder().timeout(REQUEST_TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Collector { http, endpoint: endpoint.trim_end_matches('/').to_owned() })
    }

    /// Sends a message to a path such as `/v1/traces`.
    async fn send(&self, path: &str, message: Message) -> Result<(), reqwest::Error> {
        let request =
            self.http.post(format!("{}{path}", self.endpoint)).header("content-type", "application/x-protobuf");
        request.body(message.into_bytes()).send().await?.error_for_status().map(drop)
    }
}

/// The `Resource` that all messages are about. Names follow OpenTelemetry's conventions.
fn resource() -> Message {
    let version = env!("CARGO_PKG_VERSION");
    Message::default()
        .part(1, text_attribute("service.name", "tollgate"))
        .part(1, text_attribute("service.version", version))
}

/// The `InstrumentationScope` of all messages.
fn scope() -> Message {
    Message::default().text(1, "tollgate").text(2, env!("CARGO_PKG_VERSION"))
}

/// Nanoseconds since the Unix epoch.
fn nanoseconds(unix_ms: u64) -> u64 {
    unix_ms.saturating_mul(1_000_000)
}
