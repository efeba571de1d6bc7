//! Generates keys.

use tollgate_model::TokenAlg;
use tollgate_model::encoding::base64url;
use tollgate_model::key_schedule::KeySpec;
use tollgate_model::{KeyPurpose, StoredKey};
use tollgate_system::rng;

use super::key_ring::{KeyRing, KeyRingError};
use super::master::MasterKey;
use super::private::PrivateKey;

/// Generates a key and encrypts it for the database. RSA takes up to seconds: not for an async
/// thread.
///
/// A token key signs after its publication in a snapshot. One that signs no access tokens is not in
/// snapshots: it is published in the JWK set by its creation, and signs after its `ahead` time. So
/// does a derive key, which is not published. A snapshot key signs when an operator activates it,
/// because only the operators who pin it know when edges have it.
///
/// # Errors
/// If the random source fails.
pub fn generate_key(master: &MasterKey, spec: KeySpec, now: u64) -> Result<StoredKey, KeyRingError> {
    let failed = |error: &dyn std::fmt::Display| KeyRingError::Generate(error.to_string());
    let KeySpec { purpose, alg, ahead } = spec;
    let (private, bytes) = PrivateKey::generate(alg).map_err(|error| failed(&error))?;
    let kid = match purpose {
        // The thumbprint of a secret would be a hash of the secret: secrets get random names.
        KeyPurpose::Derive | KeyPurpose::Secret => base64url(&rng::random::<18>().map_err(|error| failed(&error))?),
        KeyPurpose::Token | KeyPurpose::Snapshot => private.to_jwk().thumbprint().map_err(|error| failed(&error))?,
    };
    let (published_at, signs_from) = match purpose {
        KeyPurpose::Token if !alg.is_for_access_tokens() => (Some(now), Some(now.saturating_add(ahead))),
        KeyPurpose::Token | KeyPurpose::Snapshot => (None, None),
        KeyPurpose::Derive | KeyPurpose::Secret => (Some(now), Some(now.saturating_add(ahead))),
    };
    let mut key = StoredKey {
        kid,
        purpose: purpose.as_str().to_owned(),
        alg: alg.as_str().to_owned(),
        sealed: Vec::new(),
        created_at: now,
        ahead,
        published_at,
        signs_from,
        retires_at: None,
        gone_at: None,
    };
    let nonce = rng::random().map_err(|error| failed(&error))?;
    key.sealed = master.seal(&bytes, &key.context(), nonce).map_err(|error| failed(&error))?;
    Ok(key)
}

impl KeyRing {
    /// Generates the first keys of an issuer. They sign immediately, because no client has fetched
    /// the JWKS yet. RSA takes seconds: not for an async thread.
    ///
    /// # Errors
    /// If the random source fails.
    pub fn generate(master: &MasterKey, now: u64) -> Result<Vec<StoredKey>, KeyRingError> {
        let first_keys = [
            (KeyPurpose::Token, TokenAlg::EdDsa),
            (KeyPurpose::Token, TokenAlg::Es256),
            (KeyPurpose::Token, TokenAlg::Rs256),
            (KeyPurpose::Derive, TokenAlg::Hs256),
            (KeyPurpose::Secret, TokenAlg::Hs256),
            (KeyPurpose::Snapshot, TokenAlg::EdDsa),
        ];
        let first = |(purpose, alg)| {
            let key = generate_key(master, KeySpec { purpose, alg, ahead: 0 }, now)?;
            Ok(StoredKey { published_at: Some(now), signs_from: Some(now), ..key })
        };
        first_keys.into_iter().map(first).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn key_that_signs_no_access_tokens_is_published_by_its_creation() {
        let master = MasterKey::from_random([1; 32]);
        let spec = |alg| KeySpec { purpose: KeyPurpose::Token, alg, ahead: 60 };
        let usual = generate_key(&master, spec(TokenAlg::EdDsa), 1000).expect("generated");
        assert_eq!((usual.published_at, usual.signs_from), (None, None), "a snapshot publishes it");
        let key = generate_key(&master, spec(TokenAlg::Ed25519), 1000).expect("generated");
        assert_eq!((key.published_at, key.signs_from), (Some(1000), Some(1060)));
        let mut keys = KeyRing::generate(&master, 1000).expect("generated");
        let edge_keys = KeyRing::open(&master, &keys, BTreeSet::new(), 1000).expect("opened").public_jwks();
        keys.push(key);
        let ring = KeyRing::open(&master, &keys, BTreeSet::new(), 1000).expect("opened");
        assert!(ring.can_sign_statements(TokenAlg::Ed25519), "the first key of an algorithm waits for no cache");
        assert!(!ring.can_sign_statements(TokenAlg::Ps256));
        assert_eq!((ring.public_jwks(), ring.published_jwks().len()), (edge_keys, 4));
        assert!(ring.unpublished().is_empty());
    }
}
