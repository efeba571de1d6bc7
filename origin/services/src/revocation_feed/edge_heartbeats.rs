//! What registered edges say of themselves when they ask for deltas: which they are, which they prove, and how far they have come.
//! It is for people to look at; nothing is decided by it. Who proves nothing is not noted.

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

/// How often it is written down: edges ask several times a second, and nobody looks as often.
const INTERVAL: Duration = Duration::from_secs(1);
/// Edges kept until then, at most.
const MAX_EDGES: usize = 4096;
/// How far an edge's clock may be from ours, milliseconds. A question is noted with its own time, so that a recorded one says
/// nothing that was not said before.
const MAX_CLOCK_DIFFERENCE_MS: u64 = 60_000;

/// The edges heard of lately, by name and number of their registration.
#[derive(Debug, Default)]
pub struct EdgeHeartbeats(Mutex<BTreeMap<(EdgeName, u64), EdgeHeartbeat>>);

impl EdgeHeartbeats {
    /// Notes that an edge asked, if `query` has the proof of its key.
    pub fn record(&self, query: &str, contact: EdgeHeartbeat, keys: &KeyRing, now_ms: u64) {
        let key = EdgeKey::new(&keys.edge_secret(&contact.name, contact.number));
        if !key.has_signed(query) || contact.at_ms.abs_diff(now_ms) > MAX_CLOCK_DIFFERENCE_MS {
            tracing::debug!(edge = %contact.name, "an edge does not prove that it is the one it says");
            return;
        }
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (contact.name.clone(), contact.number);
        if heard.len() < MAX_EDGES || heard.contains_key(&place) {
            heard.insert(place, EdgeHeartbeat { at_ms: contact.at_ms.min(now_ms), ..contact });
        }
    }

    fn take(&self) -> Vec<EdgeHeartbeat> {
        let heard = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        heard.into_values().collect()
    }

    /// Writes down what was noted, until `stop`.
    pub async fn run(&self, store: Store, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = sleep(INTERVAL) => {}
                () = stop.cancelled() => return,
            }
            let heard = self.take();
            if !heard.is_empty()
                && let Err(error) = store.record_edge_contacts(&heard).await
            {
                tracing::warn!(error = with_causes(&error), "it could not be noted which edges asked");
            }
        }
    }
}
