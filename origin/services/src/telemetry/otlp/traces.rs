//! Export of a server span for each request, with a child span for each part of it that was
//! measured: waits in queues, statements, password hashes, signatures, outbound requests.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tollgate_system::current_request::{MeasuredPart, Part};
use tollgate_system::rng;

use super::batches::{Queue, Signal};
use super::{Collector, nanoseconds, resource, scope};
use crate::telemetry::trace_context::TraceContext;
use tollgate_profiles::protobuf::{Message, attribute, text_attribute};

/// `SPAN_KIND_INTERNAL`, `SPAN_KIND_SERVER` and `SPAN_KIND_CLIENT`
const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
/// `STATUS_CODE_ERROR`
const ERROR: u64 = 2;

/// Span of a request that was answered.
#[derive(Debug, Clone)]
pub struct Span {
    pub trace: TraceContext,
    pub request_id: String,
    /// HTTP method, or `_OTHER`.
    pub method: &'static str,
    /// Route, or `unknown`.
    pub route: String,
    /// Status of the response.
    pub status: u16,
    /// Start, Unix milliseconds.
    pub began_at_ms: u64,
    /// The same start.
    pub began: Instant,
    pub took: Duration,
    pub parts: Vec<MeasuredPart>,
}

/// Sends spans to the collector, if one is configured. Clones share the queue.
#[derive(Debug, Clone, Default)]
pub struct SpanExporter(Option<Queue<Span>>);

impl SpanExporter {
    /// An exporter, and the task to spawn, which sends until `stop`.
    pub fn new(
        collector: Collector,
        stop: CancellationToken,
    ) -> (SpanExporter, impl Future<Output = ()> + Send + use<>) {
        let signal = Signal { path: "/v1/traces", name: "spans", encode: message };
        let (queue, task) = Queue::new(collector, signal, stop);
        (SpanExporter(Some(queue)), task)
    }

    /// Whether spans of this trace are exported.
    #[must_use]
    pub fn wants(&self, trace: &TraceContext) -> bool {
        self.0.is_some() && trace.sampled
    }

    /// Queues a span if it is wanted.
    pub fn export(&self, trace: &TraceContext, span: impl FnOnce() -> Span) {
        if let Some(queue) = self.0.as_ref().filter(|_| trace.sampled) {
            queue.push(span());
        }
    }
}

/// An `ExportTraceServiceRequest` of `opentelemetry/proto/collector/trace/v1`. Each number is the
/// field number of that definition; names and values follow OpenTelemetry's conventions for HTTP
/// servers.
fn message(spans: &[Span]) -> Message {
    let scope_spans = spans.iter().fold(Message::default().part(1, scope()), |all, span| {
        let children = span.parts.iter().map(|part| child_message(span, part));
        children.fold(all.part(2, span_message(span)), |all, child| all.part(2, child))
    });
    Message::default().part(1, Message::default().part(1, resource()).part(2, scope_spans))
}

fn span_message(span: &Span) -> Message {
    let start = nanoseconds(span.began_at_ms);
    let status = Message::default().number(3, span.status.into());
    let message = Message::default()
        .bytes(1, &span.trace.trace)
        .bytes(2, &span.trace.span)
        .bytes(4, span.trace.parent.as_ref().map_or(&[], |parent| parent.as_slice()))
        .text(5, &format!("{} {}", span.method, span.route))
        .number(6, SERVER)
        .fixed(7, start)
        .fixed(8, after(start, span.took))
        .part(9, text_attribute("http.request.method", span.method))
        .part(9, text_attribute("http.route", &span.route))
        .part(9, attribute("http.response.status_code", status))
        .part(9, text_attribute("tollgate.request_id", &span.request_id));
    if span.status >= 500 { message.part(15, Message::default().number(3, ERROR)) } else { message }
}

fn child_message(span: &Span, part: &MeasuredPart) -> Message {
    let start = after(nanoseconds(span.began_at_ms), part.began.saturating_duration_since(span.began));
    let kind = if matches!(part.part, Part::Database | Part::Outbound) { CLIENT } else { INTERNAL };
    // An ID that is not unique only confuses the picture of a trace.
    let id: [u8; 8] = rng::random_id().unwrap_or([0xff; 8]);
    Message::default()
        .bytes(1, &span.trace.trace)
        .bytes(2, &id)
        .bytes(4, &span.trace.span)
        .text(5, &format!("{}: {}", part.part.name(), part.detail))
        .number(6, kind)
        .fixed(7, start)
        .fixed(8, after(start, part.took))
        .part(9, text_attribute("tollgate.part", part.part.name()))
}

/// The time in nanoseconds that is this much later.
fn after(start: u64, took: Duration) -> u64 {
    start.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX))
}
