//! Telling an OpenTelemetry collector of requests: one span each, over HTTP as protobuf (OTLP 1.x,
//! `POST {endpoint}/v1/traces`).
//!
//! Nobody waits for it. SpanExporter are handed over through a queue; when the collector is away or
//! too slow, those that find it full are left out, and the log says how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tollgate_model::error_chain::with_causes;

use super::trace_context::TraceContext;

/// SpanExporter that wait at most.
const QUEUE: usize = 8192;
/// SpanExporter in one message at most.
const MAX_BATCH: usize = 512;
/// How long a span waits for others to go with.
const GATHER: Duration = Duration::from_secs(1);
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct Span {
    /// Which part of which trace it is.
    pub trace: TraceContext,
    /// Its method, `_OTHER` if it is none that is known.
    pub method: &'static str,
    /// Its route, `unknown` if it has none of its own.
    pub route: String,
    /// The status of the answer.
    pub status: u16,
    /// When it began, Unix milliseconds.
    pub began_at_ms: u64,
    /// How long it took.
    pub took: Duration,
}

/// Where spans are handed over; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct SpanExporter(Option<Arc<Queue>>);

#[derive(Debug)]
struct Queue {
    sender: mpsc::Sender<Span>,
    left_out: AtomicU64,
}

impl SpanExporter {
    /// The way to the collector at `endpoint`, and the task that tells it until `stop`, to be
    /// spawned.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(
        endpoint: &str,
        stop: CancellationToken,
    ) -> Result<(SpanExporter, impl Future<Output = ()> + Send + use<>), reqwest::Error> {
        let http = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build()?;
        let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let (sender, receiver) = mpsc::channel(QUEUE);
        let queue = Arc::new(Queue { sender, left_out: AtomicU64::new(0) });
        let spans = SpanExporter(Some(Arc::clone(&queue)));
        Ok((spans, tell(http, url, queue, receiver, stop)))
    }

    /// Hands over a span, if anybody wants to know of it.
    pub fn export(&self, span: impl FnOnce() -> Span) {
        let Some(queue) = &self.0 else { return };
        let span = span();
        if span.trace.sampled && queue.sender.try_send(span).is_err() {
            queue.left_out.fetch_add(1, Relaxed);
        }
    }
}

async fn tell(
    http: reqwest::Client,
    url: String,
    queue: Arc<Queue>,
    mut receiver: mpsc::Receiver<Span>,
    stop: CancellationToken,
) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    loop {
        let ended = tokio::select! {
            count = receiver.recv_many(&mut batch, MAX_BATCH) => count == 0,
            () = stop.cancelled() => true,
        };
        if ended {
            // What is there by now still goes.
            while let Ok(span) = receiver.try_recv() {
                batch.push(span);
            }
        } else {
            gather(&mut batch, &mut receiver, &stop).await;
        }
        for spans in batch.chunks(MAX_BATCH) {
            if let Err(error) = send(&http, &url, spans).await {
                tracing::warn!(spans = spans.len(), error = with_causes(&error), "the collector could not be told");
            }
        }
        batch.clear();
        let left_out = queue.left_out.swap(0, Relaxed);
        if left_out > 0 {
            tracing::warn!(left_out, "there was no time to tell the collector of all requests");
        }
        if ended {
            return;
        }
    }
}

/// Waits a moment for more spans to go with the first.
async fn gather(batch: &mut Vec<Span>, receiver: &mut mpsc::Receiver<Span>, stop: &CancellationToken) {
    let more =
        async { while batch.len() < MAX_BATCH && receiver.recv_many(batch, MAX_BATCH - batch.len()).await > 0 {} };
    tokio::select! {
        _ = timeout(GATHER, more) => {}
        () = stop.cancelled() => {}
    }
}

async fn send(http: &reqwest::Client, url: &str, spans: &[Span]) -> Result<(), reqwest::Error> {
    let request = http.post(url).header("content-type", "application/x-protobuf");
    request.body(message(spans)).send().await?.error_for_status().map(drop)
}

/// The message about these requests: an `ExportTraceServiceRequest` of
/// `opentelemetry/proto/collector/trace/v1`. Each number below is that of the field in those
/// definitions; the names and words are those of OpenTelemetry's conventions for HTTP servers.
fn message(spans: &[Span]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let text = |key: &str, value: &str| attribute(key, Message::default().text(1, value));
    let resource =
        Message::default().part(1, text("service.name", "tollgate")).part(1, text("service.version", version));
    let scope = Message::default().text(1, "tollgate").text(2, version);
    let scope_spans = spans.iter().fold(Message::default().part(1, scope), |all, done| all.part(2, span(done)));
    Message::default().part(1, Message::default().part(1, resource).part(2, scope_spans)).0
}

fn span(done: &Span) -> Message {
    /// `SPAN_KIND_SERVER`
    const SERVER: u64 = 2;
    /// `STATUS_CODE_ERROR`
    const ERROR: u64 = 2;
    let start = done.began_at_ms.saturating_mul(1_000_000);
    let end = start.saturating_add(u64::try_from(done.took.as_nanos()).unwrap_or(u64::MAX));
    let text = |key: &str, value: &str| attribute(key, Message::default().text(1, value));
    let status = Message::default().number(3, done.status.into());
    let span = Message::default()
        .bytes(1, &done.trace.trace)
        .bytes(2, &done.trace.span)
        .bytes(4, done.trace.parent.as_ref().map_or(&[], |parent| parent.as_slice()))
        .text(5, &format!("{} {}", done.method, done.route))
        .number(6, SERVER)
        .fixed(7, start)
        .fixed(8, end)
        .part(9, text("http.request.method", done.method))
        .part(9, text("http.route", &done.route))
        .part(9, attribute("http.response.status_code", status));
    if done.status >= 500 { span.part(15, Message::default().number(3, ERROR)) } else { span }
}

/// A `KeyValue` of an `AnyValue`.
fn attribute(key: &str, value: Message) -> Message {
    Message::default().text(1, key).part(2, value)
}

/// A message of Protocol Buffers: fields, each a key (the field's number and how its value is
/// written) and the value.
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

    /// Empty is what a field is that is not there.
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

    /// Seven bits a byte, the lowest first; the eighth says that more follow.
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
    fn messages_are_written_as_protocol_buffers() {
        // The examples of the encoding's specification.
        assert_eq!(Message::default().number(1, 150).0, [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().text(2, "testing").0, b"\x12\x07testing");
        assert_eq!(Message::default().part(3, Message::default().number(1, 150)).0, [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(Message::default().fixed(7, 1).0, [0x39, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert!(Message::default().bytes(4, &[]).0.is_empty());
    }
}
