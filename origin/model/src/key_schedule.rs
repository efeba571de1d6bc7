//! The life of a key: which of the stored keys signs at a moment, which are on their way in or out, and what there is to do.
//!
//! Pure functions of the rows and a time. Every origin on a database has the same rows, so all of them switch to a new key at
//! the same moment by their own clocks, without a word between them; one whose clock is behind goes on with the old key for as
//! long, which is known everywhere until the last token of it on record has expired.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{Purpose, StoredKey, TokenAlg};

/// Seconds after which no origin signs with a replaced key any more: a request takes at most 15 s, and clocks of one system
/// differ by less than the rest.
pub const KEY_SWITCH_MARGIN: u64 = 60;
/// Keys of one algorithm that verifiers are told of at a time, at most, unless one is missing: those of three algorithms, with an
/// edge's own, are fewer than the [`tollgate_core::MAX_KEYS`] that an edge takes.
pub const MAX_KEYS_PER_ALGORITHM: usize = 12;

/// What a key is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Known or about to be known to verifiers, and not used yet.
    Upcoming,
    /// Signs.
    Active,
    /// Signs no more; what it signed is good until it expires.
    Retiring,
    /// Revoked: nothing that it signed is good.
    Revoked,
    /// Known to nobody any more, its private part destroyed.
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

/// When keys are replaced by themselves, and how long before that verifiers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPolicy {
    /// Seconds that a key signs; none when keys are replaced by command only.
    pub rotation: Option<u64>,
    /// Seconds between a key's publication and its first signature.
    pub ahead: u64,
    /// Seconds that anything but access tokens lives at most that is signed with a token key and checked later: ID tokens, status
    /// lists. It is not on record as access tokens are, so a key is known for as long after it was replaced.
    pub statements: u64,
}

/// A key that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    /// What for.
    pub purpose: Purpose,
    /// The algorithm.
    pub alg: TokenAlg,
    /// Seconds between its publication and its first signature.
    pub ahead: u64,
}

/// What there is to do about keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// Keys to be made.
    pub make: Vec<KeySpec>,
    /// Upcoming keys that must sign as soon as they are published, by `kid`: there is no other.
    pub hasten: Vec<String>,
    /// Replaced or revoked keys of which it is to be found out when their last token expires.
    pub settle: Vec<String>,
    /// Keys whose last token has expired.
    pub retire: Vec<String>,
}

/// What a process makes and replaces by itself. Snapshot keys are pinned at edges by people, and HS256 keys brought there by
/// people: those are replaced by command only, but an HS256 key that is missing is made.
const KEPT: [(Purpose, TokenAlg); 4] = [
    (Purpose::Token, TokenAlg::EdDsa),
    (Purpose::Token, TokenAlg::Es256),
    (Purpose::Token, TokenAlg::Rs256),
    (Purpose::Derive, TokenAlg::Hs256),
];

/// The stored keys with what they are at the Unix second `now`. `revoked` are the names of revoked keys.
#[must_use]
pub fn states<'a>(keys: &'a [StoredKey], revoked: &BTreeSet<String>, now: u64) -> Vec<(&'a StoredKey, KeyState)> {
    let has_begun = |key: &StoredKey| key.signs_from.is_some_and(|from| from <= now);
    let is_revoked = |key: &StoredKey| {
        // What edges pin and what encrypts at rest signs no token: a slip in a name must not stop the origin.
        matches!(key.purpose.as_str(), "token" | "derive") && revoked.contains(&key.kid)
    };
    let rank = |key: &StoredKey| (key.signs_from, key.created_at, key.kid.clone());
    let same = |key: &StoredKey| {
        let (purpose, alg) = (key.purpose.clone(), key.alg.clone());
        keys.iter().filter(move |other| other.purpose == purpose && other.alg == alg)
    };
    // Whoever was replaced never signs again, even if the newer one is revoked.
    let newest = |key: &StoredKey| same(key).filter(|other| has_begun(other)).max_by_key(|other| rank(other));
    // With none to sign, because that one was revoked or a clock went back, the first that verifiers know need not wait.
    let first_known = |key: &StoredKey| {
        let known = same(key).filter(|other| !has_begun(other) && !is_revoked(other) && other.gone_at.is_none());
        known.filter(|other| other.signs_from.is_some()).min_by_key(|other| rank(other))
    };
    let state = |key: &StoredKey| match newest(key) {
        _ if key.gone_at.is_some() => KeyState::Gone,
        _ if is_revoked(key) => KeyState::Revoked,
        Some(newest) if newest.kid == key.kid => KeyState::Active,
        _ if has_begun(key) => KeyState::Retiring,
        newest if newest.is_none_or(is_revoked) && first_known(key).is_some_and(|first| first.kid == key.kid) => {
            KeyState::Active
        }
        _ => KeyState::Upcoming,
    };
    keys.iter().map(|key| (key, state(key))).collect()
}

