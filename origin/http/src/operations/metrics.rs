//! `GET /metrics`: the issuer's metrics, and those of the process.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tollgate_core::EdgeCounter;
use tollgate_keys::PublicKey;
use tollgate_model::{Edge, EdgeActivity, EdgeName, KeyState};
use tollgate_services::cache::CacheStatistics;
use tollgate_services::rate_limit::RateLimiter;
use tollgate_services::revocation_feed::FeedWork;
use tollgate_services::telemetry::{
    AddressClass, CredentialKind, LabelledCounter, LabelledHistogram, Metric, MetricKind as Kind, MetricSource,
    Metrics, Number, Profiler,
};
use tollgate_services::worker_pool::WorkerLoad;
use tollgate_storage::{LiveCounts, PoolStatistics, WriterStatistics};
use tollgate_system::histogram::Durations;
use tollgate_system::process::ProcessResources;
use tower::{Service, ServiceExt as _};

use super::exposition::{self, Format};
use super::health::CHECK_TIMEOUT;
use super::profiles;
use super::state::Operations;
use crate::problem::{self, Problem};

/// A gauge of each edge: name, help text, and value (edge, newest sequence, Unix milliseconds).
type EdgeGauge = (&'static str, &'static str, fn(&Edge, u64, u64) -> Option<f64>);

const EDGE_GAUGES: [EdgeGauge; 4] = [
    ("tollgate_edge_acknowledged_sequence", "The highest sequence that the edge acknowledged.", |edge, _, _| {
        Some(edge.acknowledged as f64)
    }),
    ("tollgate_edge_lag", "Changes that the edge has not acknowledged.", |edge, newest, _| {
        Some(newest.saturating_sub(edge.acknowledged) as f64)
    }),
    ("tollgate_edge_contact_age_milliseconds", "Milliseconds since the edge's last request.", |edge, _, now_ms| {
        edge.contacted_at_ms.map(|at| now_ms.saturating_sub(at) as f64)
    }),
    ("tollgate_edge_contact_age_seconds", "Seconds since the edge's last request.", |edge, _, now_ms| {
        edge.contacted_at_ms.map(|at| now_ms.saturating_sub(at) as f64 / 1000.0)
    }),
];

