//! Text of metrics, in the format of Prometheus or in OpenMetrics, which also has exemplars.

use std::fmt::{Display, Write as _};

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use tollgate_services::telemetry::{Exemplar, hex};
use tollgate_system::histogram::{BUCKET_BOUNDS_SECONDS, BUCKETS, Durations};

use crate::extract::header_list::members;

/// Format of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// The format that a request accepts; that of Prometheus if it accepts both equally.
    pub(super) fn accepted(headers: &HeaderMap) -> Format {
        let quality = |wanted: &str| members(headers, ACCEPT).filter_map(|member| quality_of(member, wanted)).max();
        let (open_metrics, text) = (quality("application/openmetrics-text"), quality("text/plain"));
        match open_metrics {
            Some(quality) if quality > 0 && Some(quality) > text => Format::OpenMetrics,
            _ => Format::Prometheus,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Quality of a member of `Accept` in thousandths, if it names this media type (RFC 9110 §12.4.2).
fn quality_of(member: &str, wanted: &str) -> Option<u32> {
    let mut parts = member.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(wanted) {
        return None;
    }
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let quality = quality.map_or(Ok(1.0), str::parse::<f64>).ok()?;
    // In range, so nothing is lost but digits that have no meaning.
    (0.0..=1.0).contains(&quality).then_some((quality * 1000.0) as u32)
}

/// Type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// Labels of a sample: names and values.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// Text of metrics that is being written. Names and help texts are constants without special
/// characters; label values are escaped.
pub(super) struct Exposition {
    text: String,
    format: Format,
}

impl Exposition {
    pub(super) fn new(format: Format) -> Exposition {
        Exposition { text: String::with_capacity(32 * 1024), format }
    }

    /// Begins a metric, whose samples must follow. The name of a counter ends in `_total`.
    pub(super) fn metric(&mut self, name: &'static str, kind: Kind, help: &str) -> Samples<'_> {
        // In OpenMetrics, the suffix belongs to the sample and not to the metric.
        let family = match self.format {
            Format::OpenMetrics if kind == Kind::Counter => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        let _ = writeln!(self.text, "# HELP {family} {help}\n# TYPE {family} {}", kind.name());
        Samples { exposition: self, name }
    }

    /// A counter without labels.
    pub(super) fn counter(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.metric(name, Kind::Counter, help).add(&[], value);
    }

    /// A gauge without labels.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.metric(name, Kind::Gauge, help).add(&[], value);
    }

    /// A histogram without labels.
    pub(super) fn histogram(&mut self, name: &'static str, help: &str, durations: &Durations) {
        self.metric(name, Kind::Histogram, help).add_histogram(&[], durations, None);
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// Samples of a metric.
pub(super) struct Samples<'a> {
    exposition: &'a mut Exposition,
    name: &'static str,
}

impl Samples<'_> {
    pub(super) fn add(&mut self, labels: Labels<'_>, value: impl Display) {
        let name = self.name;
        self.sample(name, labels, None, value);
        self.exposition.text.push('\n');
    }

    /// Adds the buckets, the sum and the count of a histogram.
    pub(super) fn add_histogram(
        &mut self,
        labels: Labels<'_>,
        durations: &Durations,
        exemplars: Option<&[Option<Exemplar>; BUCKETS]>,
    ) {
        let (bucket, mut cumulative) = (format!("{}_bucket", self.name), 0);
        for (index, count) in durations.counts.iter().enumerate() {
            cumulative += count;
            let bound = BUCKET_BOUNDS_SECONDS.get(index).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            self.sample(&bucket, labels, Some(("le", bound.as_str())), cumulative);
            let exemplar = exemplars.and_then(|exemplars| exemplars.get(index).copied().flatten());
            if let Some(exemplar) = exemplar.filter(|_| self.exposition.format == Format::OpenMetrics) {
                self.exemplar(&exemplar);
            }
            self.exposition.text.push('\n');
        }
        let (sum, count) = (format!("{}_sum", self.name), format!("{}_count", self.name));
        self.sample(&sum, labels, None, durations.sum.as_secs_f64());
        self.exposition.text.push('\n');
        self.sample(&count, labels, None, cumulative);
        self.exposition.text.push('\n');
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, last: Option<(&str, &str)>, value: impl Display) {
        let text = &mut self.exposition.text;
        text.push_str(name);
        let mut separator = '{';
        for (label, value) in labels.iter().copied().chain(last) {
            let _ = write!(text, "{separator}{label}=\"{}\"", escaped(value));
            separator = ',';
        }
        if separator == ',' {
            text.push('}');
        }
        let _ = write!(text, " {value}");
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        let (trace, took) = (hex(&exemplar.trace), exemplar.took.as_secs_f64());
        let (seconds, millis) = (exemplar.at_ms / 1000, exemplar.at_ms % 1000);
        let _ = write!(self.exposition.text, " # {{trace_id=\"{trace}\"}} {took} {seconds}.{millis:03}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::HeaderValue;
    use tollgate_system::histogram::Histogram;

    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut text = Exposition::new(Format::Prometheus);
        text.metric("m", Kind::Gauge, "M.").add(&[("l", "a\"b\\c\nd"), ("k", "")], 1);
        assert_eq!(text.finish(), "# HELP m M.\n# TYPE m gauge\nm{l=\"a\\\"b\\\\c\\nd\",k=\"\"} 1\n");
    }

    #[test]
    fn open_metrics_have_exemplars_and_an_end() {
        let (histogram, took) = (Histogram::default(), Duration::from_micros(900));
        let bucket = histogram.observe(took);
        let mut exemplars = [None; BUCKETS];
        exemplars[bucket] = Some(Exemplar { trace: [0xab; 16], took, at_ms: 1_700_000_000_042 });
        let write = |format| {
            let mut text = Exposition::new(format);
            text.metric("d_seconds", Kind::Histogram, "D.").add_histogram(&[], &histogram.read(), Some(&exemplars));
            text.counter("n_total", "N.", 3);
            text.finish()
        };
        let (text, trace) = (write(Format::OpenMetrics), "ab".repeat(16));
        let line = format!("d_seconds_bucket{{le=\"0.001\"}} 1 # {{trace_id=\"{trace}\"}} 0.0009 1700000000.042\n");
        assert!(text.contains(&line), "{text}");
        assert!(text.ends_with("# HELP n N.\n# TYPE n counter\nn_total 3\n# EOF\n"), "{text}");
        let text = write(Format::Prometheus);
        assert!(text.contains("d_seconds_bucket{le=\"0.001\"} 1\n") && text.contains("le=\"+Inf\"} 1\n"), "{text}");
        assert!(text.ends_with("# HELP n_total N.\n# TYPE n_total counter\nn_total 3\n"), "{text}");
    }

    #[test]
    fn format_follows_the_accept_header() {
        let accepted = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(value));
            Format::accepted(&headers)
        };
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;\
                          q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(accepted(prometheus), Format::OpenMetrics);
        assert_eq!(accepted("application/openmetrics-text"), Format::OpenMetrics);
        for other in
            ["*/*", "text/plain", "text/plain, application/openmetrics-text", "application/openmetrics-text;q=0"]
        {
            assert_eq!(accepted(other), Format::Prometheus, "{other}");
        }
        assert_eq!(Format::accepted(&HeaderMap::new()), Format::Prometheus);
    }
}
