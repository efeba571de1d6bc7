//! Building and signing of the messages that edges read. The grammars are in the modules of the
//! readers: `snapshot.rs`, `deltas.rs` and `wire.rs`.
//!
//! Invariant: the same input gives the same bytes.

use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::{Signer as _, SigningKey};

use crate::bloom_filter;
use crate::deltas::{MAX_DELTAS, MAX_DOCUMENT_BYTES, SnapshotInfo};
use crate::fuse_filter;
use crate::policy::{Config, ConfigError};
use crate::revocation::{ConfigDigest, Delta, HashChain, RevocationId, RevocationKind, RevokedBefore};
use crate::snapshot::MAX_SNAPSHOT_BYTES;
use crate::sync_request::Nonce;
use crate::wire::{ANSWER_VERSION, Body, MessageKind, SHARED_VERSION, VERSION};

/// The private key that signs snapshots and deltas. Wiped from memory when dropped.
pub struct SnapshotSigner(SigningKey);

impl SnapshotSigner {
    /// Derives the key from 32 secret random bytes (RFC 8032 section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public key that edges pin.
    pub fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }
}

impl fmt::Debug for SnapshotSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SnapshotSigner").field(&"secret").finish()
    }
}

/// Content of a snapshot.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotParts<'a> {
    /// The issuer.
    pub issuer: &'a str,
    /// Sequence of the last delta that the snapshot includes.
    pub sequence: u64,
    /// When the database was read, Unix milliseconds.
    pub as_of_ms: u64,
    /// Hash chain of the revocation log at `sequence`.
    pub chain: HashChain,
    /// The configuration document: see [`Config`].
    pub config: &'a [u8],
    /// The newest issuing epoch that `covered` covers; 0 if it covers none.
    pub epoch: u32,
    /// All tokens issued before this time are revoked.
    pub everything_before: RevokedBefore,
    /// The values of groups, in any order; of several values for one id the highest is used.
    pub groups: &'a [(RevocationKind, RevocationId, RevokedBefore)],
    /// The revoked tokens that are not covered, in any order; duplicates are removed.
    pub others: &'a [RevocationId],
    /// The revoked tokens among the covered ones; `None` if no covered token is revoked.
    pub covered: Option<&'a Cascade>,
}

impl<'a> SnapshotParts<'a> {
    /// A snapshot in which no token is revoked or covered.
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
/// If an edge could not read the configuration, or a limit of the format is exceeded.
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
    for (id, revoked_before) in group {
        message.extend(id.as_bytes());
        message.extend(revoked_before.0.to_be_bytes());
    }
    Ok(())
}

fn push_others(message: &mut Vec<u8>, others: &[RevocationId]) -> Result<(), BuildError> {
    let mut others = others.to_vec();
    others.sort_unstable();
    others.dedup();
    let filter = bloom_filter::build(others.iter().copied());
    push_count(message, filter.len() / bloom_filter::BLOCK_BYTES)?;
    message.extend(filter);
    push_count(message, others.len())?;
    message.extend(others.iter().flat_map(RevocationId::as_bytes));
    Ok(())
}

/// The revoked ones among the covered tokens, exactly, in little more than a byte for each: a
/// filter of the revoked tokens, and a second function that separates these from the filter's false
/// positives. It follows the cascade of CRLite (Larisch et al., 2017) and Clubcard (Schanck, 2025),
/// with binary fuse filters.
#[derive(Debug, Clone)]
pub struct Cascade {
    functions: Vec<u8>,
}

/// Builds a [`Cascade`]. Every covered token must be passed to [`add_covered`](Self::add_covered).
#[derive(Debug)]
pub struct CascadeBuilder {
    /// Sorted.
    revoked: Vec<RevocationId>,
    filter: Vec<u8>,
    /// Covered tokens that are not revoked, but pass the filter.
    false_positives: Vec<RevocationId>,
}

impl CascadeBuilder {
    /// Starts with the revoked tokens among about `covered` tokens. The estimate determines the
    /// size of the filter and has no influence on the answers.
    ///
    /// # Errors
    /// If there are more revoked tokens than the format can hold.
    pub fn new(mut revoked: Vec<RevocationId>, covered: u64) -> Result<Self, BuildError> {
        revoked.sort_unstable();
        revoked.dedup();
        let width = filter_width(revoked.len() as u64, covered);
        let values: Vec<_> = revoked.iter().map(|id| (*id, fuse_filter::fingerprint(*id, width))).collect();
        let filter = fuse_filter::build(&values, width).ok_or(BuildError::TooLarge("set of revoked tokens"))?;
        Ok(Self { revoked, filter, false_positives: Vec::new() })
    }

    /// Adds covered tokens, revoked or not.
    ///
    /// # Errors
    /// Only if this crate cannot read the filter that it built.
    pub fn add_covered(&mut self, covered: impl IntoIterator<Item = RevocationId>) -> Result<(), BuildError> {
        let filter = fuse_filter::StaticFunction::read(&mut Body::new(&self.filter))
            .map_err(|_| BuildError::TooLarge("filter"))?;
        let hits = covered.into_iter().filter(|id| filter.has_fingerprint(*id));
        self.false_positives.extend(hits.filter(|id| self.revoked.binary_search(id).is_err()));
        Ok(())
    }

