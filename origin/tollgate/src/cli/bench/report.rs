//! The results of `tollgate bench`: text, JSON and a plot.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;
use tollgate_plot::{Axis, Plot, Scale, Series};

use super::recording::Recording;
use super::{BenchFlags, Scenario};

/// Points of the distribution for each halving of the share of slower requests.
const TICKS_PER_HALVING: u32 = 4;

#[derive(Serialize)]
pub(super) struct Report {
    target: String,
    scenario: Scenario,
    /// `open` or `closed`.
    #[serde(rename = "loop")]
    pace: &'static str,
    connections: u32,
    /// Requests per second of the open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    /// Requests before those that were measured.
    warm_up_requests: u64,
    /// From the first request to the last response.
    seconds: f64,
    /// All measured requests: those that succeeded and those that failed.
    requests: u64,
    succeeded: u64,
    failed: u64,
    /// Successful requests per second.
    per_second: f64,
    /// Number of failed requests by kind.
    errors: BTreeMap<String, u64>,
    /// Of successful requests.
    latency_ms: Latencies,
    /// Latency below which this share of the successful requests was, for other plots.
    distribution: Vec<Point>,
}

/// Milliseconds.
#[derive(Serialize)]
struct Latencies {
    min: f64,
    mean: f64,
    p50: f64,
    p90: f64,
    p95: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

#[derive(Serialize)]
struct Point {
    percentile: f64,
    ms: f64,
}

impl Latencies {
    fn new(histogram: &Histogram<u64>) -> Latencies {
        let at = |quantile: f64| ms(histogram.value_at_quantile(quantile));
        Latencies {
            min: ms(histogram.min()),
            mean: histogram.mean() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p99_9: at(0.999),
            max: ms(histogram.max()),
        }
    }
}

/// Microseconds as milliseconds.
fn ms(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

impl Report {
    pub(super) fn new(flags: &BenchFlags, recording: &Recording, warm_up_requests: u64) -> Report {
        let (succeeded, seconds) = (recording.succeeded(), recording.elapsed.as_secs_f64());
        let points = recording.latencies.iter_quantiles(TICKS_PER_HALVING);
        let errors = recording.failures.iter().map(|(kind, count)| (kind.to_string(), *count)).collect();
        Report {
            target: flags.target.to_string(),
            scenario: flags.scenario,
            pace: if flags.rate.is_some() { "open" } else { "closed" },
            connections: flags.connections,
            rate: flags.rate,
            warm_up_requests,
            seconds,
            requests: recording.requests(),
            succeeded,
            failed: recording.failed(),
            per_second: if seconds > 0.0 { succeeded as f64 / seconds } else { 0.0 },
            errors,
            latency_ms: Latencies::new(&recording.latencies),
            distribution: points
                .map(|point| Point { percentile: point.percentile(), ms: ms(point.value_iterated_to()) })
                .collect(),
        }
    }

    pub(super) fn has_success(&self) -> bool {
        self.succeeded > 0
    }

    pub(super) fn to_text(&self) -> String {
        let pace = match self.rate {
            Some(rate) => format!("open loop, {rate} requests per second due, {} connections", self.connections),
            None => format!("closed loop, {} connections", self.connections),
        };
        let mut lines = vec![
            format!("{} at {}: {pace}", self.name(), self.target),
            format!(
                "{} requests in {:.1} s after {} for warm-up: {} succeeded ({:.0}/s), {} failed",
                self.requests, self.seconds, self.warm_up_requests, self.succeeded, self.per_second, self.failed
            ),
        ];
        lines.extend(self.errors.iter().map(|(kind, count)| format!("  {count:9}  {kind}")));
        let Latencies { min, mean, p50, p90, p95, p99, p99_9, max } = &self.latency_ms;
        lines.push("latency of successful requests, ms".to_owned());
        lines.push(format!("  min {min:.2}  mean {mean:.2}  max {max:.2}"));
        lines.push(format!("  p50 {p50:.2}  p90 {p90:.2}  p95 {p95:.2}  p99 {p99:.2}  p99.9 {p99_9:.2}"));
        lines.join("\n")
    }

    /// Latency by the share of slower requests: the tail has as much room as the rest.
    pub(super) fn plot(&self) -> Plot {
        let share = |point: &Point| (100.0 / (100.0 - point.percentile).max(1e-9), point.ms);
        let fastest = (1.0, self.latency_ms.min);
        let inner = self.distribution.iter().filter(|point| point.percentile < 100.0).map(share);
        let slowest = (self.succeeded.max(10) as f64, self.latency_ms.max);
        let points: Vec<(f64, f64)> = std::iter::once(fastest).chain(inner).chain([slowest]).collect();
        let width = points.iter().map(|(share, _)| *share).fold(10.0, f64::max);
        let title = format!("{} at {}, {:.0}/s", self.name(), self.target, self.per_second);
        Plot {
            title,
            x: Axis::new("one of so many requests is slower (100: the 99th percentile)", Scale::Log, (1.0, width)),
            y: Axis::new("latency, ms", Scale::Linear, (0.0, self.latency_ms.max.max(0.001))),
            series: vec![Series::line("latency", points)],
        }
    }

    fn name(&self) -> &'static str {
        match self.scenario {
            Scenario::ClientCredentials => "client credentials",
            Scenario::Refresh => "refresh",
            Scenario::Introspection => "introspection",
            Scenario::Device => "device",
            Scenario::SignIn => "sign-in",
        }
    }
}
