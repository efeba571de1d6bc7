//! Making keys.

use tollgate_model::TokenAlg;
use tollgate_model::encoding::base64url;
use tollgate_model::key_schedule::KeySpec;
use tollgate_model::{KeyPurpose, StoredKey};
use tollgate_system::rng;

use super::{KeyRing, KeyRingError, MasterKey, PrivateKey};

/// Makes a key, sealed for the database. Takes up to seconds for RSA: not for an async thread.
///
/// A token key signs once it is published; a derive key, of which no verifier is told by the origin, when its time ahead is
/// over; a snapshot key when somebody says so, for nobody but the people who pin it know who does.
///
/// # Errors
/// When the system has no randomness.
pub fn make(master: &MasterKey, wanted: KeySpec, now: u64) -> Result<StoredKey, KeyRingError> {
    let making = |error: &dyn std::fmt::Display| KeyRingError::Making(error.to_string());
    let KeySpec { purpose, alg, ahead } = wanted;
    let private = PrivateKey::generate(alg).map_err(|error| making(&error))?;
    let kid = match purpose {
        // The thumbprint of a secret would be a hash of the secret: secrets get random names.
        KeyPurpose::Derive | KeyPurpose::Secret => base64url(&rng::random::<18>().map_err(|error| making(&error))?),
        KeyPurpose::Token | KeyPurpose::Snapshot => private.to_jwk().thumbprint().map_err(|error| making(&error))?,
    };
    let (published_at, signs_from) = match purpose {
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
    let bytes = private.to_bytes().map_err(|error| making(&error))?;
    let nonce = rng::random().map_err(|error| making(&error))?;
    key.sealed = master.seal(&bytes, &key.context(), nonce).map_err(|error| making(&error))?;
    Ok(key)
}

impl KeyRing {
    /// Makes the first set of keys, which sign from now on: nobody has asked for the JWKS yet. Takes seconds for RSA: not for an
    /// async thread.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate(master: &MasterKey, now: u64) -> Result<Vec<StoredKey>, KeyRingError> {
        let wanted = [
            (KeyPurpose::Token, TokenAlg::EdDsa),
            (KeyPurpose::Token, TokenAlg::Es256),
            (KeyPurpose::Token, TokenAlg::Rs256),
            (KeyPurpose::Derive, TokenAlg::Hs256),
            (KeyPurpose::Secret, TokenAlg::Hs256),
            (KeyPurpose::Snapshot, TokenAlg::EdDsa),
        ];
        let first = |(purpose, alg)| {
            let key = make(master, KeySpec { purpose, alg, ahead: 0 }, now)?;
            Ok(StoredKey { published_at: Some(now), signs_from: Some(now), ..key })
        };
        wanted.into_iter().map(first).collect()
    }
}
