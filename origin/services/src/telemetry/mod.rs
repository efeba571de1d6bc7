//! Metrics of an issuer, for `/metrics` and the charts of the console; traces for a collector.
//!
//! Counting takes no lock for long and bounded memory: the number of labels is limited, and
//! statistics by minute cover the last hour. Metrics start at zero with the process; the audit log
//! is what lasts.
//!
//! The library `prometheus-client` is not used: its metrics have no limit on labels, so the tables
//! here would remain, and only the text format, a few lines in `tollgate-http`, would go.

mod address_class;
mod labelled;
mod last_hour;
mod metric;
mod metric_sources;
mod otlp;
mod profiles;
mod trace_context;

pub use address_class::AddressClass;
pub use labelled::{Exemplar, LabelledCounter, LabelledDurations, LabelledHistogram};
pub use last_hour::MinuteStats;
pub use metric::{Metric, MetricKind, Number, Sample, SampleValue};
pub use metric_sources::{MetricSource, MetricSources};
pub use otlp::{Collector, LogExport, LogLayer, Span, SpanExporter, export_metrics};
pub use profiles::{Allocations, HeapProfiler, ProfileError, ProfileKind, Profiler};
pub use trace_context::TraceContext;
pub use trace_context::{hex, on_behalf_of_request, traced};

use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tollgate_model::log_limit::LogLimit;
use tollgate_system::Clock;

use self::last_hour::LastHour;

/// Routes with counters of their own. Requests without a route count as `unknown`.
const MAX_ROUTES: usize = 256;
/// Label combinations of each other metric.
const MAX_SERIES: usize = 512;

/// Kinds of credentials. Failures of each kind are logged with a limit of its own, so that a flood
/// of one kind hides no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// A user's password.
    SignIn,
    /// A client's credentials.
    Client,
    /// An access token at the admin API.
    AdminApi,
}

impl CredentialKind {
    pub const ALL: [CredentialKind; 3] = [CredentialKind::SignIn, CredentialKind::Client, CredentialKind::AdminApi];

    /// Value of the metrics' label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            CredentialKind::SignIn => "sign_in",
            CredentialKind::Client => "client",
            CredentialKind::AdminApi => "admin_api",
        }
    }

    /// Name for the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CredentialKind::SignIn => "sign-in",
            CredentialKind::Client => "client",
            CredentialKind::AdminApi => "admin API",
        }
    }
}

/// Metrics of one issuer.
#[derive(Debug)]
pub struct Metrics {
    /// Responses by route and status class.
    pub requests: LabelledCounter<2>,
    /// Duration of requests by route.
    pub durations: LabelledHistogram,
    /// Issued access tokens by grant type.
    pub issued: LabelledCounter<1>,
    /// Refusals by route and reason, such as the error code of an OAuth endpoint.
    pub refused: LabelledCounter<2>,
    /// Responses of the introspection endpoint by `active`.
    pub introspected: LabelledCounter<1>,
    /// Revocations in the feed by kind, of all origins and of the command line.
    pub revoked: LabelledCounter<1>,
    /// Failed authentications by [`CredentialKind`] and [`AddressClass`].
    failed_authentications: [[AtomicU64; AddressClass::ALL.len()]; CredentialKind::ALL.len()],
    /// Requests that were not answered yet.
    in_flight: AtomicI64,
    last_hour: LastHour,
    /// By [`CredentialKind`].
    failure_logs: [Mutex<LogLimit>; 3],
    clock: Clock,
    started: Instant,
}

impl Metrics {
    #[must_use]
    pub fn new(clock: Clock) -> Metrics {
        Metrics {
            requests: LabelledCounter::new(MAX_ROUTES * 5),
            durations: LabelledHistogram::new(MAX_ROUTES),
            issued: LabelledCounter::new(MAX_SERIES),
            refused: LabelledCounter::new(MAX_SERIES),
            introspected: LabelledCounter::new(MAX_SERIES),
            revoked: LabelledCounter::new(MAX_SERIES),
            failed_authentications: Default::default(),
            in_flight: AtomicI64::new(0),
            last_hour: LastHour::default(),
            failure_logs: Default::default(),
            clock,
            started: Instant::now(),
        }
    }

    /// Counts a response. `trace` is the request's trace, if it is recorded.
    pub fn answered(&self, route: &str, status: u16, took: Duration, trace: Option<[u8; 16]>) {
        self.requests.add([route, status_class(status)]);
        let exemplar = trace.map(|trace| Exemplar { trace, took, at_ms: self.clock.now_ms() });
        self.durations.observe(route, took, exemplar);
    }

    /// Counts a request as being answered until the returned value is dropped.
    pub fn begin_request(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(&self.in_flight)
    }

    /// Number of requests that are being answered.
    #[must_use]
    pub fn in_flight(&self) -> i64 {
        self.in_flight.load(Relaxed)
    }