/// The next moment after `now` at which a state changes by itself.
#[must_use]
pub fn next_change(keys: &[StoredKey], now: u64) -> Option<u64> {
    keys.iter().filter(|key| key.gone_at.is_none()).filter_map(|key| key.signs_from).filter(|from| *from > now).min()
}

/// What there is to do at the Unix second `now`.
#[must_use]
pub fn due(keys: &[StoredKey], revoked: &BTreeSet<String>, policy: KeyPolicy, now: u64) -> Due {
    let states = states(keys, revoked, now);
    let mut due = Due::default();
    let known = |purpose: Purpose, alg: TokenAlg| {
        let is_known = |key: &StoredKey, state: KeyState| {
            key.purpose == purpose.as_str() && key.alg == alg.as_str() && state < KeyState::Revoked
        };
        states.iter().filter(|(key, state)| is_known(key, *state)).count()
    };
    for (purpose, alg) in KEPT {
        let of = |state: KeyState| {
            let this = move |key: &StoredKey| key.purpose == purpose.as_str() && key.alg == alg.as_str();
            states.iter().find(|(key, is)| *is == state && this(key)).map(|(key, _)| *key)
        };
        let wanted = |ahead| KeySpec { purpose, alg, ahead };
        match (of(KeyState::Active), of(KeyState::Upcoming)) {
            (None, None) => due.make.push(wanted(0)),
            (None, Some(next)) if next.ahead > 0 => due.hasten.push(next.kid.clone()),
            (Some(active), None) if purpose == Purpose::Token && known(purpose, alg) < MAX_KEYS_PER_ALGORITHM => {
                let since = active.signs_from.unwrap_or(active.created_at);
                let ends = policy.rotation.map(|rotation| since.saturating_add(rotation));
                if ends.is_some_and(|ends| now.saturating_add(policy.ahead) >= ends) {
                    due.make.push(wanted(policy.ahead));
                }
            }
            _ => {}
        }
    }
    for (key, _) in states.iter().filter(|(_, state)| matches!(state, KeyState::Retiring | KeyState::Revoked)) {
        match key.retires_at {
            Some(end) if now >= end => due.retire.push(key.kid.clone()),
            None if replaced_at(key, &states).is_some_and(|at| now >= at.saturating_add(KEY_SWITCH_MARGIN)) => {
                due.settle.push(key.kid.clone());
            }
            _ => {}
        }
    }
    due
}

/// When the key was replaced: when the next of its kind began to sign.
pub fn replaced_at(key: &StoredKey, states: &[(&StoredKey, KeyState)]) -> Option<u64> {
    let began = |(other, state): &(&StoredKey, KeyState)| {
        let same = other.purpose == key.purpose && other.alg == key.alg && other.kid != key.kid;
        let later = other.signs_from > key.signs_from || *state == KeyState::Active;
        let signed = matches!(state, KeyState::Active | KeyState::Retiring | KeyState::Revoked | KeyState::Gone);
        if same && later && signed { other.signs_from } else { None }
    };
    states.iter().filter_map(began).min()
}

/// These keys, those of them that were not published yet, as they are when they are published at the Unix second `now`.
#[must_use]
pub fn published(keys: &[StoredKey], kids: &[String], now: u64) -> Vec<StoredKey> {
    let new = keys.iter().filter(|key| key.published_at.is_none() && kids.contains(&key.kid));
    let published = |key: &StoredKey| StoredKey {
        published_at: Some(now),
        signs_from: Some(beginning(keys, key, now.saturating_add(key.ahead))),
        ..key.clone()
    };
    new.map(published).collect()
}

/// The moment from which a key signs that is to do so from `wanted` on: later than the others of its kind began, so that clocks
/// that disagree a little do not make an old key the newest.
pub fn beginning(keys: &[StoredKey], key: &StoredKey, wanted: u64) -> u64 {
    let same = keys.iter().filter(|other| other.purpose == key.purpose && other.alg == key.alg && other.kid != key.kid);
    let begun =
        same.filter_map(|other| other.signs_from).filter(|from| *from <= wanted.saturating_add(KEY_SWITCH_MARGIN));
    begun.max().map_or(wanted, |newest| wanted.max(newest.saturating_add(1)))
}
