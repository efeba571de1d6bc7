//! Counters and histograms with labels, bounded.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// The upper bounds of the classes of durations, in seconds; one without a bound follows.
pub const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What is counted under names: once all that there is room for are taken, everything else counts
/// as `other`.
#[derive(Debug)]
struct Table<T, const N: usize> {
    entries: RwLock<HashMap<[Box<str>; N], T>>,
    most: usize,
}

impl<T: Default, const N: usize> Table<T, N> {
    fn new(most: usize) -> Table<T, N> {
        Table { entries: RwLock::default(), most }
    }

    fn with(&self, labels: [&str; N], count: impl Fn(&T)) {
        let key = labels.map(Box::<str>::from);
        if let Some(entry) = self.entries.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return count(entry);
        }
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let is_known = entries.len() < self.most || entries.contains_key(&key);
        let key = if is_known { key } else { [(); N].map(|()| "other".into()) };
        count(entries.entry(key).or_default());
    }

    /// All entries, by their labels.
    fn read<R>(&self, figure: impl Fn(&T) -> R) -> Vec<([String; N], R)> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let own = |key: &[Box<str>; N]| key.clone().map(String::from);
        let mut all: Vec<_> = entries.iter().map(|(key, entry)| (own(key), figure(entry))).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }
}

/// Counters told apart by `N` labels.
#[derive(Debug)]
pub struct LabelledCounter<const N: usize>(Table<AtomicU64, N>);

impl<const N: usize> LabelledCounter<N> {
    /// One for so many combinations of labels at most.
    pub(super) fn new(most: usize) -> LabelledCounter<N> {
        LabelledCounter(Table::new(most))
    }

    /// Counts one.
    pub(super) fn add(&self, labels: [&str; N]) {
        self.0.with(labels, |count| {
            count.fetch_add(1, Relaxed);
        });
    }

    /// What was counted, by labels.
    #[must_use]
    pub fn read(&self) -> Vec<([String; N], u64)> {
        self.0.read(|count| count.load(Relaxed))
    }
}

/// How long things took, told apart by one label.
#[derive(Debug)]
pub struct LabelledHistogram(Table<Classes, 1>);

#[derive(Debug, Default)]
struct Classes {
    counts: [AtomicU64; SECONDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// How long things of one label took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durations {
    /// How many took as long as each class says and no longer than its bound, see [`SECONDS`]; the
    /// last has none.
    pub counts: [u64; SECONDS.len() + 1],
    /// All together.
    pub sum: Duration,
}

impl Durations {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl LabelledHistogram {
    pub(super) fn new(most: usize) -> LabelledHistogram {
        LabelledHistogram(Table::new(most))
    }

    pub(super) fn observe(&self, label: &str, took: Duration) {
        let seconds = took.as_secs_f64();
        let class = SECONDS.iter().position(|bound| seconds <= *bound).unwrap_or(SECONDS.len());
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.with([label], |classes| {
            if let Some(count) = classes.counts.get(class) {
                count.fetch_add(1, Relaxed);
            }
            classes.nanoseconds.fetch_add(nanoseconds, Relaxed);
        });
    }

    /// What was counted, by label.
    #[must_use]
    pub fn read(&self) -> Vec<([String; 1], Durations)> {
        self.0.read(|classes| Durations {
            counts: std::array::from_fn(|class| classes.counts.get(class).map_or(0, |count| count.load(Relaxed))),
            sum: Duration::from_nanos(classes.nanoseconds.load(Relaxed)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded() {
        let family = LabelledCounter::new(2);
        for label in ["a", "b", "c", "a", "d"] {
            family.add([label]);
        }
        let read = family.read().into_iter().map(|([label], count)| (label, count)).collect::<Vec<_>>();
        assert_eq!(read, [("a".to_owned(), 2), ("b".to_owned(), 1), ("other".to_owned(), 2)]);
    }

    #[test]
    fn durations_fall_into_their_classes() {
        let histogram = LabelledHistogram::new(1);
        for micros in [500, 501, 20_000_000] {
            histogram.observe("x", Duration::from_micros(micros));
        }
        let (_, durations) = histogram.read().remove(0);
        assert_eq!((durations.counts[0], durations.counts[1], durations.counts[14]), (1, 1, 1));
        assert_eq!((durations.count(), durations.sum), (3, Duration::from_micros(20_001_001)));
    }
}
