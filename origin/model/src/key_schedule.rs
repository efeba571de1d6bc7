//! The life of a key: upcoming, active, retiring, gone. Decides which stored key signs at a time,
//! and which keys must be created or retired.
//!
//! All functions are pure. All origins on a database have the same rows, so they switch to a new
//! key at the same time by their own clocks, without communication. An origin whose clock is behind
//! uses the old key a little longer; verifiers know that key until the last recorded token that it
//! signed has expired.

use std::collections::BTreeSet;

use serde::Serialize;

use super::signing_key::{IMPORTED_PURPOSE, KeyPurpose, StoredKey};
use super::token_alg::TokenAlg;

/// Seconds after which no origin signs with a replaced key: a request takes at most 15 s, and the
/// clocks of one system differ by less than the rest.
pub const KEY_SWITCH_MARGIN: u64 = 60;
/// Keys of one algorithm that are published at a time, unless one is missing. Those of three
/// algorithms and an edge's own keys stay below [`tollgate_core::MAX_KEYS`], the number that an
/// edge accepts.
pub const MAX_KEYS_PER_ALGORITHM: usize = 12;

/// State of a key at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Published, or about to be; does not sign yet.
    Upcoming,
    /// Signs.
    Active,
    /// Does not sign any more; tokens that it signed are valid until they expire.
    Retiring,
    /// No token that it signed is valid.
    Revoked,
    /// Not published any more; the private key was destroyed.
    Gone,
}

impl KeyState {
    /// The name in listings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyState::Upcoming => "upcoming",
            KeyState::Active => "active",
            KeyState::Retiring => "retiring",
            KeyState::Revoked => "revoked",
            KeyState::Gone => "gone",
        }
    }
}

/// When keys are rotated, and how long before that the next key is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPolicy {
    /// Seconds for which a key signs; `None` for no automatic rotation.
    pub rotation: Option<u64>,
    /// Seconds between the publication of a key and its first signature.
    pub ahead: u64,
    /// Longest lifetime, in seconds, of ID tokens and status lists. They are signed with token keys
    /// but not recorded, so a replaced key stays published for this time.
    pub statement_lifetime: u64,
}

/// A key to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    pub purpose: KeyPurpose,
    pub alg: TokenAlg,
    /// Seconds between its publication and its first signature.
    pub ahead: u64,
}

/// What must be done about the stored keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyTasks {
    /// Keys to be created.
    pub create: Vec<KeySpec>,
    /// Upcoming keys, by `kid`, that must sign as soon as they are published because no key is
    /// active.
    pub expedite: Vec<String>,
    /// Replaced or revoked keys for which the expiry of their last token must be determined.
    pub determine_expiry: Vec<String>,
    /// Keys whose last token has expired.
    pub retire: Vec<String>,
}

/// Keys that an origin creates and rotates automatically. Operators pin snapshot keys at edges and
/// deliver HS256 keys to edges, so these are rotated only by command; a missing HS256 key is
/// created.
const MANAGED_KEYS: [(KeyPurpose, TokenAlg); 6] = [
    (KeyPurpose::Token, TokenAlg::EdDsa),
    (KeyPurpose::Token, TokenAlg::Ed25519),
    (KeyPurpose::Token, TokenAlg::Es256),
    (KeyPurpose::Token, TokenAlg::Rs256),
    (KeyPurpose::Token, TokenAlg::Ps256),
    (KeyPurpose::Derive, TokenAlg::Hs256),
];

/// The algorithms whose first key an operator creates by command, because few clients ask for them.
/// From then on their keys are managed like the others.
pub const ON_REQUEST: [TokenAlg; 2] = [TokenAlg::Ed25519, TokenAlg::Ps256];

/// Whether one of these keys has or had the algorithm.
#[must_use]
pub fn has_algorithm(keys: &[StoredKey], alg: TokenAlg) -> bool {
    keys.iter().any(|key| key.alg == alg.as_str() && key.purpose != IMPORTED_PURPOSE)
}

/// The state of each stored key at the Unix second `now`. `revoked` contains the `kid`s of revoked
/// keys.
#[must_use]
pub fn states<'a>(keys: &'a [StoredKey], revoked: &BTreeSet<String>, now: u64) -> Vec<(&'a StoredKey, KeyState)> {
    let has_begun = |key: &StoredKey| key.signs_from.is_some_and(|from| from <= now);
    let is_revoked = |key: &StoredKey| {
        // Other keys sign no tokens: a typo in a revocation must not stop the origin.
        matches!(key.purpose.as_str(), "token" | "derive" | IMPORTED_PURPOSE) && revoked.contains(&key.kid)
    };
    let rank = |key: &StoredKey| (key.signs_from, key.created_at, key.kid.clone());
    let same = |key: &StoredKey| {
        let (purpose, alg) = (key.purpose.clone(), key.alg.clone());
        keys.iter().filter(move |other| other.purpose == purpose && other.alg == alg)
    };
    // A replaced key never signs again, even if its successor is revoked.
    let newest = |key: &StoredKey| same(key).filter(|other| has_begun(other)).max_by_key(|other| rank(other));
    // If no key can sign, because it was revoked or a clock was set back, the first published one
    // becomes active early.
    let first_known = |key: &StoredKey| {
        let known = same(key).filter(|other| !has_begun(other) && !is_revoked(other) && other.gone_at.is_none());
        known.filter(|other| other.signs_from.is_some()).min_by_key(|other| rank(other))
    };
    let state = |key: &StoredKey| match newest(key) {
        _ if key.gone_at.is_some() => KeyState::Gone,
        _ if is_revoked(key) => KeyState::Revoked,
        _ if key.purpose == IMPORTED_PURPOSE => KeyState::Retiring,
        Some(newest) if newest.kid == key.kid => KeyState::Active,
        _ if has_begun(key) => KeyState::Retiring,
        newest if newest.is_none_or(is_revoked) && first_known(key).is_some_and(|first| first.kid == key.kid) => {
            KeyState::Active
        }
        _ => KeyState::Upcoming,
    };
    keys.iter().map(|key| (key, state(key))).collect()
}

