//! The registered edges, for an origin that answers no others.

use std::collections::BTreeSet;

use tokio::sync::Mutex;
use tokio::sync::watch::Receiver;
use tollgate_model::EdgeName;
use tollgate_storage::{Store, StoreError};

use crate::feed_change::FeedChange;

/// Names and registration numbers of all edges, read again after each change of registrations.
pub struct RegisteredEdges {
    store: Store,
    changes: Receiver<FeedChange>,
    known: Mutex<Option<KnownEdges>>,
}

struct KnownEdges {
    /// The version at which they were read.
    version: u64,
    /// Their names and registration numbers.
    edges: BTreeSet<(EdgeName, u64)>,
}

impl RegisteredEdges {
    #[must_use]
    pub fn new(store: Store, changes: Receiver<FeedChange>) -> RegisteredEdges {
        RegisteredEdges { store, changes, known: Mutex::default() }
    }

    /// Whether this registration exists. The key of an edge that was removed is still well-formed,
    /// so a valid proof does not say so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn contains(&self, name: &EdgeName, number: u64) -> Result<bool, StoreError> {
        let version = self.changes.borrow().head.version;
        let mut known = self.known.lock().await;
        if known.as_ref().is_none_or(|known| known.version != version) {
            let edges = self.store.list_edges().await?;
            let edges = edges.into_iter().map(|edge| (edge.name.clone(), edge.number())).collect();
            *known = Some(KnownEdges { version, edges });
        }
        Ok(known.as_ref().is_some_and(|known| known.edges.contains(&(name.clone(), number))))
    }
}
