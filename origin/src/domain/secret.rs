//! Client secrets: generated in plain, shown once, stored as a hash.
//!
//! A secret is 256 random bits, so a plain SHA-256 is enough to store it: nobody can search that space, and a slow
//! password hash would only slow down the token endpoint. The `tgs_` prefix and the checksum let secret scanners find
//! leaked ones with no false alarms, and a mistyped one be told from a wrong one by whoever typed it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::Malformed;

const PREFIX: &str = "tgs_";
const RANDOM_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;

/// A client's secret in plain. Never stored and never logged: `Debug` shows nothing of it.
pub struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    /// Makes the secret of these random bytes: `tgs_`, then base64url of the bytes and a four-byte checksum.
    #[must_use]
    pub fn from_random(random: &[u8; RANDOM_BYTES]) -> ClientSecret {
        let mut bytes = Zeroizing::new(random.to_vec());
        bytes.extend_from_slice(&checksum(random));
        ClientSecret(Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice()))))
    }

    /// Checks that `text` has the form of a secret this server could have made; says nothing about whose it is.
    ///
    /// # Errors
    /// When prefix, length, alphabet or checksum are wrong.
    pub fn parse(text: &str) -> Result<ClientSecret, Malformed> {
        let wrong = |problem| Malformed::new("client secret", problem);
        let encoded = text.strip_prefix(PREFIX).ok_or(wrong("does not begin with tgs_"))?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| wrong("is not base64url"))?);
        let (random, sum) = bytes.split_at_checked(RANDOM_BYTES).ok_or(wrong("is too short"))?;
        if sum != checksum(random) {
            return Err(wrong("has a wrong checksum: it was mistyped or cut short"));
        }
        Ok(ClientSecret(Zeroizing::new(text.to_owned())))
    }

    /// The secret itself, for the one moment it is shown.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

fn checksum(random: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::new().chain_update(PREFIX).chain_update(random).finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// The SHA-256 of a client's secret. Compared in constant time only, hence no `PartialEq`.
#[derive(Debug, Clone)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of a secret as presented, whatever its form.
    #[must_use]
    pub fn of(presented: &str) -> SecretHash {
        SecretHash(Sha256::digest(presented.as_bytes()).into())
    }

    /// Takes a stored hash.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> SecretHash {
        SecretHash(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are hashes of one secret; takes the same time wherever they differ.
    #[must_use]
    pub fn matches(&self, other: &SecretHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_a_prefix_and_a_checksum() {
        let secret = ClientSecret::from_random(&[7; 32]);
        assert!(secret.reveal().starts_with("tgs_"));
        assert_eq!(secret.reveal().len(), 4 + 48);
        let again = ClientSecret::parse(secret.reveal()).expect("own secrets parse");
        assert!(again.hash().matches(&secret.hash()));
        assert!(!secret.hash().matches(&ClientSecret::from_random(&[8; 32]).hash()));
    }

    #[test]
    fn a_mistyped_secret_is_refused() {
        let secret = ClientSecret::from_random(&[7; 32]).reveal().to_owned();
        let mistyped = secret.replacen('B', "C", 1);
        assert_ne!(secret, mistyped);
        for text in [mistyped.as_str(), &secret[..secret.len() - 1], &secret[4..], "", "tgs_"] {
            assert!(ClientSecret::parse(text).is_err(), "{text:?} passed");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", ClientSecret::from_random(&[7; 32])), "ClientSecret(…)");
    }
}
