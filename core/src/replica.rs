//! An edge's copy of its origin's history: a snapshot and the deltas since. It never goes back, never skips, never forks,
//! and says how fresh it is.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use crate::bytes::is_same;
use crate::deltas::Deltas;
use crate::revocation::{
    ConfigDigest, EpochTokenId, HashChain, RevocationChecker, RevocationId, RevocationKind, RevocationStatus,
    RevokedBefore, TokenIdentifiers,
};
use crate::snapshot::Snapshot;

/// Deltas kept beside a snapshot before a newer snapshot is asked for.
const MAX_CHANGES: usize = 64 * 1024;
/// How far the clocks of an issuer's origins may be apart, seconds: a token that was issued less than this before the newest
/// word may have been issued after it.
const CLOCKS_APART: u64 = 10;

/// A snapshot with the deltas since.
#[derive(Debug, Clone)]
pub struct Replica {
    snapshot: Snapshot,
    /// The newest marks that the deltas after the snapshot gave. A change that the snapshot holds as well leaves, so that a
    /// replica grows with what came since its snapshot and not with its age.
    changes: BTreeMap<(RevocationKind, RevocationId), Change>,
    /// The chain at the snapshot's sequence and after each delta since.
    chains: Vec<HashChain>,
    /// The origin's configuration as of the newest word.
    newest_config: ConfigDigest,
    /// The origin's newest sequence that was heard of.
    head: u64,
    /// The newest epoch in which tokens are known to be issued.
    epoch: u32,
    /// The time of the newest word, Unix milliseconds at the origin.
    as_of_ms: u64,
}

/// A mark, and the delta that gave it.
#[derive(Debug, Clone, Copy)]
struct Change {
    mark: RevokedBefore,
    sequence: u64,
}

impl Replica {
    /// Begins with a snapshot of `issuer`.
    ///
    /// # Errors
    /// [`ReplicaError::WrongIssuer`] for another issuer's.
    pub fn new(snapshot: Snapshot, issuer: &str) -> Result<Self, ReplicaError> {
        if snapshot.issuer() != issuer {
            return Err(ReplicaError::WrongIssuer);
        }
        Ok(Self {
            changes: BTreeMap::new(),
            chains: vec![snapshot.chain()],
            newest_config: snapshot.config_digest(),
            head: snapshot.sequence(),
            epoch: snapshot.epoch(),
            as_of_ms: snapshot.as_of_ms(),
            snapshot,
        })
    }

