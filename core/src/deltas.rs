//! A message of deltas: the changes of the revocation log after a sequence. A message without
//! changes is a heartbeat.
//!
//! ```text
//! body    = issuer after head as-of chain config epoch entries [ [ snapshot document ] nonce ]
//! issuer  = u16 *OCTET              ; UTF-8, as in `iss`
//! after   = u64                     ; the sequence before the first entry
//! head    = u64                     ; the origin's newest sequence as of `as-of`
//! as-of   = u64                     ; Unix milliseconds by the origin's clock
//! chain   = 32 OCTET                ; hash chain of the log at `after`
//! config  = 16 OCTET                ; digest of the configuration as of `as-of`
//! epoch   = u32                     ; the open issuing epoch as of `as-of`
//! entries = u32 *( kind id value expires )
//! kind    = %x01 (token) / %x02 (session) / %x03 (subject) / %x04 (client) / %x05 (key)
//!         / %x06 (everything)
//! id      = 16 OCTET
//! value   = u64                     ; `RevokedBefore`; 0: reinstated
//! expires = u64                     ; Unix seconds
//! snapshot = u64 u64 u64            ; the newest published snapshot's sequence, time and size in
//!                                   ; bytes; zeros before the first; only in version 3
//! document = u32 *OCTET             ; the configuration with the digest `config`, for edges with
//!                                   ; another one; otherwise empty; only in version 3
//! nonce   = 16 OCTET                ; of the request that this answers, or the root over those of
//!                                   ; many; not in version 1
//! ```

use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::nonce_tree::NoncePath;
use crate::policy::Config;
use crate::revocation::{ConfigDigest, Delta, HashChain, RevocationId, RevocationKind, RevokedBefore};
use crate::sync_request::Nonce;
use crate::wire::{self, Body, MessageKind, WireError};

/// Most deltas of one message. An edge that is further behind sends another request.
pub const MAX_DELTAS: usize = 4096;
/// Largest configuration in a message of deltas, in bytes. A larger one comes with a snapshot only.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// Largest message of deltas, in bytes.
pub const MAX_DELTAS_BYTES: usize = 1024 + MAX_DELTAS * ENTRY_BYTES + MAX_DOCUMENT_BYTES + NoncePath::MAX_BYTES;
/// Highest sequence. No log reaches it, and sums of sequences below it do not overflow.
const MAX_SEQUENCE: u64 = u64::MAX / 2;
const CHAIN_CONFIG_EPOCH_BYTES: usize = 32 + 16 + 4;
/// Size of an entry in bytes: kind, id, value, expires.
const ENTRY_BYTES: usize = 1 + RevocationId::LEN + 8 + 8;

/// A message of deltas whose signature and format were checked.
#[derive(Debug, Clone)]
pub struct Deltas {
    pub(crate) issuer: String,
    pub(crate) after: u64,
    pub(crate) head: u64,
    pub(crate) as_of_ms: u64,
    pub(crate) chain: HashChain,
    pub(crate) config_digest: ConfigDigest,
    pub(crate) epoch: u32,
    pub(crate) deltas: Vec<Delta>,
    /// The configuration with that digest.
    pub(crate) config: Option<Arc<Config>>,
    /// The newest published snapshot; `None` if the message does not say.
    pub(crate) published: Option<SnapshotInfo>,
    nonce: Option<Nonce>,
    path: NoncePath,
}

/// A published snapshot, as a message of deltas announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct SnapshotInfo {
    /// Sequence of the last delta that it includes.
    pub sequence: u64,
    /// When the database was read, Unix milliseconds by the origin's clock.
    pub as_of_ms: u64,
    /// Size of the message in bytes.
    pub bytes: u64,
}

/// What a message of deltas claims whose signature was not checked. An edge that has all of this
/// already need not check it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnverifiedDeltas {
    /// Sequence of a replica that has applied the message.
    pub last_sequence: u64,
    /// Time of the message, in Unix milliseconds.
    pub as_of_ms: u64,
}

