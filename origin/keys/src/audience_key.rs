//! The HS256 key of an audience, its derivation, and a cache of such keys.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use hkdf::Hkdf;
use sha2::Sha256;
use tollgate_model::encoding::base64url;
use tollgate_model::{Audience, KeyState, TokenAlg};
use zeroize::Zeroizing;

use super::compact::{self, TOKEN_TYPE};
use super::jwk::Jwk;
use super::private::PrivateKey;

/// Characters of the derive key's `kid` at the beginning of the `kid` of its audience keys.
pub const DERIVED_KID_PREFIX: usize = 8;

/// Audiences whose keys a ring caches. When there are more, the cache is cleared.
pub(super) const MAX_CACHED_AUDIENCES: usize = 1024;

/// The HS256 key of one audience. Cloning is cheap.
#[derive(Clone)]
pub struct AudienceKey(Arc<KeyMaterial>);

struct KeyMaterial {
    kid: String,
    /// JWS header of the access tokens that it signs.
    header: String,
    key: Arc<PrivateKey>,
}

/// The keys of one audience: for each derive key of the ring, the keys of all generations up to the
/// first that is not revoked.
pub(super) type Generations = Arc<[Vec<AudienceKey>]>;

/// The derived keys of audiences. They never change, because everything they depend on is in the
/// ring.
#[derive(Default)]
pub(super) struct AudienceKeyCache(pub(super) RwLock<HashMap<Audience, Generations>>);

/// A stored key from which audience keys are derived.
pub(super) struct DeriveKey {
    pub(super) kid: String,
    pub(super) state: KeyState,
    pub(super) seed: Zeroizing<[u8; 32]>,
}

impl AudienceKeyCache {
    pub(super) fn get(&self, audience: &Audience) -> Option<Generations> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(audience).cloned()
    }

    pub(super) fn insert(&self, audience: &Audience, keys: Generations) -> Generations {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_CACHED_AUDIENCES {
            known.clear();
        }
        known.insert(audience.clone(), Arc::clone(&keys));
        keys
    }
}

impl AudienceKey {
    /// HKDF-SHA256 with the derive key as the secret, and generation and audience as the info.
    pub(super) fn derive(derive: &DeriveKey, generation: u32, audience: &Audience) -> AudienceKey {
        let mut okm = Zeroizing::new([0; 48]);
        let info = format!("tollgate audience key v1|{generation}|{audience}");
        // 48 bytes are far below HKDF's limit of 255 hashes. If it ever failed, zeros must not be
        // used as a key.
        let expanded = Hkdf::<Sha256>::new(None, derive.seed.as_slice()).expand(info.as_bytes(), okm.as_mut());
        assert!(expanded.is_ok(), "HKDF gives 48 bytes");
        let (secret, kid) = okm.split_at(32);
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(secret);
        let prefix: String = derive.kid.chars().take(DERIVED_KID_PREFIX).collect();
        let kid = format!("{prefix}.{}", base64url(kid));
        let header = compact::header(TokenAlg::Hs256, &kid, TOKEN_TYPE);
        AudienceKey(Arc::new(KeyMaterial { kid, header, key: Arc::new(PrivateKey::shared(key)) }))
    }

    #[must_use]
    pub fn kid(&self) -> &str {
        &self.0.kid
    }

    /// The JWS header of the access tokens that it signs, in base64url.
    pub(super) fn header(&self) -> &str {
        &self.0.header
    }

    #[must_use]
    pub fn key(&self) -> &Arc<PrivateKey> {
        &self.0.key
    }

    /// The key as a JWK of type `oct`. Contains the secret: only for edges of the audience.
    #[must_use]
    pub fn to_secret_jwk(&self) -> Jwk {
        self.0.key.to_jwk().describe(&self.0.kid, TokenAlg::Hs256.as_str())
    }
}
