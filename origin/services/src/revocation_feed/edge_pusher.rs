//! Pushes deltas to registered edges as soon as they are committed.
//!
//! A push is signed, so it needs no secret, and harmless to repeat, so nothing is lost by sending again. It is also never
//! needed: an edge that misses every push still pulls within its hard interval. So the courier keeps no queue: for each
//! edge it remembers how far that edge has come, and sends what follows. Of several origins on one database one pushes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch::Receiver;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tollgate_model::error_chain::with_causes;
use tollgate_model::{Edge, EdgeName};
use tollgate_storage::{LeaderRole, Store, StoreError};
use tollgate_system::{clock, rng};

use super::{FeedError, FeedResponder};
use crate::feed_change::FeedChange;
use crate::telemetry::traced;

/// Longer than any healthy edge takes, short enough not to hold up the next try.
const PUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// The first pause after a failure; each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The pause after the database failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// An edge's answer is a few bytes.
const MAX_ANSWER_BYTES: usize = 4096;

/// What an edge answers to a push.
#[derive(Deserialize)]
struct Answer {
    /// None while the edge has no snapshot.
    sequence: Option<u64>,
}

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EdgeAnswer {
    /// The edge holds this sequence now.
    Holds(u64),
    /// The message did not join on to what the edge holds, which ends at this sequence.
    Gap(u64),
}

#[derive(Debug, thiserror::Error)]
enum PushError {
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the edge was not reached: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the edge answered {0}")]
    Status(reqwest::StatusCode),
    #[error("the edge's answer is not what an edge answers")]
    Answer,
    #[error("the edge has no snapshot yet")]
    NoSnapshot,
    #[error("what the edge was sent does not join on to what it says it holds")]
    NeverJoins,
}

/// Pushes to edges; shared by the tasks that do it.
pub struct EdgePusher {
    store: Store,
    publisher: Arc<FeedResponder>,
    http: reqwest::Client,
}

