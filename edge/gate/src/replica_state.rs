//! The edge's replica of its origin's revocation log, with the keys that verify tokens and the time
//! as of which it is complete.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;

use tollgate_core::{
    Config, ConfigDigest, Deltas, KeySet, MessageKind, Nonce, Replica, ReplicaError, Snapshot, SnapshotInfo, TableSize,
    Verifier, WireError,
};

use crate::settings::Settings;

/// The nonce shows that an answer is not a replay. This limit keeps an origin whose clock has
/// jumped from setting the time by which later messages are ordered.
pub(crate) const MAX_CLOCK_DIFFERENCE_MS: u64 = 60_000;

/// Of the 256 values of a random byte, those with which an answer leads to a fold: one poll in 16.
const MAX_FOLD_SPREAD: u8 = 16;

/// The replica with its keys, its freshness and the progress of its sync.
#[derive(Debug)]
pub(crate) struct ReplicaState {
    snapshot_keys: Vec<[u8; 32]>,
    issuer: String,
    secret_keys: KeySet,
    replica: Option<Replica>,
    cached_tokens: usize,
    key_tables: TableSize,
    /// The snapshot's keys and the edge's HS256 keys, with the tables and cached tokens of both.
    verifier: RefCell<Verifier>,
    /// The configuration whose keys the verifier has.
    verifier_config: Option<ConfigDigest>,
    /// Time, by the edge's clock, as of which the replica has all that the origin had acknowledged.
    complete_as_of_ms: Option<u64>,
    /// The origin no longer has the deltas that this replica needs.
    pub(crate) is_too_far_behind: bool,
    /// The last fetch was for a snapshot, installed or not. Deltas are fetched next, because only
    /// they prove freshness.
    pub(crate) is_snapshot_tried: bool,
    /// A newer snapshot is fetched next, because it takes less memory than the held one with its
    /// deltas.
    pub(crate) is_fold_due: bool,
    /// The announcement for which a snapshot was fetched last.
    folded: Option<SnapshotInfo>,
    pub(crate) last_error: Option<(String, u64)>,
    /// Time of the newest push that had a valid proof, by the origin's clock.
    pub(crate) last_push_at_ms: Cell<u64>,
}

