//! An edge's copy of its origin's history: a snapshot and the deltas since. It never goes back, never skips, never forks,
//! and says how fresh it is.

use alloc::collections::BTreeMap;
use core::fmt;

use crate::deltas::Deltas;
use crate::revocation::{Chain, Change, ConfigDigest, RevocationId, RevocationStatus, Standing};
use crate::snapshot::Snapshot;

/// Deltas kept beside a snapshot before a newer snapshot is asked for.
const MAX_CHANGES: usize = 64 * 1024;

/// A snapshot with the deltas since.
#[derive(Debug, Clone)]
pub struct Replica {
    snapshot: Snapshot,
    /// What the deltas after the snapshot made of an id; the newest word stands.
    changes: BTreeMap<RevocationId, Change>,
    sequence: u64,
    chain: Chain,
    /// The origin's configuration as of the newest deltas.
    newest_config: ConfigDigest,
    /// The origin's newest sequence that was heard of.
    head: u64,
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
            sequence: snapshot.sequence(),
            chain: snapshot.chain(),
            newest_config: snapshot.config_digest(),
            head: snapshot.sequence(),
            snapshot,
        })
    }

    /// Goes on from a newer snapshot.
    ///
    /// # Errors
    /// The snapshot is another issuer's, is older than what is held, or is a fork of it; nothing changes then.
    pub fn install(&mut self, snapshot: Snapshot) -> Result<(), ReplicaError> {
        if snapshot.issuer() != self.snapshot.issuer() {
            return Err(ReplicaError::WrongIssuer);
        }
        if snapshot.sequence() < self.sequence || snapshot.as_of_ms() < self.snapshot.as_of_ms() {
            return Err(ReplicaError::Rollback { held: self.sequence, offered: snapshot.sequence() });
        }
        if snapshot.sequence() == self.sequence && snapshot.chain() != self.chain {
            return Err(ReplicaError::Fork { sequence: self.sequence });
        }
        self.changes.clear();
        self.sequence = snapshot.sequence();
        self.chain = snapshot.chain();
        self.newest_config = snapshot.config_digest();
        self.head = self.head.max(self.sequence);
        self.snapshot = snapshot;
        Ok(())
    }

    /// Takes in deltas; ones that are held already are passed over, so that a message may come twice.
    ///
    /// # Errors
    /// The deltas are another issuer's, leave a gap, or belong to a fork; nothing changes then.
    pub fn apply(&mut self, deltas: &Deltas) -> Result<(), ReplicaError> {
        if deltas.issuer != self.snapshot.issuer() {
            return Err(ReplicaError::WrongIssuer);
        }
        if deltas.after > self.sequence {
            return Err(ReplicaError::Gap { held: self.sequence, offered: deltas.after });
        }
        let mut chain = deltas.chain;
        let mut joined = deltas.after == self.sequence && chain == self.chain;
        for delta in &deltas.deltas {
            chain = chain.next(delta);
            joined |= delta.sequence == self.sequence && chain == self.chain;
        }
        let reaches = deltas.after + deltas.deltas.len() as u64;
        if reaches < self.sequence {
            return Ok(()); // all of it is past, nothing can be told by its chain
        }
        if !joined {
            return Err(ReplicaError::Fork { sequence: self.sequence });
        }
        for delta in deltas.deltas.iter().filter(|delta| delta.sequence > self.sequence) {
            self.changes.insert(delta.id, delta.change);
        }
        self.sequence = reaches;
        self.chain = chain;
        self.head = self.head.max(deltas.head);
        self.newest_config = deltas.config_digest;
        Ok(())
    }

    /// The snapshot that is underneath.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The last delta that is in.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether everything that the origin was heard to have is in.
    pub fn is_caught_up(&self) -> bool {
        self.sequence == self.head
    }

    /// Whether a snapshot should be asked for: the configuration changed, or the deltas since have grown too many.
    pub fn wants_snapshot(&self) -> bool {
        self.newest_config != self.snapshot.config_digest() || self.changes.len() > MAX_CHANGES
    }

    /// Whether the token is known to be revoked.
    pub fn is_revoked(&self, token_id: &str) -> bool {
        let id = RevocationId::token(self.snapshot.issuer(), token_id);
        match self.changes.get(&id) {
            Some(Change::Revoke) => true,
            Some(Change::Reinstate) => false,
            None => self.snapshot.contains(id),
        }
    }
}

/// A replica asked at a moment when its word is `fresh` or not.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaView<'a> {
    /// What is asked.
    pub replica: &'a Replica,
    /// Whether its word is as fresh as was promised.
    pub fresh: bool,
}

impl RevocationStatus for ReplicaView<'_> {
    fn standing(&self, issuer: &str, token_id: &str) -> Standing {
        if issuer != self.replica.snapshot.issuer() {
            return Standing::Stale; // nothing is known of another issuer's tokens
        }
        match (self.replica.is_revoked(token_id), self.fresh) {
            (true, _) => Standing::Revoked,
            (false, true) => Standing::Clear,
            (false, false) => Standing::Stale,
        }
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