impl EdgePusher {
    /// A courier that sends what `publisher` builds.
    ///
    /// # Errors
    /// When no HTTP client can be made, for want of trusted certificates.
    pub fn new(store: Store, publisher: Arc<FeedResponder>) -> Result<EdgePusher, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(PUSH_TIMEOUT)
            // A redirect would send the push where the operator did not register it.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(EdgePusher { store, publisher, http })
    }

    /// Pushes until `stop`, whenever this origin has the courier's seat.
    pub async fn run(self, wake: Receiver<FeedChange>, stop: CancellationToken) {
        let courier = Arc::new(self);
        tokio::select! {
            () = stop.cancelled() => {}
            () = async {
                loop {
                    let error = Arc::clone(&courier).serve_while_seated(&wake).await;
                    tracing::error!(%error, "pushing to edges is interrupted");
                    sleep(STORE_PAUSE).await;
                }
            } => {}
        }
    }

    /// Waits for the seat and serves the edges until it is lost. Dropping what serves them ends every push under way.
    async fn serve_while_seated(self: Arc<EdgePusher>, wake: &Receiver<FeedChange>) -> StoreError {
        let mut seat = match self.store.acquire_leader_lock(LeaderRole::EdgePush).await {
            Ok(seat) => seat,
            Err(error) => return error,
        };
        tracing::info!("pushing to edges");
        tokio::select! {
            error = seat.wait_until_lost() => error,
            error = self.serve_edges(wake.clone()) => error,
        }
    }

    /// Serves the registered edges, each by a task of its own, following changes of the list, until it cannot be read.
    async fn serve_edges(self: Arc<EdgePusher>, mut wake: Receiver<FeedChange>) -> StoreError {
        let mut tasks = JoinSet::new();
        let mut serving: BTreeMap<EdgeName, (Edge, AbortHandle)> = BTreeMap::new();
        loop {
            let version = wake.borrow_and_update().head.version;
            let edges = match self.store.list_edges().await {
                Ok(edges) => edges,
                Err(error) => return error,
            };
            // An edge is the same while its registration is; its acknowledged sequence moves on.
            let same = |a: &Edge, b: &Edge| a.name == b.name && a.url == b.url && a.created_at == b.created_at;
            serving.retain(|_, (served, task)| {
                let keep = edges.iter().any(|edge| same(edge, served));
                if !keep {
                    task.abort();
                }
                keep
            });
            for edge in edges {
                serving
                    .entry(edge.name.clone())
                    .or_insert_with(|| (edge.clone(), tasks.spawn(Arc::clone(&self).serve(edge, wake.clone()))));
            }
            while tasks.try_join_next().is_some() {}
            // The watch ends only when the origin does; then so does this, from outside.
            let _ = wake.wait_for(|wake| wake.head.version != version).await;
        }
    }

    /// Brings one edge up to date, again and again.
    async fn serve(self: Arc<EdgePusher>, edge: Edge, mut wake: Receiver<FeedChange>) {
        let mut cursor = edge.acknowledged;
        let mut failures: u32 = 0;
        loop {
            match self.catch_up(&edge, cursor).await {
                Ok(reached) => {
                    cursor = reached;
                    failures = 0;
                    if wake.wait_for(|wake| wake.head.sequence > reached).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!(edge = %edge.name, failures, error = with_causes(&error), "a push failed");
                    // Beyond the feed's end, as after a database was restored: only the snapshot can bring what lies
                    // between, and the edge fetches that itself.
                    if let PushError::Feed(FeedError::Ahead { newest }) = error {
                        cursor = newest;
                    }
                    sleep(pause(failures, rng::jitter())).await;
                }
            }
        }
    }

    /// Sends all that follows `cursor`; returns the sequence the edge then holds.
    async fn catch_up(&self, edge: &Edge, mut cursor: u64) -> Result<u64, PushError> {
        let mut asked = false;
        loop {
            let message = match self.publisher.deltas(cursor, None).await {
                // Older than what is kept: the edge must take the snapshot; pushing goes on from the newest sequence.
                Err(FeedError::Gone) => return Ok(self.store.get_feed_head().await?.sequence),
                message => message?,
            };
            // Whatever the edge says it holds is recorded only now that the feed turns out to reach as far.
            if asked {
                self.store.record_edge_acknowledgement(&edge.name, cursor, clock::now_ms()).await?;
            }
            if message.heartbeat {
                return Ok(cursor);
            }
            cursor = match self.push(edge, message.bytes).await? {
                // It may hold more than this message brought, by pulling.
                EdgeAnswer::Holds(sequence) => sequence.max(message.reaches),
                EdgeAnswer::Gap(sequence) if !asked && sequence != cursor => sequence,
                EdgeAnswer::Gap(_) => return Err(PushError::NeverJoins),
            };
            asked = true;
        }
    }

    async fn push(&self, edge: &Edge, message: Vec<u8>) -> Result<EdgeAnswer, PushError> {
        let request =
            self.http.post(edge.url.push_url()).header("content-type", "application/octet-stream").body(message);
        let mut answer = traced(request).send().await?;
        let status = answer.status();
        if status != reqwest::StatusCode::OK && status != reqwest::StatusCode::CONFLICT {
            return Err(PushError::Status(status));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER_BYTES {
                return Err(PushError::Answer);
            }
        }
        let Answer { sequence } = serde_json::from_slice(&body).map_err(|_| PushError::Answer)?;
        let sequence = sequence.ok_or(PushError::NoSnapshot)?;
        Ok(if status == reqwest::StatusCode::OK { EdgeAnswer::Holds(sequence) } else { EdgeAnswer::Gap(sequence) })
    }
}

/// Exponential, of which half is left to chance: edges that failed together do not come back together.
pub(crate) fn pause(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST_PAUSE).mul_f64(0.5 + jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        assert_eq!(pause(1, 1.0), FIRST_PAUSE);
        assert_eq!(pause(3, 1.0), FIRST_PAUSE * 4);
        assert_eq!(pause(3, 0.0), FIRST_PAUSE * 2);
        assert_eq!(pause(1000, 1.0), LONGEST_PAUSE);
    }
}
