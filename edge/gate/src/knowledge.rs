//! What an edge knows: the replica of its origin's history, how it is kept up, and when it was last known to be complete.

use std::cell::{RefCell, RefMut};
use std::fmt;

use tollgate_core::{
    Deltas, KeySet, MessageKind, Nonce, Replica, ReplicaError, Snapshot, TableSize, Verifier, WireError,
};

use crate::settings::Settings;

/// How far the origin's clock may be from the edge's, milliseconds. An answer's nonce says that it is none from before; this
/// keeps an origin whose clock jumped from setting the time by which later messages are ordered.
const MAX_CLOCK_DIFFERENCE_MS: u64 = 60_000;

/// The replica with its keys and freshness.
#[derive(Debug)]
pub(crate) struct Knowledge {
    pins: Vec<[u8; 32]>,
    issuer: String,
    secret_keys: KeySet,
    pub(crate) replica: Option<Replica>,
    cached_tokens: usize,
    key_tables: TableSize,
    /// The snapshot's keys and the edge's own HS256 keys together, and what was learnt by using them.
    verifier: RefCell<Verifier>,
    /// The moment, by the edge's clock, at which everything that the origin had acknowledged is in the replica.
    complete_at_ms: Option<u64>,
    /// The origin no longer has the deltas that this replica needs.
    pub(crate) too_far_behind: bool,
    /// The last answer was a snapshot, taken or not: deltas are asked for next, for only they bring freshness.
    pub(crate) snapshot_tried: bool,
    pub(crate) last_error: Option<(String, u64)>,
}

impl Knowledge {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            pins: settings.snapshot_keys.clone(),
            issuer: settings.issuer.clone(),
            secret_keys: settings.secret_keys.clone(),
            replica: None,
            cached_tokens: settings.cached_tokens,
            key_tables: settings.key_tables,
            verifier: RefCell::new(Verifier::new(settings.secret_keys.clone(), 0, TableSize::None)),
            complete_at_ms: None,
            too_far_behind: false,
            snapshot_tried: false,
            last_error: None,
        }
    }

    pub(crate) fn replica(&self) -> Option<&Replica> {
        self.replica.as_ref()
    }

    /// What checks tokens. A gate has one thread and asks for one token at a time: it is always free.
    pub(crate) fn verifier(&self) -> RefMut<'_, Verifier> {
        self.verifier.borrow_mut()
    }

    /// Milliseconds since the replica was last known to be complete. A clock that was set back makes it old, not young.
    pub(crate) fn age_ms(&self, now_ms: u64) -> Option<u64> {
        self.complete_at_ms.map(|at| now_ms.abs_diff(at))
    }

    pub(crate) fn last_error(&self) -> Option<(&str, u64)> {
        self.last_error.as_ref().map(|(why, at_ms)| (why.as_str(), *at_ms))
    }

    /// Whether the next question is for the snapshot.
    pub(crate) fn asks_for_snapshot(&self) -> bool {
        self.replica.is_none() || (self.needs_snapshot() && !self.snapshot_tried)
    }

    pub(crate) fn needs_snapshot(&self) -> bool {
        self.too_far_behind || self.replica.as_ref().is_none_or(Replica::needs_snapshot)
    }

    /// Takes an answer of the origin's. `nonce`: the one that it must bear, unless that was found in it already.
    pub(crate) fn take(&mut self, message: &[u8], asked_at_ms: u64, nonce: Option<Nonce>) -> Result<(), FetchError> {
        match MessageKind::of(message) {
            Some(MessageKind::Snapshot) => self.take_snapshot(message),
            Some(MessageKind::Deltas) => {
                let deltas = Deltas::decode(message, &self.pins).map_err(FetchError::Wire)?;
                let is_answer = nonce.is_none_or(|nonce| deltas.nonce() == Some(nonce));
                // Whatever it is, its changes are the origin's.
                self.apply(&deltas, is_answer.then_some(asked_at_ms))?;
                if is_answer { Ok(()) } else { Err(FetchError::OtherNonce) }
            }
            None => Err(FetchError::Wire(WireError::WrongKind)),
        }
    }

    pub(crate) fn take_snapshot(&mut self, message: &[u8]) -> Result<(), FetchError> {
        let snapshot = Snapshot::decode(message.to_vec(), &self.pins).map_err(FetchError::Wire)?;
        let held = self.replica.as_ref().map(|replica| replica.snapshot().config_digest());
        let verifier = match held == Some(snapshot.config_digest()) {
            true => None, // the same keys: what was learnt by using them stays
            false => Some(self.verifier_for(&snapshot)?),
        };
        match &mut self.replica {
            Some(replica) => replica.install(snapshot).map_err(FetchError::Replica)?,
            None => self.replica = Some(Replica::new(snapshot, &self.issuer).map_err(FetchError::Replica)?),
        }
        if let Some(verifier) = verifier {
            self.verifier = RefCell::new(verifier);
        }
        self.too_far_behind = false;
        Ok(())
    }

    fn verifier_for(&self, snapshot: &Snapshot) -> Result<Verifier, FetchError> {
        let mut keys = snapshot.config().keys().clone();
        keys.extend(&self.secret_keys).map_err(|error| FetchError::Keys(error.to_string()))?;
        keys.reuse_tables_from(self.verifier.borrow().keys());
        Ok(Verifier::new(keys, self.cached_tokens, self.key_tables))
    }

    /// Takes in deltas. Ones that were asked for also tell that the replica was complete when they were asked for: whatever
    /// the origin acknowledged before is in the answer. A push tells no such thing: it may have been on its way for long.
    pub(crate) fn take_deltas(&mut self, message: &[u8], asked_at_ms: Option<u64>) -> Result<(), FetchError> {
        let deltas = Deltas::decode(message, &self.pins).map_err(FetchError::Wire)?;
        self.apply(&deltas, asked_at_ms)
    }

    fn apply(&mut self, deltas: &Deltas, asked_at_ms: Option<u64>) -> Result<(), FetchError> {
        let replica = self.replica.as_mut().ok_or(FetchError::NoSnapshot)?;
        if let Some(asked_at_ms) = asked_at_ms
            && deltas.as_of_ms().abs_diff(asked_at_ms) > MAX_CLOCK_DIFFERENCE_MS
        {
            return Err(FetchError::ClockDifference { as_of_ms: deltas.as_of_ms(), asked_at_ms });
        }
        let complete = replica.apply(deltas).map_err(FetchError::Replica)?;
        if complete && asked_at_ms.is_some() {
            self.complete_at_ms = asked_at_ms;
        }
        Ok(())
    }

    /// Takes the origin's answer to another instance of this edge, which asked at `asked_at_ms` by the same clock. It makes
    /// nothing fresher than it made that instance; with a time that has not come yet, for the clock was set back, it makes
    /// nothing fresh at all.
    pub(crate) fn take_shared_answer(
        &mut self,
        message: &[u8],
        asked_at_ms: u64,
        now_ms: u64,
    ) -> Result<(), FetchError> {
        let held = self.complete_at_ms;
        let younger = |held: u64| now_ms.abs_diff(asked_at_ms) < now_ms.abs_diff(held);
        self.take_deltas(message, Some(asked_at_ms))?;
        if asked_at_ms > now_ms {
            self.complete_at_ms = held.or(self.complete_at_ms.map(|_| 0));
        } else if !held.is_none_or(younger) {
            self.complete_at_ms = held;
        }
        Ok(())
    }
}

