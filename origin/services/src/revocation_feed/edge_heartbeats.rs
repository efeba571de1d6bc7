//! Heartbeats of registered edges: when an edge requested deltas last, its sequence, and totals of
//! its work.
//!
//! Operators look at them; no decision depends on them. Requests without the proof of an edge's key
//! are not recorded, so no one can speak for an edge without its key.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tollgate_core::{EdgeKey, EdgeReport};
use tollgate_keys::KeyRing;
use tollgate_model::error_chain::with_causes;
use tollgate_model::{EdgeHeartbeat, EdgeName};
use tollgate_storage::Store;

/// Interval of writes to the database. Edges send several requests a second.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// Edges per write, so that a large fleet does not keep tokens from being written. The others wait
/// for the next write, with their newest heartbeat.
const MAX_WRITTEN_EDGES: usize = 1024;
/// Edges in memory between two writes.
const MAX_EDGES: usize = 16 * 1024;
/// Runs of an edge whose reports are in memory between two writes.
const MAX_RUNS: usize = 64;
/// Maximum difference between the clocks of edge and origin. A heartbeat is recorded with the time
/// that the edge signed, so a replayed request changes nothing.
const MAX_CLOCK_DIFFERENCE_MS: u64 = 60_000;

/// Heartbeats since the last write, by the edge's name and registration number.
#[derive(Debug, Default)]
pub struct EdgeHeartbeats(Mutex<BTreeMap<(EdgeName, u64), Unwritten>>);

/// What an edge sent since the last write.
#[derive(Debug)]
struct Unwritten {
    /// The newest heartbeat.
    heartbeat: EdgeHeartbeat,
    /// The newest report of each run, with the time of its request.
    reports: BTreeMap<u64, (u64, EdgeReport)>,
}

impl EdgeHeartbeats {
    /// Whether `query`, from which the heartbeat was read, has the signature of the edge's key and
    /// the present time.
    #[must_use]
    pub fn is_authentic(query: &str, heartbeat: &EdgeHeartbeat, keys: &KeyRing, now_ms: u64) -> bool {
        let key = EdgeKey::new(&keys.edge_secret(&heartbeat.name, heartbeat.number));
        let is_authentic = key.has_signed(query) && heartbeat.at_ms.abs_diff(now_ms) <= MAX_CLOCK_DIFFERENCE_MS;
        if !is_authentic {
            tracing::debug!(edge = %heartbeat.name, "heartbeat ignored: its signature or time is not valid");
        }
        is_authentic
    }

    /// Records an authentic heartbeat.
    pub fn record(&self, heartbeat: EdgeHeartbeat, now_ms: u64) {
        let mut edges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let edge = (heartbeat.name.clone(), heartbeat.number);
        if edges.len() < MAX_EDGES || edges.contains_key(&edge) {
            let heartbeat = EdgeHeartbeat { at_ms: heartbeat.at_ms.min(now_ms), ..heartbeat };
            edges.entry(edge).or_insert_with(|| Unwritten::new(heartbeat.clone())).add(heartbeat);
        }
    }

    /// Takes the heartbeats of the edges that follow `last` in order, and begins again with the
    /// first after the last one.
    fn drain(&self, last: &mut Option<(EdgeName, u64)>) -> Vec<EdgeHeartbeat> {
        let mut edges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let following = last.take().map(|last| (Bound::Excluded(last), Bound::Unbounded));
        let following = following.unwrap_or((Bound::Unbounded, Bound::Unbounded));
        let keys: Vec<_> = edges.range(following).map(|(edge, _)| edge.clone()).take(MAX_WRITTEN_EDGES).collect();
        if keys.len() == MAX_WRITTEN_EDGES {
            *last = keys.last().cloned();
        }
        keys.iter().filter_map(|edge| edges.remove(edge)).flat_map(Unwritten::into_heartbeats).collect()
    }

    /// Writes the recorded heartbeats to the database, until `stop`.
    pub async fn run(&self, store: Store, stop: CancellationToken) {
        let mut last = None;
        loop {
            tokio::select! {
                () = sleep(WRITE_INTERVAL) => {}
                () = stop.cancelled() => return,
            }
            let heartbeats = self.drain(&mut last);
            if !heartbeats.is_empty()
                && let Err(error) = store.record_edge_contacts(&heartbeats).await
            {
                tracing::warn!(error = with_causes(&error), "edge heartbeats could not be written");
            }
        }
    }
}