impl ReplicaState {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            snapshot_keys: settings.snapshot_keys.clone(),
            issuer: settings.issuer.clone(),
            secret_keys: settings.secret_keys.clone(),
            replica: None,
            cached_tokens: settings.cached_tokens,
            key_tables: settings.key_tables,
            verifier: RefCell::new(Verifier::new(settings.secret_keys.clone(), 0, TableSize::None)),
            verifier_config: None,
            complete_as_of_ms: None,
            is_too_far_behind: false,
            is_snapshot_tried: false,
            is_fold_due: false,
            folded: None,
            last_error: None,
            last_push_at_ms: Cell::new(0),
        }
    }

    pub(crate) fn replica(&self) -> Option<&Replica> {
        self.replica.as_ref()
    }

    /// The verifier of tokens. A gate runs on one thread and verifies one token at a time, so the
    /// borrow never fails.
    pub(crate) fn verifier(&self) -> RefMut<'_, Verifier> {
        self.verifier.borrow_mut()
    }

    /// Milliseconds since the time as of which the replica is complete. If the clock was set back,
    /// the distance counts as age, so that the replica is never taken for fresher than it is.
    pub(crate) fn age_ms(&self, now_ms: u64) -> Option<u64> {
        self.complete_as_of_ms.map(|at| now_ms.abs_diff(at))
    }

    /// Time, by the edge's clock, as of which the replica is complete.
    pub(crate) fn complete_as_of_ms(&self) -> Option<u64> {
        self.complete_as_of_ms
    }

    pub(crate) fn last_error(&self) -> Option<(&str, u64)> {
        self.last_error.as_ref().map(|(why, at_ms)| (why.as_str(), *at_ms))
    }

    /// Whether the next fetch is for the snapshot.
    pub(crate) fn is_snapshot_next(&self) -> bool {
        self.replica.is_none() || self.is_fold_due || (self.needs_snapshot() && !self.is_snapshot_tried)
    }

    /// Whether the next fetch is for a snapshot without which the replica can be complete, too.
    pub(crate) fn is_only_fold_due(&self) -> bool {
        self.is_fold_due && !self.needs_snapshot()
    }

    /// After deltas, plans to fetch an announced snapshot that takes less memory, once for each
    /// announcement: a cache may have an older one. `spread` is random, so that the edges of a
    /// fleet, which all learn of a snapshot at the same moment, do not fetch it at the same moment.
    pub(crate) fn plan_fold(&mut self, spread: u8) {
        let announced = self.replica.as_ref().and_then(Replica::snapshot_to_fold);
        if spread < MAX_FOLD_SPREAD && announced > self.folded {
            self.is_fold_due = true;
            self.folded = announced;
        }
    }

    pub(crate) fn needs_snapshot(&self) -> bool {
        self.is_too_far_behind || self.replica.as_ref().is_none_or(Replica::needs_snapshot)
    }

    /// Applies an answer of the origin. `nonce` must be in it; none if it was checked already.
    pub(crate) fn apply_answer(
        &mut self,
        message: &[u8],
        asked_at_ms: u64,
        nonce: Option<Nonce>,
    ) -> Result<(), FetchError> {
        match MessageKind::of(message) {
            Some(MessageKind::Snapshot) => self.install_snapshot(message),
            Some(MessageKind::Deltas) => {
                let deltas = Deltas::decode(message, &self.snapshot_keys).map_err(FetchError::Wire)?;
                let is_answer = nonce.is_none_or(|nonce| deltas.answers(nonce));
                // The origin's signature suffices for the changes; the nonce is required for
                // freshness.
                self.apply_decoded(&deltas, is_answer.then_some(asked_at_ms))?;
                if is_answer { Ok(()) } else { Err(FetchError::OtherNonce) }
            }
            None => Err(FetchError::Wire(WireError::WrongKind)),
        }
    }

    pub(crate) fn install_snapshot(&mut self, message: &[u8]) -> Result<(), FetchError> {
        let snapshot = Snapshot::decode(message.to_vec(), &self.snapshot_keys).map_err(FetchError::Wire)?;
        self.check_keys(snapshot.config(), snapshot.config_digest())?;
        match &mut self.replica {
            Some(replica) => replica.install(snapshot).map_err(FetchError::Replica)?,
            None => self.replica = Some(Replica::new(snapshot, &self.issuer).map_err(FetchError::Replica)?),
        }
        self.is_too_far_behind = false;
        self.update_verifier()
    }

    /// Refuses a configuration that cannot be used with this edge's own keys.
    fn check_keys(&self, config: &Config, digest: ConfigDigest) -> Result<(), FetchError> {
        if self.verifier_config == Some(digest) { Ok(()) } else { self.key_set(config).map(drop) }
    }

    fn key_set(&self, config: &Config) -> Result<KeySet, FetchError> {
        let mut keys = config.keys().clone();
        keys.extend(&self.secret_keys).map_err(|error| FetchError::Keys(error.to_string()))?;
        Ok(keys)
    }

    /// Gives the verifier the keys of the replica's configuration. If that is unchanged, tables and
    /// cached tokens are kept.
    fn update_verifier(&mut self) -> Result<(), FetchError> {
        let Some(replica) =
            self.replica.as_ref().filter(|replica| self.verifier_config != Some(replica.config_digest()))
        else {
            return Ok(());
        };
        let (mut keys, digest) = (self.key_set(replica.config())?, replica.config_digest());
        keys.reuse_tables_from(self.verifier.borrow().keys());
        self.verifier = RefCell::new(Verifier::new(keys, self.cached_tokens, self.key_tables));
        self.verifier_config = Some(digest);
        Ok(())
    }

    /// Applies a deltas message. If it answers a request of this edge, the replica is complete as
    /// of `asked_at_ms`: the answer has all that the origin acknowledged before. A push proves
    /// nothing (none), because it may have been under way for long.
    pub(crate) fn apply_deltas(&mut self, message: &[u8], asked_at_ms: Option<u64>) -> Result<(), FetchError> {
        let deltas = Deltas::decode(message, &self.snapshot_keys).map_err(FetchError::Wire)?;
        self.apply_decoded(&deltas, asked_at_ms)
    }

    fn apply_decoded(&mut self, deltas: &Deltas, asked_at_ms: Option<u64>) -> Result<(), FetchError> {
        if let Some((config, digest)) = deltas.config() {
            self.check_keys(config, digest)?;
        }
        let replica = self.replica.as_mut().ok_or(FetchError::NoSnapshot)?;
        if let Some(asked_at_ms) = asked_at_ms
            && deltas.as_of_ms().abs_diff(asked_at_ms) > MAX_CLOCK_DIFFERENCE_MS
        {
            return Err(FetchError::ClockDifference { as_of_ms: deltas.as_of_ms(), asked_at_ms });
        }
        let is_complete = replica.apply(deltas).map_err(FetchError::Replica)?;
        if is_complete && asked_at_ms.is_some() {
            self.complete_as_of_ms = asked_at_ms;
        }
        self.update_verifier()
    }

    /// Applies the origin's answer to another instance of this edge, which sent the request at
    /// `asked_at_ms` by the same clock. The replica becomes as fresh as that instance's, never
    /// fresher. If the time is in the future, because the clock was set back, it does not become
    /// fresh.
    pub(crate) fn apply_shared_answer(
        &mut self,
        message: &[u8],
        asked_at_ms: u64,
        now_ms: u64,
    ) -> Result<(), FetchError> {
        let before = self.complete_as_of_ms;
        let is_fresher = |before: u64| now_ms.abs_diff(asked_at_ms) < now_ms.abs_diff(before);
        self.apply_deltas(message, Some(asked_at_ms))?;
        if asked_at_ms > now_ms {
            self.complete_as_of_ms = before.or(self.complete_as_of_ms.map(|_| 0));
        } else if !before.is_none_or(is_fresher) {
            self.complete_as_of_ms = before;
        }
        Ok(())
    }
}

