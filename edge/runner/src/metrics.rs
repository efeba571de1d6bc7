//! Metrics of the runner: what all instances of the gate did, and what the runner counts itself.
//! For the admin listener in the text format of Prometheus, and as a report for the origin.

use crate::pool::Pool;
use crate::response::now_ms;
use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tollgate_gate::{Counters, EdgeCounter, EdgeReport, EdgeTotals, RefusalLog, Reporter, UPSTREAM_BUCKETS_MS};

/// Content type of [`RunnerMetrics::prometheus_text`].
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counters of a running edge.
pub(crate) struct RunnerMetrics {
    /// What the runner counts itself: streams, upstreams, and its own refusals.
    pub(crate) counters: Counters,
    instances: Mutex<InstanceTotals>,
    reporter: Mutex<Reporter>,
    refusal_log: Mutex<RefusalLog>,
}

/// Totals of instances, as they were read last.
#[derive(Default)]
struct InstanceTotals {
    /// Of instances that were replaced. What they did after the last reading is not counted.
    replaced: EdgeTotals,
    /// Of the instance in each slot, with the instance's number.
    current: BTreeMap<usize, (u64, EdgeTotals)>,
}

/// The state of all instances, as read at one moment.
#[derive(Default)]
struct Reading {
    totals: EdgeTotals,
    /// Requests that passed and that were refused, by route rule.
    routes: BTreeMap<String, (u64, u64)>,
    /// The greatest age of a replica; none if one was never complete.
    age_ms: Option<u64>,
    /// The lowest sequence of a replica.
    sequence: Option<u64>,
    /// Instances in service.
    instances: usize,
}

impl RunnerMetrics {
    pub(crate) fn new() -> RunnerMetrics {
        RunnerMetrics {
            counters: Counters::default(),
            instances: Mutex::default(),
            reporter: Mutex::new(Reporter::new(new_run())),
            refusal_log: Mutex::default(),
        }
    }

    /// The report of this run for the origin, if one is due. Blocks the thread until each instance
    /// is free.
    pub(crate) fn take_due_report(&self, pool: &Pool) -> Option<EdgeReport> {
        if !lock(&self.reporter).may_be_due(now_ms()) {
            return None;
        }
        let totals = self.read(pool).totals;
        lock(&self.reporter).take_due(totals, now_ms())
    }

    /// If a line about a refusal for this reason may be written: the number of such refusals
    /// without a line before it.
    pub(crate) fn acquire_refusal_line(&self, reason: &str) -> Option<u64> {
        lock(&self.refusal_log).acquire_line(reason, now_ms())
    }

