//! [`verify()`](crate::verify()) with a cache of tokens whose signature was checked, and with
//! precomputed tables for keys that are used often.
//!
//! Never: an answer that differs from the one of `verify`, given that [`Verifier::cache_checked`]
//! is called for good signatures only. The cache keeps of a token that its signature is good under
//! a key, and its claims. Dates, issuer, audience, revocation status and scope are checked on each
//! request. The cache belongs to one key set and is dropped with it.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use crate::bytes::is_equal;
use crate::comb::TableSize;
use crate::key::KeySet;
use crate::possession::Possession;
use crate::refusal::Refusal;
use crate::revocation::{HashChain, RevocationChecker, RevocationStatus};
use crate::stream_ticket::StreamTicket;
use crate::verify::{
    AuthenticatedClaims, MAX_LEEWAY_SECONDS, TokenRequirements, VerifiedToken, authenticate, check_claims,
    read_checked, select_key, token_identifiers,
};

/// Associativity of the cache: slots in which a token may be stored. More ways make it rarer that
/// tokens in use evict each other.
const WAYS: usize = 4;
/// Longest token that is cached, in bytes: it bounds the memory of the cache.
pub const MAX_CACHED_TOKEN_BYTES: usize = 4 * 1024;
/// Signature checks with one key after which its table is computed. Computing a table costs about
/// what it saves in as many checks.
const CHECKS_BEFORE_TABLE: u32 = 64;

/// A key set with its token cache and key tables.
#[derive(Debug)]
pub struct Verifier {
    keys: KeySet,
    table_size: TableSize,
    /// Signature checks made with each key of the set.
    checks: Vec<u32>,
    cache: TokenCache,
    was_cached: bool,
    /// The token that is verified next was put into the cache for this.
    is_just_checked: bool,
}

impl Verifier {
    /// Creates a verifier that caches up to `cached_tokens` tokens of at most
    /// [`MAX_CACHED_TOKEN_BYTES`] (rounded up to four times a power of two; 0 disables the cache)
    /// and computes tables of `table_size` for keys in frequent use.
    pub fn new(keys: KeySet, cached_tokens: usize, table_size: TableSize) -> Self {
        Self {
            checks: alloc::vec![0; keys.len()],
            keys,
            table_size,
            cache: TokenCache::new(cached_tokens),
            was_cached: false,
            is_just_checked: false,
        }
    }

