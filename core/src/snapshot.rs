//! A snapshot: everything an edge needs, as of one sequence of its origin's history.
//!
//! ```text
//! body     = issuer sequence as-of chain config epoch before 4groups filter others covered
//! issuer   = u16 *OCTET            ; UTF-8, as in `iss`
//! sequence = u64                   ; the last delta that is in
//! as-of    = u64                   ; Unix milliseconds at the origin
//! chain    = 32 OCTET              ; the history's fingerprint at `sequence`
//! config   = u32 *OCTET            ; JSON, see `Config`
//! epoch    = u32                   ; every token of this issuing epoch or an older one is covered
//! before   = u64                   ; tokens with `iat` below are revoked
//! groups   = u32 *( id mark )      ; ids strictly ascending; of sessions, subjects, clients, keys in this order
//! mark     = u64                   ; tokens of issuing epochs below are revoked
//! filter   = u32 *( 64 OCTET )     ; blocked Bloom filter over `others`; no block if and only if there are none
//! others   = u32 *id               ; revoked tokens that are not covered, strictly ascending
//! covered  = %x00                  ; no covered token is revoked
//!          / %x01 function function ; of all covered tokens: which may be revoked, and of these, which are
//! id       = 16 OCTET
//! ```
//! It is never copied apart: filters and lists are searched where they stand in the received bytes.
//!
//! **Why the answer is exact.** The covered tokens are a closed set: the origin ends an issuing epoch before it reads its store,
//! and no token of an ended epoch is issued any more. Of this set the first function holds a fingerprint for every revoked
//! token; a few others have theirs by chance. The origin knows which, for it knows the whole set: the second function gives 1
//! to every revoked token and 0 to every one of those others. What is not covered is listed.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::ops::Range;

use crate::filter;
use crate::fuse::{Function, Place};
use crate::policy::Config;
use crate::revocation::{ConfigDigest, HashChain, RevocationId, RevocationKind, RevokedBefore};
use crate::wire::{self, Body, HEADER_BYTES, MessageKind, WireError};

/// Bytes of a snapshot at most: more than a hundred million covered revocations.
pub const MAX_SNAPSHOT_BYTES: usize = 320 * 1024 * 1024;
/// Bytes of a group's entry: its id and its mark.
const GROUP_BYTES: usize = RevocationId::LEN + 8;