    /// All metrics as text. Blocks the thread until each instance is free.
    pub(crate) fn prometheus_text(&self, pool: &Pool) -> String {
        let reading = self.read(pool);
        let total = |counter| reading.totals.get(counter);
        let mut text = Text::default();
        text.family("tollgate_gate_build_info", "gauge", "Version of this edge.");
        text.sample("tollgate_gate_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        text.single("tollgate_gate_instances", "gauge", "Instances of the gate in service.", reading.instances);
        text.single("tollgate_gate_passed_total", "counter", "Requests that passed.", total(EdgeCounter::Passed));
        text.family("tollgate_gate_refused_total", "counter", "Refused requests by reason.");
        for (reason, count) in reading.totals.refused() {
            text.sample("tollgate_gate_refused_total", &[("reason", reason)], count);
        }
        text.family("tollgate_gate_route_requests_total", "counter", "Requests by route rule and result.");
        for (route, (passed, refused)) in &reading.routes {
            for (result, count) in [("passed", passed), ("refused", refused)] {
                text.sample("tollgate_gate_route_requests_total", &[("route", route), ("result", result)], count);
            }
        }
        text.family("tollgate_gate_tokens_total", "counter", "Verified tokens, by whether they were in the cache.");
        for (result, counter) in [("hit", EdgeCounter::CacheHits), ("miss", EdgeCounter::CacheMisses)] {
            text.sample("tollgate_gate_tokens_total", &[("cache", result)], total(counter));
        }
        text.family("tollgate_gate_decisions_total", "counter", "Decisions on tokens by freshness of the replica.");
        for (freshness, counter) in [
            ("fresh", EdgeCounter::DecidedFresh),
            ("waited", EdgeCounter::DecidedWaited),
            ("stale", EdgeCounter::DecidedStale),
        ] {
            text.sample("tollgate_gate_decisions_total", &[("freshness", freshness)], total(counter));
        }
        text.single("tollgate_gate_streams_open", "gauge", "Open streams.", reading.totals.open_streams());
        let help = "Streams opened.";
        text.single("tollgate_gate_streams_opened_total", "counter", help, total(EdgeCounter::StreamsOpened));
        let help = "Streams ended because their token was revoked or expired.";
        text.single("tollgate_gate_streams_cut_total", "counter", help, total(EdgeCounter::StreamsCut));
        let help = "Requests to which the upstream did not respond.";
        text.single("tollgate_gate_upstream_failures_total", "counter", help, total(EdgeCounter::UpstreamFailures));
        self.upstream_times(&mut text);
        if let Some(age_ms) = reading.age_ms {
            let help = "Age of the oldest replica.";
            text.single("tollgate_gate_replica_age_seconds", "gauge", help, age_ms as f64 / 1000.0);
        }
        if let Some(sequence) = reading.sequence {
            text.single("tollgate_gate_replica_sequence", "gauge", "Sequence of the oldest replica.", sequence);
        }
        text.0
    }

    fn upstream_times(&self, text: &mut Text) {
        let (name, totals) = ("tollgate_gate_upstream_seconds", self.counters.totals());
        text.family(name, "histogram", "Time until the upstream began its response.");
        let mut cumulative = 0;
        for (index, count) in self.counters.upstream_buckets().into_iter().enumerate() {
            cumulative += count;
            let bound = UPSTREAM_BUCKETS_MS.get(index).map(|millis| (*millis as f64 / 1000.0).to_string());
            let bound = bound.as_deref().unwrap_or("+Inf");
            text.sample("tollgate_gate_upstream_seconds_bucket", &[("le", bound)], cumulative);
        }
        let seconds = totals.get(EdgeCounter::UpstreamMicroseconds) as f64 / 1e6;
        text.sample("tollgate_gate_upstream_seconds_sum", &[], seconds);
        text.sample("tollgate_gate_upstream_seconds_count", &[], cumulative);
    }

    fn read(&self, pool: &Pool) -> Reading {
        let mut instances = lock(&self.instances);
        let mut reading = Reading::default();
        for index in 0..pool.size() {
            // Vacant slots are skipped; their last totals are kept.
            let read = pool.on(index, |validator| Ok((validator.number(), validator.activity(now_ms())?)));
            let Ok((number, activity)) = read else { continue };
            instances.record(index, number, EdgeTotals::parse(&activity.totals).unwrap_or_default());
            for (route, passed, refused) in activity.routes {
                let sum = reading.routes.entry(route).or_default();
                *sum = (sum.0.saturating_add(passed), sum.1.saturating_add(refused));
            }
            let is_first = reading.instances == 0;
            let worst_age = |known: u64| activity.age_ms.map(|age_ms| age_ms.max(known));
            reading.age_ms = if is_first { activity.age_ms } else { reading.age_ms.and_then(worst_age) };
            reading.sequence = if is_first { activity.sequence } else { reading.sequence.min(activity.sequence) };
            reading.instances += 1;
        }
        reading.totals = instances.sum();
        reading.totals.merge(&self.counters.totals());
        reading
    }
}

impl InstanceTotals {
    fn record(&mut self, slot: usize, number: u64, totals: EdgeTotals) {
        if let Some((known, last)) = self.current.insert(slot, (number, totals))
            && known != number
        {
            self.replaced.merge(&last);
        }
    }

    fn sum(&self) -> EdgeTotals {
        let mut sum = self.replaced;
        self.current.values().for_each(|(_, totals)| sum.merge(totals));
        sum
    }
}

/// Metrics in the text format of Prometheus.
#[derive(Default)]
struct Text(String);

impl Text {
    /// A metric without labels.
    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{value}\"", if index == 0 { '{' } else { ',' });
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A random number for this run. Without a random source it is the time.
#[expect(clippy::disallowed_methods, reason = "the runner's random source")]
fn new_run() -> u64 {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_or_else(|_| now_ms(), |()| u64::from_be_bytes(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(count: u64) -> EdgeTotals {
        let mut totals = EdgeTotals::default();
        totals.add(EdgeCounter::Passed, count);
        totals
    }

    #[test]
    fn totals_of_replaced_instances_are_kept() {
        let mut instances = InstanceTotals::default();
        let mut record = |slot, number, count| {
            instances.record(slot, number, passed(count));
            instances.sum().get(EdgeCounter::Passed)
        };
        assert_eq!([record(0, 1, 3), record(1, 2, 4), record(0, 1, 5)], [3, 7, 9]);
        assert_eq!([record(0, 3, 0), record(0, 3, 1)], [9, 10], "another instance in slot 0");
    }

    #[test]
    fn text_has_labels_with_escapes() {
        let mut text = Text::default();
        text.single("a_total", "counter", "A.", 1);
        text.sample("b", &[("route", "/a\"b\\"), ("result", "passed")], 2);
        let expected =
            "# HELP a_total A.\n# TYPE a_total counter\na_total 1\nb{route=\"/a\\\"b\\\\\",result=\"passed\"} 2\n";
        assert_eq!(text.0, expected);
    }
}
