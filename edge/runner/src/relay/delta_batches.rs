//! Questions of edges for deltas, which go to the origin together.
//!
//! The questions that arrive within a moment, of edges with the same sequence and configuration,
//! become one long poll at the origin. Later ones become the next, so several polls wait at a time,
//! and a change reaches all edges as soon as the origin sends it.

use super::SHARED_VERSION;
use super::heartbeats::Heartbeats;
use crate::origin_client::OriginClient;
use crate::response::{Body, json_error, now_ms};
use crate::settings::RelaySettings;
use bytes::Bytes;
use http::{Response, StatusCode};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep};
use tollgate_core::{Deltas, MAX_TREE_NONCES, NonceTree};
use tollgate_gate::{EdgeIdentity, Nonce};

/// Time in which questions are collected for one poll.
const COLLECT_TIME: Duration = Duration::from_millis(20);
/// Polls that wait at the origin. Edges in step need one for each [`COLLECT_TIME`] of their wait.
const MAX_POLLS: usize = 1024;

/// A question of an edge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) after: u64,
    pub(super) wait: Duration,
    pub(super) nonce: Nonce,
    /// Digest of the edge's configuration, if it takes a new one with deltas.
    pub(super) config: Option<[u8; 16]>,
}

/// What the answers of a batch depend on.
type BatchKey = (u64, Option<[u8; 16]>);
/// The bytes that a batch has in common, and what follows for one edge.
type Answer = (Bytes, Vec<u8>);
type Reply = Result<Answer, Failure>;

struct Waiting {
    nonce: Nonce,
    deadline: Instant,
    reply: oneshot::Sender<Reply>,
}

/// Why a question is not answered.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The origin's own refusal, which edges understand.
    Status(StatusCode),
    /// The origin cannot be reached, or its answer is of no use.
    Origin(Arc<str>),
    /// Too many polls wait.
    Busy,
}

impl Failure {
    pub(super) fn response(&self) -> Response<Body> {
        match self {
            Failure::Status(status) => {
                json_error(*status, "invalid_request", "the origin has no deltas after that sequence")
            }
            Failure::Origin(why) => json_error(StatusCode::BAD_GATEWAY, "temporarily_unavailable", why),
            Failure::Busy => {
                let why = "edges with too many different sequences are waiting";
                json_error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", why)
            }
        }
    }
}

/// The questions that wait for an answer.
pub(super) struct DeltaBatches {
    client: Arc<OriginClient>,
    pins: Vec<[u8; 32]>,
    edge: Option<EdgeIdentity>,
    /// Those of edges, for the origin.
    pub(super) heartbeats: Heartbeats,
    /// Questions that are being collected.
    collecting: Mutex<HashMap<BatchKey, Vec<Waiting>>>,
    polls: Semaphore,
    waiting: AtomicUsize,
    questions: AtomicU64,
    answers: AtomicU64,
    /// Why the newest poll failed.
    failure: Mutex<Option<Arc<str>>>,
}

impl DeltaBatches {
    pub(super) fn new(client: Arc<OriginClient>, settings: &RelaySettings) -> Arc<DeltaBatches> {
        Arc::new(DeltaBatches {
            client,
            pins: settings.snapshot_keys.clone(),
            edge: settings.edge.clone(),
            heartbeats: Heartbeats::default(),
            collecting: Mutex::default(),
            polls: Semaphore::new(MAX_POLLS),
            waiting: AtomicUsize::new(0),
            questions: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            failure: Mutex::default(),
        })
    }

    /// Edges that wait for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Questions sent to the origin.
    pub(super) fn question_count(&self) -> u64 {
        self.questions.load(Relaxed)
    }

    /// Answers given to edges.
    pub(super) fn answer_count(&self) -> u64 {
        self.answers.load(Relaxed)
    }

    pub(super) fn failure(&self) -> Option<Arc<str>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers a question together with others.
    pub(super) async fn answer(self: &Arc<DeltaBatches>, question: Question) -> Reply {
        let key = (question.after, question.config);
        let (reply, answered) = oneshot::channel();
        let waiting = Waiting { nonce: question.nonce, deadline: Instant::now() + question.wait, reply };
        let is_first = {
            let mut collecting = self.collecting();
            let batch = collecting.entry(key).or_default();
            batch.push(waiting);
            batch.len() == 1
        };
        if is_first {
            tokio::spawn(Arc::clone(self).collect(key));
        }
        let _waiting = WaitingEdge::count(&self.waiting);
        let answer = answered.await;
        self.answers.fetch_add(1, Relaxed);
        answer.unwrap_or(Err(Failure::Busy))
    }

