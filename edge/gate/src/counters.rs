//! Counters of an edge's work: what it passed and refused, how it decided, its streams and its
//! upstream. Counting allocates nothing and takes no lock; the memory is fixed, apart from two
//! numbers for each route rule.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tollgate_core::{EdgeCounter, EdgeTotals, REFUSAL_REASONS, refusal_reason_index};

/// Upper bounds of the buckets of upstream response times, in milliseconds. A last bucket has the
/// longer ones.
pub const UPSTREAM_BUCKETS_MS: [u64; 11] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000];

/// Counters of a gate, or of the host of several gates. They can be shared between threads.
#[derive(Debug)]
pub struct Counters {
    counts: [AtomicU64; EdgeCounter::ALL.len()],
    refused: [AtomicU64; REFUSAL_REASONS.len()],
    /// Upstream responses by duration, not cumulative.
    upstream: [AtomicU64; UPSTREAM_BUCKETS_MS.len() + 1],
    routes: Box<[RouteCounters]>,
}

/// Counters of a route rule.
#[derive(Debug, Default)]
struct RouteCounters {
    passed: AtomicU64,
    refused: AtomicU64,
}

/// Requests of a route rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RouteTotals {
    /// Requests that passed.
    pub passed: u64,
    /// Requests that were refused.
    pub refused: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; EdgeCounter::ALL.len()],
            refused: [const { AtomicU64::new(0) }; REFUSAL_REASONS.len()],
            upstream: [const { AtomicU64::new(0) }; UPSTREAM_BUCKETS_MS.len() + 1],
            routes: Box::default(),
        }
    }
}

impl Counters {
    /// Counts a request that may pass, with the position of its route rule.
    pub fn passed(&self, route: Option<usize>) {
        self.add(EdgeCounter::Passed, 1);
        if let Some(route) = route.and_then(|index| self.routes.get(index)) {
            route.passed.fetch_add(1, Relaxed);
        }
    }

    /// Counts a refused request, with the position of its route rule. `reason` is one of
    /// [`REFUSAL_REASONS`]; another one counts as `other`.
    pub fn refused(&self, reason: &str, route: Option<usize>) {
        if let Some(total) = self.refused.get(refusal_reason_index(reason)) {
            total.fetch_add(1, Relaxed);
        }
        if let Some(route) = route.and_then(|index| self.routes.get(index)) {
            route.refused.fetch_add(1, Relaxed);
        }
    }

    /// Counts a token that was verified: whether its signature had been checked before.
    pub fn token_verified(&self, was_cached: bool) {
        self.add(if was_cached { EdgeCounter::CacheHits } else { EdgeCounter::CacheMisses }, 1);
    }

    /// Counts a decision that depends on the freshness of the replica.
    pub fn decided(&self, has_waited: bool, is_stale: bool) {
        let counter = match (is_stale, has_waited) {
            (true, _) => EdgeCounter::DecidedStale,
            (false, true) => EdgeCounter::DecidedWaited,
            (false, false) => EdgeCounter::DecidedFresh,
        };
        self.add(counter, 1);
    }

    /// Counts a stream that begins: [`stream_closed`](Self::stream_closed) follows.
    pub fn stream_opened(&self) {
        self.add(EdgeCounter::StreamsOpened, 1);
    }

    /// Counts the end of a stream, for whatever reason.
    pub fn stream_closed(&self) {
        self.add(EdgeCounter::StreamsClosed, 1);
    }

    /// Counts a stream that the edge ends, because its token is revoked or has expired. Its end
    /// counts as well.
    pub fn stream_cut(&self) {
        self.add(EdgeCounter::StreamsCut, 1);
    }

