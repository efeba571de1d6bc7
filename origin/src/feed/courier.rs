//! Pushes deltas to registered edges as soon as they are committed.
//!
//! A push is signed, so it needs no secret, and harmless to repeat, so nothing is lost by sending again. It is also never
//! needed: an edge that misses every push still pulls within its hard interval. So the courier keeps no queue: for each
//! edge it remembers how far that edge has come, and sends what follows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{FeedError, Publisher, Wake};
use crate::ambient;
use crate::domain::{Edge, EdgeName};
use crate::store::{Store, StoreError};

/// Longer than any healthy edge takes, short enough not to hold up the next try.
const PUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// The first pause after a failure; each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// An edge's answer is a few bytes.
const MAX_ANSWER_BYTES: usize = 4096;

/// What an edge answers to a push.
#[derive(Deserialize)]
struct Answer {
    sequence: u64,
}

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pushed {
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
    #[error("what the edge was sent does not join on to what it says it holds")]
    NeverJoins,
}

/// Pushes to edges; shared by the tasks that do it.
pub struct Courier {
    store: Store,
    publisher: Arc<Publisher>,
    http: reqwest::Client,
}

impl Courier {
    /// A courier that sends what `publisher` builds.
    ///
    /// # Errors
    /// When no HTTP client can be made, for want of trusted certificates.
    pub fn new(store: Store, publisher: Arc<Publisher>) -> Result<Courier, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(PUSH_TIMEOUT)
            // A redirect would send the push where the operator did not register it.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Courier { store, publisher, http })
    }

    /// Serves the registered edges until `stop`, following changes of the list.
    pub async fn run(self, mut wake: Receiver<Wake>, stop: CancellationToken) {
        let courier = Arc::new(self);
        let mut tasks = JoinSet::new();
        let mut serving: BTreeMap<EdgeName, (Edge, CancellationToken)> = BTreeMap::new();
        loop {
            wake.mark_unchanged();
            while tasks.try_join_next().is_some() {}
            match courier.store.edges().await {
                Ok(edges) => {
                    // An edge is the same while its registration is; its acknowledged sequence moves on.
                    let same = |a: &Edge, b: &Edge| a.url == b.url && a.created_at == b.created_at;
                    serving.retain(|_, (served, ended)| {
                        let keep = edges.iter().any(|edge| edge.name == served.name && same(edge, served));
                        if !keep {
                            ended.cancel();
                        }
                        keep
                    });
                    for edge in edges {
                        if !serving.contains_key(&edge.name) {
                            let ended = stop.child_token();
                            serving.insert(edge.name.clone(), (edge.clone(), ended.clone()));
                            tasks.spawn(Arc::clone(&courier).serve_until(edge, wake.clone(), ended));
                        }
                    }
                }
                Err(error) => tracing::error!(%error, "the list of edges could not be read"),
            }
            let version = wake.borrow().head.version;
            tokio::select! {
                _ = wake.wait_for(|wake| wake.head.version != version) => {}
                () = stop.cancelled() => break,
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn serve_until(self: Arc<Courier>, edge: Edge, wake: Receiver<Wake>, ended: CancellationToken) {
        tokio::select! {
            () = self.serve(&edge, wake) => {}
            () = ended.cancelled() => {}
        }
    }

    async fn serve(&self, edge: &Edge, mut wake: Receiver<Wake>) {
        let mut cursor = edge.acknowledged;
        let mut failures: u32 = 0;
        loop {
            wake.mark_unchanged();
            match self.catch_up(edge, cursor).await {
                Ok(reached) => {
                    cursor = reached;
                    failures = 0;
                    if wake.wait_for(|wake| wake.head.sequence > reached).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!(edge = %edge.name, failures, %error, "a push failed");
                    cursor = self.restart_from(cursor, &error);
                    sleep(pause(failures, ambient::jitter())).await;
                }
            }
        }
    }

    /// Where to begin again after a failure: an edge's cursor that the feed cannot serve is put at the feed's end, for what
    /// lies between only the snapshot can bring, and the edge fetches that itself.
    fn restart_from(&self, cursor: u64, error: &PushError) -> u64 {
        match error {
            PushError::Feed(FeedError::Ahead { newest }) => *newest,
            _ => cursor,
        }
    }

    /// Sends all that follows `cursor`; returns the sequence the edge then holds.
    async fn catch_up(&self, edge: &Edge, mut cursor: u64) -> Result<u64, PushError> {
        let mut joined = false;
        loop {
            let message = match self.publisher.deltas(cursor, ambient::now_ms()).await {
                // Older than what is kept: the edge must take the snapshot; pushing goes on from the newest sequence.
                Err(FeedError::Gone) => return Ok(self.store.head().await?.sequence),
                message => message?,
            };
            if message.heartbeat {
                return Ok(cursor);
            }
            match self.push(edge, message.bytes).await? {
                Pushed::Holds(sequence) => {
                    self.store.acknowledge(&edge.name, sequence.min(message.reaches), ambient::now_ms()).await?;
                    // The edge may be further than this message, by pulling. Never follow it beyond, or backwards.
                    cursor = sequence.max(message.reaches);
                    joined = true;
                }
                Pushed::Gap(sequence) if !joined && sequence != cursor => {
                    cursor = sequence;
                    joined = true;
                }
                Pushed::Gap(_) => return Err(PushError::NeverJoins),
            }
        }
    }

    async fn push(&self, edge: &Edge, message: Vec<u8>) -> Result<Pushed, PushError> {
        let request = self.http.post(edge.url.push()).header("content-type", "application/octet-stream").body(message);
        let mut answer = request.send().await?;
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
        Ok(if status == reqwest::StatusCode::OK { Pushed::Holds(sequence) } else { Pushed::Gap(sequence) })
    }
}

/// Exponential, with full jitter: edges that failed together do not come back together.
fn pause(failures: u32, jitter: f64) -> Duration {
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
