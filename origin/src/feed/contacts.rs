//! What edges say of themselves when they ask for deltas: their name and how far they have come. It is for people to look at, and
//! believed as it is said; nothing is decided by it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::causes::with_causes;
use crate::domain::EdgeName;
use crate::store::Store;

/// How often it is written down: edges ask several times a second, and nobody looks as often.
const INTERVAL: Duration = Duration::from_secs(1);
/// Names kept until then, at most: anybody can make some up.
const MAX_NAMES: usize = 4096;

/// The edges heard of lately.
#[derive(Debug, Default)]
pub struct Contacts(Mutex<BTreeMap<EdgeName, (u64, u64)>>);

impl Contacts {
    /// Notes that an edge asked for what follows `sequence`.
    pub fn note(&self, name: EdgeName, sequence: u64, now_ms: u64) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() < MAX_NAMES || heard.contains_key(&name) {
            heard.insert(name, (sequence, now_ms));
        }
    }

    fn take(&self) -> Vec<(EdgeName, u64, u64)> {
        let heard = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        heard.into_iter().map(|(name, (sequence, at_ms))| (name, sequence, at_ms)).collect()
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
                && let Err(error) = store.acknowledge_all(&heard).await
            {
                tracing::warn!(error = with_causes(&error), "it could not be noted which edges asked");
            }
        }
    }
}