/// The next time after `now` at which a key changes its state.
#[must_use]
pub fn next_change(keys: &[StoredKey], now: u64) -> Option<u64> {
    keys.iter().filter(|key| key.gone_at.is_none()).filter_map(|key| key.signs_from).filter(|from| *from > now).min()
}

/// What must be done at the Unix second `now`.
#[must_use]
pub fn tasks(keys: &[StoredKey], revoked: &BTreeSet<String>, policy: KeyPolicy, now: u64) -> KeyTasks {
    let states = states(keys, revoked, now);
    let mut tasks = KeyTasks::default();
    let known = |purpose: KeyPurpose, alg: TokenAlg| {
        let is_known = |key: &StoredKey, state: KeyState| {
            key.purpose == purpose.as_str() && key.alg == alg.as_str() && state < KeyState::Revoked
        };
        states.iter().filter(|(key, state)| is_known(key, *state)).count()
    };
    let is_managed = |alg: TokenAlg| !ON_REQUEST.contains(&alg) || has_algorithm(keys, alg);
    for (purpose, alg) in MANAGED_KEYS.into_iter().filter(|(_, alg)| is_managed(*alg)) {
        let of = |state: KeyState| {
            let this = move |key: &StoredKey| key.purpose == purpose.as_str() && key.alg == alg.as_str();
            states.iter().find(|(key, is)| *is == state && this(key)).map(|(key, _)| *key)
        };
        let new_key = |ahead| KeySpec { purpose, alg, ahead };
        match (of(KeyState::Active), of(KeyState::Upcoming)) {
            (None, None) => tasks.create.push(new_key(0)),
            (None, Some(next)) if next.ahead > 0 => tasks.expedite.push(next.kid.clone()),
            (Some(active), None) if purpose == KeyPurpose::Token && known(purpose, alg) < MAX_KEYS_PER_ALGORITHM => {
                let since = active.signs_from.unwrap_or(active.created_at);
                let ends = policy.rotation.map(|rotation| since.saturating_add(rotation));
                if ends.is_some_and(|ends| now.saturating_add(policy.ahead) >= ends) {
                    tasks.create.push(new_key(policy.ahead));
                }
            }
            _ => {}
        }
    }
    for (key, _) in states.iter().filter(|(_, state)| matches!(state, KeyState::Retiring | KeyState::Revoked)) {
        match key.retires_at {
            Some(end) if now >= end => tasks.retire.push(key.kid.clone()),
            None if replaced_at(key, &states).is_some_and(|at| now >= at.saturating_add(KEY_SWITCH_MARGIN)) => {
                tasks.determine_expiry.push(key.kid.clone());
            }
            _ => {}
        }
    }
    tasks
}

/// When the key was replaced: when the next key of its purpose and algorithm began to sign.
pub fn replaced_at(key: &StoredKey, states: &[(&StoredKey, KeyState)]) -> Option<u64> {
    let began = |(other, state): &(&StoredKey, KeyState)| {
        let same = other.purpose == key.purpose && other.alg == key.alg && other.kid != key.kid;
        let later = other.signs_from > key.signs_from || *state == KeyState::Active;
        let signed = matches!(state, KeyState::Active | KeyState::Retiring | KeyState::Revoked | KeyState::Gone);
        if same && later && signed { other.signs_from } else { None }
    };
    states.iter().filter_map(began).min()
}

/// The unpublished keys among `kids`, as they are after their publication at the Unix second `now`.
#[must_use]
pub fn publish(keys: &[StoredKey], kids: &[String], now: u64) -> Vec<StoredKey> {
    let new = keys.iter().filter(|key| key.published_at.is_none() && kids.contains(&key.kid));
    let published = |key: &StoredKey| StoredKey {
        published_at: Some(now),
        signs_from: Some(signing_start(keys, key, now.saturating_add(key.ahead))),
        ..key.clone()
    };
    new.map(published).collect()
}

/// The time from which a key signs, if possible `desired`: later than the other keys of its purpose
/// and algorithm, so that small differences of clocks do not make an old key the newest.
pub fn signing_start(keys: &[StoredKey], key: &StoredKey, desired: u64) -> u64 {
    let same = keys.iter().filter(|other| other.purpose == key.purpose && other.alg == key.alg && other.kid != key.kid);
    let begun =
        same.filter_map(|other| other.signs_from).filter(|from| *from <= desired.saturating_add(KEY_SWITCH_MARGIN));
    begun.max().map_or(desired, |newest| desired.max(newest.saturating_add(1)))
}
