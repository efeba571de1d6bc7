//! Heartbeats of registered edges: when an edge requested deltas last, and its sequence.
//!
//! Operators look at them; no decision depends on them. Requests without the proof of an edge's key
//! are not recorded.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tollgate_core::EdgeKey;
use tollgate_keys::KeyRing;
use tollgate_model::error_chain::with_causes;
use tollgate_model::{EdgeHeartbeat, EdgeName};
use tollgate_storage::Store;

/// Interval of writes to the database. Edges send several requests a second.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// Edges in memory between two writes.
const MAX_EDGES: usize = 4096;
/// Maximum difference between the clocks of edge and origin. A heartbeat is recorded with the time
/// that the edge signed, so a replayed request changes nothing.
const MAX_CLOCK_DIFFERENCE_MS: u64 = 60_000;

/// Heartbeats since the last write, by the edge's name and registration number.
#[derive(Debug, Default)]
pub struct EdgeHeartbeats(Mutex<BTreeMap<(EdgeName, u64), EdgeHeartbeat>>);

impl EdgeHeartbeats {
    /// Records a heartbeat if `query` has the signature of the edge's key.
    pub fn record(&self, query: &str, heartbeat: EdgeHeartbeat, keys: &KeyRing, now_ms: u64) {
        let key = EdgeKey::new(&keys.edge_secret(&heartbeat.name, heartbeat.number));
        if !key.has_signed(query) || heartbeat.at_ms.abs_diff(now_ms) > MAX_CLOCK_DIFFERENCE_MS {
            tracing::debug!(edge = %heartbeat.name, "heartbeat ignored: its signature or time is not valid");
            return;
        }
        let mut heartbeats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let edge = (heartbeat.name.clone(), heartbeat.number);
        if heartbeats.len() < MAX_EDGES || heartbeats.contains_key(&edge) {
            heartbeats.insert(edge, EdgeHeartbeat { at_ms: heartbeat.at_ms.min(now_ms), ..heartbeat });
        }
    }

    fn drain(&self) -> Vec<EdgeHeartbeat> {
        let heartbeats = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        heartbeats.into_values().collect()
    }

    /// Writes the recorded heartbeats to the database, until `stop`.
    pub async fn run(&self, store: Store, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = sleep(WRITE_INTERVAL) => {}
                () = stop.cancelled() => return,
            }
            let heartbeats = self.drain();
            if !heartbeats.is_empty()
                && let Err(error) = store.record_edge_contacts(&heartbeats).await
            {
                tracing::warn!(error = with_causes(&error), "edge heartbeats could not be written");
            }
        }
    }
}
