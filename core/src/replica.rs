//! An edge's replica of the revocation log: a snapshot and the deltas after it.
//!
//! Never: a replica that goes back to an older state, skips a delta, or mixes two forks of the log.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use crate::bytes::is_equal;
use crate::deltas::{Deltas, SnapshotInfo, UnverifiedDeltas};
use crate::policy::Config;
use crate::revocation::{
    ConfigDigest, EpochTokenId, HashChain, RevocationChecker, RevocationId, RevocationKind, RevocationStatus,
    RevokedBefore, TokenIdentifiers,
};
use crate::snapshot::Snapshot;
use crate::stream_ticket::StreamTicket;

/// Deltas after a snapshot at which the replica asks for a newer one, also if none is announced.
const MAX_DELTAS_AFTER_SNAPSHOT: usize = 64 * 1024;
/// Memory of a delta in bytes: its hash chain, and its entry in a map that is two thirds full.
const DELTA_BYTES: u64 = 96;
/// Memory in bytes that is not worth fetching a snapshot for.
const MIN_SAVED_BYTES: u64 = 64 * 1024;
/// Age from which on a small snapshot is replaced by a newer one without expired revocations.
const MAX_SNAPSHOT_AGE_MS: u64 = 60 * 60 * 1000;
/// Most seconds by which the clocks of an issuer's origins differ. A token whose `iat` is less than
/// this before the replica's time may have been issued after it.
const MAX_CLOCK_SKEW_SECONDS: u64 = 10;

/// A snapshot with the deltas after it.
#[derive(Debug, Clone)]
pub struct Replica {
    snapshot: Snapshot,
    /// The configuration, if a message brought a newer one than that of the snapshot.
    newer_config: Option<Box<NewerConfig>>,
    /// The newest snapshot that a message announced.
    published: Option<SnapshotInfo>,
    /// The newest value of each id that the deltas after the snapshot changed.
    /// [`install`](Self::install) removes those that the new snapshot contains, so that the size
    /// depends on the deltas after the snapshot, not on the replica's age.
    changes: BTreeMap<(RevocationKind, RevocationId), Change>,
    /// The hash chain at the snapshot's sequence and after each delta since.
    chains: Vec<HashChain>,
    /// Digest of the origin's configuration as of `as_of_ms`.
    newest_config: ConfigDigest,
    /// The newest sequence of the origin that a message mentioned.
    head: u64,
    /// The newest issuing epoch that a message mentioned.
    epoch: u32,
    /// The time of the newest message, Unix milliseconds by the origin's clock.
    as_of_ms: u64,
}

/// A configuration that came in a message of deltas.
#[derive(Debug, Clone)]
struct NewerConfig {
    config: Arc<Config>,
    digest: ConfigDigest,
    /// The time of the message.
    as_of_ms: u64,
}

/// The newest value of an id, and the sequence of the delta that set it.
#[derive(Debug, Clone, Copy)]
struct Change {
    revoked_before: RevokedBefore,
    sequence: u64,
}

impl Replica {
    /// Creates a replica from a snapshot of `issuer`.
    ///
    /// # Errors
    /// [`ReplicaError::WrongIssuer`] if the snapshot is of another issuer.
    pub fn new(snapshot: Snapshot, issuer: &str) -> Result<Self, ReplicaError> {
        if snapshot.issuer() != issuer {
            return Err(ReplicaError::WrongIssuer);
        }
        Ok(Self {
            newer_config: None,
            published: None,
            changes: BTreeMap::new(),
            chains: vec![snapshot.chain()],
            newest_config: snapshot.config_digest(),
            head: snapshot.sequence(),
            epoch: snapshot.epoch(),
            as_of_ms: snapshot.as_of_ms(),
            snapshot,
        })
    }

