//! Counters and histograms with labels, in bounded memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// Upper bounds of the histogram buckets, in seconds. A bucket without a bound follows.
pub const BUCKET_BOUNDS_SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Entries by label. When the table is full, new labels count as `other`.
#[derive(Debug)]
struct Table<T, const N: usize> {
    entries: RwLock<HashMap<[Box<str>; N], T>>,
    max_entries: usize,
}

impl<T: Default, const N: usize> Table<T, N> {
    fn new(max_entries: usize) -> Table<T, N> {
        Table { entries: RwLock::default(), max_entries }
    }

    fn update(&self, labels: [&str; N], update: impl Fn(&T)) {
        let key = labels.map(Box::<str>::from);
        if let Some(entry) = self.entries.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return update(entry);
        }
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let has_room = entries.len() < self.max_entries || entries.contains_key(&key);
        let key = if has_room { key } else { [(); N].map(|()| "other".into()) };
        update(entries.entry(key).or_default());
    }

    /// All entries, sorted by label.
    fn read<R>(&self, value: impl Fn(&T) -> R) -> Vec<([String; N], R)> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let owned = |key: &[Box<str>; N]| key.clone().map(String::from);
        let mut all: Vec<_> = entries.iter().map(|(key, entry)| (owned(key), value(entry))).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }
}

/// A counter with `N` labels.
#[derive(Debug)]
pub struct LabelledCounter<const N: usize>(Table<AtomicU64, N>);

impl<const N: usize> LabelledCounter<N> {
    pub(super) fn new(max_series: usize) -> LabelledCounter<N> {
        LabelledCounter(Table::new(max_series))
    }

    /// Adds one.
    pub(super) fn add(&self, labels: [&str; N]) {
        self.0.update(labels, |count| {
            count.fetch_add(1, Relaxed);
        });
    }

    /// Values by label.
    #[must_use]
    pub fn read(&self) -> Vec<([String; N], u64)> {
        self.0.read(|count| count.load(Relaxed))
    }
}

/// A histogram of durations with one label.
#[derive(Debug)]
pub struct LabelledHistogram(Table<Buckets, 1>);

#[derive(Debug, Default)]
struct Buckets {
    counts: [AtomicU64; BUCKET_BOUNDS_SECONDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// Durations of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durations {
    /// Number of durations per bucket, not cumulated; see [`BUCKET_BOUNDS_SECONDS`].
    pub counts: [u64; BUCKET_BOUNDS_SECONDS.len() + 1],
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

impl LabelledHistogram {
    pub(super) fn new(max_series: usize) -> LabelledHistogram {
        LabelledHistogram(Table::new(max_series))
    }

    pub(super) fn observe(&self, label: &str, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket =
            BUCKET_BOUNDS_SECONDS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKET_BOUNDS_SECONDS.len());
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.update([label], |buckets| {
            if let Some(count) = buckets.counts.get(bucket) {
                count.fetch_add(1, Relaxed);
            }
            buckets.nanoseconds.fetch_add(nanoseconds, Relaxed);
        });
    }

    /// Durations by label.
    #[must_use]
    pub fn read(&self) -> Vec<([String; 1], Durations)> {
        self.0.read(|buckets| Durations {
            counts: std::array::from_fn(|bucket| buckets.counts.get(bucket).map_or(0, |count| count.load(Relaxed))),
            sum: Duration::from_nanos(buckets.nanoseconds.load(Relaxed)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_beyond_the_limit_count_as_other() {
        let counter = LabelledCounter::new(2);
        for label in ["a", "b", "c", "a", "d"] {
            counter.add([label]);
        }
        let read = counter.read().into_iter().map(|([label], count)| (label, count)).collect::<Vec<_>>();
        assert_eq!(read, [("a".to_owned(), 2), ("b".to_owned(), 1), ("other".to_owned(), 2)]);
    }

    #[test]
    fn durations_are_counted_in_their_buckets() {
        let histogram = LabelledHistogram::new(1);
        for micros in [500, 501, 20_000_000] {
            histogram.observe("x", Duration::from_micros(micros));
        }
        let (_, durations) = histogram.read().remove(0);
        assert_eq!((durations.counts[0], durations.counts[1], durations.counts[14]), (1, 1, 1));
        assert_eq!((durations.count(), durations.sum), (3, Duration::from_micros(20_001_001)));
    }
}
