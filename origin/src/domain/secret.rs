//! Client secrets: generated in plain, shown once, stored as a hash.
//!
//! A secret is 256 random bits, so a plain SHA-256 is enough to store it: nobody can search that space, and a slow
//! password hash would only slow down the token endpoint. The `tgs_` prefix and the checksum let secret scanners find
//! leaked ones with no false alarms.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::encoding::base64url;

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
        ClientSecret(Zeroizing::new(format!("{PREFIX}{}", base64url(&bytes))))
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
        let encoded = secret.reveal().strip_prefix("tgs_").expect("the prefix");
        let bytes = crate::encoding::from_base64url(encoded).expect("base64url");
        assert_eq!(bytes, [&[7; 32][..], &checksum(&[7; 32])].concat());
    }

    #[test]
    fn only_the_secret_itself_has_its_hash() {
        let secret = ClientSecret::from_random(&[7; 32]);
        assert!(SecretHash::of(secret.reveal()).matches(&secret.hash()));
        assert!(!secret.hash().matches(&ClientSecret::from_random(&[8; 32]).hash()));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", ClientSecret::from_random(&[7; 32])), "ClientSecret(…)");
    }
}