    /// Replaces the snapshot by a newer one. Deltas that are newer than the new snapshot are kept,
    /// and so is a newer configuration.
    ///
    /// # Errors
    /// If the snapshot is of another issuer, older than the current one, or from a fork. The
    /// replica is then unchanged.
    pub fn install(&mut self, snapshot: Snapshot) -> Result<(), ReplicaError> {
        if snapshot.issuer() != self.snapshot.issuer() {
            return Err(ReplicaError::WrongIssuer);
        }
        let (held, offered) = (self.snapshot.sequence(), snapshot.sequence());
        if offered < held || (offered == held && snapshot.as_of_ms() < self.snapshot.as_of_ms()) {
            return Err(ReplicaError::Rollback { held, offered });
        }
        match self.chain_at(offered) {
            Some(chain) if chain != snapshot.chain() => return Err(ReplicaError::Fork { sequence: offered }),
            Some(_) => {
                self.chains.drain(..(offered - held) as usize);
                // Not `retain`, which adds more code to a component.
                for (key, change) in core::mem::take(&mut self.changes) {
                    if change.sequence > offered {
                        self.changes.insert(key, change);
                    }
                }
            }
            None => {
                self.changes.clear();
                self.chains = vec![snapshot.chain()];
            }
        }
        self.head = self.head.max(offered);
        self.epoch = self.epoch.max(snapshot.epoch());
        if snapshot.as_of_ms() >= self.as_of_ms {
            self.newest_config = snapshot.config_digest();
        }
        self.newer_config = self
            .newer_config
            .take()
            .filter(|newer| newer.as_of_ms > snapshot.as_of_ms() && newer.digest != snapshot.config_digest());
        self.snapshot = snapshot;
        Ok(())
    }

    /// Applies deltas. Those that the replica contains already are ignored, so that a message may
    /// arrive twice or late.
    ///
    /// Returns true if the message proves that the replica is complete as of the message's time:
    /// the message continues the replica's own log, no delta is missing up to the origin's newest
    /// sequence, and the configuration is the origin's newest.
    ///
    /// # Errors
    /// If the deltas are of another issuer, leave a gap, or are from a fork. The replica is then
    /// unchanged.
    pub fn apply(&mut self, deltas: &Deltas) -> Result<bool, ReplicaError> {
        if deltas.issuer != self.snapshot.issuer() {
            return Err(ReplicaError::WrongIssuer);
        }
        let held = self.sequence();
        if deltas.after > held {
            return Err(ReplicaError::Gap { held, offered: deltas.after });
        }
        let mut chain = deltas.chain;
        let mut is_same_log = self.is_same_log(deltas.after, chain)?;
        let mut new_chains = Vec::new();
        for delta in &deltas.deltas {
            chain = chain.next(delta);
            is_same_log |= self.is_same_log(delta.sequence, chain)?;
            if delta.sequence > held {
                new_chains.push(chain);
            }
        }
        if !is_same_log {
            return Ok(false); // all deltas precede the snapshot: they cannot be checked, and bring nothing new
        }
        self.changes.extend(deltas.deltas.iter().filter(|delta| delta.sequence > held).map(|delta| {
            ((delta.kind, delta.id), Change { revoked_before: delta.revoked_before, sequence: delta.sequence })
        }));
        self.chains.append(&mut new_chains);
        if deltas.as_of_ms >= self.as_of_ms {
            self.as_of_ms = deltas.as_of_ms;
            self.newest_config = deltas.config_digest;
            self.published = deltas.published.or(self.published);
            self.update_config(deltas);
        }
        self.head = self.head.max(deltas.head);
        self.epoch = self.epoch.max(deltas.epoch);
        Ok(self.head == self.sequence() && self.newest_config == self.config_digest())
    }

    /// Takes the configuration of the newest message, if it is in it or is that of the snapshot.
    fn update_config(&mut self, deltas: &Deltas) {
        if deltas.config_digest == self.snapshot.config_digest() {
            self.newer_config = None;
        } else if let Some(config) = deltas.config.as_ref().filter(|_| deltas.config_digest != self.config_digest()) {
            let (config, digest, as_of_ms) = (Arc::clone(config), deltas.config_digest, deltas.as_of_ms);
            self.newer_config = Some(Box::new(NewerConfig { config, digest, as_of_ms }));
        }
    }

    /// Whether a log with this hash chain at this sequence is known to be the replica's log. An
    /// error if it is known to be a fork.
    fn is_same_log(&self, sequence: u64, chain: HashChain) -> Result<bool, ReplicaError> {
        match self.chain_at(sequence) {
            Some(known) if known != chain => Err(ReplicaError::Fork { sequence }),
            known => Ok(known.is_some()),
        }
    }

    fn chain_at(&self, sequence: u64) -> Option<HashChain> {
        let since = sequence.checked_sub(self.snapshot.sequence())?;
        self.chains.get(usize::try_from(since).ok()?).copied()
    }

    /// The current snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Audience, keys and routes.
    pub fn config(&self) -> &Config {
        self.newer_config.as_ref().map_or(self.snapshot.config(), |newer| &newer.config)
    }

