//! Pushes deltas to registered edges as soon as they are committed.
//!
//! A push is signed, so it needs no secret, and it may be repeated without harm. A header proves by
//! the edge's key that the request is this origin's, so that the edge can refuse others unread. No
//! edge depends on pushes: one that misses all still pulls before its staleness bound. The pusher
//! therefore keeps no queue; for each edge it remembers the sequence that the edge has reached, and
//! sends what follows. Of several origins on one database, the leader pushes. Edges with the same
//! sequence share a message, and acknowledgements are written together with heartbeats.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::sync::watch::Receiver;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tollgate_core::EdgeKey;
use tollgate_model::error_chain::with_causes;
use tollgate_model::{Edge, EdgeHeartbeat, EdgeName};
use tollgate_storage::{LeaderRole, Store, StoreError};
use tollgate_system::{Clock, rng};

use super::edge_heartbeats::EdgeHeartbeats;
use super::feed_responder::{FeedError, FeedResponder};
use crate::back_off::BackOff;
use crate::feed_change::FeedChange;
use crate::leader_loop::run_while_leader;
use crate::telemetry::traced;

/// Longer than a healthy edge takes, and short enough not to delay the next push.
const PUSH_TIMEOUT: Duration = Duration::from_secs(5);
const BACK_OFF: BackOff = BackOff { first_delay: Duration::from_millis(100), max_delay: Duration::from_secs(30) };
/// Pushes that wait for an edge's response at a time.
const MAX_CONCURRENT_PUSHES: usize = 256;
/// An edge's response is a few bytes of JSON.
const MAX_RESPONSE_BYTES: usize = 4096;
/// Header with the proof of the edge's key.
const PROOF_HEADER: &str = "tollgate-push";

/// Response of an edge to a push.
#[derive(Deserialize)]
struct PushResponse {
    /// Absent while the edge has no snapshot.
    sequence: Option<u64>,
}

/// Outcome of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PushOutcome {
    /// The edge is at this sequence now.
    Applied { sequence: u64 },
    /// The edge is at this sequence, where the deltas do not begin.
    Gap { sequence: u64 },
}

#[derive(Debug, thiserror::Error)]
enum PushError {
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the edge cannot be reached: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the edge responded with status {0}")]
    Status(reqwest::StatusCode),
    #[error("unexpected response from edge")]
    Response,
    #[error("the edge has no snapshot yet")]
    NoSnapshot,
    #[error("the edge reports a gap before deltas that begin at the sequence it reported")]
    PersistentGap,
}

/// Sends deltas to the registered edges.
pub struct EdgePusher {
    store: Store,
    feed: Arc<FeedResponder>,
    heartbeats: Arc<EdgeHeartbeats>,
    clock: Clock,
    http: reqwest::Client,
    permits: Semaphore,
}