/// Totals of each edge: name, help text, label, and the label's values with their counters.
type EdgeCounters = (&'static str, &'static str, Option<&'static str>, &'static [(&'static str, EdgeCounter)]);

const EDGE_COUNTERS: [EdgeCounters; 7] = [
    ("tollgate_edge_passed_total", "Requests that the edge let pass.", None, &[("", EdgeCounter::Passed)]),
    (
        "tollgate_edge_tokens_total",
        "Tokens that the edge verified, by whether their signature had been checked before.",
        Some("cache"),
        &[("hit", EdgeCounter::CacheHits), ("miss", EdgeCounter::CacheMisses)],
    ),
    (
        "tollgate_edge_decisions_total",
        "Decisions of the edge that depend on its replica, by freshness of the replica.",
        Some("freshness"),
        &[
            ("fresh", EdgeCounter::DecidedFresh),
            ("waited", EdgeCounter::DecidedWaited),
            ("stale", EdgeCounter::DecidedStale),
        ],
    ),
    ("tollgate_edge_streams_opened_total", "Streams opened.", None, &[("", EdgeCounter::StreamsOpened)]),
    (
        "tollgate_edge_streams_cut_total",
        "Streams that the edge ended, because their token was revoked or expired.",
        None,
        &[("", EdgeCounter::StreamsCut)],
    ),
    (
        "tollgate_edge_upstream_responses_total",
        "Responses of the edge's upstreams.",
        None,
        &[("", EdgeCounter::UpstreamResponses)],
    ),
    (
        "tollgate_edge_upstream_failures_total",
        "Requests to which the edge's upstreams did not respond.",
        None,
        &[("", EdgeCounter::UpstreamFailures)],
    ),
];

/// Marks requests that arrived at the metrics listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnMetricsListener;

/// The router of the metrics listener: `/metrics` below the path of each issuer, profiles if there
/// is a profiler, nothing else. `issuers` dispatches requests to the issuers.
pub fn listener<S>(issuers: S, profiler: Option<Arc<Profiler>>) -> Router
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
{
    Router::new().fallback(async move |mut request: Request| {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        if let Some(profiler) = &profiler
            && let Some(response) = profiles::respond(profiler, &method, &uri).await
        {
            return response;
        }
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

/// Metrics. While the database cannot be read, those that come from it are absent.
#[utoipa::path(
    get, path = "/metrics",
    responses(
        (
            status = 200,
            description = "Metrics in Prometheus text format, or in OpenMetrics if that is preferred by `Accept`",
            body = String,
            content_type = "text/plain; version=0.0.4; charset=utf-8",
        ),
        (status = 404, description = "Not served on this listener: see TOLLGATE_METRICS_LISTEN and TOLLGATE_METRICS_PUBLIC", body = problem::Body, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get(
    State(operations): State<Arc<Operations>>,
    on_metrics_listener: Option<Extension<OnMetricsListener>>,
    headers: HeaderMap,
) -> Response {
    if !operations.metrics_public && on_metrics_listener.is_none() {
        return Problem::not_found().into_response();
    }
    let format = Format::accepted(&headers);
    let metrics = read_metrics(&operations).await;
    ([(CONTENT_TYPE, format.content_type())], exposition::write(&metrics, format)).into_response()
}

/// What the database says.
struct Stored {
    newest_sequence: u64,
    edges: Vec<Edge>,
    edge_activity: BTreeMap<EdgeName, EdgeActivity>,
    counts: LiveCounts,
}

/// Reads what the database says; none if it does not answer in time.
async fn read_stored(operations: &Operations) -> Option<Stored> {
    let database = &operations.database;
    let reading = async {
        let (head, edges, edge_activity, counts) = tokio::try_join!(
            database.feed_head(),
            database.edges(),
            database.edge_activity(),
            operations.live_counts()
        )?;
        Ok::<_, tollgate_storage::StoreError>(Stored { newest_sequence: head.sequence, edges, edge_activity, counts })
    };
    match timeout(CHECK_TIMEOUT, Box::pin(reading)).await {
        Ok(Ok(stored)) => Some(stored),
        Ok(Err(error)) => {
            tracing::error!(%error, "metrics of the database cannot be read");
            None
        }
        Err(_) => {
            tracing::error!("metrics of the database could not be read in time");
            None
        }
    }
}

impl MetricSource for Operations {
    fn read(&self) -> Pin<Box<dyn Future<Output = Vec<Metric>> + Send + '_>> {
        Box::pin(read_metrics(self))
    }
}

async fn read_metrics(operations: &Operations) -> Vec<Metric> {
    let (stored, resources) = tokio::join!(read_stored(operations), spawn_blocking(ProcessResources::read));
    let mut list = MetricList::default();
    list.metric("tollgate_build_info", Kind::Gauge, "Version of this origin.")
        .add(&[("version", env!("CARGO_PKG_VERSION"))], 1_u8);
    list.counters(&operations.metrics);
    list.failed_authentications(&operations.metrics);
    list.database(operations, stored.is_some());
    list.feed(operations);
    list.writer(operations);
    list.limits(&operations.rate_limiter);
    list.caches(&operations.cache.statistics());
    list.counter(
        "tollgate_allowed_origins_reads_total",
        "Times that all clients were read to find the origins that CORS allows.",
        operations.allowed_origins.read_count(),
    );
    list.gauge(
        "tollgate_long_polls",
        "Waiting long polls of edges and event receivers.",
        operations.long_polls.waiting_count(),
    );
    list.hashing(&operations.password_hasher.load());
    list.signing(&operations.keys.signing_load());
    list.keys(operations.keys.current().listing(), operations.clock.now());
    if let Some(stored) = stored {
        list.stored(&stored, operations.clock.now_ms());
    }
    list.runtime(&Handle::current());
    list.process(&resources.unwrap_or_default());
    list.0
}

/// Metrics that are being read.
#[derive(Default)]
struct MetricList(Vec<Metric>);

impl MetricList {
    /// Begins a metric, to which samples must be added. The name of a counter ends in `_total`.
    fn metric(&mut self, name: &'static str, kind: Kind, help: &'static str) -> &mut Metric {
        let index = self.0.len();
        self.0.push(Metric { name, kind, help, samples: Vec::new() });
        &mut self.0[index]
    }

    /// A counter without labels.
    fn counter(&mut self, name: &'static str, help: &'static str, value: impl Number) {
        self.metric(name, Kind::Counter, help).add(&[], value);
    }

    /// A gauge without labels.
    fn gauge(&mut self, name: &'static str, help: &'static str, value: impl Number) {
        self.metric(name, Kind::Gauge, help).add(&[], value);
    }

    /// A histogram without labels.
    fn histogram(&mut self, name: &'static str, help: &'static str, durations: &Durations) {
        self.metric(name, Kind::Histogram, help).add_durations(&[], durations, None);
    }

    fn counters(&mut self, metrics: &Metrics) {
        let Metrics { requests, durations, issued, refused, introspected, revoked, .. } = metrics;
        let name = "tollgate_http_requests_total";
        self.counter_family(name, "Responses by route and status class.", ["route", "status"], requests);
        self.durations_by_route("tollgate_http_request_duration_seconds", "Response times by route.", durations);
        self.gauge("tollgate_http_requests_in_flight", "Requests that are being answered.", metrics.in_flight());
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

    fn counter_family<const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
        family: &LabelledCounter<N>,
    ) {
        let samples = self.metric(name, Kind::Counter, help);
        for (values, count) in family.read() {
            let pairs: Vec<_> = labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
            samples.add(&pairs, count);
        }
    }

    fn durations_by_route(&mut self, name: &'static str, help: &'static str, histogram: &LabelledHistogram) {
        let samples = self.metric(name, Kind::Histogram, help);
        for ([route], entry) in histogram.read() {
            samples.add_durations(&[("route", &route)], &entry.durations, Some(&entry.exemplars));
        }
    }

    fn failed_authentications(&mut self, metrics: &Metrics) {
        let help = "Failed authentications by credentials and by class of the client's address.";
        let samples = self.metric("tollgate_failed_authentications_total", Kind::Counter, help);
        for kind in CredentialKind::ALL {
            for class in AddressClass::ALL {
                let labels = [("credentials", kind.label()), ("address", class.name())];
                samples.add(&labels, metrics.failed_authentications(kind, class));
            }
        }
    }

    fn database(&mut self, operations: &Operations, answers: bool) {
        let database = &operations.database;
        let help = "Whether the database answers.";
        self.gauge("tollgate_database_up", help, u8::from(answers && database.is_up()));
        let pools = database.pool_statistics();
        let samples =
            self.metric("tollgate_database_connections", Kind::Gauge, "Open database connections by pool and state.");
        for PoolStatistics { pool, open, idle, .. } in pools {
            samples.add(&[("pool", pool), ("state", "busy")], open.saturating_sub(idle));
            samples.add(&[("pool", pool), ("state", "idle")], idle);
        }
        let help = "Limit of the database connections by pool.";
        let samples = self.metric("tollgate_database_connections_max", Kind::Gauge, help);
        pools.iter().for_each(|pool| samples.add(&[("pool", pool.pool)], pool.max));
        let help = "Waits for a database connection by pool.";
        let samples = self.metric("tollgate_database_wait_seconds", Kind::Histogram, help);
        pools.iter().for_each(|pool| samples.add_durations(&[("pool", pool.pool)], &pool.waits, None));
        let help = "Durations of database statements by pool.";
        let samples = self.metric("tollgate_database_statement_seconds", Kind::Histogram, help);
        pools.iter().for_each(|pool| samples.add_durations(&[("pool", pool.pool)], &pool.statements, None));
        let help = "Database statements that failed, by pool.";
        let samples = self.metric("tollgate_database_failures_total", Kind::Counter, help);
        pools.iter().for_each(|pool| samples.add(&[("pool", pool.pool)], pool.failures));
        let help = "Database statements that took longer than the threshold of slow queries.";
        self.counter("tollgate_database_slow_statements_total", help, database.slow_statement_count());
    }

    fn feed(&mut self, operations: &Operations) {
        let is_watching = operations.feed_changes.borrow().is_watching;
        let help = "Whether changes of the database are noticed.";
        self.gauge("tollgate_feed_watching", help, u8::from(is_watching));
        let help = "Whether snapshots for edges are published.";
        self.gauge("tollgate_feed_publishing", help, u8::from(!operations.feed.is_failing()));
        let FeedWork { answers, signatures, reads } = operations.feed.work();
        let help = "Requests of edges for deltas that were answered.";
        self.counter("tollgate_feed_answers_total", help, answers.load(Relaxed));
        let help = "Messages of deltas signed, for one edge or many.";
        self.counter("tollgate_feed_signatures_total", help, signatures.load(Relaxed));
        let help = "Reads of the revocation log for messages of deltas.";
        self.counter("tollgate_feed_reads_total", help, reads.load(Relaxed));
        let help = "Whether this machine's clock agrees with the database's.";
        self.gauge("tollgate_clock_trusted", help, u8::from(operations.database.is_clock_trusted()));
    }

    fn writer(&mut self, operations: &Operations) {
        let writer = &operations.writer;
        let WriterStatistics { waits, batches } = writer.statistics();
        self.gauge("tollgate_writer_queue", "Queued write requests.", writer.queued());
        self.gauge("tollgate_writer_queue_capacity", "Capacity of the write queue.", writer.capacity());
        self.histogram("tollgate_writer_wait_seconds", "Waits of requests in the write queue.", &waits);
        self.histogram("tollgate_writer_batch_seconds", "Durations of batches of the writer.", &batches);
    }

    fn limits(&mut self, rate_limiter: &RateLimiter) {
        let help = "Requests refused by rate limits, by limit.";
        let samples = self.metric("tollgate_rate_limited_total", Kind::Counter, help);
        for (limit, refused) in rate_limiter.refusal_counts() {
            samples.add(&[("limit", limit.as_str())], refused);
        }
        if let Some(is_connected) = rate_limiter.is_redis_connected() {
            self.gauge("tollgate_redis_up", "Whether Redis is connected.", u8::from(is_connected));
        }
    }

    fn caches(&mut self, caches: &[CacheStatistics]) {
        let samples = self.metric("tollgate_cache_hits_total", Kind::Counter, "Cache hits by cache.");
        caches.iter().for_each(|cache| samples.add(&[("cache", cache.cache)], cache.hits));
        let samples = self.metric("tollgate_cache_misses_total", Kind::Counter, "Cache misses by cache.");
        caches.iter().for_each(|cache| samples.add(&[("cache", cache.cache)], cache.misses));
        let samples = self.metric("tollgate_cache_entries", Kind::Gauge, "Cached values by cache.");
        caches.iter().for_each(|cache| samples.add(&[("cache", cache.cache)], cache.entries));
    }

    fn hashing(&mut self, load: &WorkerLoad) {
        self.gauge("tollgate_hashing_queue", "Queued password hashes.", load.queued);
        self.gauge("tollgate_hashing_queue_capacity", "Capacity of the password hashing queue.", load.capacity);
        self.gauge("tollgate_hashing_workers", "Password hashing threads.", load.workers);
        self.gauge("tollgate_hashing_workers_busy", "Busy password hashing threads.", load.working);
        self.counter("tollgate_hashes_total", "Password hashes computed.", load.done);
        let help = "Password hashes refused because the queue was full.";
        self.counter("tollgate_hashes_refused_total", help, load.refused);
        let help = "Password hashes dropped because the request had ended.";
        self.counter("tollgate_hashes_abandoned_total", help, load.abandoned);
        self.histogram("tollgate_hashing_wait_seconds", "Waits in the password hashing queue.", &load.waits);
        self.histogram("tollgate_hashing_duration_seconds", "Durations of password hashes.", &load.runs);
    }

    fn signing(&mut self, load: &WorkerLoad) {
        self.gauge("tollgate_signing_queue", "Queued RSA signatures.", load.queued);
        self.gauge("tollgate_signing_queue_capacity", "Capacity of the queue of RSA signatures.", load.capacity);
        self.gauge("tollgate_signing_workers", "RSA signing threads.", load.workers);
        self.gauge("tollgate_signing_workers_busy", "Busy RSA signing threads.", load.working);
        self.counter("tollgate_rsa_signatures_total", "RSA signatures made.", load.done);
        let help = "Requests refused because the queue of RSA signatures was full.";
        self.counter("tollgate_rsa_signatures_refused_total", help, load.refused);
        let help = "RSA signatures dropped because the request had ended.";
        self.counter("tollgate_rsa_signatures_abandoned_total", help, load.abandoned);
        self.histogram("tollgate_signing_wait_seconds", "Waits in the queue of RSA signatures.", &load.waits);
        self.histogram("tollgate_signing_duration_seconds", "Durations of RSA signatures.", &load.runs);
    }

    /// Age of the active signing keys.
    fn keys(&mut self, keys: &[PublicKey], now: u64) {
        let help = "Seconds since the active key began to sign.";
        let samples = self.metric("tollgate_signing_key_age_seconds", Kind::Gauge, help);
        for key in keys.iter().filter(|key| key.state == KeyState::Active) {
            let began = key.signs_from.unwrap_or(key.created_at);
            let labels = [("purpose", key.purpose.as_str()), ("alg", &key.alg), ("kid", &key.kid)];
            samples.add(&labels, now.saturating_sub(began));
        }
    }

    fn stored(&mut self, stored: &Stored, now_ms: u64) {
        let Stored { newest_sequence, edges, edge_activity, counts } = stored;
        self.gauge("tollgate_feed_sequence", "Newest sequence of the revocation log.", *newest_sequence);
        self.gauge("tollgate_sessions", "Live browser sessions, counted up to 100000.", counts.sessions);
        let help = "Device codes that wait for a user's decision, counted up to 100000.";
        self.gauge("tollgate_device_codes", help, counts.device_codes);
        self.gauge("tollgate_edges", "Registered edges.", edges.len());
        for (name, help, value) in EDGE_GAUGES {
            let samples = self.metric(name, Kind::Gauge, help);
            for edge in edges {
                if let Some(value) = value(edge, *newest_sequence, now_ms) {
                    samples.add(&[("edge", edge.name.as_str())], value);
                }
            }
        }
        self.edge_activity(edge_activity, now_ms);
    }

    /// What edges reported. Only registered edges are there, so their number bounds the labels.
    fn edge_activity(&mut self, edges: &BTreeMap<EdgeName, EdgeActivity>, now_ms: u64) {
        for (name, help, label, counters) in EDGE_COUNTERS {
            let samples = self.metric(name, Kind::Counter, help);
            for (edge, activity) in edges {
                for (value, counter) in counters {
                    let labels = [("edge", edge.as_str()), (label.unwrap_or_default(), *value)];
                    samples.add(&labels[..1 + usize::from(label.is_some())], activity.totals.get(*counter));
                }
            }
        }
        let help = "Requests that the edge refused, by reason.";
        let samples = self.metric("tollgate_edge_refused_total", Kind::Counter, help);
        for (edge, activity) in edges {
            for (reason, count) in activity.totals.refused() {
                samples.add(&[("edge", edge.as_str()), ("reason", reason)], count);
            }
        }
        let help = "Time until the edge's upstreams began their responses, in all.";
        let samples = self.metric("tollgate_edge_upstream_seconds_total", Kind::Counter, help);
        for (edge, activity) in edges {
            let micros = activity.totals.get(EdgeCounter::UpstreamMicroseconds);
            samples.add(&[("edge", edge.as_str())], micros as f64 / 1e6);
        }
        let samples = self.metric("tollgate_edge_streams_open", Kind::Gauge, "Streams that are open at the edge.");
        for (edge, activity) in edges {
            samples.add(&[("edge", edge.as_str())], activity.open_streams);
        }
        let help = "Seconds since the edge's newest report of its work.";
        let samples = self.metric("tollgate_edge_report_age_seconds", Kind::Gauge, help);
        for (edge, activity) in edges {
            let age_ms = now_ms.saturating_sub(activity.reported_at_ms);
            samples.add(&[("edge", edge.as_str())], age_ms as f64 / 1000.0);
        }
    }

    /// The asynchronous runtime of this process.
    fn runtime(&mut self, runtime: &Handle) {
        let metrics = runtime.metrics();
        self.gauge("tollgate_runtime_tasks", "Tasks of the runtime.", metrics.num_alive_tasks());
        self.gauge("tollgate_runtime_workers", "Threads of the runtime that run tasks.", metrics.num_workers());
        let help = "Tasks that wait in the runtime's global queue.";
        self.gauge("tollgate_runtime_queue", help, metrics.global_queue_depth());
        let help = "Time that each thread of the runtime was busy with tasks.";
        let samples = self.metric("tollgate_runtime_busy_seconds_total", Kind::Counter, help);
        for worker in 0..metrics.num_workers() {
            let busy = metrics.worker_total_busy_duration(worker).as_secs_f64();
            samples.add(&[("worker", &worker.to_string())], busy);
        }
    }

    /// Resources of this process, under the names that Prometheus' own clients use.
    fn process(&mut self, resources: &ProcessResources) {
        if let Some(seconds) = resources.cpu_seconds {
            self.counter("process_cpu_seconds_total", "Processor time, user and system.", seconds);
        }
        if let Some(at) = resources.started_at {
            self.gauge("process_start_time_seconds", "Start of the process, Unix time.", at);
        }
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory in RAM.", resources.resident_bytes),
            ("process_virtual_memory_bytes", "Address space.", resources.virtual_bytes),
            ("process_threads", "Threads.", resources.threads),
            ("process_open_fds", "Open file descriptors.", resources.open_files),
            ("process_max_fds", "Limit of the open file descriptors.", resources.max_files),
        ] {
            if let Some(value) = value {
                self.gauge(name, help, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn counters_and_histograms_are_rendered() {
        let metrics = Metrics::new(tollgate_system::Clock::system());
        metrics.answered("/oauth/token", 200, Duration::from_micros(900), Some([7; 16]));
        metrics.refused("/oauth/token", "invalid_client");
        metrics.authentication_failed(CredentialKind::Client, Some([10, 0, 0, 1].into()));
        let mut list = MetricList::default();
        list.counters(&metrics);
        list.failed_authentications(&metrics);
        let text = exposition::write(&list.0, Format::Prometheus);
        for line in [
            "# TYPE tollgate_http_requests_total counter",
            "tollgate_http_requests_total{route=\"/oauth/token\",status=\"2xx\"} 1",
            "tollgate_http_request_duration_seconds_bucket{route=\"/oauth/token\",le=\"0.0005\"} 0",
            "tollgate_http_request_duration_seconds_bucket{route=\"/oauth/token\",le=\"0.001\"} 1",
            "tollgate_http_request_duration_seconds_bucket{route=\"/oauth/token\",le=\"+Inf\"} 1",
            "tollgate_http_request_duration_seconds_sum{route=\"/oauth/token\"} 0.0009",
            "tollgate_refusals_total{route=\"/oauth/token\",reason=\"invalid_client\"} 1",
            "tollgate_failed_authentications_total{credentials=\"client\",address=\"private\"} 1",
            "tollgate_failed_authentications_total{credentials=\"client\",address=\"public\"} 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
        }
    }
}
