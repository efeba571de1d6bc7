//! base64url without padding (RFC 7515 section 2), canonical only: a text that decodes has exactly one spelling.

use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Decodes `text`; `None` for padding, white space, another alphabet, an impossible length or non-zero spare bits.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Decodes `text` of exactly `N` bytes.
pub(crate) fn decode_array<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    decode(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_one_spelling_for_a_text() {
        assert_eq!(decode(b"AQ"), Some(alloc::vec![1]));
        assert_eq!(decode(b"-_8"), Some(alloc::vec![0xfb, 0xff]));
        for other in ["AR", "AQ==", "AQ=", "A", "A Q", "AQ\n", "+/8", "AQE\0", "é"] {
            assert_eq!(decode(other.as_bytes()), None, "{other:?}");
        }
    }
}