    /// Builds the cascade, after every covered token was added.
    ///
    /// # Errors
    /// If there are more tokens than the format can hold.
    pub fn finish(mut self) -> Result<Cascade, BuildError> {
        self.false_positives.sort_unstable();
        self.false_positives.dedup();
        let revoked = self.revoked.iter().map(|id| (*id, 1));
        let not_revoked = self.false_positives.iter().map(|id| (*id, 0));
        let values: Vec<_> = revoked.chain(not_revoked).collect();
        let exact = fuse_filter::build(&values, 1).ok_or(BuildError::TooLarge("set of revoked tokens"))?;
        let mut functions = self.filter;
        functions.extend(exact);
        Ok(Cascade { functions })
    }
}

/// Bits of a fingerprint. One more bit halves the number of false positives, which cost a bit each
/// in the second function, and costs a bit for each revoked token. The sum is smallest with 1/ln 2
/// false positives for each revoked token.
fn filter_width(revoked: u64, covered: u64) -> u32 {
    let ratio = covered.saturating_sub(revoked).saturating_mul(7) / revoked.max(1).saturating_mul(10); // times ln 2
    ratio.max(1).ilog2().clamp(1, 16)
}

/// Content of a message of deltas.
#[derive(Debug, Clone, Copy)]
pub struct DeltaParts<'a> {
    /// The issuer.
    pub issuer: &'a str,
    /// The sequence before the first delta.
    pub after: u64,
    /// The newest sequence when the database was read.
    pub head: u64,
    /// When the database was read, Unix milliseconds.
    pub as_of_ms: u64,
    /// Hash chain of the revocation log at `after`.
    pub chain: HashChain,
    /// Digest of the configuration when the database was read.
    pub config: ConfigDigest,
    /// The open issuing epoch when the database was read.
    pub epoch: u32,
    /// The deltas from `after + 1` on without a gap, at most [`MAX_DELTAS`]; empty for a heartbeat.
    pub deltas: &'a [Delta],
    /// The nonce of the request that the message answers; `None` for a push.
    pub nonce: Option<Nonce>,
}

/// Builds and signs a message of deltas.
///
/// # Errors
/// If the sequences are not consecutive from `after + 1` and at most `head`, or if there are too
/// many deltas.
pub fn build_deltas(parts: &DeltaParts<'_>, signer: &SnapshotSigner) -> Result<Vec<u8>, BuildError> {
    let mut message = begin_deltas(parts, parts.nonce.map_or(VERSION, |_| ANSWER_VERSION))?;
    message.extend(parts.nonce.iter().flat_map(Nonce::as_bytes));
    Ok(sign(message, signer))
}

/// What a message of deltas contains in addition if it may answer many requests.
#[derive(Debug, Clone, Copy)]
pub struct SharedParts<'a> {
    /// The newest published snapshot, if there is one.
    pub published: Option<SnapshotInfo>,
    /// The configuration, for edges that have another one; empty for the others.
    pub document: &'a [u8],
    /// The nonce of the request, or [`NonceTree::root`](crate::NonceTree::root) of those of many.
    pub nonce: Nonce,
}

/// Builds and signs a message of deltas that answers one request, or many: then
/// [`NonceTree::answer`](crate::NonceTree::answer) makes each answer from it. The nonce of `parts`
/// is not used.
///
/// # Errors
/// As for [`build_deltas`]; also if the document does not have the digest in `parts`, or is larger
/// than [`MAX_DOCUMENT_BYTES`].
pub fn build_shared_deltas(
    parts: &DeltaParts<'_>,
    shared: &SharedParts<'_>,
    signer: &SnapshotSigner,
) -> Result<Vec<u8>, BuildError> {
    let SharedParts { published, document, nonce } = *shared;
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(BuildError::TooLarge("configuration"));
    }
    if !document.is_empty() && ConfigDigest::of(document) != parts.config {
        return Err(BuildError::OtherDigest);
    }
    let mut message = begin_deltas(parts, SHARED_VERSION)?;
    let SnapshotInfo { sequence, as_of_ms, bytes } = published.unwrap_or_default();
    message.extend([sequence, as_of_ms, bytes].iter().flat_map(|number| number.to_be_bytes()));
    push_count(&mut message, document.len())?;
    message.extend(document);
    message.extend(nonce.as_bytes());
    let mut message = sign(message, signer);
    message.extend([0, 0, 1]); // a path without levels, and its length
    Ok(message)
}

/// Writes the part that all versions have.
fn begin_deltas(parts: &DeltaParts<'_>, version: u8) -> Result<Vec<u8>, BuildError> {
    if parts.deltas.len() > MAX_DELTAS {
        return Err(BuildError::TooLarge("message of deltas"));
    }
    let in_order =
        parts.deltas.iter().zip(1..).all(|(delta, nth)| parts.after.checked_add(nth) == Some(delta.sequence));
    let newest = parts.deltas.last().map_or(parts.after, |delta| delta.sequence);
    if !in_order || newest > parts.head {
        return Err(BuildError::OutOfOrder);
    }
    let mut message = begin(MessageKind::Deltas, version, parts.issuer)?;
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
    Ok(message)
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
    /// A part is larger than the format allows.
    TooLarge(&'static str),
    /// The sequences of the deltas are not consecutive.
    OutOfOrder,
    /// `groups` has an entry for a token or for everything.
    NotAGroup,
    /// The configuration does not have the digest that the message names.
    OtherDigest,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::TooLarge(what) => write!(f, "the {what} is too large"),
            Self::OutOfOrder => f.write_str("the deltas' sequences are not consecutive"),
            Self::NotAGroup => f.write_str("an entry of the groups is not a group's"),
            Self::OtherDigest => f.write_str("the configuration has another digest"),
        }
    }
}

impl core::error::Error for BuildError {}