    /// Digest of [`config`](Self::config).
    pub fn config_digest(&self) -> ConfigDigest {
        self.newer_config.as_ref().map_or(self.snapshot.config_digest(), |newer| newer.digest)
    }

    /// Sequence of the last delta that the replica contains.
    pub fn sequence(&self) -> u64 {
        self.snapshot.sequence() + self.chains.len().saturating_sub(1) as u64
    }

    /// Whether a message that claims this, if it is the origin's, brings nothing new.
    pub fn has_all_of(&self, claim: &UnverifiedDeltas) -> bool {
        claim.last_sequence <= self.sequence() && claim.as_of_ms <= self.as_of_ms
    }

    /// Number of ids whose newest value came by deltas after the snapshot.
    pub fn change_count(&self) -> usize {
        self.changes.len()
    }

    /// Whether the replica contains every delta that a message of the origin mentioned.
    pub fn is_caught_up(&self) -> bool {
        self.sequence() == self.head
    }

    /// Whether a new snapshot must be fetched: the configuration changed, or too many deltas follow
    /// the current snapshot.
    pub fn needs_snapshot(&self) -> bool {
        self.newest_config != self.config_digest() || self.chains.len() > MAX_DELTAS_AFTER_SNAPSHOT
    }

    /// The announced snapshot, if it is newer and fetching it pays: the replica occupies half as
    /// much again as it would with that snapshot, or a small snapshot is old and may contain
    /// expired revocations. So memory depends on what is revoked, not on how long the edge has been
    /// running.
    pub fn snapshot_to_fold(&self) -> Option<SnapshotInfo> {
        let published = self.published?;
        let held = (self.snapshot.sequence(), self.snapshot.as_of_ms());
        let memory = |snapshot: u64, deltas: u64| snapshot.saturating_add(deltas.saturating_mul(DELTA_BYTES));
        let deltas_after = |sequence| self.sequence().saturating_sub(sequence);
        let now = memory(self.snapshot.as_bytes().len() as u64, deltas_after(self.snapshot.sequence()));
        let then = memory(published.bytes, deltas_after(published.sequence));
        let saves = now > then.saturating_add(then / 2).saturating_add(MIN_SAVED_BYTES);
        let is_old = published.as_of_ms > self.snapshot.as_of_ms().saturating_add(MAX_SNAPSHOT_AGE_MS)
            && published.bytes <= MIN_SAVED_BYTES;
        Some(published).filter(|published| (published.sequence, published.as_of_ms) > held && (saves || is_old))
    }

    /// Number of deltas after the snapshot, whose hash chains the replica keeps.
    pub fn delta_count(&self) -> usize {
        self.chains.len().saturating_sub(1)
    }

    /// Whether the token is revoked, by itself or with a group it belongs to.
    pub fn is_revoked(&self, token: &TokenIdentifiers<'_>) -> bool {
        let epoch_id = EpochTokenId::parse(token.token_id);
        let hashed = || RevocationId::new(RevocationKind::Token, token.issuer, token.token_id);
        let id = epoch_id.map_or_else(hashed, |epoch_id| epoch_id.revocation_id());
        self.is_any_revoked(id, epoch_id.map(|id| id.epoch()), token.issued_at, &|kind| token.group_id(kind))
    }

    /// Whether the token with this id, issuing epoch and `iat` is revoked, by itself or with a
    /// group it belongs to.
    #[inline(never)]
    fn is_any_revoked(
        &self,
        id: RevocationId,
        epoch: Option<u32>,
        issued_at: u64,
        group_id: &dyn Fn(RevocationKind) -> Option<RevocationId>,
    ) -> bool {
        self.is_token_revoked(id, epoch)
            || self.revoked_before(RevocationKind::Everything, RevocationId::EVERYTHING).applies_to(issued_at)
            || self.is_group_revoked(epoch, group_id)
    }

    fn is_token_revoked(&self, id: RevocationId, epoch: Option<u32>) -> bool {
        match self.changes.get(&(RevocationKind::Token, id)) {
            Some(change) => change.revoked_before != RevokedBefore::NOT_REVOKED,
            None => self.snapshot.is_token_revoked(id, epoch),
        }
    }

