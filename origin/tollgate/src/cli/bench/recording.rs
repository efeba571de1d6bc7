//! What was measured: latencies of successful requests, and failures by kind.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::failure::Failure;

/// Microseconds: longer latencies count as this. Requests time out before.
const MAX_LATENCY_US: u64 = 3_600_000_000;
/// Significant decimal digits of a latency.
const LATENCY_DIGITS: u8 = 3;
/// Kinds of failures that are distinguished; further ones count as broken connections.
const MAX_FAILURE_KINDS: usize = 100;

/// The results of one phase.
pub(super) struct Recording {
    /// Microseconds.
    pub(super) latencies: Histogram<u64>,
    pub(super) failures: BTreeMap<Failure, u64>,
    /// From the beginning to the last response.
    pub(super) elapsed: Duration,
}

/// A recording that the workers of a phase share.
pub(super) struct SharedRecording(Mutex<Recording>);

impl Recording {
    pub(super) fn new() -> anyhow::Result<Recording> {
        let latencies = Histogram::new_with_bounds(1, MAX_LATENCY_US, LATENCY_DIGITS)?;
        Ok(Recording { latencies, failures: BTreeMap::new(), elapsed: Duration::ZERO })
    }

    pub(super) fn succeeded(&self) -> u64 {
        self.latencies.len()
    }

    pub(super) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// All requests, including those that were not sent in time.
    pub(super) fn requests(&self) -> u64 {
        self.succeeded() + self.failed()
    }

    fn add(&mut self, outcome: Result<(), Failure>, latency: Duration) {
        match outcome {
            Ok(()) => self.latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1)),
            Err(kind) => {
                let is_counted = self.failures.len() < MAX_FAILURE_KINDS || self.failures.contains_key(&kind);
                *self.failures.entry(if is_counted { kind } else { Failure::Broken }).or_default() += 1;
            }
        }
    }
}

impl SharedRecording {
    pub(super) fn new() -> anyhow::Result<SharedRecording> {
        Ok(SharedRecording(Mutex::new(Recording::new()?)))
    }

    pub(super) fn add(&self, outcome: Result<(), Failure>, latency: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(outcome, latency);
    }

    /// Successful and failed requests so far.
    pub(super) fn counts(&self) -> (u64, u64) {
        let recording = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (recording.succeeded(), recording.failed())
    }

    /// Ends the recording.
    pub(super) fn finish(&self, elapsed: Duration) -> anyhow::Result<Recording> {
        let mut recording = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let finished = std::mem::replace(&mut *recording, Recording::new()?);
        Ok(Recording { elapsed, ..finished })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_once() {
        let shared = SharedRecording::new().expect("bounds");
        shared.add(Ok(()), Duration::from_millis(5));
        shared.add(Ok(()), Duration::ZERO);
        shared.add(Ok(()), Duration::from_secs(100_000));
        for status in 0..200 {
            shared.add(Err(Failure::Status(status, None)), Duration::ZERO);
        }
        assert_eq!(shared.counts(), (3, 200));
        let recording = shared.finish(Duration::from_secs(1)).expect("bounds");
        assert_eq!((recording.requests(), recording.failed()), (203, 200));
        assert!(recording.failures.len() <= MAX_FAILURE_KINDS + 1);
        assert_eq!(recording.latencies.min(), 1);
        assert!(recording.latencies.max() >= MAX_LATENCY_US, "a longer latency counts as the longest");
    }
}
