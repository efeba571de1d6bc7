//! Profiles made of the metrics: waits in queues, requests, tasks.

use tollgate_profiles::{Frame, Profile};

use crate::telemetry::metric::{Metric, MetricKind, Sample, SampleValue};

/// An issuer and its metrics.
pub(super) type OfIssuer = (String, Vec<Metric>);

/// Suffix of the names of metrics that measure waits.
const WAIT: &str = "_wait_seconds";
/// The metric of requests.
const REQUESTS: &str = "tollgate_http_request_duration_seconds";
/// Gauges of what is going on: name, and what a viewer shows.
const TASKS: [(&str, &str); 4] = [
    ("tollgate_runtime_tasks", "runtime tasks"),
    ("tollgate_http_requests_in_flight", "requests"),
    ("tollgate_long_polls", "long polls"),
    ("tollgate_writer_queue", "write queue"),
];

/// Waits in queues: the queue, below it the issuer.
pub(super) fn contention(issuers: &[OfIssuer]) -> Profile {
    let mut profile = Profile::new([("contentions", "count"), ("delay", "nanoseconds")]);
    for (issuer, metrics) in issuers {
        let waits = metrics.iter().filter(|metric| metric.kind == MetricKind::Histogram && metric.name.ends_with(WAIT));
        for metric in waits {
            let queue = metric.name.trim_start_matches("tollgate_").trim_end_matches(WAIT);
            add_durations(&mut profile, metric, |sample| match sample.labels.first() {
                Some((_, label)) => vec![Frame::named(format!("{queue} {label}")), Frame::named(issuer)],
                None => vec![Frame::named(queue), Frame::named(issuer)],
            });
        }
    }
    profile
}

/// Durations of requests: the route, below it the issuer.
pub(super) fn requests(issuers: &[OfIssuer]) -> Profile {
    let mut profile = Profile::new([("requests", "count"), ("time", "nanoseconds")]);
    for (issuer, metrics) in issuers {
        for metric in metrics.iter().filter(|metric| metric.name == REQUESTS) {
            add_durations(&mut profile, metric, |sample| {
                let route = sample.labels.first().map_or("unknown", |(_, route)| route.as_str());
                vec![Frame::named(route), Frame::named(issuer)]
            });
        }
    }
    profile
}

/// What is going on at the moment. What is the same for all issuers of the process counts for each.
pub(super) fn tasks(issuers: &[OfIssuer]) -> Profile {
    let mut profile = Profile::new([("tasks", "count"), ("runtime", "count")]);
    for (issuer, metrics) in issuers {
        for (name, shown) in TASKS {
            let samples = metrics.iter().filter(|metric| metric.name == name).flat_map(|metric| &metric.samples);
            for sample in samples {
                if let SampleValue::Number(count) = &sample.value {
                    // Counts are whole and not negative.
                    let count = *count as u64;
                    let of_runtime = if name == TASKS[0].0 { count } else { 0 };
                    profile.add(vec![Frame::named(shown), Frame::named(issuer)], [count, of_runtime]);
                }
            }
        }
    }
    profile
}

fn add_durations(profile: &mut Profile, metric: &Metric, stack: impl Fn(&Sample) -> Vec<Frame>) {
    for sample in &metric.samples {
        if let SampleValue::Durations(entry) = &sample.value {
            let time = u64::try_from(entry.durations.sum.as_nanos()).unwrap_or(u64::MAX);
            profile.add(stack(sample), [entry.durations.count(), time]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tollgate_system::histogram::Histogram;

    use super::*;

    #[test]
    fn waits_and_requests_become_samples() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(2));
        let metric = |name, labels: &[(&'static str, &str)]| {
            let mut metric = Metric { name, kind: MetricKind::Histogram, help: "", samples: Vec::new() };
            metric.add_durations(labels, &histogram.read(), None);
            metric
        };
        let metrics = vec![
            metric("tollgate_hashing_wait_seconds", &[]),
            metric("tollgate_database_wait_seconds", &[("pool", "read")]),
            metric(REQUESTS, &[("route", "/oauth/token")]),
        ];
        let issuers = [("https://auth.example".to_owned(), metrics)];
        let stack = |name: &str| vec![Frame::named(name), Frame::named("https://auth.example")];
        let waits = contention(&issuers);
        assert_eq!(waits.samples.len(), 2);
        assert_eq!(waits.samples[&stack("hashing")], [1, 2_000_000]);
        assert_eq!(waits.samples[&stack("database read")], [1, 2_000_000]);
        assert_eq!(requests(&issuers).samples[&stack("/oauth/token")], [1, 2_000_000]);
    }
}