    /// The key set.
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// Verifies `token` at the Unix time `now`, in seconds, as [`verify()`](crate::verify()) does.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify(
        &mut self,
        token: &[u8],
        requirements: &TokenRequirements<'_>,
        revocations: &impl RevocationChecker,
        now: u64,
    ) -> Result<&VerifiedToken, Refusal> {
        self.verify_in_request(token, requirements, None, revocations, now)
    }

    /// As [`verify`](Self::verify), with the proofs of the request that has the token: a token that
    /// is bound to a key passes with the proof of this key.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify_in_request(
        &mut self,
        token: &[u8],
        requirements: &TokenRequirements<'_>,
        possession: Option<&Possession<'_>>,
        revocations: &impl RevocationChecker,
        now: u64,
    ) -> Result<&VerifiedToken, Refusal> {
        let slot = self.find_or_authenticate(token, requirements.allow_plain_jwt)?;
        let entry = self.cache.entry_mut(slot).ok_or(Refusal::UnknownKey)?;
        let (version, not_revoked_at) = (revocations.version(), &mut entry.not_revoked_at);
        let key_id = self.keys.key_id(entry.key_index);
        check_claims(&entry.token.0, key_id, requirements, possession, now, |token| {
            if version.is_some() && *not_revoked_at == version {
                return RevocationStatus::NotRevoked;
            }
            let status = revocations.status(token);
            *not_revoked_at = version.filter(|_| status == RevocationStatus::NotRevoked);
            status
        })?;
        Ok(&entry.token)
    }

    /// The ticket of a stream that was opened with a token which [`verify`](Self::verify) accepted.
    /// It checks the signature only; [`StreamTicket::check`] says whether the token is still good.
    ///
    /// # Errors
    /// The check of form or signature that fails.
    pub fn stream_ticket(&mut self, token: &[u8], allow_plain_jwt: bool, leeway: u64) -> Result<StreamTicket, Refusal> {
        let slot = self.find_or_authenticate(token, allow_plain_jwt)?;
        let entry = self.cache.entry_mut(slot).ok_or(Refusal::UnknownKey)?;
        let claims = &entry.token.0;
        let expires_at = claims.expires_at().saturating_add(leeway.min(MAX_LEEWAY_SECONDS));
        Ok(StreamTicket::new(&token_identifiers(claims, self.keys.key_id(entry.key_index)), expires_at))
    }

    /// Whether the signature of the token that was verified last had been checked before.
    pub fn was_cached(&self) -> bool {
        self.was_cached
    }

    /// The client of a token whose signature was checked and which is in the cache, whether it is
    /// still good or not: for a log of refusals.
    pub fn client_of_cached(&self, token: &[u8]) -> Option<&str> {
        let (set, way) =
            [false, true].into_iter().find_map(|allow_plain_jwt| self.cache.find(token, allow_plain_jwt))??;
        Some(self.cache.sets.get(set)?.get(way)?.as_ref()?.token.client_id())
    }

    /// `jti` of the token that was verified last, whatever the result, if its signature is good.
    pub fn token_id_of_last(&self, token: &[u8], allow_plain_jwt: bool) -> Option<&str> {
        let slot = self.cache.find(token, allow_plain_jwt);
        let entry = match slot.flatten() {
            Some((set, way)) => self.cache.sets.get(set)?.get(way)?.as_ref(),
            None => self.cache.uncached.as_ref(),
        };
        entry.map(|entry| entry.token.token_id())
    }

    /// The cache slot of a token whose signature was checked, now or before.
    fn find_or_authenticate(&mut self, token: &[u8], allow_plain_jwt: bool) -> Result<CacheSlot, Refusal> {
        let cached = self.cache.find(token, allow_plain_jwt);
        self.was_cached = cached.is_some() && !core::mem::take(&mut self.is_just_checked);
        if let Some(slot) = cached {
            return Ok(slot);
        }
        let authenticated = authenticate(token, &self.keys, allow_plain_jwt)?;
        self.count_check(authenticated.key_index);
        Ok(self.cache.insert(token, allow_plain_jwt, authenticated))
    }

    /// Whether [`Verifier::verify`] would check a signature by a public key, and
    /// [`Verifier::cache_checked`] spares it that.
    pub fn needs_public_key_check(&self, token: &[u8], allow_plain_jwt: bool) -> bool {
        self.cache.find(token, allow_plain_jwt).is_none()
            && self.cache.slot_for(token, tail(token)).is_some()
            && select_key(token, &self.keys, allow_plain_jwt).is_ok_and(|(_, _, key)| key.mac_key().is_none())
    }

    /// Caches a token whose signature the caller has checked by
    /// [`check_token_signature`](crate::check_token_signature), with a key set of the same
    /// document. Public-key signatures take WebAssembly several times as long as machine code.
    ///
    /// # Errors
    /// If no key belongs to the token, or its claims cannot be read.
    pub fn cache_checked(&mut self, token: &[u8], allow_plain_jwt: bool) -> Result<(), Refusal> {
        let authenticated = read_checked(token, &self.keys, allow_plain_jwt)?;
        self.cache.insert(token, allow_plain_jwt, authenticated);
        self.is_just_checked = true;
        Ok(())
    }

    /// Counts a signature check, and computes the key's table at the check that makes it worth its
    /// cost.
    fn count_check(&mut self, key_index: usize) {
        let Some(checks) = self.checks.get_mut(key_index) else { return };
        *checks = checks.saturating_add(1);
        if *checks == CHECKS_BEFORE_TABLE
            && let Some(id) = self.keys.key_id(key_index).map(ToOwned::to_owned)
        {
            self.keys.prepare_table(&id, self.table_size);
        }
    }
}