impl EdgePusher {
    /// # Errors
    /// When the HTTP client cannot be built, for example without trusted certificates.
    pub fn new(
        store: Store,
        feed: Arc<FeedResponder>,
        heartbeats: Arc<EdgeHeartbeats>,
        clock: Clock,
    ) -> Result<EdgePusher, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(PUSH_TIMEOUT)
            // A redirect would send the push to a URL that the operator did not register.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let permits = Semaphore::new(MAX_CONCURRENT_PUSHES);
        Ok(EdgePusher { store, feed, heartbeats, clock, http, permits })
    }

    /// Pushes while this origin is the leader, until `stop`.
    pub async fn run(self, changes: Receiver<FeedChange>, stop: CancellationToken) {
        let pusher = Arc::new(self);
        run_while_leader(
            &pusher.store,
            LeaderRole::EdgePush,
            &stop,
            || Arc::clone(&pusher).push_to_all(changes.clone()),
            |error: StoreError| tracing::error!(%error, "pushing to edges was interrupted"),
        )
        .await;
    }

    /// Runs a task for each registered edge, and follows changes of the list. Returns when the list
    /// cannot be read. When the future is dropped, all pushes are cancelled.
    async fn push_to_all(self: Arc<EdgePusher>, mut changes: Receiver<FeedChange>) -> StoreError {
        let mut tasks = JoinSet::new();
        let mut running: BTreeMap<EdgeName, (Edge, AbortHandle)> = BTreeMap::new();
        loop {
            let version = changes.borrow_and_update().head.version;
            let edges = match self.store.list_edges().await {
                Ok(edges) => edges,
                Err(error) => return error,
            };
            // The acknowledged sequence is no part of the registration.
            let is_same = |a: &Edge, b: &Edge| a.url == b.url && a.created_at == b.created_at;
            let registered: BTreeMap<&EdgeName, &Edge> = edges.iter().map(|edge| (&edge.name, edge)).collect();
            running.retain(|name, (edge, task)| {
                let is_registered = registered.get(name).is_some_and(|registered| is_same(registered, edge));
                if !is_registered {
                    task.abort();
                }
                is_registered
            });
            for edge in edges {
                running.entry(edge.name.clone()).or_insert_with(|| {
                    (edge.clone(), tasks.spawn(Arc::clone(&self).keep_up_to_date(edge, changes.clone())))
                });
            }
            while tasks.try_join_next().is_some() {}
            // An error means that the origin shuts down, which drops this future.
            let _ = changes.wait_for(|change| change.head.version != version).await;
        }
    }

    /// Sends each new delta to one edge.
    async fn keep_up_to_date(self: Arc<EdgePusher>, edge: Edge, mut changes: Receiver<FeedChange>) {
        let mut cursor = edge.acknowledged;
        let mut failures: u32 = 0;
        let mut pushed_at_ms = 0;
        loop {
            let newest = changes.borrow().head.sequence;
            match self.catch_up(&edge, cursor, newest, &mut pushed_at_ms).await {
                Ok(sequence) => {
                    cursor = sequence;
                    failures = 0;
                    if changes.wait_for(|change| change.head.sequence > sequence).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!(edge = %edge.name, failures, error = with_causes(&error), "push to edge failed");
                    // The edge is ahead of the feed, as after a database was restored. Only the
                    // snapshot helps, and the edge fetches it by itself.
                    if let PushError::Feed(FeedError::Ahead { newest }) = error {
                        cursor = newest;
                    }
                    sleep(BACK_OFF.delay(failures, rng::jitter())).await;
                }
            }
        }
    }

    /// Sends all deltas after `cursor`, at least up to the sequence `newest`. Returns the sequence
    /// that the edge has reached.
    async fn catch_up(
        &self,
        edge: &Edge,
        mut cursor: u64,
        newest: u64,
        pushed_at_ms: &mut u64,
    ) -> Result<u64, PushError> {
        let mut has_responded = false;
        loop {
            let message = match self.feed.push(cursor, newest).await {
                // The deltas are deleted already, so the edge needs the snapshot. Pushes continue
                // from the newest sequence.
                Err(FeedError::Gone) => return Ok(self.store.get_feed_head().await?.sequence),
                message => message?,
            };
            // The sequence is the edge's claim; it is recorded only after the feed has confirmed
            // that it exists.
            if has_responded {
                let (name, number, at_ms) = (edge.name.clone(), edge.number(), self.clock.now_ms());
                let acknowledgement = EdgeHeartbeat { name, number, sequence: cursor, at_ms, report: None };
                self.heartbeats.record(acknowledgement, at_ms);
            }
            if message.is_heartbeat {
                return Ok(cursor);
            }
            // The edge admits only growing times.
            *pushed_at_ms = self.clock.now_ms().max(*pushed_at_ms + 1);
            cursor = match self.push(edge, message.bytes.clone(), *pushed_at_ms).await? {
                // The edge may have pulled more than this message contains.
                PushOutcome::Applied { sequence } => sequence.max(message.last_sequence),
                PushOutcome::Gap { sequence } if !has_responded && sequence != cursor => sequence,
                PushOutcome::Gap { .. } => return Err(PushError::PersistentGap),
            };
            has_responded = true;
        }
    }

    async fn push(&self, edge: &Edge, message: Bytes, at_ms: u64) -> Result<PushOutcome, PushError> {
        let _permit = self.permits.acquire().await; // never closed
        let key = EdgeKey::new(&self.feed.keys.current().edge_secret(&edge.name, edge.number()));
        let request = self.http.post(edge.url.push_url()).header("content-type", "application/octet-stream");
        let request = request.header(PROOF_HEADER, key.sign_push(at_ms)).body(message);
        let mut response = traced(request).send().await?;
        let status = response.status();
        if status != reqwest::StatusCode::OK && status != reqwest::StatusCode::CONFLICT {
            return Err(PushError::Status(status));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_RESPONSE_BYTES {
                return Err(PushError::Response);
            }
        }
        let PushResponse { sequence } = serde_json::from_slice(&body).map_err(|_| PushError::Response)?;
        let sequence = sequence.ok_or(PushError::NoSnapshot)?;
        Ok(match status {
            reqwest::StatusCode::OK => PushOutcome::Applied { sequence },
            _ => PushOutcome::Gap { sequence },
        })
    }
}
