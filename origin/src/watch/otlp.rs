//! Telling an OpenTelemetry collector of requests: one span each, over HTTP as protobuf (OTLP 1.x, `POST {endpoint}/v1/traces`).
//!
//! Nobody waits for it. Spans are handed over through a queue; when the collector is away or too slow, those that find it full are
//! left out, and the log says how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::trace::TraceContext;
use crate::causes::with_causes;

/// Spans that wait at most.
const QUEUE: usize = 8192;
/// Spans in one message at most.
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
pub struct Spans(Option<Arc<Queue>>);

#[derive(Debug)]
struct Queue {
    sender: mpsc::Sender<Span>,
    left_out: AtomicU64,
}

impl Spans {
    /// The way to the collector at `endpoint`, and the task that tells it until `stop`, to be spawned.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(
        endpoint: &str,
        stop: CancellationToken,
    ) -> Result<(Spans, impl Future<Output = ()> + Send + use<>), reqwest::Error> {
        let http = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build()?;
        let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let (sender, receiver) = mpsc::channel(QUEUE);
        let queue = Arc::new(Queue { sender, left_out: AtomicU64::new(0) });
        let spans = Spans(Some(Arc::clone(&queue)));
        Ok((spans, tell(http, url, queue, receiver, stop)))
    }

    /// Hands over a span, if anybody wants to know of it.
    pub fn offer(&self, span: impl FnOnce() -> Span) {
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
    request.body(wire::Request::of(spans).encode_to_vec()).send().await?.error_for_status().map(drop)
}

/// The messages of OTLP, with the fields that are set here: `opentelemetry/proto/{trace,common,resource}/v1` and the request of
/// `collector/trace/v1`.
mod wire {
    use super::Span as Done;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Request {
        #[prost(message, repeated, tag = "1")]
        resource_spans: Vec<ResourceSpans>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct ResourceSpans {
        #[prost(message, optional, tag = "1")]
        resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        scope_spans: Vec<ScopeSpans>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Resource {
        #[prost(message, repeated, tag = "1")]
        attributes: Vec<KeyValue>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct ScopeSpans {
        #[prost(message, optional, tag = "1")]
        scope: Option<Scope>,
        #[prost(message, repeated, tag = "2")]
        spans: Vec<Span>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Scope {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        version: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Span {
        #[prost(bytes = "vec", tag = "1")]
        trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        span_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        parent_span_id: Vec<u8>,
        #[prost(string, tag = "5")]
        name: String,
        #[prost(int32, tag = "6")]
        kind: i32,
        #[prost(fixed64, tag = "7")]
        start_time_unix_nano: u64,
        #[prost(fixed64, tag = "8")]
        end_time_unix_nano: u64,
        #[prost(message, repeated, tag = "9")]
        attributes: Vec<KeyValue>,
        #[prost(message, optional, tag = "15")]
        status: Option<Status>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Status {
        #[prost(int32, tag = "3")]
        code: i32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct KeyValue {
        #[prost(string, tag = "1")]
        key: String,
        #[prost(message, optional, tag = "2")]
        value: Option<AnyValue>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct AnyValue {
        #[prost(oneof = "Value", tags = "1, 3")]
        value: Option<Value>,
    }

    #[derive(Clone, PartialEq, prost::Oneof)]
    enum Value {
        #[prost(string, tag = "1")]
        Text(String),
        #[prost(int64, tag = "3")]
        Number(i64),
    }

    /// A request that this process answered.
    const SERVER: i32 = 2;
    const ERROR: i32 = 2;

    impl Request {
        /// The message about these requests.
        pub(super) fn of(done: &[Done]) -> Request {
            let version = env!("CARGO_PKG_VERSION");
            let text = |key: &str, value: &str| attribute(key, Value::Text(value.to_owned()));
            let attributes = vec![text("service.name", "tollgate"), text("service.version", version)];
            let scope = Scope { name: "tollgate".to_owned(), version: version.to_owned() };
            let scope_spans = ScopeSpans { scope: Some(scope), spans: done.iter().map(span).collect() };
            let resource = Some(Resource { attributes });
            Request { resource_spans: vec![ResourceSpans { resource, scope_spans: vec![scope_spans] }] }
        }
    }

    fn attribute(key: &str, value: Value) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
    }

    /// Named and described as OpenTelemetry's conventions for HTTP servers have it.
    fn span(done: &Done) -> Span {
        let start = done.began_at_ms.saturating_mul(1_000_000);
        let took = u64::try_from(done.took.as_nanos()).unwrap_or(u64::MAX);
        Span {
            trace_id: done.trace.trace.to_vec(),
            span_id: done.trace.span.to_vec(),
            parent_span_id: done.trace.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
            name: format!("{} {}", done.method, done.route),
            kind: SERVER,
            start_time_unix_nano: start,
            end_time_unix_nano: start.saturating_add(took),
            attributes: vec![
                attribute("http.request.method", Value::Text(done.method.to_owned())),
                attribute("http.route", Value::Text(done.route.clone())),
                attribute("http.response.status_code", Value::Number(done.status.into())),
            ],
            status: (done.status >= 500).then_some(Status { code: ERROR }),
        }
    }
}
