//! HS256 keys: each audience has its own, derived from a stored key, so that the holder of one
//! cannot sign tokens for another audience.
//!
//! The keys are not stored. The key of an audience depends on the derive key, the audience and a
//! generation, a number that begins at 0: when the key of a generation is revoked, the next
//! generation signs. A rotation of the derive key replaces the keys of all audiences. The `kid` of
//! an audience key begins with the first characters of its derive key's `kid`.

use tollgate_model::{Audience, KeyState};

use super::audience_key::{AudienceKey, DERIVED_KID_PREFIX, DeriveKey, Generations};
use super::key_ring::KeyRing;

impl KeyRing {
    /// The HS256 key that signs for `audience`; `None` while the derive key is revoked and not yet
    /// replaced.
    #[must_use]
    pub fn audience_key(&self, audience: &Audience) -> Option<AudienceKey> {
        let active = self.derive.iter().position(|derive| derive.state == KeyState::Active)?;
        self.cached_keys(audience).get(active)?.last().cloned()
    }

    /// Whether HS256 keys are available.
    pub fn has_audience_keys(&self) -> bool {
        self.derive.iter().any(|derive| derive.state == KeyState::Active)
    }

    /// All HS256 keys that verifiers for `audience` need: the active one, the upcoming one, and
    /// those with unexpired tokens.
    #[must_use]
    pub fn audience_keys(&self, audience: &Audience) -> Vec<AudienceKey> {
        self.cached_keys(audience).iter().filter_map(|generations| generations.last()).cloned().collect()
    }

    /// Whether `kid` has the form of an HS256 key derived from a key of this ring.
    #[must_use]
    pub fn is_derived_kid(&self, kid: &str) -> bool {
        let parts = kid.split_at_checked(DERIVED_KID_PREFIX);
        parts.is_some_and(|(prefix, rest)| {
            rest.starts_with('.') && self.derive.iter().any(|derive| derive.kid.starts_with(prefix))
        })
    }

    /// The HS256 key with this `kid`, if it belongs to the audience and is not revoked. Both
    /// arguments come from an unverified token, so derived keys are not cached.
    pub(super) fn audience_key_named(&self, audience: &Audience, kid: &str) -> Option<AudienceKey> {
        if !self.is_derived_kid(kid) {
            return None;
        }
        let keys = self.audiences.get(audience).unwrap_or_else(|| self.all_generations(audience));
        keys.iter().filter_map(|generations| generations.last()).find(|key| key.kid() == kid).cloned()
    }

    /// As `audience_key_named`, also if the key was revoked since the token was recorded.
    pub(super) fn recorded_audience_key(&self, audience: &Audience, kid: &str) -> Option<AudienceKey> {
        self.cached_keys(audience).iter().flatten().find(|key| key.kid() == kid).cloned()
    }

    /// The cached keys of an audience that tokens are issued for.
    fn cached_keys(&self, audience: &Audience) -> Generations {
        self.audiences.get(audience).unwrap_or_else(|| self.audiences.insert(audience, self.all_generations(audience)))
    }

    fn all_generations(&self, audience: &Audience) -> Generations {
        self.derive.iter().map(|derive| self.generations(derive, audience)).collect()
    }

    /// The keys of an audience up to the first generation that is not revoked.
    fn generations(&self, derive: &DeriveKey, audience: &Audience) -> Vec<AudienceKey> {
        let mut keys = Vec::new();
        for generation in 0..u32::MAX {
            let key = AudienceKey::derive(derive, generation, audience);
            let is_good = !self.revoked.contains(key.kid());
            keys.push(key);
            if is_good {
                break;
            }
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::audience_key::MAX_CACHED_AUDIENCES;
    use crate::{MasterKey, generate_key};
    use tollgate_model::key_schedule::KeySpec;
    use tollgate_model::{KeyPurpose, StoredKey, TokenAlg};

    fn known(ring: &KeyRing) -> usize {
        ring.audiences.0.read().expect("nobody panicked").len()
    }

    fn audience(number: usize) -> Audience {
        format!("https://api.example.com/{number}").parse().expect("an audience")
    }

    #[test]
    fn cached_and_derived_keys_are_equal_and_the_cache_is_bounded() {
        let master = MasterKey::from_random([1; 32]);
        let keys = keys(&master);
        let open = || KeyRing::open(&master, &keys, BTreeSet::new(), 1_000).expect("they open");
        let (ring, other) = (open(), open());
        let kid = |ring: &KeyRing, number| ring.audience_key(&audience(number)).expect("a key").kid().to_owned();
        let first = kid(&ring, 0);
        assert_eq!((known(&ring), kid(&ring, 0) == first, kid(&other, 0) == first), (1, true, true));

        let named = other.audience_key_named(&audience(1), &kid(&ring, 1)).expect("it is that audience's");
        assert_eq!((named.kid(), known(&other)), (kid(&ring, 1).as_str(), 1), "nothing is kept of what anybody asks");
        assert!(other.audience_key_named(&audience(2), &first).is_none());

        for number in 2..MAX_CACHED_AUDIENCES + 2 {
            kid(&ring, number);
            assert!(known(&ring) <= MAX_CACHED_AUDIENCES);
        }
        assert_eq!(kid(&ring, 0), first);
    }

    /// The keys that a ring needs, without RSA, which takes long to generate.
    fn keys(master: &MasterKey) -> Vec<StoredKey> {
        let kinds = [
            (KeyPurpose::Token, TokenAlg::EdDsa),
            (KeyPurpose::Derive, TokenAlg::Hs256),
            (KeyPurpose::Secret, TokenAlg::Hs256),
            (KeyPurpose::Snapshot, TokenAlg::EdDsa),
        ];
        let made =
            kinds.map(|(purpose, alg)| generate_key(master, KeySpec { purpose, alg, ahead: 0 }, 1_000).expect("made"));
        made.map(|key| StoredKey { published_at: Some(1_000), signs_from: Some(1_000), ..key }).into()
    }
}
