//! Making the messages that edges read: identical input gives identical bytes. The formats' grammars stand where they are
//! read, in `snapshot.rs`, `deltas.rs` and `wire.rs`.

use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::{Signer as _, SigningKey};

use crate::deltas::MAX_DELTAS;
use crate::filter;
use crate::fuse;
use crate::policy::{Config, ConfigError};
use crate::question::Nonce;
use crate::revocation::{ConfigDigest, Delta, HashChain, RevocationId, RevocationKind, RevokedBefore};
use crate::snapshot::MAX_SNAPSHOT_BYTES;
use crate::wire::{ANSWER_VERSION, Body, MessageKind, VERSION};

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
    pub chain: HashChain,
    /// The configuration document, see [`Config`].
    pub config: &'a [u8],
    /// The newest issuing epoch that `covered` covers; 0 if there is none.
    pub epoch: u32,
    /// Tokens issued before this are revoked.
    pub everything_before: RevokedBefore,
    /// The marks of groups, in any order; of one name the highest counts.
    pub groups: &'a [(RevocationKind, RevocationId, RevokedBefore)],
    /// The revoked tokens that are not covered, in any order; an id that is there twice counts once.
    pub others: &'a [RevocationId],
    /// What is revoked of the covered tokens; nothing if none is.
    pub covered: Option<&'a Cascade>,
}

impl<'a> SnapshotParts<'a> {
    /// A snapshot in which nothing is revoked and nothing covered.
    pub fn new(issuer: &'a str, sequence: u64, as_of_ms: u64, chain: HashChain, config: &'a [u8]) -> Self {
        let everything_before = RevokedBefore::NOT_REVOKED;
        Self {
            issuer,
            sequence,
            as_of_ms,
            chain,
            config,
            epoch: 0,
            everything_before,
            groups: &[],
            others: &[],
            covered: None,
        }
    }
}

/// Builds and signs a snapshot.
///
/// # Errors
/// When the configuration could not be read by an edge, or a bound of the format is passed.
pub fn build_snapshot(parts: &SnapshotParts<'_>, signer: &SnapshotSigner) -> Result<Vec<u8>, BuildError> {
    Config::read(parts.config).map_err(BuildError::Config)?;
    let mut message = begin(MessageKind::Snapshot, VERSION, parts.issuer)?;
    message.extend(parts.sequence.to_be_bytes());
    message.extend(parts.as_of_ms.to_be_bytes());
    message.extend(parts.chain.as_bytes());
    push_count(&mut message, parts.config.len())?;
    message.extend(parts.config);
    message.extend(parts.epoch.to_be_bytes());
    message.extend(parts.everything_before.0.to_be_bytes());
    if parts.groups.iter().any(|(kind, ..)| !RevocationKind::GROUPS.contains(kind)) {
        return Err(BuildError::NotAGroup);
    }
    for kind in RevocationKind::GROUPS {
        push_group(&mut message, kind, parts.groups)?;
    }
    push_others(&mut message, parts.others)?;
    match parts.covered {
        None => message.push(0),
        Some(cascade) => {
            message.push(1);
            message.extend(&cascade.functions);
        }
    }
    let signed = sign(message, signer);
    if signed.len() <= MAX_SNAPSHOT_BYTES { Ok(signed) } else { Err(BuildError::TooLarge("snapshot")) }
}

fn push_group(
    message: &mut Vec<u8>,
    kind: RevocationKind,
    groups: &[(RevocationKind, RevocationId, RevokedBefore)],
) -> Result<(), BuildError> {
    let mut group: Vec<(RevocationId, RevokedBefore)> =
        groups.iter().filter(|entry| entry.0 == kind).map(|entry| (entry.1, entry.2)).collect();
    group.sort_unstable_by(|one, next| one.0.cmp(&next.0).then(next.1.cmp(&one.1)));
    group.dedup_by_key(|entry| entry.0);
    push_count(message, group.len())?;
    for (id, mark) in group {
        message.extend(id.as_bytes());
        message.extend(mark.0.to_be_bytes());
    }
    Ok(())
}

fn push_others(message: &mut Vec<u8>, others: &[RevocationId]) -> Result<(), BuildError> {
    let mut others = others.to_vec();
    others.sort_unstable();
    others.dedup();
    let filter = filter::build(others.iter().copied());
    push_count(message, filter.len() / filter::BLOCK_BYTES)?;
    message.extend(filter);
    push_count(message, others.len())?;
    message.extend(others.iter().flat_map(RevocationId::as_bytes));
    Ok(())
}

/// What is revoked of the covered tokens, exactly, in little more than a byte for each revoked one: a filter of the revoked,
/// and a second function that settles the filter's hits. In the manner of CRLite's cascade (Larisch et al., 2017) and of
/// Clubcard (Schanck, 2025), with binary fuse functions.
#[derive(Debug, Clone)]
pub struct Cascade {
    functions: Vec<u8>,
}

