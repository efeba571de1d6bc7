//! Exports a span for each request to an OpenTelemetry collector, over HTTP as protobuf (OTLP 1.x,
//! `POST {endpoint}/v1/traces`).
//!
//! Requests do not wait for the export. Spans pass through a queue; while it is full, because the
//! collector is slow or cannot be reached, spans are dropped, and the log has their number.
//!
//! The messages are encoded here in about a hundred lines, instead of by the OpenTelemetry SDK,
//! which no other part of the workspace needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tollgate_model::error_chain::with_causes;

use super::trace_context::TraceContext;

/// Spans in the queue.
const MAX_QUEUED_SPANS: usize = 8192;
/// Spans per message.
const MAX_BATCH_SPANS: usize = 512;
/// How long a span waits for others of its batch.
const BATCH_DELAY: Duration = Duration::from_secs(1);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Span of a request that was answered.
#[derive(Debug, Clone)]
pub struct Span {
    pub trace: TraceContext,
    /// HTTP method, or `_OTHER`.
    pub method: &'static str,
    /// Route, or `unknown`.
    pub route: String,
    /// Status of the response.
    pub status: u16,
    /// Start, Unix milliseconds.
    pub began_at_ms: u64,
    pub took: Duration,
}

/// Sends spans to the collector, if one is configured. Clones share the queue.
#[derive(Debug, Clone, Default)]
pub struct SpanExporter(Option<Arc<Queue>>);

#[derive(Debug)]
struct Queue {
    sender: mpsc::Sender<Span>,
    dropped: AtomicU64,
}

impl SpanExporter {
    /// An exporter for the collector at `endpoint`, and the task to spawn, which sends until
    /// `stop`.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(
        endpoint: &str,
        stop: CancellationToken,
    ) -> Result<(SpanExporter, impl Future<Output = ()> + Send + use<>), reqwest::Error> {
        let http =
            reqwest::Client::builder().timeout(REQUEST_TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()?;
        let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let (sender, receiver) = mpsc::channel(MAX_QUEUED_SPANS);
        let queue = Arc::new(Queue { sender, dropped: AtomicU64::new(0) });
        let spans = SpanExporter(Some(Arc::clone(&queue)));
        Ok((spans, send_batches(http, url, queue, receiver, stop)))
    }

    /// Queues a span if a collector is configured and the trace is sampled.
    pub fn export(&self, span: impl FnOnce() -> Span) {
        let Some(queue) = &self.0 else { return };
        let span = span();
        if span.trace.sampled && queue.sender.try_send(span).is_err() {
            queue.dropped.fetch_add(1, Relaxed);
        }
    }
}

async fn send_batches(
    http: reqwest::Client,
    url: String,
    queue: Arc<Queue>,
    mut receiver: mpsc::Receiver<Span>,
    stop: CancellationToken,
) {
    let mut batch = Vec::with_capacity(MAX_BATCH_SPANS);
    loop {
        let is_stopped = tokio::select! {
            count = receiver.recv_many(&mut batch, MAX_BATCH_SPANS) => count == 0,
            () = stop.cancelled() => true,
        };
        if is_stopped {
            // The spans in the queue are still sent.
            while let Ok(span) = receiver.try_recv() {
                batch.push(span);
            }
        } else {
            fill_batch(&mut batch, &mut receiver, &stop).await;
        }
        for spans in batch.chunks(MAX_BATCH_SPANS) {
            if let Err(error) = send(&http, &url, spans).await {
                tracing::warn!(
                    spans = spans.len(),
                    error = with_causes(&error),
                    "spans could not be sent to the collector"
                );
            }
        }
        batch.clear();
        let dropped = queue.dropped.swap(0, Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "spans were dropped because the queue was full");
        }
        if is_stopped {
            return;
        }
    }
}

