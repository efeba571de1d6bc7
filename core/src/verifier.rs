//! [`verify()`](crate::verify()) with a memory: tokens that passed lately, and tables for keys that are used often. It answers as
//! `verify` does, always; only sooner.
//!
//! What is remembered of a token is that its signature is good under a key, and its claims. Everything that can change is
//! checked each time: dates, issuer, audience, revocation, scope. The memory belongs to one set of keys, and goes with it.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use crate::bytes::is_same;
use crate::comb::TableSize;
use crate::key::KeySet;
use crate::refusal::Refusal;
use crate::revocation::{HashChain, RevocationChecker, RevocationStatus};
use crate::verify::{Authentic, TokenRequirements, VerifiedToken, authenticate, judge};

/// Places where a token can be remembered: more make it rarer that tokens in use drive each other out.
const WAYS: usize = 4;
/// Longer tokens are not remembered: so the memory has a bound that is worth something.
pub const MAX_CACHED_TOKEN_BYTES: usize = 4 * 1024;
/// A key earns its table by as many full checks: making one costs about as much as it saves in these.
const CHECKS_FOR_TABLE: u32 = 64;

/// Keys that check tokens, and what was learnt by using them.
#[derive(Debug)]
pub struct Verifier {
    keys: KeySet,
    tables: TableSize,
    /// Full checks made with each key.
    checks: Vec<u32>,
    cache: Cache,
}

impl Verifier {
    /// A verifier with these keys, that remembers up to `cached_tokens` tokens of at most [`MAX_CACHED_TOKEN_BYTES`] (rounded up to
    /// four times a power of two; 0 for none) and gives keys in frequent use tables of this size.
    pub fn new(keys: KeySet, cached_tokens: usize, tables: TableSize) -> Self {
        Self { checks: alloc::vec![0; keys.len()], keys, tables, cache: Cache::new(cached_tokens) }
    }

    /// The keys.
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// Judges `token` at the Unix time `now`, in seconds, as [`verify()`](crate::verify()) does.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify(
        &mut self,
        token: &[u8],
        expected: &TokenRequirements<'_>,
        revocations: &impl RevocationChecker,
        now: u64,
    ) -> Result<&VerifiedToken, Refusal> {
        let place = match self.cache.find(token, expected.allow_plain_jwt) {
            Some(place) => place,
            None => {
                let authentic = authenticate(token, &self.keys, expected.allow_plain_jwt)?;
                self.count(authentic.key);
                self.cache.put(token, expected.allow_plain_jwt, authentic)
            }
        };
        let entry = self.cache.entry(place).ok_or(Refusal::UnknownKey)?;
        let (history, clear_by) = (revocations.version(), &mut entry.clear_by);
        judge(&entry.verified.0, self.keys.id_of(entry.key), expected, now, |token| {
            if history.is_some() && *clear_by == history {
                return RevocationStatus::NotRevoked;
            }
            let standing = revocations.status(token);
            *clear_by = history.filter(|_| standing == RevocationStatus::NotRevoked);
            standing
        })?;
        Ok(&entry.verified)
    }

    /// Counts a full check with a key; the one that earns the key its table makes it.
    fn count(&mut self, key: usize) {
        let Some(checks) = self.checks.get_mut(key) else { return };
        *checks = checks.saturating_add(1);
        if *checks == CHECKS_FOR_TABLE
            && let Some(id) = self.keys.id_of(key).map(ToOwned::to_owned)
        {
            self.keys.prepare_table(&id, self.tables);
        }
    }
}

/// A bounded memory of tokens, in sets of a few places each. The last token that found no place is kept beside them.
struct Cache {
    sets: Vec<[Option<Entry>; WAYS]>,
    guest: Option<Entry>,
    /// Counts what is put in: the entry with the lowest number is the oldest.
    puts: u64,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("places", &(self.sets.len() * WAYS)).finish_non_exhaustive()
    }
}

/// A place in the cache; none for the guest's.
type Place = Option<(usize, usize)>;

struct Entry {
    token: Zeroizing<Vec<u8>>,
    /// The last bytes of the token, to tell entries apart at a glance.
    tail: u64,
    /// Whether a plain JWT was acceptable when it was checked.
    allow_plain_jwt: bool,
    /// The key that the signature is good under, as its number in the set.
    key: usize,
    /// What the token says. It is handed out after every check that can change has passed again.
    verified: VerifiedToken,
    /// The newest history by which it was not revoked.
    clear_by: Option<HashChain>,
    put: u64,
}

impl Cache {
    fn new(tokens: usize) -> Self {
        let sets = if tokens == 0 { 0 } else { tokens.div_ceil(WAYS).next_power_of_two() };
        Self { sets: core::iter::repeat_with(Default::default).take(sets).collect(), guest: None, puts: 0 }
    }

    fn find(&self, token: &[u8], allow_plain_jwt: bool) -> Option<Place> {
        let tail = tail(token);
        let set = self.set_of(tail);
        let entries = self.sets.get(set)?;
        let is_it = |entry: &Entry| {
            entry.tail == tail && entry.allow_plain_jwt == allow_plain_jwt && is_same(&entry.token, token)
        };
        let way = entries.iter().position(|entry| entry.as_ref().is_some_and(is_it))?;
        Some(Some((set, way)))
    }

    /// Remembers a token that was checked: in an empty place of its set, or else in the oldest one's.
    fn put(&mut self, token: &[u8], allow_plain_jwt: bool, authentic: Authentic) -> Place {
        self.puts += 1;
        let Authentic { claims, key } = authentic;
        let tail = tail(token);
        let place = self.place_for(token, tail);
        let kept = if place.is_some() { token } else { &[] };
        let entry = Entry {
            token: Zeroizing::new(kept.to_vec()),
            tail,
            allow_plain_jwt,
            key,
            verified: VerifiedToken(claims),
            clear_by: None,
            put: self.puts,
        };
        match place.and_then(|(set, way)| self.sets.get_mut(set)?.get_mut(way)) {
            Some(found) => *found = Some(entry),
            None => self.guest = Some(entry),
        }
        place
    }

    fn place_for(&self, token: &[u8], tail: u64) -> Place {
        let set = self.set_of(tail);
        let entries = self.sets.get(set).filter(|_| token.len() <= MAX_CACHED_TOKEN_BYTES)?;
        let age = |entry: &Option<Entry>| entry.as_ref().map_or(0, |entry| entry.put);
        let (way, _) = entries.iter().enumerate().min_by_key(|(_, entry)| age(entry))?;
        Some((set, way))
    }

    fn entry(&mut self, place: Place) -> Option<&mut Entry> {
        match place {
            Some((set, way)) => self.sets.get_mut(set)?.get_mut(way)?.as_mut(),
            None => self.guest.as_mut(),
        }
    }

    fn set_of(&self, tail: u64) -> usize {
        let mixed = tail.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        mixed as usize & self.sets.len().saturating_sub(1)
    }
}

/// The last bytes of a token: of its signature, which nobody else's token shares but by chance.
fn tail(token: &[u8]) -> u64 {
    token.last_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
