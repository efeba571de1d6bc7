//! A snapshot: everything that an edge needs, as of one sequence of the revocation log.
//!
//! ```text
//! body     = issuer sequence as-of chain config epoch before 4groups filter others covered
//! issuer   = u16 *OCTET            ; UTF-8, as in `iss`
//! sequence = u64                   ; of the last delta that is included
//! as-of    = u64                   ; Unix milliseconds by the origin's clock
//! chain    = 32 OCTET              ; hash chain of the log at `sequence`
//! config   = u32 *OCTET            ; JSON, see `Config`
//! epoch    = u32                   ; tokens of this issuing epoch and of older ones are covered
//! before   = u64                   ; tokens with a lower `iat` are revoked
//! groups   = u32 *( id value )     ; ids strictly ascending; sessions, subjects, clients, keys
//! value    = u64                   ; tokens of lower issuing epochs are revoked: `RevokedBefore`
//! filter   = u32 *( 64 OCTET )     ; blocked Bloom filter of `others`; empty exactly if they are
//! others   = u32 *id               ; revoked tokens that are not covered, strictly ascending
//! covered  = %x00                  ; no covered token is revoked
//!          / %x01 function function ; which covered tokens may be revoked; which of these are
//! id       = 16 OCTET
//! ```
//! Filters and lists are not copied: they are searched in the received bytes.
//!
//! **Why the answer is exact.** The covered tokens are a closed set: the origin closes an issuing
//! epoch before it reads its database, and issues no token in a closed epoch. The first function
//! maps every revoked token of this set to its fingerprint, and a few others by chance (false
//! positives). The origin knows the whole set, and so knows the false positives: the second
//! function maps revoked tokens to 1 and false positives to 0. Revoked tokens that are not covered
//! are listed.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::ops::Range;

use crate::bloom_filter;
use crate::fuse_filter::{StaticFunction, StaticFunctionRange};
use crate::policy::Config;
use crate::revocation::{ConfigDigest, HashChain, RevocationId, RevocationKind, RevokedBefore};
use crate::wire::{self, Body, HEADER_BYTES, MessageKind, WireError};

/// Largest snapshot, in bytes: it holds more than a hundred million covered revocations.
pub const MAX_SNAPSHOT_BYTES: usize = 320 * 1024 * 1024;
/// Size of an entry of a group in bytes: id and value.
const GROUP_ENTRY_BYTES: usize = RevocationId::LEN + 8;

/// A snapshot whose signature and format were checked.
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
    functions: Option<[StaticFunctionRange; 2]>,
}