/// Waits up to [`BATCH_DELAY`] for more spans.
async fn fill_batch(batch: &mut Vec<Span>, receiver: &mut mpsc::Receiver<Span>, stop: &CancellationToken) {
    let more = async {
        while batch.len() < MAX_BATCH_SPANS && receiver.recv_many(batch, MAX_BATCH_SPANS - batch.len()).await > 0 {}
    };
    tokio::select! {
        _ = timeout(BATCH_DELAY, more) => {}
        () = stop.cancelled() => {}
    }
}

async fn send(http: &reqwest::Client, url: &str, spans: &[Span]) -> Result<(), reqwest::Error> {
    let request = http.post(url).header("content-type", "application/x-protobuf");
    request.body(message(spans)).send().await?.error_for_status().map(drop)
}

/// An `ExportTraceServiceRequest` of `opentelemetry/proto/collector/trace/v1`. Each number is the
/// field number of that definition; names and values follow OpenTelemetry's conventions for HTTP
/// servers.
fn message(spans: &[Span]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let text = |key: &str, value: &str| attribute(key, Message::default().text(1, value));
    let resource =
        Message::default().part(1, text("service.name", "tollgate")).part(1, text("service.version", version));
    let scope = Message::default().text(1, "tollgate").text(2, version);
    let scope_spans = spans.iter().fold(Message::default().part(1, scope), |all, one| all.part(2, span_message(one)));
    Message::default().part(1, Message::default().part(1, resource).part(2, scope_spans)).0
}

fn span_message(span: &Span) -> Message {
    /// `SPAN_KIND_SERVER`
    const SERVER: u64 = 2;
    /// `STATUS_CODE_ERROR`
    const ERROR: u64 = 2;
    let start = span.began_at_ms.saturating_mul(1_000_000);
    let end = start.saturating_add(u64::try_from(span.took.as_nanos()).unwrap_or(u64::MAX));
    let text = |key: &str, value: &str| attribute(key, Message::default().text(1, value));
    let status = Message::default().number(3, span.status.into());
    let message = Message::default()
        .bytes(1, &span.trace.trace)
        .bytes(2, &span.trace.span)
        .bytes(4, span.trace.parent.as_ref().map_or(&[], |parent| parent.as_slice()))
        .text(5, &format!("{} {}", span.method, span.route))
        .number(6, SERVER)
        .fixed(7, start)
        .fixed(8, end)
        .part(9, text("http.request.method", span.method))
        .part(9, text("http.route", &span.route))
        .part(9, attribute("http.response.status_code", status));
    if span.status >= 500 { message.part(15, Message::default().number(3, ERROR)) } else { message }
}

/// A `KeyValue` of an `AnyValue`.
fn attribute(key: &str, value: Message) -> Message {
    Message::default().text(1, key).part(2, value)
}

/// A Protocol Buffers message: a list of fields, each a key (field number and wire type) and a
/// value.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(self, field: u64, value: u64) -> Message {
        self.varint(field << 3).varint(value)
    }

    fn fixed(self, field: u64, value: u64) -> Message {
        let mut message = self.varint(field << 3 | 1);
        message.0.extend_from_slice(&value.to_le_bytes());
        message
    }

    /// An empty value is encoded as an absent field.
    fn bytes(self, field: u64, value: &[u8]) -> Message {
        if value.is_empty() {
            return self;
        }
        let mut message = self.varint(field << 3 | 2).varint(value.len() as u64);
        message.0.extend_from_slice(value);
        message
    }

    fn text(self, field: u64, value: &str) -> Message {
        self.bytes(field, value.as_bytes())
    }

    fn part(self, field: u64, part: Message) -> Message {
        self.bytes(field, &part.0)
    }

    /// Seven bits per byte, lowest first; the eighth bit marks that more bytes follow.
    fn varint(mut self, mut value: u64) -> Message {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_encoded_as_protocol_buffers() {
        // Examples of the encoding's specification.
        assert_eq!(Message::default().number(1, 150).0, [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().text(2, "testing").0, b"\x12\x07testing");
        assert_eq!(Message::default().part(3, Message::default().number(1, 150)).0, [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(Message::default().fixed(7, 1).0, [0x39, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert!(Message::default().bytes(4, &[]).0.is_empty());
    }
}
