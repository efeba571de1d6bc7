//! Text of metrics, in the format of Prometheus or in OpenMetrics, which also has exemplars.

use std::fmt::{Display, Write as _};

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use tollgate_services::telemetry::{Exemplar, LabelledDurations, Metric, MetricKind, Sample, SampleValue, hex};
use tollgate_system::histogram::BUCKET_BOUNDS_SECONDS;

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

/// The text of metrics. Names and help texts are constants without special characters; label values
/// are escaped.
pub(super) fn write(metrics: &[Metric], format: Format) -> String {
    let mut text = Text { text: String::with_capacity(32 * 1024), format };
    metrics.iter().for_each(|metric| text.metric(metric));
    if format == Format::OpenMetrics {
        text.text.push_str("# EOF\n");
    }
    text.text
}

struct Text {
    text: String,
    format: Format,
}

impl Text {
    fn metric(&mut self, metric: &Metric) {
        let Metric { name, kind, help, samples } = metric;
        let name = *name;
        // In OpenMetrics, the suffix belongs to the sample and not to the metric.
        let family = match self.format {
            Format::OpenMetrics if *kind == MetricKind::Counter => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let _ = writeln!(self.text, "# HELP {family} {help}\n# TYPE {family} {kind}");
        for Sample { labels, value } in samples {
            match value {
                SampleValue::Number(value) => {
                    self.sample(name, "", labels, None, *value);
                    self.text.push('\n');
                }
                SampleValue::Durations(entry) => self.histogram(name, labels, entry),
            }
        }
    }

    fn histogram(&mut self, name: &str, labels: &[(&'static str, String)], entry: &LabelledDurations) {
        let mut cumulative = 0;
        for (index, count) in entry.durations.counts.iter().enumerate() {
            cumulative += count;
            let bound = BUCKET_BOUNDS_SECONDS.get(index).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            self.sample(name, "_bucket", labels, Some(("le", bound.as_str())), cumulative);
            if let (Format::OpenMetrics, Some(Some(exemplar))) = (self.format, entry.exemplars.get(index)) {
                self.exemplar(exemplar);
            }
            self.text.push('\n');
        }
        self.sample(name, "_sum", labels, None, entry.durations.sum.as_secs_f64());
        self.text.push('\n');
        self.sample(name, "_count", labels, None, cumulative);
        self.text.push('\n');
    }

    fn sample(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[(&'static str, String)],
        last: Option<(&str, &str)>,
        value: impl Display,
    ) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let mut separator = '{';
        for (label, value) in labels.iter().map(|(label, value)| (*label, value.as_str())).chain(last) {
            let _ = write!(self.text, "{separator}{label}=\"{}\"", escaped(value));
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        let _ = write!(self.text, " {value}");
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        let (trace, took) = (hex(&exemplar.trace), exemplar.took.as_secs_f64());
        let (seconds, millis) = (exemplar.at_ms / 1000, exemplar.at_ms % 1000);
        let _ = write!(self.text, " # {{trace_id=\"{trace}\"}} {took} {seconds}.{millis:03}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::HeaderValue;
    use tollgate_system::histogram::{BUCKETS, Histogram};

    use super::*;

    fn metric(name: &'static str, kind: MetricKind) -> Metric {
        Metric { name, kind, help: "M.", samples: Vec::new() }
    }

    #[test]
    fn label_values_are_escaped() {
        let mut metric = metric("m", MetricKind::Gauge);
        metric.add(&[("l", "a\"b\\c\nd"), ("k", "")], 1_u64);
        let text = write(&[metric], Format::Prometheus);
        assert_eq!(text, "# HELP m M.\n# TYPE m gauge\nm{l=\"a\\\"b\\\\c\\nd\",k=\"\"} 1\n");
    }

    #[test]
    fn open_metrics_have_exemplars_and_an_end() {
        let (histogram, took) = (Histogram::default(), Duration::from_micros(900));
        let bucket = histogram.observe(took);
        let mut exemplars = [None; BUCKETS];
        exemplars[bucket] = Some(Exemplar { trace: [0xab; 16], took, at_ms: 1_700_000_000_042 });
        let (mut durations, mut counter) =
            (metric("d_seconds", MetricKind::Histogram), metric("n_total", MetricKind::Counter));
        durations.add_durations(&[], &histogram.read(), Some(&exemplars));
        counter.add(&[], 3_u64);
        let metrics = [durations, counter];
        let (text, trace) = (write(&metrics, Format::OpenMetrics), "ab".repeat(16));
        let line = format!("d_seconds_bucket{{le=\"0.001\"}} 1 # {{trace_id=\"{trace}\"}} 0.0009 1700000000.042\n");
        assert!(text.contains(&line), "{text}");
        assert!(text.ends_with("# HELP n M.\n# TYPE n counter\nn_total 3\n# EOF\n"), "{text}");
        let text = write(&metrics, Format::Prometheus);
        assert!(text.contains("d_seconds_bucket{le=\"0.001\"} 1\n") && text.contains("le=\"+Inf\"} 1\n"), "{text}");
        assert!(text.ends_with("# HELP n_total M.\n# TYPE n_total counter\nn_total 3\n"), "{text}");
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