/// A snapshot whose signature and form were checked.
#[derive(Debug, Clone)]
pub struct Snapshot {
    bytes: Vec<u8>,
    issuer: String,
    sequence: u64,
    as_of_ms: u64,
    chain: HashChain,
    config_digest: ConfigDigest,
    config: Config,
    epoch: u32,
    everything_before: RevokedBefore,
    groups: [Range<usize>; 4],
    filter: Range<usize>,
    others: Range<usize>,
    covered: Range<usize>,
    functions: Option<[Place; 2]>,
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
        let (_, body) = wire::open(&bytes, MessageKind::Snapshot, pins)?;
        let mut sections = Sections { end: HEADER_BYTES + body.len(), body: Body::new(body) };
        let issuer = sections.body.text()?.to_string();
        let sequence = sections.body.u64()?;
        let as_of_ms = sections.body.u64()?;
        let chain = HashChain::from_bytes(sections.body.array()?);
        let config_bytes = sections.body.extent(1)?;
        let config_bytes = sections.body.bytes(config_bytes)?;
        let epoch = sections.body.u32()?;
        let everything_before = RevokedBefore(sections.body.u64()?);
        let groups = [sections.group()?, sections.group()?, sections.group()?, sections.group()?];
        let (filter, others) = sections.others()?;
        let (covered, functions) = sections.covered()?;
        sections.body.finish()?;
        Ok(Self {
            issuer,
            sequence,
            as_of_ms,
            chain,
            config_digest: ConfigDigest::of(config_bytes),
            config: Config::read(config_bytes).map_err(WireError::Config)?,
            epoch,
            everything_before,
            groups,
            filter,
            others,
            covered,
            functions,
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
    pub fn chain(&self) -> HashChain {
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

    /// The newest issuing epoch that is covered; 0 when none is.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Tokens issued before this are revoked.
    pub fn everything_before(&self) -> RevokedBefore {
        self.everything_before
    }

    /// The number of entries of a group kind, and of listed tokens for [`RevocationKind::Token`].
    pub fn count(&self, kind: RevocationKind) -> usize {
        match (kind, self.group(kind)) {
            (RevocationKind::Token, _) => self.others.len() / RevocationId::LEN,
            (_, Some(group)) => group.len() / GROUP_BYTES,
            (_, None) => usize::from(self.everything_before != RevokedBefore::NOT_REVOKED),
        }
    }

    /// The number of revoked tokens among the covered ones.
    pub fn covered_revocation_count(&self) -> usize {
        self.functions().map_or(0, |(may_be, _)| may_be.ids())
    }

    /// Bytes that the covered tokens' revocations take.
    pub fn covered_bytes(&self) -> usize {
        self.covered.len()
    }

    /// Whether a token issued in `epoch` is revoked. `None` for the epoch: not a token with an id of our origin's making.
    pub fn is_token_revoked(&self, id: RevocationId, epoch: Option<u32>) -> bool {
        if epoch.is_some_and(|epoch| epoch <= self.epoch) {
            return self.functions().is_some_and(|(may_be, is)| may_be.has_fingerprint(id) && is.value(id) == 1);
        }
        let filter = self.section(&self.filter);
        filter::may_contain(filter, id) && self.section(&self.others).as_chunks().0.binary_search(id.as_bytes()).is_ok()
    }

    /// The mark of a group; [`RevokedBefore::NOT_REVOKED`] if it has none.
    pub fn revoked_before(&self, kind: RevocationKind, id: RevocationId) -> RevokedBefore {
        let entries: &[[u8; GROUP_BYTES]] = self.group(kind).map_or(&[], |group| self.section(group).as_chunks().0);
        let found = entries.binary_search_by(|entry| entry.split_at(RevocationId::LEN).0.cmp(id.as_bytes()));
        let entry = found.ok().and_then(|index| entries.get(index));
        entry
            .and_then(|entry| entry.last_chunk())
            .map_or(RevokedBefore::NOT_REVOKED, |mark| RevokedBefore(u64::from_be_bytes(*mark)))
    }

    fn group(&self, kind: RevocationKind) -> Option<&Range<usize>> {
        let [sessions, subjects, clients, keys] = &self.groups;
        match kind {
            RevocationKind::Session => Some(sessions),
            RevocationKind::Subject => Some(subjects),
            RevocationKind::Client => Some(clients),
            RevocationKind::Key => Some(keys),
            RevocationKind::Token | RevocationKind::Everything => None,
        }
    }

    fn functions(&self) -> Option<(Function<'_>, Function<'_>)> {
        let [may_be, is] = self.functions.as_ref()?;
        Some((may_be.of(&self.bytes), is.of(&self.bytes)))
    }

    fn section(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}

/// The sections after the configuration, as ranges of the message.
struct Sections<'a> {
    body: Body<'a>,
    end: usize,
}

impl Sections<'_> {
    /// Reads a counted section of elements of this size; where it stands, and its bytes.
    fn counted(&mut self, size: usize) -> Result<(Range<usize>, &[u8]), WireError> {
        let extent = self.body.extent(size)?;
        let start = self.end - self.body.remaining();
        Ok((start..start + extent, self.body.bytes(extent)?))
    }

    fn group(&mut self) -> Result<Range<usize>, WireError> {
        let (range, bytes) = self.counted(GROUP_BYTES)?;
        let ids = bytes.as_chunks::<GROUP_BYTES>().0.iter().map(|entry| entry.split_at(RevocationId::LEN).0);
        // A list out of order would be searched in vain, and revoked tokens would pass.
        if ids.is_sorted_by(|one, next| one < next) {
            Ok(range)
        } else {
            Err(WireError::Malformed("a group is not in order"))
        }
    }

    fn others(&mut self) -> Result<(Range<usize>, Range<usize>), WireError> {
        let extent = self.body.extent(filter::BLOCK_BYTES)?;
        let start = self.end - self.body.remaining();
        let (filter, blocks) = (start..start + extent, self.body.bytes(extent)?);
        let (others, bytes) = self.counted(RevocationId::LEN)?;
        let ids = bytes.as_chunks::<{ RevocationId::LEN }>().0;
        if !ids.is_sorted_by(|one, next| one < next) {
            return Err(WireError::Malformed("the revoked ids are not in order"));
        }
        let is_in = |id: &[u8; RevocationId::LEN]| filter::may_contain(blocks, RevocationId::from_bytes(*id));
        if ids.is_empty() != filter.is_empty() || !ids.iter().all(is_in) {
            return Err(WireError::Malformed("the filter does not belong to the list"));
        }
        Ok((filter, others))
    }

    fn covered(&mut self) -> Result<(Range<usize>, Option<[Place; 2]>), WireError> {
        let start = self.end - self.body.remaining();
        let functions = match self.body.u8()? {
            0 => None,
            1 => Some([self.function()?, self.function()?]),
            _ => return Err(WireError::Malformed("the covered tokens are told in no known way")),
        };
        Ok((start..self.end - self.body.remaining(), functions))
    }

    fn function(&mut self) -> Result<Place, WireError> {
        let function = Function::read(&mut self.body)?;
        Ok(function.place(self.end - self.body.remaining()))
    }
}
