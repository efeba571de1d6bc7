//! What edges may ask for: snapshots and deltas. Never: users, clients or their secrets.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;
use tollgate_core::Nonce;
use tollgate_model::EdgeHeartbeat;
use tollgate_services::feed_change::FeedChange;
use tollgate_services::revocation_feed::{DeltaMessage, EdgeHeartbeats, FeedError, FeedResponder, SnapshotFile};
use tollgate_services::signing_keys::SigningKeys;
use tollgate_system::Clock;

/// The revocation feed, for edges.
pub(crate) struct EdgeFeed {
    pub(crate) responder: Arc<FeedResponder>,
    pub(crate) changes: Receiver<FeedChange>,
    /// Cancelled at shutdown; ends long polls.
    pub(crate) stop: CancellationToken,
}

impl EdgeFeed {
    pub(super) async fn snapshot(&self) -> Result<Arc<SnapshotFile>, FeedError> {
        self.responder.snapshot().await
    }

    /// The changes after a sequence; waits for the first one.
    pub(super) async fn wait_for_deltas(
        &self,
        after: u64,
        nonce: Option<Nonce>,
        wait: Duration,
    ) -> Result<DeltaMessage, FeedError> {
        self.responder.wait_for_deltas(after, nonce, wait, self.changes.clone(), &self.stop).await
    }
}

/// Records which edges asked, and how far they are.
pub(crate) struct HeartbeatRecorder {
    heartbeats: Arc<EdgeHeartbeats>,
    /// MAC of the edges' proofs.
    keys: SigningKeys,
    clock: Clock,
}

impl HeartbeatRecorder {
    pub(crate) fn new(heartbeats: Arc<EdgeHeartbeats>, keys: SigningKeys, clock: Clock) -> HeartbeatRecorder {
        HeartbeatRecorder { heartbeats, keys, clock }
    }

    /// Records the heartbeat of a query, if its proof is valid.
    pub(super) fn record(&self, query: &str, heartbeat: EdgeHeartbeat) {
        self.heartbeats.record(query, heartbeat, &self.keys.current(), self.clock.now_ms());
    }
}