/// A [`Cascade`] in the making: it is shown every covered token once.
#[derive(Debug)]
pub struct CascadeBuilder {
    /// In ascending order.
    revoked: Vec<RevocationId>,
    filter: Vec<u8>,
    /// Covered tokens that are not revoked and that the filter takes for revoked.
    mistaken: Vec<RevocationId>,
}

impl CascadeBuilder {
    /// Begins with the revoked ones of about `covered` tokens. The estimate decides how large the filter is made, not whether
    /// the answers are right.
    ///
    /// # Errors
    /// When there are more than the format can hold.
    pub fn new(mut revoked: Vec<RevocationId>, covered: u64) -> Result<Self, BuildError> {
        revoked.sort_unstable();
        revoked.dedup();
        let width = filter_width(revoked.len() as u64, covered);
        let values: Vec<_> = revoked.iter().map(|id| (*id, fuse::fingerprint(*id, width))).collect();
        let filter = fuse::build(&values, width).ok_or(BuildError::TooLarge("set of revoked tokens"))?;
        Ok(Self { revoked, filter, mistaken: Vec::new() })
    }

    /// Shows every id of an iterator to it. Revoked ones may be among them.
    ///
    /// # Errors
    /// None but for a fault of this crate's own: that it cannot read its filter.
    pub fn add_covered(&mut self, covered: impl IntoIterator<Item = RevocationId>) -> Result<(), BuildError> {
        let filter = fuse::Function::read(&mut Body::new(&self.filter)).map_err(|_| BuildError::TooLarge("filter"))?;
        let hits = covered.into_iter().filter(|id| filter.has_fingerprint(*id));
        self.mistaken.extend(hits.filter(|id| self.revoked.binary_search(id).is_err()));
        Ok(())
    }

    /// Ends with every covered token shown.
    ///
    /// # Errors
    /// When there are more than the format can hold.
    pub fn finish(mut self) -> Result<Cascade, BuildError> {
        self.mistaken.sort_unstable();
        self.mistaken.dedup();
        let is = self.revoked.iter().map(|id| (*id, 1));
        let is_not = self.mistaken.iter().map(|id| (*id, 0));
        let values: Vec<_> = is.chain(is_not).collect();
        let settle = fuse::build(&values, 1).ok_or(BuildError::TooLarge("set of revoked tokens"))?;
        let mut functions = self.filter;
        functions.extend(settle);
        Ok(Cascade { functions })
    }
}

/// Bits of a fingerprint: one more halves the mistaken ones, which cost a bit each, and costs a bit for each revoked one. The
/// sum is least where the mistaken are 1/ln 2 times the revoked.
fn filter_width(revoked: u64, covered: u64) -> u32 {
    let for_each = covered.saturating_sub(revoked).saturating_mul(7) / revoked.max(1).saturating_mul(10); // times ln 2
    for_each.max(1).ilog2().clamp(1, 16)
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
    pub chain: HashChain,
    /// The configuration's fingerprint when the store was read.
    pub config: ConfigDigest,
    /// The epoch in which tokens were being issued when the store was read.
    pub epoch: u32,
    /// The deltas from `after + 1` on without a gap, at most [`MAX_DELTAS`]; none makes a heartbeat.
    pub deltas: &'a [Delta],
    /// The nonce of the question that the message answers, if it answers one.
    pub nonce: Option<Nonce>,
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
    let mut message = begin(MessageKind::Deltas, parts.nonce.map_or(VERSION, |_| ANSWER_VERSION), parts.issuer)?;
    message.extend(parts.after.to_be_bytes());
    message.extend(parts.head.to_be_bytes());
    message.extend(parts.as_of_ms.to_be_bytes());
    message.extend(parts.chain.as_bytes());
    message.extend(parts.config.as_bytes());
    message.extend(parts.epoch.to_be_bytes());
    push_count(&mut message, parts.deltas.len())?;
    for delta in parts.deltas {
        message.push(delta.kind.to_byte());
        message.extend(delta.id.as_bytes());
        message.extend(delta.revoked_before.0.to_be_bytes());
        message.extend(delta.expires_at.to_be_bytes());
    }
    message.extend(parts.nonce.iter().flat_map(Nonce::as_bytes));
    Ok(sign(message, signer))
}

fn begin(kind: MessageKind, version: u8, issuer: &str) -> Result<Vec<u8>, BuildError> {
    let mut message = Vec::from(kind.magic().as_slice());
    message.extend([version, 0, 0, 0]);
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
    /// A mark of tokens or of everything stands among the groups.
    NotAGroup,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::TooLarge(what) => write!(f, "the {what} is too large"),
            Self::OutOfOrder => f.write_str("the deltas do not follow one another"),
            Self::NotAGroup => f.write_str("a mark among the groups is of no group"),
        }
    }
}

impl core::error::Error for BuildError {}