    fn is_group_revoked(&self, epoch: Option<u32>, group_id: &dyn Fn(RevocationKind) -> Option<RevocationId>) -> bool {
        // Tokens without an epoch count as older than every epoch.
        let epoch = epoch.map_or(0, u64::from);
        RevocationKind::GROUPS.into_iter().any(|kind| {
            // Most issuers have no revocations of most kinds: then the hash for the id is not
            // computed.
            let has_any = self.snapshot.count(kind) > 0 || self.changes.range(kind_range(kind)).next().is_some();
            has_any && group_id(kind).is_some_and(|id| self.revoked_before(kind, id).applies_to(epoch))
        })
    }

    fn revoked_before(&self, kind: RevocationKind, id: RevocationId) -> RevokedBefore {
        let in_snapshot = || match kind {
            RevocationKind::Everything => self.snapshot.everything_before(),
            _ => self.snapshot.revoked_before(kind, id),
        };
        self.changes.get(&(kind, id)).map_or_else(in_snapshot, |change| change.revoked_before)
    }

    /// Whether a token with this issuing epoch and `iat` may have been issued after the replica's
    /// time.
    fn may_be_newer(&self, epoch: Option<u32>, issued_at: u64) -> bool {
        let is_of_closed_epoch = epoch.is_some_and(|epoch| epoch < self.epoch);
        !is_of_closed_epoch && issued_at.saturating_add(MAX_CLOCK_SKEW_SECONDS) >= self.as_of_ms / 1000
    }
}

fn kind_range(kind: RevocationKind) -> core::ops::RangeInclusive<(RevocationKind, RevocationId)> {
    (kind, RevocationId::from_bytes([0; 16]))..=(kind, RevocationId::from_bytes([0xff; 16]))
}

/// A replica together with its freshness at the time of a request.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaView<'a> {
    /// The replica.
    pub replica: &'a Replica,
    /// Whether the replica is not older than the staleness bound.
    pub is_fresh: bool,
}

impl ReplicaView<'_> {
    /// The status of a token with which a stream was opened. The token is of the replica's issuer,
    /// or no stream would have been opened.
    pub(crate) fn ticket_status(&self, ticket: &StreamTicket) -> RevocationStatus {
        let (epoch, issued_at) = (ticket.epoch, ticket.issued_at);
        let is_revoked = self.replica.is_any_revoked(ticket.token, epoch, issued_at, &|kind| ticket.group_id(kind));
        self.status_of(is_revoked, || epoch, issued_at)
    }

    fn status_of(&self, is_revoked: bool, epoch: impl FnOnce() -> Option<u32>, issued_at: u64) -> RevocationStatus {
        match (is_revoked, self.is_fresh) {
            (true, _) => RevocationStatus::Revoked,
            (false, true) => RevocationStatus::NotRevoked,
            (false, false) if self.replica.may_be_newer(epoch(), issued_at) => RevocationStatus::NotCovered,
            (false, false) => RevocationStatus::Stale,
        }
    }
}

impl RevocationChecker for ReplicaView<'_> {
    fn status(&self, token: &TokenIdentifiers<'_>) -> RevocationStatus {
        if !is_equal(token.issuer.as_bytes(), self.replica.snapshot.issuer().as_bytes()) {
            return RevocationStatus::NotCovered; // the replica says nothing about tokens of another issuer
        }
        let epoch = || EpochTokenId::parse(token.token_id).map(|id| id.epoch());
        self.status_of(self.replica.is_revoked(token), epoch, token.issued_at)
    }

    fn version(&self) -> Option<HashChain> {
        self.replica.chains.last().copied().filter(|_| self.is_fresh)
    }
}

/// Why a message cannot be applied to a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplicaError {
    /// The message is of another issuer.
    WrongIssuer,
    /// The snapshot is older than that of the replica.
    Rollback {
        /// The replica's sequence.
        held: u64,
        /// The snapshot's sequence.
        offered: u64,
    },
    /// Deltas between the replica and the message are missing.
    Gap {
        /// The replica's sequence.
        held: u64,
        /// The sequence that the deltas follow.
        offered: u64,
    },
    /// The message is from another revocation log than the replica: a fork.
    Fork {
        /// The sequence at which the two differ.
        sequence: u64,
    },
}

impl fmt::Display for ReplicaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongIssuer => f.write_str("the message is of another issuer"),
            Self::Rollback { held, offered } => {
                write!(f, "the message is older (sequence {offered}) than the replica ({held})")
            }
            Self::Gap { held, offered } => write!(f, "deltas between {held} and {offered} are missing"),
            Self::Fork { sequence } => {
                write!(f, "the message's log differs from the replica's at sequence {sequence}")
            }
        }
    }
}

impl core::error::Error for ReplicaError {}
