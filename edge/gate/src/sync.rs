//! Keeps a gate's replica in sync with its origin: what the host fetches, the origin's answers,
//! pushes, and snapshots from a cold-start store.

use tollgate_core::{Deltas, MAX_DELTAS_BYTES, MAX_SNAPSHOT_BYTES, MessageKind, Nonce, Replica, ReplicaError};

use crate::gate::Gate;
use crate::json::JsonObject;
use crate::message::{Decision, Request, Response};
use crate::replica_state::{FetchError, MAX_CLOCK_DIFFERENCE_MS};

/// Maximum size of an answer to a fetch.
pub const MAX_FETCH_BYTES: usize = MAX_SNAPSHOT_BYTES;
/// Maximum size of a push.
pub const MAX_PUSH_BYTES: usize = MAX_DELTAS_BYTES;
/// Target of a fetch for a snapshot that only saves memory. A host may fetch it in the background:
/// it then passes the status 304 to [`Gate::accept`], goes on, and installs the snapshot by
/// [`Gate::warm`].
pub const FOLD_TARGET: &str = "/edge/v1/snapshot?fold";
/// Header in which a push to an edge with a key has the origin's proof.
pub const PUSH_HEADER: &str = "tollgate-push";

/// Time and nonce of one fetch from the origin. The answer proves the replica complete as of this
/// time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// When the request was sent, by the edge's clock, in Unix milliseconds.
    pub asked_at_ms: u64,
    /// Random and used once; only an answer that contains it proves freshness.
    pub nonce: Nonce,
}

impl Gate {
    /// Path and query of the next GET from the origin: the snapshot, or the deltas after the
    /// replica's sequence. `wait_ms` is the time for which the origin may hold its answer until
    /// there is a change (long poll). The version says which messages this edge understands. An
    /// edge with a key signs the query.
    pub fn next_fetch(&self, wait_ms: u64, question: &Question) -> String {
        self.fetch_target(wait_ms, question, None)
    }

    /// As [`next_fetch`](Self::next_fetch), with an [`EdgeReport`](tollgate_core::EdgeReport) of
    /// the edge's work. Only an edge with a key sends it, and only in a request for deltas.
    pub fn next_fetch_reporting(&self, wait_ms: u64, question: &Question, report: &str) -> String {
        self.fetch_target(wait_ms, question, Some(report))
    }

    fn fetch_target(&self, wait_ms: u64, question: &Question, report: Option<&str>) -> String {
        let Some(after) = self.next_after() else {
            return if self.state.is_only_fold_due() { FOLD_TARGET } else { "/edge/v1/snapshot" }.to_owned();
        };
        // A replica is as fresh as the time of the question, and the next answer may take as long
        // again.
        let wait_ms = wait_ms.min(self.strictest_staleness_ms() / 4);
        let (seconds, millis, nonce) = (wait_ms / 1000, wait_ms % 1000, question.nonce);
        let mut query = format!("after={after}&wait={seconds}.{millis:03}&nonce={nonce}&version=3");
        if let Some(replica) = self.state.replica().filter(|_| self.takes_config_deltas) {
            query.push_str("&config=");
            query.push_str(&replica.config_digest().to_string());
        }
        if let Some(edge) = &self.settings().edge {
            let (name, number, at_ms) = (&edge.name, edge.number, question.asked_at_ms);
            query.push_str(&format!("&edge={name}&number={number}&at={at_ms}"));
            if let Some(report) = report {
                query.push_str("&report=");
                query.push_str(report);
            }
            query = edge.key.sign(query);
        }
        format!("/edge/v1/deltas?{query}")
    }

    /// The sequence after which the next fetch asks for deltas; none if it asks for the snapshot.
    pub fn next_after(&self) -> Option<u64> {
        let replica = self.state.replica().filter(|_| !self.state.is_snapshot_next());
        replica.map(Replica::sequence)
    }

    /// Applies the origin's answer to [`next_fetch`](Self::next_fetch). Returns true if the host
    /// must fetch again without delay, because the replica is not complete.
    ///
    /// # Errors
    /// Says why the answer was refused. The replica stays as it was; the health report shows the
    /// error.
    pub fn accept(&mut self, status: u16, body: &[u8], question: &Question) -> Result<bool, FetchError> {
        self.accept_answer(status, body, question.asked_at_ms, Some(question.nonce))
    }