/// Why an answer of the origin was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchError {
    /// The origin answered with this status.
    Status(u16),
    /// The message is not one of the origin's.
    Wire(WireError),
    /// The message does not join on to what is held.
    Replica(ReplicaError),
    /// The origin has less history than this edge: it was restored from an old backup, and revocations may be lost there. The
    /// edge keeps what it holds; its routes answer as stale until a person has looked.
    OriginBehind,
    /// Deltas came before any snapshot.
    NoSnapshot,
    /// A key of the snapshot has the name of one of this edge's own.
    Keys(String),
    /// The answer does not bear the question's nonce: it is a recorded one, or the origin is older than the edge.
    OtherNonce,
    /// The clocks of origin and edge are more than a minute apart, or the answer is an old one.
    ClockDifference {
        /// The origin's time in the message, Unix milliseconds.
        as_of_ms: u64,
        /// The edge's time of the question, Unix milliseconds.
        asked_at_ms: u64,
    },
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the origin answered with status {status}"),
            Self::Wire(error) => error.fmt(f),
            Self::Replica(error) => error.fmt(f),
            Self::OriginBehind => {
                f.write_str("the origin has less history than this edge; was it restored from an old backup?")
            }
            Self::NoSnapshot => f.write_str("there is no snapshot to apply deltas to"),
            Self::Keys(why) => write!(f, "the snapshot's keys do not go with TOLLGATE_EDGE_SECRET_KEYS: {why}"),
            Self::OtherNonce => f.write_str(
                "the answer does not bear the nonce of this edge's question: it was recorded, or the origin is of an older \
                 version; upgrade the origin first",
            ),
            Self::ClockDifference { as_of_ms, asked_at_ms } => {
                write!(f, "the origin's time {as_of_ms} ms is more than a minute from this edge's {asked_at_ms} ms")
            }
        }
    }
}

impl std::error::Error for FetchError {}
