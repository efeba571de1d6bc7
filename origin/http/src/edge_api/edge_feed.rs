//! What edges may ask for: snapshots and deltas. Never: users, clients or their secrets.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tollgate_model::EdgeHeartbeat;
use tollgate_services::revocation_feed::{
    DeltaAnswer, DeltaPolls, DeltaRequest, EdgeHeartbeats, FeedError, FeedResponder, RegisteredEdges, SnapshotFile,
};
use tollgate_services::signing_keys::SigningKeys;
use tollgate_system::Clock;

use crate::problem::Problem;

/// The revocation feed, for edges.
pub(crate) struct EdgeFeed {
    pub(crate) responder: Arc<FeedResponder>,
    pub(crate) polls: Arc<DeltaPolls>,
}

impl EdgeFeed {
    pub(super) async fn snapshot(&self) -> Result<Arc<SnapshotFile>, FeedError> {
        self.responder.snapshot().await
    }

    /// The changes after the edge's sequence; waits for the first one.
    pub(super) async fn deltas(&self, request: DeltaRequest, wait: Duration) -> Result<DeltaAnswer, FeedError> {
        self.polls.answer(request, wait).await
    }
}

/// Authenticates edges, and records how far they are.
pub(crate) struct EdgeAuthenticator {
    heartbeats: Arc<EdgeHeartbeats>,
    /// MAC of the edges' proofs.
    keys: SigningKeys,
    clock: Clock,
    /// The only edges that are answered; none if all are.
    required: Option<RegisteredEdges>,
}

/// An edge that has proven which one it is.
pub(super) struct AuthenticEdge(EdgeHeartbeat);

impl EdgeAuthenticator {
    pub(crate) fn new(
        heartbeats: Arc<EdgeHeartbeats>,
        keys: SigningKeys,
        clock: Clock,
        required: Option<RegisteredEdges>,
    ) -> EdgeAuthenticator {
        EdgeAuthenticator { heartbeats, keys, clock, required }
    }

    /// The edge that sent the query; none if it does not say which one it is, or does not prove it.
    ///
    /// # Errors
    /// When only registered edges are answered, and this is none.
    pub(super) async fn authenticate(
        &self,
        query: &str,
        heartbeat: Option<EdgeHeartbeat>,
    ) -> Result<Option<AuthenticEdge>, Problem> {
        let (keys, now_ms) = (self.keys.current(), self.clock.now_ms());
        let edge = heartbeat.filter(|heartbeat| EdgeHeartbeats::is_authentic(query, heartbeat, &keys, now_ms));
        let is_answered = match (&self.required, &edge) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(registered), Some(edge)) => registered.contains(&edge.name, edge.number).await?,
        };
        if !is_answered {
            let why =
                "only registered edges are answered: set TOLLGATE_EDGE_KEY to the key that `tollgate edge add` prints";
            return Err(Problem::new(StatusCode::FORBIDDEN, why));
        }
        Ok(edge.map(AuthenticEdge))
    }

    /// Records the heartbeat of an edge.
    pub(super) fn record(&self, edge: AuthenticEdge) {
        self.heartbeats.record(edge.0, self.clock.now_ms());
    }
}