impl Snapshot {
    /// Reads a snapshot that one of the pinned Ed25519 keys signed.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are not exactly such a snapshot.
    pub fn decode(bytes: Vec<u8>, pins: &[[u8; 32]]) -> Result<Self, WireError> {
        if bytes.len() > MAX_SNAPSHOT_BYTES {
            return Err(WireError::Malformed("larger than a snapshot may be"));
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

    /// The received bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Sequence of the last delta that the snapshot includes.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When the origin read its database, Unix milliseconds by its clock.
    pub fn as_of_ms(&self) -> u64 {
        self.as_of_ms
    }

    /// Hash chain of the revocation log at [`sequence`](Self::sequence).
    pub fn chain(&self) -> HashChain {
        self.chain
    }

    /// Digest of the configuration.
    pub fn config_digest(&self) -> ConfigDigest {
        self.config_digest
    }

    /// Audience, keys and routes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The newest covered issuing epoch; 0 if no token is covered.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// All tokens issued before this time are revoked.
    pub fn everything_before(&self) -> RevokedBefore {
        self.everything_before
    }

    /// Number of entries of a kind; for [`RevocationKind::Token`], of the tokens that are not
    /// covered.
    pub fn count(&self, kind: RevocationKind) -> usize {
        match (kind, self.group(kind)) {
            (RevocationKind::Token, _) => self.others.len() / RevocationId::LEN,
            (_, Some(group)) => group.len() / GROUP_ENTRY_BYTES,
            (_, None) => usize::from(self.everything_before != RevokedBefore::NOT_REVOKED),
        }
    }

    /// Number of revoked tokens among the covered ones.
    pub fn covered_revocation_count(&self) -> usize {
        self.functions().map_or(0, |(filter, _)| filter.ids())
    }

    /// Size in bytes of the section of covered tokens.
    pub fn covered_bytes(&self) -> usize {
        self.covered.len()
    }

    /// Whether a token issued in `epoch` is revoked. The epoch is `None` if the `jti` is not an
    /// [`EpochTokenId`](crate::EpochTokenId).
    pub fn is_token_revoked(&self, id: RevocationId, epoch: Option<u32>) -> bool {
        if epoch.is_some_and(|epoch| epoch <= self.epoch) {
            return self.functions().is_some_and(|(filter, exact)| filter.has_fingerprint(id) && exact.value(id) == 1);
        }
        let filter = self.section(&self.filter);
        bloom_filter::may_contain(filter, id)
            && self.section(&self.others).as_chunks().0.binary_search(id.as_bytes()).is_ok()
    }

    /// The value of a group; [`RevokedBefore::NOT_REVOKED`] if the group has no entry.
    pub fn revoked_before(&self, kind: RevocationKind, id: RevocationId) -> RevokedBefore {
        let entries: &[[u8; GROUP_ENTRY_BYTES]] =
            self.group(kind).map_or(&[], |group| self.section(group).as_chunks().0);
        let found = entries.binary_search_by(|entry| entry.split_at(RevocationId::LEN).0.cmp(id.as_bytes()));
        let entry = found.ok().and_then(|index| entries.get(index));
        entry
            .and_then(|entry| entry.last_chunk())
            .map_or(RevokedBefore::NOT_REVOKED, |value| RevokedBefore(u64::from_be_bytes(*value)))
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

    fn functions(&self) -> Option<(StaticFunction<'_>, StaticFunction<'_>)> {
        let [filter, exact] = self.functions.as_ref()?;
        Some((filter.of(&self.bytes), exact.of(&self.bytes)))
    }

    fn section(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}

/// Reads the sections of a snapshot as ranges of the message.
struct Sections<'a> {
    body: Body<'a>,
    /// Offset of the end of the body in the message.
    end: usize,
}

impl Sections<'_> {
    /// Reads a section that begins with the number of its elements of `size` bytes. Returns its
    /// range and its bytes.
    fn counted(&mut self, size: usize) -> Result<(Range<usize>, &[u8]), WireError> {
        let extent = self.body.extent(size)?;
        let start = self.end - self.body.remaining();
        Ok((start..start + extent, self.body.bytes(extent)?))
    }

    fn group(&mut self) -> Result<Range<usize>, WireError> {
        let (range, bytes) = self.counted(GROUP_ENTRY_BYTES)?;
        let ids = bytes.as_chunks::<GROUP_ENTRY_BYTES>().0.iter().map(|entry| entry.split_at(RevocationId::LEN).0);
        // A binary search of an unsorted list would miss entries, and revoked tokens would pass.
        if ids.is_sorted_by(|one, next| one < next) {
            Ok(range)
        } else {
            Err(WireError::Malformed("a group is not in order"))
        }
    }

    fn others(&mut self) -> Result<(Range<usize>, Range<usize>), WireError> {
        let extent = self.body.extent(bloom_filter::BLOCK_BYTES)?;
        let start = self.end - self.body.remaining();
        let (filter, blocks) = (start..start + extent, self.body.bytes(extent)?);
        let (others, bytes) = self.counted(RevocationId::LEN)?;
        let ids = bytes.as_chunks::<{ RevocationId::LEN }>().0;
        if !ids.is_sorted_by(|one, next| one < next) {
            return Err(WireError::Malformed("the revoked ids are not in order"));
        }
        let is_in = |id: &[u8; RevocationId::LEN]| bloom_filter::may_contain(blocks, RevocationId::from_bytes(*id));
        if ids.is_empty() != filter.is_empty() || !ids.iter().all(is_in) {
            return Err(WireError::Malformed("the filter does not match the list"));
        }
        Ok((filter, others))
    }

    fn covered(&mut self) -> Result<(Range<usize>, Option<[StaticFunctionRange; 2]>), WireError> {
        let start = self.end - self.body.remaining();
        let functions = match self.body.u8()? {
            0 => None,
            1 => Some([self.function()?, self.function()?]),
            _ => return Err(WireError::Malformed("unknown encoding of the covered tokens")),
        };
        Ok((start..self.end - self.body.remaining(), functions))
    }

    fn function(&mut self) -> Result<StaticFunctionRange, WireError> {
        let function = StaticFunction::read(&mut self.body)?;
        Ok(function.range(self.end - self.body.remaining()))
    }
}