    /// Counts a response of the upstream, with the time until it began.
    pub fn upstream_responded(&self, took: Duration) {
        self.add(EdgeCounter::UpstreamResponses, 1);
        self.add(EdgeCounter::UpstreamMicroseconds, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        let is_within = |bound: &u64| took <= Duration::from_millis(*bound);
        let bucket = UPSTREAM_BUCKETS_MS.iter().position(is_within).unwrap_or(UPSTREAM_BUCKETS_MS.len());
        if let Some(count) = self.upstream.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Counts a request to which the upstream did not respond.
    pub fn upstream_failed(&self) {
        self.add(EdgeCounter::UpstreamFailures, 1);
    }

    /// Totals since the start.
    pub fn totals(&self) -> EdgeTotals {
        let mut totals = EdgeTotals::default();
        for (counter, count) in EdgeCounter::ALL.into_iter().zip(&self.counts) {
            totals.add(counter, count.load(Relaxed));
        }
        for (reason, count) in REFUSAL_REASONS.iter().zip(&self.refused) {
            totals.add_refused(reason, count.load(Relaxed));
        }
        totals
    }

    /// Upstream responses by bucket, not cumulative.
    pub fn upstream_buckets(&self) -> [u64; UPSTREAM_BUCKETS_MS.len() + 1] {
        self.upstream.each_ref().map(|count| count.load(Relaxed))
    }

    /// Requests by route rule since the rules were installed, in the order of the rules.
    pub fn routes(&self) -> impl Iterator<Item = RouteTotals> {
        let load = |route: &RouteCounters| RouteTotals {
            passed: route.passed.load(Relaxed),
            refused: route.refused.load(Relaxed),
        };
        self.routes.iter().map(load)
    }

    /// Counts requests of `count` new route rules, from 0.
    pub(crate) fn reset_routes(&mut self, count: usize) {
        self.routes = std::iter::repeat_with(RouteCounters::default).take(count).collect();
    }

    fn add(&self, counter: EdgeCounter, count: u64) {
        if let Some(total) = self.counts.get(counter as usize) {
            total.fetch_add(count, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_counts_once() {
        let mut counters = Counters::default();
        counters.reset_routes(2);
        counters.passed(Some(1));
        counters.passed(None);
        counters.passed(Some(2));
        counters.refused("expired", Some(1));
        counters.refused("expired", None);
        counters.refused("no such reason", Some(0));
        counters.token_verified(true);
        counters.token_verified(false);
        counters.token_verified(false);
        counters.decided(false, false);
        counters.decided(true, false);
        counters.decided(true, true);
        counters.stream_opened();
        counters.stream_opened();
        counters.stream_closed();
        counters.stream_cut();
        let text = "passed-3.cache_hits-1.cache_misses-2.decided_fresh-1.decided_waited-1.decided_stale-1.\
                    streams_opened-2.streams_closed-1.streams_cut-1.refused-expired-2.refused-other-1";
        assert_eq!(counters.totals().to_string(), text);
        assert_eq!(counters.totals().open_streams(), 1);
        let routes: Vec<RouteTotals> = counters.routes().collect();
        assert_eq!(routes, [RouteTotals { passed: 0, refused: 1 }, RouteTotals { passed: 1, refused: 1 }]);
        counters.reset_routes(1);
        assert_eq!(counters.routes().collect::<Vec<_>>(), [RouteTotals::default()]);
        assert_eq!(counters.totals().to_string(), text, "totals do not depend on the rules");
    }

    #[test]
    fn upstream_times_have_fixed_buckets() {
        let counters = Counters::default();
        for micros in [0, 1000, 1001, 24_000, 5_000_000, 5_000_001] {
            counters.upstream_responded(Duration::from_micros(micros));
        }
        counters.upstream_failed();
        assert_eq!(counters.upstream_buckets(), [2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1]);
        let totals = counters.totals();
        let total = |counter| totals.get(counter);
        assert_eq!((total(EdgeCounter::UpstreamResponses), total(EdgeCounter::UpstreamFailures)), (6, 1));
        assert_eq!(total(EdgeCounter::UpstreamMicroseconds), 10_026_002);
    }
}