    /// Applies the origin's answer to another part of this edge (a Worker's hub), which sent the
    /// request at `asked_at_ms` and has checked the nonce.
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
        let state = &mut self.state;
        let (was_snapshot_asked, was_snapshot_tried) = (state.is_snapshot_next(), state.is_snapshot_tried);
        // After a snapshot, refused or not, deltas are next: only they prove freshness.
        state.is_snapshot_tried = was_snapshot_asked;
        state.is_fold_due = false;
        let result = match status {
            200 => state.apply_answer(body, asked_at_ms, nonce),
            304 if was_snapshot_asked => Ok(()),
            409 => Err(FetchError::OriginBehind),
            410 if !state.is_too_far_behind => {
                state.is_too_far_behind = true;
                return Ok(true);
            }
            status => Err(FetchError::Status(status)),
        };
        if let Err(error) = result {
            state.last_error = Some((error.to_string(), asked_at_ms));
            return Err(error);
        }
        state.last_error = None;
        if !was_snapshot_asked {
            state.plan_fold(nonce.map_or(0, |nonce| nonce.as_bytes()[0]));
        }
        let is_behind = state.replica().is_some_and(|replica| !replica.is_caught_up());
        // After a snapshot that did not help, the next one is not fetched before new deltas.
        let is_snapshot = MessageKind::of(body) == Some(MessageKind::Snapshot);
        let must_fetch_again =
            is_snapshot || is_behind || state.is_fold_due || (state.needs_snapshot() && !was_snapshot_tried);
        self.count_current_routes();
        Ok(must_fetch_again)
    }

    /// Counts the requests of the current route rules, from 0 if these have changed.
    fn count_current_routes(&mut self) {
        let Some(replica) = self.state.replica() else { return };
        let digest = replica.config_digest();
        if self.counted_config.as_ref() != Some(&digest) {
            let count = replica.config().routes().len();
            self.counters.reset_routes(count);
            self.counted_config = Some(digest);
        }
    }

    /// Records a fetch without an answer, for the health report.
    pub fn fetch_failed(&mut self, why: &str, now_ms: u64) {
        self.state.last_error = Some((format!("the origin cannot be reached: {why}"), now_ms));
        self.state.is_fold_due = false;
    }

    /// Records why another part of this edge (a Worker's hub) has no fresh answer of the origin,
    /// for the health report.
    pub fn record_error(&mut self, why: &str, now_ms: u64) {
        self.state.last_error = Some((why.to_owned(), now_ms));
    }

    /// Why the last fetch failed; none after a success.
    pub fn last_error(&self) -> Option<&str> {
        self.state.last_error().map(|(why, _)| why)
    }

    /// Decides whether the host reads a push. The path is public: if the edge has a key, its origin
    /// proves with it that the push is its own, so that others cost neither memory nor a signature
    /// check.
    pub(crate) fn decide_push(&self, request: &Request<'_>, now_ms: u64) -> Decision {
        let header = request.header(PUSH_HEADER).next().and_then(|value| core::str::from_utf8(value).ok());
        let is_admitted = self.settings().edge.is_none()
            || header.and_then(|header| self.push_time(header)).is_some_and(|at_ms| self.admit_push(at_ms, now_ms));
        if is_admitted {
            return Decision::Push;
        }
        let why = "the push has no proof by this edge's key, is old, or was received before";
        Decision::Answer(Response::error(403, "access_denied", why))
    }

    /// The time in the header of a push, if it has the proof of this edge's key.
    pub fn push_time(&self, header: &str) -> Option<u64> {
        self.settings().edge.as_ref()?.key.push_time(header)
    }

    /// Whether a push with a valid proof and this time is neither old nor received before. Times
    /// only grow, so a recorded push is never admitted again.
    pub fn admit_push(&self, at_ms: u64, now_ms: u64) -> bool {
        let is_new = at_ms > self.state.last_push_at_ms.get() && at_ms.abs_diff(now_ms) <= MAX_CLOCK_DIFFERENCE_MS;
        if is_new {
            self.state.last_push_at_ms.set(at_ms);
        }
        is_new
    }

    /// Whether a push, if it is the origin's, brings nothing that this replica does not have. Its
    /// signature need not be checked then.
    pub fn has_all_of_push(&self, body: &[u8]) -> bool {
        let replica = self.state.replica();
        Deltas::unverified_claim(body).is_some_and(|claim| replica.is_some_and(|replica| replica.has_all_of(&claim)))
    }

    /// Applies a push from the origin. The response has the replica's sequence and one of these
    /// statuses: 200 if the message was applied or brings nothing new, 409 if deltas before it are
    /// missing, 400 if it was refused.
    pub fn push(&mut self, body: &[u8], now_ms: u64) -> Response {
        let result = if self.has_all_of_push(body) { Ok(()) } else { self.state.apply_deltas(body, None) };
        if result.is_ok() {
            self.count_current_routes();
        }
        let progress = JsonObject::new().number("sequence", self.sequence());
        match result {
            Ok(()) => Response::json(200, progress),
            Err(FetchError::Replica(ReplicaError::Gap { .. }) | FetchError::NoSnapshot) => {
                Response::json(409, progress)
            }
            Err(error) => {
                // The path is public: only errors of messages with the origin's signature are
                // reported.
                if !matches!(error, FetchError::Wire(_)) {
                    self.state.last_error = Some((format!("a push was refused: {error}"), now_ms));
                }
                Response::error(400, "invalid_message", &error.to_string())
            }
        }
    }

    /// Sequence of the replica's last change; none without a snapshot.
    pub fn sequence(&self) -> Option<u64> {
        self.state.replica().map(Replica::sequence)
    }

    /// Bytes of the replica's snapshot, for a cold-start store.
    pub fn snapshot(&self) -> Option<&[u8]> {
        self.state.replica().map(|replica| replica.snapshot().as_bytes())
    }

    /// Installs a snapshot from a cold-start store. It never makes the replica fresh.
    ///
    /// # Errors
    /// Says why the snapshot was refused; the replica stays as it was.
    pub fn warm(&mut self, snapshot: &[u8]) -> Result<(), FetchError> {
        self.state.install_snapshot(snapshot)?;
        self.count_current_routes();
        Ok(())
    }
}