    /// Counts a failed authentication.
    pub fn authentication_failed(&self, kind: CredentialKind, address: Option<IpAddr>) {
        self.failed(kind, AddressClass::of(address)).fetch_add(1, Relaxed);
    }

    /// Number of failed authentications.
    #[must_use]
    pub fn failed_authentications(&self, kind: CredentialKind, class: AddressClass) -> u64 {
        self.failed(kind, class).load(Relaxed)
    }

    fn failed(&self, kind: CredentialKind, class: AddressClass) -> &AtomicU64 {
        &self.failed_authentications[kind as usize][class as usize]
    }

    /// Counts an issued access token.
    pub fn issued(&self, grant_type: &str) {
        self.issued.add([grant_type]);
        self.last_hour.issued(self.clock.now());
    }

    /// Counts a refusal. `reason` is a constant and never contains a part of the request.
    pub fn refused(&self, route: &str, reason: &'static str) {
        self.refused.add([route, reason]);
        self.last_hour.refused(self.clock.now(), reason);
    }

    /// Counts a response of the introspection endpoint.
    pub fn introspected(&self, active: bool) {
        self.introspected.add([if active { "true" } else { "false" }]);
    }

    /// If a failed authentication may be logged now, returns how many failures were omitted before
    /// it.
    pub fn may_log_failure(&self, kind: CredentialKind) -> Option<u64> {
        self.may_log_failure_at(kind, self.started.elapsed())
    }

    fn may_log_failure_at(&self, kind: CredentialKind, uptime: Duration) -> Option<u64> {
        self.failure_logs[kind as usize].lock().unwrap_or_else(PoisonError::into_inner).acquire_line(uptime)
    }

    /// Counts a revocation.
    pub(crate) fn revoked(&self, kind: &'static str) {
        self.revoked.add([kind]);
        self.last_hour.revoked(self.clock.now());
    }

    /// Statistics of the last sixty minutes, oldest first. The last entry is the minute of the Unix
    /// second `now`.
    #[must_use]
    pub fn last_hour(&self, now: u64) -> Vec<MinuteStats> {
        self.last_hour.until(now)
    }
}

/// Status class, such as `2xx`.
fn status_class(status: u16) -> &'static str {
    match status {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}

/// A request that is being answered.
#[derive(Debug)]
#[must_use = "the request counts until this is dropped"]
pub struct InFlight<'a>(&'a AtomicI64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_authentications_are_logged_up_to_a_limit() {
        let (metrics, day) = (Metrics::new(Clock::system()), 24 * 60 * 60);
        let at = |seconds| metrics.may_log_failure_at(CredentialKind::SignIn, Duration::from_secs(seconds));
        let logged = (0..100).filter(|_| at(600).is_some()).count();
        assert_eq!((logged, at(605), at(606), at(606), at(700)), (60, None, Some(41), None, Some(1)));
        let logged = (0..day).filter(|second| at(1000 + second).is_some()).count();
        assert!(logged <= 15_000, "{logged} in a day");
        assert_eq!(
            metrics.may_log_failure_at(CredentialKind::Client, Duration::from_secs(605)),
            Some(0),
            "another kind"
        );
    }

    #[test]
    fn metrics_count_responses_tokens_and_refusals() {
        let metrics = Metrics::new(Clock::manual(6_000_000_000).0);
        metrics.answered("/oauth/token", 200, Duration::from_millis(3), None);
        metrics.answered("/oauth/token", 401, Duration::from_millis(3), Some([1; 16]));
        metrics.issued("client_credentials");
        metrics.issued("client_credentials");
        metrics.refused("/oauth/token", "invalid_client");
        metrics.revoked("token");
        let hour = metrics.last_hour(6_000_000);
        let sum = |figure: fn(&MinuteStats) -> u64| hour.iter().map(figure).sum::<u64>();
        assert_eq!((hour.len(), sum(|minute| minute.issued), sum(|minute| minute.revoked)), (60, 2, 1));
        assert_eq!(sum(|minute| minute.refused.get("invalid_client").copied().unwrap_or(0)), 1);
        assert_eq!(metrics.requests.read().len(), 2);
        assert_eq!(metrics.issued.read(), [(["client_credentials".to_owned()], 2)]);
        assert_eq!(metrics.durations.read()[0].1.durations.count(), 2);
        metrics.authentication_failed(CredentialKind::Client, None);
        assert_eq!(metrics.failed_authentications(CredentialKind::Client, AddressClass::Unknown), 1);
        assert_eq!(metrics.failed_authentications(CredentialKind::SignIn, AddressClass::Unknown), 0);
        let answering = metrics.begin_request();
        assert_eq!(metrics.in_flight(), 1);
        drop(answering);
        assert_eq!(metrics.in_flight(), 0);
    }
}
