//! Making the messages that edges read: identical input gives identical bytes. The formats' grammars stand where they are
//! read, in `snapshot.rs`, `deltas.rs` and `wire.rs`.

use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::{Signer as _, SigningKey};

use crate::deltas::MAX_DELTAS;
use crate::filter;
use crate::policy::{Config, ConfigError};
use crate::revocation::{Chain, ConfigDigest, Delta, RevocationId};
use crate::snapshot::MAX_SNAPSHOT_BYTES;
use crate::wire::{MessageKind, VERSION};

/// The origin's snapshot key. Wiped from memory when dropped.
pub struct SnapshotSigner(SigningKey);

impl SnapshotSigner {
    /// The key that follows from 32 secret random bytes (RFC 8032 section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// What edges pin.
    pub fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }
}

impl fmt::Debug for SnapshotSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SnapshotSigner").field(&"secret").finish()
    }
}

/// What goes into a snapshot.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotParts<'a> {
    /// Whose tokens it is about.
    pub issuer: &'a str,
    /// The last delta that is in.
    pub sequence: u64,
    /// When the store was read, Unix milliseconds.
    pub as_of_ms: u64,
    /// The history's fingerprint at `sequence`.
    pub chain: Chain,
    /// The configuration document, see [`Config`].
    pub config: &'a [u8],
    /// Everything that is revoked and not expired, in any order; an id that is there twice counts once.
    pub revoked: &'a [RevocationId],
}

/// Builds and signs a snapshot.
///
/// # Errors
/// When the configuration could not be read by an edge, or a bound of the format is passed.
pub fn build_snapshot(parts: &SnapshotParts<'_>, signer: &SnapshotSigner) -> Result<Vec<u8>, BuildError> {
    Config::read(parts.config).map_err(BuildError::Config)?;
    let mut revoked = parts.revoked.to_vec();
    revoked.sort_unstable();
    revoked.dedup();
    let filter = filter::build(revoked.iter().copied());

    let mut message = begin(MessageKind::Snapshot, parts.issuer)?;
    message.extend(parts.sequence.to_be_bytes());
    message.extend(parts.as_of_ms.to_be_bytes());
    message.extend(parts.chain.as_bytes());
    push_count(&mut message, parts.config.len())?;
    message.extend(parts.config);
    push_count(&mut message, filter.len() / filter::BLOCK_BYTES)?;
    message.extend(filter);
    push_count(&mut message, revoked.len())?;
    message.extend(revoked.iter().flat_map(RevocationId::as_bytes));
    let signed = sign(message, signer);
    if signed.len() <= MAX_SNAPSHOT_BYTES { Ok(signed) } else { Err(BuildError::TooLarge("snapshot")) }
}

/// What goes into a message of deltas.
#[derive(Debug, Clone, Copy)]
pub struct DeltaParts<'a> {
    /// Whose tokens it is about.
    pub issuer: &'a str,
    /// The sequence that the first delta follows.
    pub after: u64,
    /// The newest sequence when the store was read.
    pub head: u64,
    /// When the store was read, Unix milliseconds.
    pub as_of_ms: u64,
    /// The history's fingerprint at `after`.
    pub chain: Chain,
    /// The configuration's fingerprint when the store was read.
    pub config: ConfigDigest,
    /// The deltas from `after + 1` on without a gap, at most [`MAX_DELTAS`]; none makes a heartbeat.
    pub deltas: &'a [Delta],
}

/// Builds and signs a message of deltas.
///
/// # Errors
/// When the deltas do not follow `after` one by one up to `head` at most, or are too many.
pub fn build_deltas(parts: &DeltaParts<'_>, signer: &SnapshotSigner) -> Result<Vec<u8>, BuildError> {
    if parts.deltas.len() > MAX_DELTAS {
        return Err(BuildError::TooLarge("message of deltas"));
    }
    let in_order =
        parts.deltas.iter().zip(1..).all(|(delta, nth)| parts.after.checked_add(nth) == Some(delta.sequence));
    let newest = parts.deltas.last().map_or(parts.after, |delta| delta.sequence);
    if !in_order || newest > parts.head {
        return Err(BuildError::OutOfOrder);
    }
    let mut message = begin(MessageKind::Deltas, parts.issuer)?;
    message.extend(parts.after.to_be_bytes());
    message.extend(parts.head.to_be_bytes());
    message.extend(parts.as_of_ms.to_be_bytes());
    message.extend(parts.chain.as_bytes());
    message.extend(parts.config.as_bytes());
    push_count(&mut message, parts.deltas.len())?;
    for delta in parts.deltas {
        message.extend(delta.id.as_bytes());
        message.push(delta.change.to_byte());
        message.extend(delta.expires_at.to_be_bytes());
    }
    Ok(sign(message, signer))
}

fn begin(kind: MessageKind, issuer: &str) -> Result<Vec<u8>, BuildError> {
    let mut message = Vec::from(kind.magic().as_slice());
    message.extend([VERSION, 0, 0, 0]);
    message.extend(u16::try_from(issuer.len()).map_err(|_| BuildError::TooLarge("issuer"))?.to_be_bytes());
    message.extend(issuer.as_bytes());
    Ok(message)
}

fn push_count(message: &mut Vec<u8>, count: usize) -> Result<(), BuildError> {
    message.extend(u32::try_from(count).map_err(|_| BuildError::TooLarge("snapshot"))?.to_be_bytes());
    Ok(())
}

fn sign(mut message: Vec<u8>, signer: &SnapshotSigner) -> Vec<u8> {
    let signature = signer.0.sign(&message);
    message.extend(signature.to_bytes());
    message
}

/// Why a message cannot be built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// An edge could not use the configuration.
    Config(ConfigError),
    /// A part is larger than the format can hold.
    TooLarge(&'static str),
    /// The deltas do not follow one another.
    OutOfOrder,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::TooLarge(what) => write!(f, "the {what} is too large"),
            Self::OutOfOrder => f.write_str("the deltas do not follow one another"),
        }
    }
}

impl core::error::Error for BuildError {}
