//! Export of log events, with the trace that they belong to.
//!
//! A layer of the log, installed when the process starts, takes the events; they go to the
//! collector once an origin with one has started. Events are those of the origin and its database
//! driver that the log's filter passes. What the export itself logs, and its HTTP client, is not
//! exported: each export would cause the next.

use std::fmt::{Debug, Write as _};
use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;
use tollgate_system::{Clock, current_request};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::batches::{Queue, Signal};
use super::{Collector, nanoseconds, resource, scope};
use crate::telemetry::trace_context::TraceContext;
use tollgate_profiles::protobuf::{Message, text_attribute};

/// Attributes of an event. Further ones are dropped.
const MAX_ATTRIBUTES: usize = 32;
/// Modules whose events are exported, but for one.
const EXPORTED_MODULES: [&str; 2] = ["tollgate", "sqlx"];
const OWN_MODULE: &str = "tollgate_services::telemetry::otlp";

/// The queue of the process's first origin that exports logs.
static EXPORT: OnceLock<(Queue<LogRecord>, Clock)> = OnceLock::new();

/// Starts the export of logs.
#[derive(Debug)]
pub struct LogExport;

impl LogExport {
    /// Exports the events of this process from now on. Returns the task to spawn, which sends until
    /// `stop`; none if the process exports them already.
    pub fn start(
        collector: Collector,
        clock: Clock,
        stop: CancellationToken,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let signal = Signal { path: "/v1/logs", name: "log records", encode: message };
        let (queue, task) = Queue::new(collector, signal, stop);
        EXPORT.set((queue, clock)).is_ok().then_some(task)
    }
}

/// Layer of the log that hands events to the export.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogLayer;

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some((queue, clock)) = EXPORT.get() else { return };
        let (metadata, target) = (event.metadata(), event.metadata().target());
        let is_exported = EXPORTED_MODULES.iter().any(|module| target.starts_with(module));
        if !is_exported || target.starts_with(OWN_MODULE) {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        queue.push(LogRecord {
            at_ms: clock.now_ms(),
            level: *metadata.level(),
            target,
            trace: TraceContext::of_request(),
            request_id: current_request::id(),
            fields,
        });
    }
}

/// A log event.
#[derive(Debug)]
struct LogRecord {
    at_ms: u64,
    level: Level,
    target: &'static str,
    trace: Option<TraceContext>,
    request_id: Option<String>,
    fields: Fields,
}

#[derive(Debug, Default)]
struct Fields {
    message: String,
    attributes: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write!(text, "{value:?}");
        self.push(field, text);
    }
}

impl Fields {
    fn push(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else if self.attributes.len() < MAX_ATTRIBUTES {
            self.attributes.push((field.name(), value));
        }
    }
}

/// An `ExportLogsServiceRequest` of `opentelemetry/proto/collector/logs/v1`.
fn message(records: &[LogRecord]) -> Message {
    let of_scope = Message::default().part(1, scope());
    let of_scope = records.iter().fold(of_scope, |all, record| all.part(2, record_message(record)));
    Message::default().part(1, Message::default().part(1, resource()).part(2, of_scope))
}

fn record_message(record: &LogRecord) -> Message {
    let at = nanoseconds(record.at_ms);
    let message = Message::default()
        .fixed(1, at)
        .number(2, severity(record.level))
        .text(3, record.level.as_str())
        .part(5, Message::default().text(1, &record.fields.message))
        .part(6, text_attribute("code.namespace", record.target))
        .fixed(11, at);
    let own = record.request_id.iter().map(|id| ("request_id", id));
    let attributes = record.fields.attributes.iter().map(|(name, value)| (*name, value)).chain(own);
    let message = attributes.fold(message, |message, (name, value)| message.part(6, text_attribute(name, value)));
    match &record.trace {
        Some(trace) => message.bytes(9, &trace.trace).bytes(10, &trace.span),
        None => message,
    }
}

/// `SeverityNumber`
fn severity(level: Level) -> u64 {
    match level {
        Level::ERROR => 17,
        Level::WARN => 13,
        Level::INFO => 9,
        Level::DEBUG => 5,
        _ => 1,
    }
}