    /// Collects the questions of a batch, and asks the origin.
    async fn collect(self: Arc<DeltaBatches>, key: BatchKey) {
        sleep(COLLECT_TIME).await;
        let mut batch = self.collecting().remove(&key).unwrap_or_default();
        batch.retain(|waiting| !waiting.reply.is_closed());
        let Ok(_permit) = self.polls.try_acquire() else {
            batch.into_iter().for_each(|waiting| drop(waiting.reply.send(Err(Failure::Busy))));
            return;
        };
        while !batch.is_empty() {
            let rest = batch.split_off(batch.len().min(MAX_TREE_NONCES));
            self.ask(key, batch).await;
            batch = rest;
        }
    }

    /// Sends one question for all of them.
    async fn ask(&self, key: BatchKey, batch: Vec<Waiting>) {
        let nonces: Vec<Nonce> = batch.iter().map(|waiting| waiting.nonce).collect();
        let Some(tree) = NonceTree::new(&nonces) else { return };
        let earliest = batch.iter().map(|waiting| waiting.deadline).min();
        let wait = earliest.map(|deadline| deadline.saturating_duration_since(Instant::now())).unwrap_or_default();
        let message = self.poll(key, wait, tree.root()).await;
        if let Err(Failure::Origin(why)) = &message {
            tracing::warn!(error = %why, "the origin does not answer");
        }
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = match &message {
            Err(Failure::Origin(why)) => Some(Arc::clone(why)),
            _ => None,
        };
        for (position, waiting) in batch.into_iter().enumerate() {
            let answer = message.as_ref().map_err(Failure::clone).and_then(|message| {
                let answer = tree.answer(message, position);
                answer.map(|(shared, rest)| (message.slice_ref(shared), rest)).ok_or_else(old_origin)
            });
            // The edge may have disconnected.
            drop(waiting.reply.send(answer));
        }
    }

    /// The origin's message for the question with this nonce, with its signature checked.
    async fn poll(&self, (after, config): BatchKey, wait: Duration, nonce: Nonce) -> Result<Bytes, Failure> {
        self.questions.fetch_add(1, Relaxed);
        let (seconds, millis) = (wait.as_secs(), wait.subsec_millis());
        let mut query = format!("after={after}&wait={seconds}.{millis:03}&nonce={nonce}&version={SHARED_VERSION}");
        if let Some(config) = config {
            query = format!("{query}&config={}", tollgate_core::ConfigDigest::from_bytes(config));
        }
        query.push_str(&self.heartbeats.take_parameter());
        if let Some(edge) = &self.edge {
            query = edge.key.sign(format!("{query}&edge={}&number={}&at={}", edge.name, edge.number, now_ms()));
        }
        let failed = |why: String| Failure::Origin(why.into());
        let answer = self.client.get(&format!("/edge/v1/deltas?{query}"), wait, None).await.map_err(failed)?;
        match answer.status {
            200 => {}
            409 => return Err(Failure::Status(StatusCode::CONFLICT)),
            410 => return Err(Failure::Status(StatusCode::GONE)),
            status => return Err(failed(format!("the origin answered with status {status}"))),
        }
        let deltas = Deltas::decode(&answer.body, &self.pins).map_err(|error| failed(error.to_string()))?;
        match deltas.answers(nonce) {
            true => Ok(answer.body.into()),
            false => Err(failed("the answer lacks the question's nonce".to_owned())),
        }
    }

    fn collecting(&self) -> MutexGuard<'_, HashMap<BatchKey, Vec<Waiting>>> {
        // Poisoned only by a panic, and the code under the lock does not panic.
        self.collecting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts an edge until it is dropped, with its request.
struct WaitingEdge<'a>(&'a AtomicUsize);

impl WaitingEdge<'_> {
    fn count(waiting: &AtomicUsize) -> WaitingEdge<'_> {
        waiting.fetch_add(1, Relaxed);
        WaitingEdge(waiting)
    }
}

impl Drop for WaitingEdge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn old_origin() -> Failure {
    Failure::Origin("the origin is too old for a relay: upgrade it".into())
}
