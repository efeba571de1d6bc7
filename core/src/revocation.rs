//! What is revoked: the names of revocations, their history, and the question asked of them.

use alloc::vec::Vec;

use sha2::{Digest as _, Sha256};

/// What is known of a token's revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not revoked, on word that is fresh enough.
    Clear,
    /// Revoked. Old word of a revocation is as good as new.
    Revoked,
    /// Not known to be revoked, but the newest word is older than promised.
    Stale,
}

/// Whoever can tell whether a token was revoked.
pub trait RevocationStatus {
    /// The standing of the token `token_id` (`jti`) of `issuer`.
    fn standing(&self, issuer: &str, token_id: &str) -> Standing;
}

/// For a caller that asks the system of record itself, once the token is verified: the origin's introspection.
#[derive(Debug, Clone, Copy)]
pub struct AskedElsewhere;

impl RevocationStatus for AskedElsewhere {
    fn standing(&self, _issuer: &str, _token_id: &str) -> Standing {
        Standing::Clear
    }
}

/// The name under which a revocation is kept: 128 bits of a hash over its kind, issuer and identifier.
///
/// Identifiers are made by the issuer from 128 random bits, so that nobody can look for two with the same name; at a billion
/// revocations two honest ones collide with a probability of 2⁻⁶⁹. Keyed by issuer and `jti`, never by the token's text: a
/// second encoding of the same token has the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationId([u8; 16]);

impl RevocationId {
    /// Bytes of a name.
    pub const LEN: usize = 16;

    /// The name of a revoked token.
    pub fn token(issuer: &str, token_id: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"tollgate revocation v1 token\0");
        hash.update((issuer.len() as u64).to_be_bytes()); // so that no two pairs give one text
        hash.update(issuer);
        hash.update(token_id);
        Self(truncate(hash))
    }

    /// A name as it stands in a message.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The name as it stands in a message.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The two halves as numbers, each evenly spread.
    pub(crate) fn halves(self) -> (u64, u64) {
        let number = u128::from_be_bytes(self.0);
        ((number >> 64) as u64, number as u64)
    }
}

/// What a delta does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The token may no longer pass.
    Revoke,
    /// It may again.
    Reinstate,
}

impl Change {
    /// The change as one byte of a message.
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Revoke => 1,
            Self::Reinstate => 2,
        }
    }

    /// The change that a byte stands for.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Revoke),
            2 => Some(Self::Reinstate),
            _ => None,
        }
    }
}

/// One entry of the origin's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    /// Its number; the first is 1, none is left out.
    pub sequence: u64,
    /// What it is about.
    pub id: RevocationId,
    /// What became of it.
    pub change: Change,
    /// Unix seconds after which the token has expired anyway and the entry may be forgotten.
    pub expires_at: u64,
}

/// A fingerprint of an issuer's whole history up to a sequence. Two histories that differ anywhere have different chains, so
/// that an edge notices an origin that was restored from an old backup and went on differently (a fork).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain([u8; 32]);

impl Chain {
    /// The chain of an issuer that revoked nothing yet.
    pub fn genesis(issuer: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"tollgate chain v1 genesis\0");
        hash.update(issuer);
        Self(hash.finalize().into())
    }

    /// The chain after one more delta.
    #[must_use]
    pub fn next(&self, delta: &Delta) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"tollgate chain v1 next\0");
        hash.update(self.0);
        hash.update(delta.sequence.to_be_bytes());
        hash.update(delta.id.as_bytes());
        hash.update([delta.change.to_byte()]);
        hash.update(delta.expires_at.to_be_bytes());
        Self(hash.finalize().into())
    }

    /// A chain as it stands in a message.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The chain as it stands in a message.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A fingerprint of a configuration document: an edge that holds another asks for the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigDigest([u8; 16]);

impl ConfigDigest {
    /// The digest of a configuration document.
    pub fn of(config: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"tollgate config v1\0");
        hash.update(config);
        Self(truncate(hash))
    }

    /// A digest as it stands in a message.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The digest as it stands in a message.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

fn truncate(hash: Sha256) -> [u8; 16] {
    let digest: [u8; 32] = hash.finalize().into();
    let mut short = [0; 16];
    short.copy_from_slice(digest.split_at(16).0);
    short
}

/// The deltas numbered from `after + 1` on, as they come out of a message.
pub(crate) fn number(after: u64, entries: impl Iterator<Item = (RevocationId, Change, u64)>) -> Vec<Delta> {
    (after + 1..)
        .zip(entries)
        .map(|(sequence, (id, change, expires_at))| Delta { sequence, id, change, expires_at })
        .collect()
}
