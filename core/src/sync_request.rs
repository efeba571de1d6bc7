//! An edge's sync request to its origin: the nonce that the answer must repeat, and the proof of
//! which edge sent the request.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::hex;
use crate::mac::MacKey;

/// 128 random bits of one request. An answer with the same nonce was made after the request was
/// sent, so it proves freshness. A replayed answer does not, nor one that an attacker requested in
/// advance, because the nonce cannot be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; Self::LEN]);

impl Nonce {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// The nonce with these random bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The nonce as bytes of a message.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Parses the form that [`Display`](fmt::Display) writes: 32 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        hex::parse(text).map(Self)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(2 * Self::LEN);
        hex::push(&mut text, &self.0);
        f.write_str(&text)
    }
}

/// Secret by which a registered edge authenticates to its origin. It cannot forge tokens, snapshots
/// or deltas.
#[derive(Clone)]
pub struct EdgeKey(MacKey);

impl EdgeKey {
    /// Length of the secret in bytes.
    pub const LEN: usize = 32;

    /// The key with this secret.
    pub fn new(secret: &[u8; Self::LEN]) -> Self {
        Self(MacKey::new(secret))
    }

    /// Appends the proof to a URL query: HMAC-SHA256 over the query.
    pub fn sign(&self, mut query: String) -> String {
        let proof = self.0.tag(&signed_bytes(&query));
        query.push_str(PROOF_PARAMETER);
        hex::push(&mut query, &proof);
        query
    }

    /// Whether the URL query ends with its proof by this key, compared in constant time.
    pub fn has_signed(&self, query: &str) -> bool {
        let Some((query, proof)) = query.rsplit_once(PROOF_PARAMETER) else { return false };
        hex::parse::<32>(proof).is_some_and(|proof| self.0.is_valid_tag(&signed_bytes(query), &proof))
    }
}

impl EdgeKey {
    /// The MAC of labelled bytes.
    #[cfg(feature = "build")]
    pub(crate) fn authenticate(&self, labelled: &[u8]) -> [u8; 32] {
        self.0.tag(labelled)
    }

    /// Whether this is the MAC of labelled bytes, compared in constant time.
    pub(crate) fn has_authenticated(&self, labelled: &[u8], mac: &[u8; 32]) -> bool {
        self.0.is_valid_tag(labelled, mac)
    }
}

impl fmt::Debug for EdgeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EdgeKey").field(&"secret").finish()
    }
}

/// The query parameter of the proof, up to its value. It is always the last parameter.
const PROOF_PARAMETER: &str = "&proof=";

/// The authenticated bytes: the query, preceded by a label for this use, so that a MAC that the
/// secret made for another use is not accepted.
fn signed_bytes(query: &str) -> Vec<u8> {
    [b"tollgate edge question v1\0", query.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn a_nonce_has_one_text_form() {
        let nonce = Nonce::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff]);
        assert_eq!(nonce.to_string(), "000102030405060708090a0b0c0d0eff");
        assert_eq!(Nonce::from_hex(&nonce.to_string()), Some(nonce));
        for text in ["", "00", "000102030405060708090A0B0C0D0EFF", "+00102030405060708090a0b0c0d0eff", &"0".repeat(33)]
        {
            assert_eq!(Nonce::from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn a_proof_is_valid_for_one_query_and_one_key() {
        let (key, other) = (EdgeKey::new(&[1; 32]), EdgeKey::new(&[2; 32]));
        let signed = key.sign("after=1&edge=a".into());
        assert!(key.has_signed(&signed));
        assert!(!other.has_signed(&signed));
        let proof = signed.split_once(PROOF_PARAMETER).expect("a proof").1;
        for query in [
            signed.replace("after=1", "after=2"),
            signed.to_uppercase(),
            signed[..signed.len() - 1].into(),
            alloc::format!("{signed}0"),
            alloc::format!("{signed}&after=2"),
            alloc::format!("{signed}&proof={proof}"),
            "after=1&edge=a".into(),
            "after=1&edge=a&proof=".into(),
            "&proof=é".into(),
            String::new(),
        ] {
            assert!(!key.has_signed(&query), "{query}");
        }
    }
}