impl Unwritten {
    fn new(heartbeat: EdgeHeartbeat) -> Unwritten {
        Unwritten { heartbeat, reports: BTreeMap::new() }
    }

    fn add(&mut self, heartbeat: EdgeHeartbeat) {
        if let Some(report) = heartbeat.report {
            let is_newest = self.reports.get(&report.run).is_none_or(|(at_ms, _)| *at_ms <= heartbeat.at_ms);
            if is_newest && (self.reports.len() < MAX_RUNS || self.reports.contains_key(&report.run)) {
                self.reports.insert(report.run, (heartbeat.at_ms, report));
            }
        }
        // An acknowledged push may be newer than the request that arrives after it.
        let sequence = heartbeat.sequence.max(self.heartbeat.sequence);
        self.heartbeat = EdgeHeartbeat { report: None, sequence, ..heartbeat };
    }

    /// The heartbeat, and one more for each report.
    fn into_heartbeats(self) -> impl Iterator<Item = EdgeHeartbeat> {
        let Unwritten { heartbeat, reports } = self;
        let with_report = {
            let heartbeat = heartbeat.clone();
            move |(at_ms, report)| EdgeHeartbeat { at_ms, report: Some(report), ..heartbeat.clone() }
        };
        std::iter::once(heartbeat).chain(reports.into_values().map(with_report))
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::{EdgeCounter, EdgeTotals};

    use super::*;

    fn heartbeat(at_ms: u64, report: Option<(u64, u64)>) -> EdgeHeartbeat {
        let report = report.map(|(run, passed)| {
            let mut totals = EdgeTotals::default();
            totals.add(EdgeCounter::Passed, passed);
            EdgeReport { run, totals }
        });
        EdgeHeartbeat { name: "tokyo-1".parse().expect("a name"), number: 7, sequence: at_ms, at_ms, report }
    }

    #[test]
    fn the_newest_report_of_each_run_is_written() {
        let mut unwritten = Unwritten::new(heartbeat(1, Some((1, 3))));
        for next in [
            heartbeat(1, Some((1, 3))),
            heartbeat(2, Some((2, 1))),
            heartbeat(3, Some((1, 5))),
            heartbeat(2, Some((1, 4))),
            heartbeat(4, None),
        ] {
            unwritten.add(next);
        }
        let written: Vec<EdgeHeartbeat> = unwritten.into_heartbeats().collect();
        let passed = |heartbeat: &EdgeHeartbeat| heartbeat.report.map(|report| report.totals.get(EdgeCounter::Passed));
        assert_eq!(written.iter().map(passed).collect::<Vec<_>>(), [None, Some(5), Some(1)]);
        assert_eq!(written.iter().map(|heartbeat| heartbeat.at_ms).collect::<Vec<_>>(), [4, 3, 2]);
    }

    #[test]
    fn each_edge_of_a_large_fleet_has_its_turn() {
        let (heartbeats, mut last) = (EdgeHeartbeats::default(), None);
        let mut written = BTreeMap::new();
        for round in 1..=6 {
            for number in 0..2500 {
                heartbeats.record(EdgeHeartbeat { number, ..heartbeat(round, None) }, round);
            }
            let batch = heartbeats.drain(&mut last);
            assert!(batch.len() <= MAX_WRITTEN_EDGES);
            batch.iter().for_each(|heartbeat| *written.entry(heartbeat.number).or_insert(0) += 1);
        }
        assert_eq!(written.len(), 2500);
        assert!(written.values().all(|writes| *writes == 2), "in six rounds of three");
    }

    #[test]
    fn runs_in_memory_are_bounded() {
        let mut unwritten = Unwritten::new(heartbeat(1, None));
        (0..1000).for_each(|run| unwritten.add(heartbeat(1, Some((run, 1)))));
        assert_eq!(unwritten.into_heartbeats().count(), MAX_RUNS + 1);
    }
}
