//! Metrics with their samples, as read at one moment: what `/metrics` writes as text and the
//! collector gets as protobuf.

use tollgate_system::histogram::{BUCKETS, Durations};

use super::labelled::{Exemplar, LabelledDurations};

/// Type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric with its samples.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Its name; that of a counter ends in `_total`.
    pub name: &'static str,
    pub kind: MetricKind,
    pub help: &'static str,
    pub samples: Vec<Sample>,
}

/// A sample of a metric.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
    pub value: SampleValue,
}

/// Value of a sample.
#[derive(Debug, Clone)]
pub enum SampleValue {
    Number(f64),
    /// Of a histogram.
    Durations(Box<LabelledDurations>),
}

/// A number that a metric can have. Counts above 2^53 lose their last digits.
pub trait Number {
    fn to_f64(self) -> f64;
}

macro_rules! numbers {
    ($($number:ty),+) => {
        $(impl Number for $number {
            fn to_f64(self) -> f64 {
                self as f64
            }
        })+
    };
}

numbers!(i64, u8, u64, usize);

impl Number for f64 {
    fn to_f64(self) -> f64 {
        self
    }
}

impl Metric {
    /// Adds a sample.
    pub fn add(&mut self, labels: &[(&'static str, &str)], value: impl Number) {
        self.push(labels, SampleValue::Number(value.to_f64()));
    }

    /// Adds the durations of a histogram, with exemplars if there are any.
    pub fn add_durations(
        &mut self,
        labels: &[(&'static str, &str)],
        durations: &Durations,
        exemplars: Option<&[Option<Exemplar>; BUCKETS]>,
    ) {
        let exemplars = exemplars.copied().unwrap_or([None; BUCKETS]);
        self.push(labels, SampleValue::Durations(Box::new(LabelledDurations { durations: *durations, exemplars })));
    }

    fn push(&mut self, labels: &[(&'static str, &str)], value: SampleValue) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.samples.push(Sample { labels, value });
    }
}