impl Deltas {
    /// Reads a message that one of the pinned Ed25519 keys signed.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are not exactly such a message.
    pub fn decode(bytes: &[u8], pins: &[[u8; 32]]) -> Result<Self, WireError> {
        if bytes.len() > MAX_DELTAS_BYTES {
            return Err(WireError::Malformed("larger than a message of deltas may be"));
        }
        let (message, path) = match wire::has_path(bytes) {
            true => wire::split_path(bytes).map(|(message, path)| (message, Some(path)))?,
            false => (bytes, None),
        };
        let (version, body) = wire::open(message, MessageKind::Deltas, pins)?;
        let path = path.map(NoncePath::read).transpose()?.unwrap_or_default();
        let mut body = Body::new(body);
        let issuer = body.text()?.to_string();
        let after = body.u64()?;
        let head = body.u64()?;
        let as_of_ms = body.u64()?;
        let chain = HashChain::from_bytes(body.array()?);
        let config_digest = ConfigDigest::from_bytes(body.array()?);
        let epoch = body.u32()?;
        let extent = body.extent(ENTRY_BYTES)?;
        let entries = body.bytes(extent)?;
        let (published, config) = match version {
            wire::SHARED_VERSION => (read_snapshot_info(&mut body)?, read_document(&mut body, config_digest)?),
            _ => (None, None),
        };
        let nonce = match version {
            wire::VERSION => None,
            _ => Some(Nonce::from_bytes(body.array()?)),
        };
        body.finish()?;
        let last = after.checked_add((extent / ENTRY_BYTES) as u64);
        if head > MAX_SEQUENCE || last.is_none_or(|last| last > head) {
            return Err(WireError::Malformed("inconsistent sequence numbers"));
        }
        let entries = (after + 1..).zip(entries.chunks_exact(ENTRY_BYTES));
        let deltas = entries.map(|(sequence, entry)| read_delta(sequence, entry)).collect::<Result<_, _>>()?;
        Ok(Self { issuer, after, head, as_of_ms, chain, config_digest, epoch, deltas, config, published, nonce, path })
    }

    /// What an unverified message claims to be; none if it is not a message of deltas.
    pub fn unverified_claim(message: &[u8]) -> Option<UnverifiedDeltas> {
        let mut body = Body::new(message.get(wire::HEADER_BYTES..)?);
        let is_deltas = MessageKind::of(message) == Some(MessageKind::Deltas);
        body.text().ok().filter(|_| is_deltas)?;
        let (after, _head, as_of_ms) = (body.u64().ok()?, body.u64().ok()?, body.u64().ok()?);
        body.bytes(CHAIN_CONFIG_EPOCH_BYTES).ok()?;
        let last_sequence = after.checked_add(body.u32().ok()?.into())?;
        Some(UnverifiedDeltas { last_sequence, as_of_ms })
    }

    /// The origin's newest sequence as of [`as_of_ms`](Self::as_of_ms).
    pub fn head(&self) -> u64 {
        self.head
    }

    /// When the origin read its database, Unix milliseconds by its clock.
    pub fn as_of_ms(&self) -> u64 {
        self.as_of_ms
    }

    /// The signed nonce; `None` for a push.
    pub fn nonce(&self) -> Option<Nonce> {
        self.nonce
    }

    /// Whether the message answers the request with this nonce, alone or together with others.
    pub fn answers(&self, nonce: Nonce) -> bool {
        self.nonce == Some(self.path.root(nonce))
    }

    /// The configuration in the message, with its digest.
    pub fn config(&self) -> Option<(&Config, ConfigDigest)> {
        self.config.as_deref().map(|config| (config, self.config_digest))
    }

    /// The newest published snapshot that the message announces.
    pub fn published(&self) -> Option<SnapshotInfo> {
        self.published
    }

    /// The changes, in order; empty in a heartbeat.
    pub fn entries(&self) -> &[Delta] {
        &self.deltas
    }
}

fn read_snapshot_info(body: &mut Body<'_>) -> Result<Option<SnapshotInfo>, WireError> {
    let info = SnapshotInfo { sequence: body.u64()?, as_of_ms: body.u64()?, bytes: body.u64()? };
    Ok(Some(info).filter(|info| *info != SnapshotInfo::default()))
}

fn read_document(body: &mut Body<'_>, digest: ConfigDigest) -> Result<Option<Arc<Config>>, WireError> {
    let extent = body.extent(1)?;
    if extent > MAX_DOCUMENT_BYTES {
        return Err(WireError::Malformed("larger than a configuration in deltas may be"));
    }
    let document = body.bytes(extent)?;
    if document.is_empty() {
        return Ok(None);
    }
    if ConfigDigest::of(document) != digest {
        return Err(WireError::Malformed("the configuration has another digest"));
    }
    Config::read(document).map(|config| Some(Arc::new(config))).map_err(WireError::Config)
}

fn read_delta(sequence: u64, entry: &[u8]) -> Result<Delta, WireError> {
    let mut entry = Body::new(entry);
    let kind = RevocationKind::from_byte(entry.u8()?).ok_or(WireError::Malformed("unknown kind of a delta"))?;
    let id = RevocationId::from_bytes(entry.array()?);
    if kind == RevocationKind::Everything && id != RevocationId::EVERYTHING {
        return Err(WireError::Malformed("a delta of kind everything has an id"));
    }
    Ok(Delta { sequence, kind, id, revoked_before: RevokedBefore(entry.u64()?), expires_at: entry.u64()? })
}
