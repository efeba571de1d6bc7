//! Secrets of our making: generated in plain, shown once, stored as a hash.
//!
//! Each is 256 bits that nobody can search, so a plain SHA-256 is enough to store it; a slow password hash would only slow
//! down the token endpoint. A prefix says what the secret is for, and with the checksum it lets secret scanners find leaked
//! ones with no false alarms, and us refuse what was never one before the store is asked.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::refresh;
use crate::encoding::{base64url, from_base64url};

const RANDOM_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretKind {
    /// Authenticates a client (RFC 6749 §2.3.1).
    Client,
    /// An authorization code (RFC 6749 §1.3.1).
    Code,
    /// A refresh token (RFC 6749 §1.5).
    Refresh,
    /// A device code (RFC 8628 §3.2).
    Device,
    /// An access token that says nothing by itself.
    Access,
    /// A registration access token (RFC 7592 §1.2).
    Registration,
    /// The cookie of a browser's session.
    Session,
    /// The handle of an authorization request, pushed (RFC 9126) or in the middle of a sign-in.
    Request,
}

impl SecretKind {
    /// All of them.
    pub const ALL: [SecretKind; 8] = [
        SecretKind::Client,
        SecretKind::Code,
        SecretKind::Refresh,
        SecretKind::Device,
        SecretKind::Access,
        SecretKind::Registration,
        SecretKind::Session,
        SecretKind::Request,
    ];

    /// What its secrets begin with.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            SecretKind::Client => "tgs_",
            SecretKind::Code => "tgz_",
            SecretKind::Refresh => "tgr_",
            SecretKind::Device => "tgd_",
            SecretKind::Access => "tga_",
            SecretKind::Registration => "tgat_",
            SecretKind::Session => "tgb_",
            SecretKind::Request => "tgq_",
        }
    }

    /// Whether `presented` has the form of this kind's secrets: prefix, length and checksum. What has not was never one.
    #[must_use]
    pub fn is_well_formed(self, presented: &str) -> bool {
        self.bytes(presented).is_some()
    }

    /// What stands between prefix and checksum, if `presented` has the form of this kind's secrets.
    pub(super) fn bytes(self, presented: &str) -> Option<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(presented.strip_prefix(self.prefix()).and_then(from_base64url)?);
        let (body, sum) = bytes.split_at_checked(self.length())?;
        if sum != checksum(self, body) {
            return None;
        }
        bytes.truncate(self.length());
        Some(bytes)
    }

    /// How many bytes stand there.
    const fn length(self) -> usize {
        match self {
            SecretKind::Refresh => refresh::TOKEN_BYTES,
            _ => RANDOM_BYTES,
        }
    }
}

/// A secret in plain. Never stored and never logged: `Debug` shows nothing of it.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The secret of these random bytes: the prefix, then base64url of the bytes and a four-byte checksum. Refresh tokens say more,
    /// see [`RefreshKeys`](super::RefreshKeys).
    #[must_use]
    pub fn new(kind: SecretKind, random: &[u8; RANDOM_BYTES]) -> Secret {
        Secret::of_bytes(kind, random)
    }

    /// The secret that says these bytes.
    pub(super) fn of_bytes(kind: SecretKind, body: &[u8]) -> Secret {
        let mut bytes = Zeroizing::new(Vec::with_capacity(body.len() + CHECKSUM_BYTES));
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(&checksum(kind, body));
        Secret(Zeroizing::new(format!("{}{}", kind.prefix(), &*Zeroizing::new(base64url(&bytes)))))
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

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

fn checksum(kind: SecretKind, random: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::new().chain_update(kind.prefix()).chain_update(random).finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// HMAC-SHA256 of a text.
pub fn keyed(key: &[u8; 32], text: &str) -> [u8; 32] {
    MacKey::new(key).code(&[text.as_bytes()])
}

/// A key of HMAC-SHA256: the hash states that every code under it begins with. Dropping it wipes them.
pub struct MacKey(Hmac<Sha256>);

impl MacKey {
    pub fn new(key: &[u8; 32]) -> MacKey {
        // RFC 2104 §2: a key is made as long as a block with zeros.
        let mut block = Zeroizing::new([0; 64]);
        block[..key.len()].copy_from_slice(key);
        MacKey(Hmac::new((&*block).into()))
    }

    /// The code of these parts, one behind the other.
    pub fn code(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

/// The SHA-256 of a secret, or another digest that stands for one. Compared in constant time where a secret is checked.
#[derive(Debug, Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of a secret as presented, whatever its form.
    #[must_use]
    pub fn of(presented: &str) -> SecretHash {
        SecretHash(Sha256::digest(presented.as_bytes()).into())
    }

    /// The hash of a short secret under a key: without the key nobody can search through all there are.
    #[must_use]
    pub fn keyed(key: &[u8; 32], presented: &str) -> SecretHash {
        SecretHash(keyed(key, presented))
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

impl PartialEq for SecretHash {
    fn eq(&self, other: &SecretHash) -> bool {
        self.matches(other)
    }
}

impl Eq for SecretHash {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_a_prefix_and_a_checksum() {
        for kind in SecretKind::ALL {
            let secret = Secret::of_bytes(kind, &[7; 60][..kind.length()]);
            assert!(kind.is_well_formed(secret.reveal()), "{kind:?}");
            let others = SecretKind::ALL.into_iter().filter(|other| *other != kind);
            assert!(
                others.into_iter().all(|other| !other.is_well_formed(secret.reveal())),
                "{kind:?} passes for another"
            );
            let mut altered = secret.reveal().to_owned();
            altered.replace_range(10..11, if &altered[10..11] == "A" { "B" } else { "A" });
            assert!(!kind.is_well_formed(&altered), "{kind:?}");
        }
        for text in ["", "tgs_", "tgs_AAAA", "tgs_!"] {
            assert!(!SecretKind::Client.is_well_formed(text), "{text:?}");
        }
    }

    #[test]
    fn only_the_secret_itself_has_its_hash() {
        let secret = Secret::new(SecretKind::Client, &[7; 32]);
        assert!(SecretHash::of(secret.reveal()).matches(&secret.hash()));
        assert!(!secret.hash().matches(&Secret::new(SecretKind::Client, &[8; 32]).hash()));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new(SecretKind::Client, &[7; 32])), "Secret(…)");
    }
}