/// Set-associative cache of tokens whose signature was checked. `uncached` holds the last token
/// that was not stored, because it is too long or the cache has no slots: the caller gets a
/// reference to it as well.
struct TokenCache {
    sets: Vec<[Option<Entry>; WAYS]>,
    uncached: Option<Entry>,
    /// Number of insertions so far; the entry with the lowest number is the oldest.
    insertions: u64,
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("slots", &(self.sets.len() * WAYS)).finish_non_exhaustive()
    }
}

/// Set and way of an entry in the cache; `None` is the `uncached` entry.
type CacheSlot = Option<(usize, usize)>;

struct Entry {
    token_text: Zeroizing<Vec<u8>>,
    /// Last eight bytes of the token, compared before the whole text.
    tail: u64,
    /// Whether a plain JWT was allowed when the token was checked.
    allow_plain_jwt: bool,
    /// Index in the key set of the key that the signature is good under.
    key_index: usize,
    /// The token's claims, returned only after [`check_claims`] passed for the current request.
    token: VerifiedToken,
    /// Newest version of the revocation log at which the token was not revoked.
    not_revoked_at: Option<HashChain>,
    inserted: u64,
}

impl TokenCache {
    fn new(tokens: usize) -> Self {
        let sets = if tokens == 0 { 0 } else { tokens.div_ceil(WAYS).next_power_of_two() };
        Self { sets: core::iter::repeat_with(Default::default).take(sets).collect(), uncached: None, insertions: 0 }
    }

    fn find(&self, token: &[u8], allow_plain_jwt: bool) -> Option<CacheSlot> {
        let tail = tail(token);
        let set = self.set_of(tail);
        let entries = self.sets.get(set)?;
        let is_hit = |entry: &Entry| {
            entry.tail == tail && entry.allow_plain_jwt == allow_plain_jwt && is_equal(&entry.token_text, token)
        };
        let way = entries.iter().position(|entry| entry.as_ref().is_some_and(is_hit))?;
        Some(Some((set, way)))
    }

    /// Stores a token whose signature was checked in an empty slot of its set, or else in the slot
    /// of the oldest entry.
    fn insert(&mut self, token: &[u8], allow_plain_jwt: bool, authenticated: AuthenticatedClaims) -> CacheSlot {
        self.insertions += 1;
        let AuthenticatedClaims { claims, key_index } = authenticated;
        let tail = tail(token);
        let slot = self.slot_for(token, tail);
        let token_text = if slot.is_some() { token } else { &[] };
        let entry = Entry {
            token_text: Zeroizing::new(token_text.to_vec()),
            tail,
            allow_plain_jwt,
            key_index,
            token: VerifiedToken(claims),
            not_revoked_at: None,
            inserted: self.insertions,
        };
        match slot.and_then(|(set, way)| self.sets.get_mut(set)?.get_mut(way)) {
            Some(found) => *found = Some(entry),
            None => self.uncached = Some(entry),
        }
        slot
    }

    fn slot_for(&self, token: &[u8], tail: u64) -> CacheSlot {
        let set = self.set_of(tail);
        let entries = self.sets.get(set).filter(|_| token.len() <= MAX_CACHED_TOKEN_BYTES)?;
        let age = |entry: &Option<Entry>| entry.as_ref().map_or(0, |entry| entry.inserted);
        let (way, _) = entries.iter().enumerate().min_by_key(|(_, entry)| age(entry))?;
        Some((set, way))
    }

    fn entry_mut(&mut self, slot: CacheSlot) -> Option<&mut Entry> {
        match slot {
            Some((set, way)) => self.sets.get_mut(set)?.get_mut(way)?.as_mut(),
            None => self.uncached.as_mut(),
        }
    }

    fn set_of(&self, tail: u64) -> usize {
        let mixed = tail.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        mixed as usize & self.sets.len().saturating_sub(1)
    }
}

/// Last eight bytes of a token. They belong to its signature, so two tokens share them only by
/// chance.
fn tail(token: &[u8]) -> u64 {
    token.last_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
