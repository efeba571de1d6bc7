//! A snapshot: everything an edge needs, as of one sequence of its origin's history.
//!
//! ```text
//! body     = issuer sequence as-of chain config filter revoked
//! issuer   = u16 *OCTET            ; UTF-8, as in `iss`
//! sequence = u64                   ; the last delta that is in
//! as-of    = u64                   ; Unix milliseconds at the origin
//! chain    = 32 OCTET              ; the history's fingerprint at `sequence`
//! config   = u32 *OCTET            ; JSON, see `Config`
//! filter   = u32 *( 64 OCTET )     ; blocked Bloom filter over `revoked`; no block if and only if nothing is revoked
//! revoked  = u32 *( 16 OCTET )     ; ids, strictly ascending
//! ```
//! It is never copied apart: the filter and the list are searched where they stand in the received bytes.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::ops::Range;

use crate::filter;
use crate::policy::Config;
use crate::revocation::{Chain, ConfigDigest, RevocationId};
use crate::wire::{self, Body, HEADER_BYTES, MessageKind, WireError};

/// Bytes of a snapshot at most: 16 million revocations.
pub const MAX_SNAPSHOT_BYTES: usize = 320 * 1024 * 1024;

/// A snapshot whose signature and form were checked.
#[derive(Debug, Clone)]
pub struct Snapshot {
    bytes: Vec<u8>,
    issuer: String,
    sequence: u64,
    as_of_ms: u64,
    chain: Chain,
    config_digest: ConfigDigest,
    config: Config,
    filter: Range<usize>,
    revoked: Range<usize>,
}

impl Snapshot {
    /// Reads a snapshot that one of the pinned Ed25519 keys signed.
    ///
    /// # Errors
    /// [`WireError`] for anything that is not exactly such a snapshot.
    pub fn decode(bytes: Vec<u8>, pins: &[[u8; 32]]) -> Result<Self, WireError> {
        if bytes.len() > MAX_SNAPSHOT_BYTES {
            return Err(WireError::Malformed("it is larger than any snapshot may be"));
        }
        let body = wire::open(&bytes, MessageKind::Snapshot, pins)?;
        let end = HEADER_BYTES + body.len();
        let mut body = Body::new(body);
        let issuer = body.text()?.to_string();
        let sequence = body.u64()?;
        let as_of_ms = body.u64()?;
        let chain = Chain::from_bytes(body.array()?);
        let config = body.extent(1)?;
        let config = body.bytes(config)?;
        let filter = body.extent(filter::BLOCK_BYTES)?;
        let filter_start = end - body.remaining();
        body.bytes(filter)?;
        let revoked = body.extent(RevocationId::LEN)?;
        let revoked_start = end - body.remaining();
        check_revoked(body.bytes(revoked)?, filter)?;
        body.finish()?;
        Ok(Self {
            issuer,
            sequence,
            as_of_ms,
            chain,
            config_digest: ConfigDigest::of(config),
            config: Config::read(config).map_err(WireError::Config)?,
            filter: filter_start..filter_start + filter,
            revoked: revoked_start..revoked_start + revoked,
            bytes,
        })
    }

    /// The snapshot as it was received.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whose tokens it is about.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The number of the last delta that is in.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When the origin read its store, Unix milliseconds by its clock.
    pub fn as_of_ms(&self) -> u64 {
        self.as_of_ms
    }

    /// The history's fingerprint at [`sequence`](Self::sequence).
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// The fingerprint of the configuration.
    pub fn config_digest(&self) -> ConfigDigest {
        self.config_digest
    }

    /// Audience, keys and routes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The number of revocations.
    pub fn revoked_count(&self) -> usize {
        self.revoked.len() / RevocationId::LEN
    }

    /// Bytes of the filter.
    pub fn filter_bytes(&self) -> usize {
        self.filter.len()
    }

    /// Whether `id` is revoked: the filter tells most that are not, the list settles the rest exactly.
    pub fn contains(&self, id: RevocationId) -> bool {
        let filter = self.bytes.get(self.filter.clone()).unwrap_or_default();
        filter::may_contain(filter, id) && self.revoked().binary_search(id.as_bytes()).is_ok()
    }

    fn revoked(&self) -> &[[u8; RevocationId::LEN]] {
        self.bytes.get(self.revoked.clone()).unwrap_or_default().as_chunks().0
    }
}

/// A list out of order would be searched in vain, a missing filter would hide it: both would let revoked tokens pass.
fn check_revoked(revoked: &[u8], filter_bytes: usize) -> Result<(), WireError> {
    let ids = revoked.as_chunks::<{ RevocationId::LEN }>().0;
    if !ids.is_sorted_by(|one, next| one < next) {
        return Err(WireError::Malformed("the revoked ids are not in order"));
    }
    if ids.is_empty() != (filter_bytes == 0) {
        return Err(WireError::Malformed("the filter does not belong to the list"));
    }
    Ok(())
}