/// Why an answer or a push of the origin was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchError {
    /// Unexpected status of the origin's response.
    Status(u16),
    /// The message is malformed, or not signed by the origin.
    Wire(WireError),
    /// The message does not fit the replica.
    Replica(ReplicaError),
    /// The origin has fewer changes than this edge: it was restored from an old backup, and may
    /// have lost revocations. The edge keeps its replica, which becomes stale, until an operator
    /// intervenes.
    OriginBehind,
    /// Deltas arrived before a snapshot.
    NoSnapshot,
    /// A key of the snapshot has the id of one of this edge's HS256 keys.
    Keys(String),
    /// The answer lacks the request's nonce: it is a replay, or the origin is older than the edge.
    OtherNonce,
    /// The clocks of origin and edge differ by more than a minute, or the answer is old.
    ClockDifference {
        /// Time of the origin's message, in Unix milliseconds.
        as_of_ms: u64,
        /// Time of the edge's request, in Unix milliseconds.
        asked_at_ms: u64,
    },
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the origin answered with status {status}"),
            Self::Wire(error) => error.fmt(f),
            Self::Replica(error) => error.fmt(f),
            Self::OriginBehind => f.write_str("the origin has fewer changes than this edge: was a backup restored?"),
            Self::NoSnapshot => f.write_str("deltas cannot be applied without a snapshot"),
            Self::Keys(why) => write!(f, "the snapshot's keys conflict with TOLLGATE_EDGE_SECRET_KEYS: {why}"),
            Self::OtherNonce => f.write_str("the answer lacks the request's nonce: a replay, or an older origin"),
            Self::ClockDifference { as_of_ms, asked_at_ms } => {
                write!(f, "the origin's time {as_of_ms} ms is more than a minute from this edge's {asked_at_ms} ms")
            }
        }
    }
}

impl std::error::Error for FetchError {}
