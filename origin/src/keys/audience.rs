//! HS256 keys: one for each audience, derived from a stored key, so that whoever holds one forges nothing for another.
//!
//! There is no list of them. The key of an audience is a function of the derive key, the audience and a generation, a number that
//! begins at 0: when the key of a generation is revoked, the next one signs. A replaced derive key replaces those of all
//! audiences. A `kid` begins with the first characters of its derive key's, so that it says which of them it came from.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Jwk, KeyRing, KeyState, PrivateKey};
use crate::domain::{Audience, TokenAlg};
use crate::encoding::base64url;

/// Characters of the derive key's name at the beginning of its audience keys' names.
pub(crate) const DERIVED_PREFIX: usize = 8;

/// The HS256 key of one audience. It signs for that audience only, so whoever holds it forges nothing for another.
pub struct AudienceKey {
    kid: String,
    key: PrivateKey,
}

/// A stored key from which audience keys are derived.
pub(super) struct DeriveKey {
    pub(super) kid: String,
    pub(super) state: KeyState,
    pub(super) seed: Zeroizing<[u8; 32]>,
}

impl KeyRing {
    /// The HS256 key that signs for `audience`. None for the moment in which the key behind it is revoked and not yet replaced.
    #[must_use]
    pub fn audience_key(&self, audience: &Audience) -> Option<AudienceKey> {
        let derive = self.derive.iter().find(|derive| derive.state == KeyState::Active)?;
        self.derived_for(derive, audience)
    }

    /// Whether HS256 keys can be had.
    pub(super) fn derives(&self) -> bool {
        self.derive.iter().any(|derive| derive.state == KeyState::Active)
    }

    /// All HS256 keys that verifiers for `audience` need: the one that signs, one that will, those whose tokens have not expired.
    #[must_use]
    pub fn audience_keys(&self, audience: &Audience) -> Vec<AudienceKey> {
        self.derive.iter().filter_map(|derive| self.derived_for(derive, audience)).collect()
    }

    /// Whether this is the form of the name of an HS256 key that was derived from a key of this ring.
    #[must_use]
    pub fn may_have_derived(&self, kid: &str) -> bool {
        let parts = kid.split_at_checked(DERIVED_PREFIX);
        parts.is_some_and(|(prefix, rest)| {
            rest.starts_with('.') && self.derive.iter().any(|derive| derive.kid.starts_with(prefix))
        })
    }

    /// The HS256 key of this name, if it is the audience's and not revoked.
    pub(super) fn audience_key_named(&self, audience: &Audience, kid: &str) -> Option<AudienceKey> {
        let (prefix, _) = kid.split_at_checked(DERIVED_PREFIX)?;
        let derived = self.derive.iter().filter(|derive| derive.kid.starts_with(prefix));
        derived.filter_map(|derive| self.derived_for(derive, audience)).find(|key| key.kid == kid)
    }

    /// The HS256 key of this name, if it is the audience's, and though it was just revoked.
    pub(super) fn recorded_audience_key(&self, audience: &Audience, kid: &str) -> Option<AudienceKey> {
        let generations = |derive| self.generations(derive, audience);
        self.derive.iter().flat_map(generations).find(|key| key.kid == kid)
    }

    /// The keys of an audience up to the first that is not revoked.
    fn generations(&self, derive: &DeriveKey, audience: &Audience) -> Vec<AudienceKey> {
        let mut keys = Vec::new();
        for generation in 0..u32::MAX {
            let key = AudienceKey::derive(derive, generation, audience);
            let is_good = !self.revoked.contains(&key.kid);
            keys.push(key);
            if is_good {
                break;
            }
        }
        keys
    }

    /// The key of the first generation that is not revoked.
    fn derived_for(&self, derive: &DeriveKey, audience: &Audience) -> Option<AudienceKey> {
        self.generations(derive, audience).pop()
    }
}

impl AudienceKey {
    /// HKDF-SHA256 over the derive key, with generation and audience as the only input that differs.
    fn derive(derive: &DeriveKey, generation: u32, audience: &Audience) -> AudienceKey {
        let mut okm = Zeroizing::new([0; 48]);
        let info = format!("tollgate audience key v1|{generation}|{audience}");
        // 48 bytes are far below HKDF's limit of 255 hashes; were it ever refused, the zeroes must not become a key.
        let expanded = Hkdf::<Sha256>::new(None, derive.seed.as_slice()).expand(info.as_bytes(), okm.as_mut());
        assert!(expanded.is_ok(), "HKDF gives 48 bytes");
        let (secret, kid) = okm.split_at(32);
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(secret);
        let prefix: String = derive.kid.chars().take(DERIVED_PREFIX).collect();
        AudienceKey { kid: format!("{prefix}.{}", base64url(kid)), key: PrivateKey::Hs256(key) }
    }

    /// The key's identifier.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key itself.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The key as a JWK of type `oct`. It holds the secret: for the eyes of the audience's edges only.
    #[must_use]
    pub fn to_secret_jwk(&self) -> Jwk {
        self.key.to_jwk().describe(&self.kid, TokenAlg::Hs256.as_str())
    }
}
