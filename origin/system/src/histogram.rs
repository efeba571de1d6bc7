//! A histogram of durations. Recording adds to two atomic counters and takes no lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets, in seconds. A bucket without a bound follows.
pub const BUCKET_BOUNDS_SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Number of buckets.
pub const BUCKETS: usize = BUCKET_BOUNDS_SECONDS.len() + 1;

/// Counts durations by bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
}

/// Durations that a histogram has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Durations {
    /// Number of durations per bucket, not cumulated; see [`BUCKET_BOUNDS_SECONDS`].
    pub counts: [u64; BUCKETS],
    /// Sum of all durations.
    pub sum: Duration,
}

impl Durations {
    /// Number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl Histogram {
    /// Counts a duration, and returns the index of its bucket.
    pub fn observe(&self, took: Duration) -> usize {
        let bucket = bucket_of(took);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        bucket
    }

    /// The durations counted so far.
    #[must_use]
    pub fn read(&self) -> Durations {
        Durations {
            counts: std::array::from_fn(|bucket| self.counts.get(bucket).map_or(0, |count| count.load(Relaxed))),
            sum: Duration::from_nanos(self.nanoseconds.load(Relaxed)),
        }
    }
}

fn bucket_of(took: Duration) -> usize {
    let seconds = took.as_secs_f64();
    BUCKET_BOUNDS_SECONDS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKET_BOUNDS_SECONDS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_in_their_buckets() {
        let histogram = Histogram::default();
        let buckets = [500, 501, 20_000_000].map(|micros| histogram.observe(Duration::from_micros(micros)));
        assert_eq!(buckets, [0, 1, 14]);
        let durations = histogram.read();
        assert_eq!((durations.counts[0], durations.counts[1], durations.counts[14]), (1, 1, 1));
        assert_eq!((durations.count(), durations.sum), (3, Duration::from_micros(20_001_001)));
    }
}
