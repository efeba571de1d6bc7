//! Counters and histograms with labels, in bounded memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use tollgate_system::histogram::{BUCKETS, Durations, Histogram};

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

/// A histogram of durations with one label, and an exemplar for each bucket.
#[derive(Debug)]
pub struct LabelledHistogram(Table<ExemplarHistogram, 1>);

#[derive(Debug, Default)]
struct ExemplarHistogram {
    histogram: Histogram,
    exemplars: [Mutex<Option<Exemplar>>; BUCKETS],
}

/// A recent duration with its trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    /// ID of the trace.
    pub trace: [u8; 16],
    /// The duration.
    pub took: Duration,
    /// End of the duration, in Unix milliseconds.
    pub at_ms: u64,
}

/// Durations of one label.
#[derive(Debug, Clone, Copy)]
pub struct LabelledDurations {
    pub durations: Durations,
    /// An exemplar for each bucket that has one.
    pub exemplars: [Option<Exemplar>; BUCKETS],
}

impl LabelledHistogram {
    pub(super) fn new(max_series: usize) -> LabelledHistogram {
        LabelledHistogram(Table::new(max_series))
    }

    pub(super) fn observe(&self, label: &str, took: Duration, exemplar: Option<Exemplar>) {
        self.0.update([label], |entry| {
            let bucket = entry.histogram.observe(took);
            // Another request that stores its exemplar now serves as well.
            if let (Some(exemplar), Some(slot)) = (exemplar, entry.exemplars.get(bucket))
                && let Ok(mut slot) = slot.try_lock()
            {
                *slot = Some(exemplar);
            }
        });
    }

    /// Durations by label.
    #[must_use]
    pub fn read(&self) -> Vec<([String; 1], LabelledDurations)> {
        self.0.read(|entry| LabelledDurations {
            durations: entry.histogram.read(),
            exemplars: entry.exemplars.each_ref().map(|slot| *slot.lock().unwrap_or_else(PoisonError::into_inner)),
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
    fn buckets_keep_their_newest_exemplar() {
        let histogram = LabelledHistogram::new(1);
        let exemplar = |trace, micros| Exemplar { trace: [trace; 16], took: Duration::from_micros(micros), at_ms: 7 };
        for (trace, micros) in [(1, 900), (2, 800), (3, 20_000_000)] {
            histogram.observe("x", Duration::from_micros(micros), Some(exemplar(trace, micros)));
        }
        histogram.observe("x", Duration::from_micros(700), None);
        let (_, read) = histogram.read().remove(0);
        assert_eq!((read.durations.count(), read.durations.counts[1]), (4, 3));
        assert_eq!((read.exemplars[0], read.exemplars[1]), (None, Some(exemplar(2, 800))));
        assert_eq!(read.exemplars[14], Some(exemplar(3, 20_000_000)));
    }
}