    /// Goes on from a newer snapshot. It may be older than the deltas that came since: they stand.
    ///
    /// # Errors
    /// The snapshot is another issuer's, is older than the one held, or is of another history; nothing changes then.
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
                // Not by `retain`: a component has to hold all the code of it.
                for (name, change) in core::mem::take(&mut self.changes) {
                    if change.sequence > offered {
                        self.changes.insert(name, change);
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
        self.newest_config = snapshot.config_digest();
        self.snapshot = snapshot;
        Ok(())
    }

    /// Takes in deltas; ones that are held already are passed over, so that a message may come twice or late.
    ///
    /// True when the message proves that the replica is complete as of the message's time: it is of the replica's own history,
    /// nothing is missing up to the origin's newest sequence, and the configuration is the origin's.
    ///
    /// # Errors
    /// The deltas are another issuer's, leave a gap, or are of another history; nothing changes then.
    pub fn apply(&mut self, deltas: &Deltas) -> Result<bool, ReplicaError> {
        if deltas.issuer != self.snapshot.issuer() {
            return Err(ReplicaError::WrongIssuer);
        }
        let held = self.sequence();
        if deltas.after > held {
            return Err(ReplicaError::Gap { held, offered: deltas.after });
        }
        let mut chain = deltas.chain;
        let mut is_ours = self.is_ours(deltas.after, chain)?;
        let mut new_chains = Vec::new();
        for delta in &deltas.deltas {
            chain = chain.next(delta);
            is_ours |= self.is_ours(delta.sequence, chain)?;
            if delta.sequence > held {
                new_chains.push(chain);
            }
        }
        if !is_ours {
            return Ok(false); // all of it lies before the snapshot: it can neither be checked nor be news
        }
        self.changes.extend(
            deltas
                .deltas
                .iter()
                .filter(|delta| delta.sequence > held)
                .map(|delta| ((delta.kind, delta.id), Change { mark: delta.revoked_before, sequence: delta.sequence })),
        );
        self.chains.append(&mut new_chains);
        if deltas.as_of_ms >= self.as_of_ms {
            self.as_of_ms = deltas.as_of_ms;
            self.newest_config = deltas.config_digest;
        }
        self.head = self.head.max(deltas.head);
        self.epoch = self.epoch.max(deltas.epoch);
        Ok(self.head == self.sequence() && self.newest_config == self.snapshot.config_digest())
    }

    /// Whether a history that has this chain at this sequence is known to be ours; an error if it is known not to be.
    fn is_ours(&self, sequence: u64, chain: HashChain) -> Result<bool, ReplicaError> {
        match self.chain_at(sequence) {
            Some(known) if known != chain => Err(ReplicaError::Fork { sequence }),
            known => Ok(known.is_some()),
        }
    }

    fn chain_at(&self, sequence: u64) -> Option<HashChain> {
        let since = sequence.checked_sub(self.snapshot.sequence())?;
        self.chains.get(usize::try_from(since).ok()?).copied()
    }

    /// The snapshot that is underneath.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The last delta that is in.
    pub fn sequence(&self) -> u64 {
        self.snapshot.sequence() + self.chains.len().saturating_sub(1) as u64
    }

    /// Names whose newest mark came by deltas after the snapshot: these are kept beside it.
    pub fn change_count(&self) -> usize {
        self.changes.len()
    }

    /// Whether everything that the origin was heard to have is in.
    pub fn is_caught_up(&self) -> bool {
        self.sequence() == self.head
    }

    /// Whether a snapshot should be asked for: the configuration changed, or the deltas since have grown too many.
    pub fn needs_snapshot(&self) -> bool {
        self.newest_config != self.snapshot.config_digest() || self.chains.len() > MAX_CHANGES
    }

    /// Whether the token is known to be revoked, by its own name or with a group it belongs to.
    #[inline(never)]
    pub fn is_revoked(&self, token: &TokenIdentifiers<'_>) -> bool {
        let issued = EpochTokenId::parse(token.token_id);
        self.is_token_revoked(token, issued)
            || self.mark(RevocationKind::Everything, RevocationId::EVERYTHING).applies_to(token.issued_at)
            || self.is_group_revoked(token, issued)
    }

    fn is_token_revoked(&self, token: &TokenIdentifiers<'_>, issued: Option<EpochTokenId>) -> bool {
        let hashed = || RevocationId::new(RevocationKind::Token, token.issuer, token.token_id);
        let id = issued.map_or_else(hashed, |issued| issued.revocation_id());
        match self.changes.get(&(RevocationKind::Token, id)) {
            Some(change) => change.mark != RevokedBefore::NOT_REVOKED,
            None => self.snapshot.is_token_revoked(id, issued.map(|issued| issued.epoch())),
        }
    }

    fn is_group_revoked(&self, token: &TokenIdentifiers<'_>, issued: Option<EpochTokenId>) -> bool {
        // A token without an epoch is older than every epoch.
        let epoch = issued.map_or(0, |issued| issued.epoch().into());
        let groups = [
            (RevocationKind::Session, token.session),
            (RevocationKind::Subject, Some(token.subject)),
            (RevocationKind::Client, Some(token.client_id)),
            (RevocationKind::Key, token.key_id),
        ];
        groups.into_iter().any(|(kind, identifier)| {
            // Most issuers have no mark of most kinds: then there is nothing to hash a name for.
            let any = self.snapshot.count(kind) > 0 || self.changes.range(kind_range(kind)).next().is_some();
            any && identifier.is_some_and(|identifier| {
                self.mark(kind, RevocationId::new(kind, token.issuer, identifier)).applies_to(epoch)
            })
        })
    }

    fn mark(&self, kind: RevocationKind, id: RevocationId) -> RevokedBefore {
        let held = || match kind {
            RevocationKind::Everything => self.snapshot.everything_before(),
            _ => self.snapshot.revoked_before(kind, id),
        };
        self.changes.get(&(kind, id)).map_or_else(held, |change| change.mark)
    }

    /// Whether the token may have been issued after the newest word.
    fn is_news(&self, token: &TokenIdentifiers<'_>) -> bool {
        let ended = EpochTokenId::parse(token.token_id).is_some_and(|issued| issued.epoch() < self.epoch);
        !ended && token.issued_at.saturating_add(CLOCKS_APART) >= self.as_of_ms / 1000
    }
}

fn kind_range(kind: RevocationKind) -> core::ops::RangeInclusive<(RevocationKind, RevocationId)> {
    (kind, RevocationId::from_bytes([0; 16]))..=(kind, RevocationId::from_bytes([0xff; 16]))
}

/// A replica asked at a moment when its word is `fresh` or not.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaView<'a> {
    /// What is asked.
    pub replica: &'a Replica,
    /// Whether its word is as fresh as was promised.
    pub is_fresh: bool,
}

impl RevocationChecker for ReplicaView<'_> {
    fn status(&self, token: &TokenIdentifiers<'_>) -> RevocationStatus {
        if !is_same(token.issuer.as_bytes(), self.replica.snapshot.issuer().as_bytes()) {
            return RevocationStatus::NotCovered; // nothing is known of another issuer's tokens
        }
        match (self.replica.is_revoked(token), self.is_fresh) {
            (true, _) => RevocationStatus::Revoked,
            (false, true) => RevocationStatus::NotRevoked,
            (false, false) if self.replica.is_news(token) => RevocationStatus::NotCovered,
            (false, false) => RevocationStatus::Stale,
        }
    }

    fn version(&self) -> Option<HashChain> {
        self.replica.chains.last().copied().filter(|_| self.is_fresh)
    }
}

/// Why a message does not join on to what an edge holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplicaError {
    /// It is about another issuer's tokens.
    WrongIssuer,
    /// It is older than what is held.
    Rollback {
        /// The sequence held.
        held: u64,
        /// The sequence offered.
        offered: u64,
    },
    /// Deltas between are missing.
    Gap {
        /// The sequence held.
        held: u64,
        /// The sequence that the deltas follow.
        offered: u64,
    },
    /// It comes from another history than the one held.
    Fork {
        /// The sequence held.
        sequence: u64,
    },
}

impl fmt::Display for ReplicaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongIssuer => f.write_str("the message is of another issuer"),
            Self::Rollback { held, offered } => {
                write!(f, "the message is older (sequence {offered}) than what is held ({held})")
            }
            Self::Gap { held, offered } => write!(f, "deltas between {held} and {offered} are missing"),
            Self::Fork { sequence } => {
                write!(f, "the message is from another history than the one held at sequence {sequence}")
            }
        }
    }
}

impl core::error::Error for ReplicaError {}
