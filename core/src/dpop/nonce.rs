//! Nonces of DPoP proofs (RFC 9449 section 9): the number of a period and a MAC of it. Nothing is
//! stored, and every gate with the same key accepts them.

use alloc::string::String;

use subtle::ConstantTimeEq as _;

use crate::base64url;
use crate::mac::MacKey;

/// Seconds for which a nonce is handed out; it is valid for as long again.
const PERIOD_SECONDS: u64 = 120;
/// Bytes of the MAC in a nonce.
const MAC_BYTES: usize = 16;

/// Secret by which nonces are made.
#[derive(Clone)]
pub struct NonceKey(MacKey);

impl core::fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("NonceKey").field(&"secret").finish()
    }
}

impl NonceKey {
    /// Length of the secret in bytes.
    pub const LEN: usize = 32;

    /// The key with this secret.
    pub fn new(secret: &[u8; Self::LEN]) -> Self {
        Self(MacKey::new(secret))
    }

    /// The nonce of this time, in Unix seconds.
    pub fn nonce(&self, now: u64) -> String {
        self.nonce_of(now / PERIOD_SECONDS)
    }

    /// Whether the nonce was handed out in this period or the one before it.
    pub(super) fn accepts(&self, nonce: &str, now: u64) -> bool {
        let newest = now / PERIOD_SECONDS;
        let is_of = |period| bool::from(self.nonce_of(period).as_bytes().ct_eq(nonce.as_bytes()));
        is_of(newest) || newest.checked_sub(1).is_some_and(is_of)
    }

    fn nonce_of(&self, period: u64) -> String {
        let period = period.to_be_bytes();
        let mac = self.0.tag(&[b"tollgate edge dpop nonce v1\0", &period[..]].concat());
        base64url::encode(&[&period[..], mac.split_at(MAC_BYTES).0].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_accepted_for_two_periods_by_its_own_key() {
        let (key, other) = (NonceKey::new(&[1; 32]), NonceKey::new(&[2; 32]));
        let now = 1_800_000_000;
        let nonce = key.nonce(now);
        for (later, is_accepted) in [(0, true), (119, true), (239, true), (240, false), (360, false)] {
            assert_eq!(key.accepts(&nonce, now + later), is_accepted, "after {later} seconds");
        }
        assert!(!key.accepts(&nonce, now - 1), "of a later period");
        assert!(!other.accepts(&nonce, now));
        assert!(key.nonce(0) != key.nonce(120) && key.accepts(&key.nonce(0), 0));
        for wrong in ["", "AAAA", &nonce[1..], &alloc::format!("{nonce}A"), &nonce.to_uppercase()] {
            assert!(!key.accepts(wrong, now), "{wrong}");
        }
    }
}
