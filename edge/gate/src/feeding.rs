//! How an adapter feeds a gate: what to fetch, what became of it, what was pushed, what a cold start has left.

use tollgate_core::{MAX_DELTAS_BYTES, MAX_SNAPSHOT_BYTES, MessageKind, Nonce, Replica, ReplicaError};

use crate::gate::Gate;
use crate::json::JsonObject;
use crate::knowledge::FetchError;
use crate::message::Response;

/// The most bytes of an answer to a fetch that an adapter needs to take.
pub const MAX_FETCH_BYTES: usize = MAX_SNAPSHOT_BYTES;
/// The most bytes of a push that an adapter needs to take.
pub const MAX_PUSH_BYTES: usize = MAX_DELTAS_BYTES;

/// One question to the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// When it is asked, by the edge's clock, Unix milliseconds.
    pub asked_at_ms: u64,
    /// What the answer must bear; random, and never used twice.
    pub nonce: Nonce,
}

impl Gate {
    /// Path and query to GET at the origin next: the snapshot, or the deltas since. `wait_ms` asks the origin to hold its answer
    /// until there is a change; 0 asks for an answer at once. An edge that has a key says and proves which edge it is.
    pub fn next_fetch(&self, wait_ms: u64, question: &Question) -> String {
        let Some(after) = self.next_after() else { return "/edge/v1/snapshot".to_owned() };
        let (seconds, millis, nonce) = (wait_ms / 1000, wait_ms % 1000, question.nonce);
        let mut query = format!("after={after}&wait={seconds}.{millis:03}&nonce={nonce}");
        if let Some(edge) = &self.settings().edge {
            let (name, number, at_ms) = (&edge.name, edge.number, question.asked_at_ms);
            query = edge.key.sign(format!("{query}&edge={name}&number={number}&at={at_ms}"));
        }
        format!("/edge/v1/deltas?{query}")
    }

    /// The sequence that the next fetch asks what follows; none if it asks for the snapshot.
    pub fn next_after(&self) -> Option<u64> {
        let replica = self.knowledge.replica.as_ref().filter(|_| !self.knowledge.asks_for_snapshot());
        replica.map(Replica::sequence)
    }

    /// Takes the origin's answer to [`next_fetch`](Self::next_fetch). True: fetch again at once, for there is more to come.
    ///
    /// # Errors
    /// Why the answer was refused. What the gate held before stays in force, and health tells of it.
    pub fn accept(&mut self, status: u16, body: &[u8], question: &Question) -> Result<bool, FetchError> {
        self.accept_answer(status, body, question.asked_at_ms, Some(question.nonce))
    }

    /// Takes the origin's answer to a trusted part of this same edge, which asked at `asked_at_ms` and found its nonce in it.
    ///
    /// # Errors
    /// As for [`accept`](Self::accept).
    pub fn accept_relayed(&mut self, body: &[u8], asked_at_ms: u64) -> Result<bool, FetchError> {
        self.accept_answer(200, body, asked_at_ms, None)
    }

    fn accept_answer(
        &mut self,
        status: u16,
        body: &[u8],
        asked_at_ms: u64,
        nonce: Option<Nonce>,
    ) -> Result<bool, FetchError> {
        let knowledge = &mut self.knowledge;
        let (asked_for_snapshot, tried_before) = (knowledge.asks_for_snapshot(), knowledge.snapshot_tried);
        // Whatever became of the snapshot, deltas are next: only they bring freshness.
        knowledge.snapshot_tried = asked_for_snapshot;
        let result = match status {
            200 => knowledge.take(body, asked_at_ms, nonce),
            409 => Err(FetchError::OriginBehind),
            410 if !knowledge.too_far_behind => {
                knowledge.too_far_behind = true;
                return Ok(true);
            }
            status => Err(FetchError::Status(status)),
        };
        if let Err(error) = result {
            knowledge.last_error = Some((error.to_string(), asked_at_ms));
            return Err(error);
        }
        knowledge.last_error = None;
        let behind = knowledge.replica.as_ref().is_some_and(|replica| !replica.is_caught_up());
        // A snapshot that does not bring what it was wanted for is not asked for again at once.
        let was_snapshot = MessageKind::of(body) == Some(MessageKind::Snapshot);
        Ok(was_snapshot || behind || (knowledge.needs_snapshot() && !tried_before))
    }

    /// Tells that a fetch brought no answer at all, for health.
    pub fn fetch_failed(&mut self, why: &str, now_ms: u64) {
        self.knowledge.last_error = Some((format!("the origin cannot be reached: {why}"), now_ms));
    }

    /// Takes what the origin pushed. The answer tells the sequence that the edge holds now: 200 when the message joined on,
    /// 409 when deltas between are missing, 400 when it is refused.
    pub fn push(&mut self, body: &[u8], now_ms: u64) -> Response {
        let result = self.knowledge.take_deltas(body, None);
        let held = JsonObject::new().number("sequence", self.knowledge.replica.as_ref().map(Replica::sequence));
        match result {
            Ok(()) => Response::json(200, held),
            Err(FetchError::Replica(ReplicaError::Gap { .. }) | FetchError::NoSnapshot) => Response::json(409, held),
            Err(error) => {
                // Anybody can post what is not the origin's; only the origin's own words are worth a place in health.
                if !matches!(error, FetchError::Wire(_)) {
                    self.knowledge.last_error = Some((format!("a push was refused: {error}"), now_ms));
                }
                Response::error(400, "invalid_message", &error.to_string())
            }
        }
    }

    /// The last change that is held; none without a snapshot.
    pub fn sequence(&self) -> Option<u64> {
        self.knowledge.replica.as_ref().map(Replica::sequence)
    }

    /// The snapshot's bytes, for a store that outlives the instance.
    pub fn snapshot(&self) -> Option<&[u8]> {
        self.knowledge.replica.as_ref().map(|replica| replica.snapshot().as_bytes())
    }

    /// Begins with a snapshot from such a store: it brings knowledge, never freshness.
    ///
    /// # Errors
    /// Why the snapshot was refused; nothing changes then.
    pub fn warm(&mut self, snapshot: &[u8]) -> Result<(), FetchError> {
        self.knowledge.take_snapshot(snapshot)
    }
}
