//! Deltas: what changed in an origin's history after a sequence. With none in it, the message is a heartbeat.
//!
//! ```text
//! body    = issuer after head as-of chain config epoch entries [ nonce ]
//! issuer  = u16 *OCTET              ; UTF-8, as in `iss`
//! after   = u64                     ; the sequence that the first entry follows
//! head    = u64                     ; the origin's newest sequence as of `as-of`
//! as-of   = u64                     ; Unix milliseconds at the origin
//! chain   = 32 OCTET                ; the history's fingerprint at `after`
//! config  = 16 OCTET                ; the configuration's fingerprint as of `as-of`
//! epoch   = u32                     ; the epoch in which tokens were being issued as of `as-of`
//! entries = u32 *( kind id mark expires )
//! kind    = %x01 (token) / %x02 (session) / %x03 (subject) / %x04 (client) / %x05 (key) / %x06 (everything)
//! id      = 16 OCTET
//! mark    = u64                     ; 0: lifted; see `RevokedBefore`
//! expires = u64                     ; Unix seconds
//! nonce   = 16 OCTET                ; of the question that this answers; in version 2, and there only
//! ```

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use crate::question::Nonce;
use crate::revocation::{ConfigDigest, Delta, HashChain, RevocationId, RevocationKind, RevokedBefore};
use crate::wire::{self, Body, MessageKind, WireError};

/// Deltas of one message at most; an edge that is further behind asks again.
pub const MAX_DELTAS: usize = 4096;
/// Bytes of a message at most.
pub const MAX_DELTAS_BYTES: usize = 1024 + MAX_DELTAS * ENTRY_BYTES;
/// Far beyond any history, and far from where sums overflow.
const MAX_SEQUENCE: u64 = u64::MAX / 2;
const ENTRY_BYTES: usize = 1 + RevocationId::LEN + 8 + 8;

/// A message of deltas whose signature and form were checked.
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
    nonce: Option<Nonce>,
}

impl Deltas {
    /// Reads a message that one of the pinned Ed25519 keys signed.
    ///
    /// # Errors
    /// [`WireError`] for anything that is not exactly such a message.
    pub fn decode(bytes: &[u8], pins: &[[u8; 32]]) -> Result<Self, WireError> {
        if bytes.len() > MAX_DELTAS_BYTES {
            return Err(WireError::Malformed("it is larger than any message of deltas may be"));
        }
        let (version, body) = wire::open(bytes, MessageKind::Deltas, pins)?;
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
        let nonce = match version {
            wire::ANSWER_VERSION => Some(Nonce::from_bytes(body.array()?)),
            _ => None,
        };
        body.finish()?;
        let last = after.checked_add((extent / ENTRY_BYTES) as u64);
        if head > MAX_SEQUENCE || last.is_none_or(|last| last > head) {
            return Err(WireError::Malformed("its sequences do not fit together"));
        }
        let entries = (after + 1..).zip(entries.chunks_exact(ENTRY_BYTES));
        let deltas = entries.map(|(sequence, entry)| read_delta(sequence, entry)).collect::<Result<_, _>>()?;
        Ok(Self { issuer, after, head, as_of_ms, chain, config_digest, epoch, deltas, nonce })
    }

    /// The origin's newest sequence as of [`as_of_ms`](Self::as_of_ms).
    pub fn head(&self) -> u64 {
        self.head
    }

    /// When the origin read its store, Unix milliseconds by its clock.
    pub fn as_of_ms(&self) -> u64 {
        self.as_of_ms
    }

    /// The nonce of the question that the message answers; none if it answers no question.
    pub fn nonce(&self) -> Option<Nonce> {
        self.nonce
    }

    /// The entries, in order; none in a heartbeat.
    pub fn entries(&self) -> &[Delta] {
        &self.deltas
    }
}

fn read_delta(sequence: u64, entry: &[u8]) -> Result<Delta, WireError> {
    let mut entry = Body::new(entry);
    let kind = RevocationKind::from_byte(entry.u8()?).ok_or(WireError::Malformed("a delta is of no known kind"))?;
    let id = RevocationId::from_bytes(entry.array()?);
    if kind == RevocationKind::Everything && id != RevocationId::EVERYTHING {
        return Err(WireError::Malformed("a delta about everything has a name"));
    }
    Ok(Delta { sequence, kind, id, revoked_before: RevokedBefore(entry.u64()?), expires_at: entry.u64()? })
}
