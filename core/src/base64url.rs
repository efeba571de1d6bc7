//! base64url without padding (RFC 7515 section 2), canonical only: each byte string has exactly one
//! encoding that is accepted.
//!
//! The library decodes with vector instructions, natively and in WebAssembly; a decoder without
//! them took a seventh of the time of a token check. The tests check the alphabet byte by byte.

use alloc::string::String;
use alloc::vec::Vec;

use base64_simd::{AsOut as _, URL_SAFE_NO_PAD};

/// Decodes `text`; `None` for padding, white space, another alphabet, an impossible length or
/// non-zero spare bits.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(text).ok()
}

/// Decodes `text` of exactly `N` bytes.
pub(crate) fn decode_array<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut array = [0; N];
    decode_slice(text, &mut array)?;
    Some(array)
}

/// As [`decode`], into `bytes`, which must have exactly the decoded length. On `None` the content
/// of `bytes` is unspecified.
pub(crate) fn decode_slice(text: &[u8], bytes: &mut [u8]) -> Option<()> {
    let is_right_length = bytes.len() == decoded_len(text.len());
    (is_right_length && URL_SAFE_NO_PAD.decode(text, bytes.as_out()).is_ok()).then_some(())
}

/// Encodes `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

/// Encodes `bytes` into `text`. Does nothing if `text` is too short.
pub(crate) fn encode_slice(bytes: &[u8], text: &mut [u8]) {
    if URL_SAFE_NO_PAD.encoded_length(bytes.len()) <= text.len() {
        let _ = URL_SAFE_NO_PAD.encode(bytes, text.as_out());
    }
}

/// Number of bytes that `characters` characters decode to.
pub(crate) const fn decoded_len(characters: usize) -> usize {
    characters / 4 * 3 + characters % 4 * 3 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_string_has_one_encoding() {
        assert_eq!(decode(b"AQ"), Some(alloc::vec![1]));
        assert_eq!(decode(b"-_8"), Some(alloc::vec![0xfb, 0xff]));
        for other in ["AR", "AQ==", "AQ=", "A", "A Q", "AQ\n", "+/8", "AQE\0", "é"] {
            assert_eq!(decode(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn encodes_and_decodes_every_length() {
        let bytes: Vec<u8> = (0..200_u8).map(|number| number.wrapping_mul(167) ^ 0x5a).collect();
        for length in 0..bytes.len() {
            let text = encode(&bytes[..length]);
            assert_eq!(decoded_len(text.len()), length);
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(&bytes[..length]), "{text}");
        }
    }

    /// Tries every byte at every position of texts of all lengths around the blocks that vector
    /// registers hold: a byte outside the alphabet is refused.
    #[test]
    fn accepts_the_alphabet_and_nothing_else() {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut decoded = 0;
        for length in 1..=100 {
            for position in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = alloc::vec![b'A'; length];
                    text[position] = byte;
                    let value = alphabet.iter().position(|known| *known == byte);
                    let spare_bits = if position + 1 == length { [0, 6, 4, 2][length % 4] } else { 0 };
                    let is_valid = length % 4 != 1 && value.is_some_and(|value| value % (1 << spare_bits) == 0);
                    let bytes = decode(&text);
                    assert_eq!(bytes.is_some(), is_valid, "{byte} at {position} of {length}");
                    if let Some(bytes) = bytes {
                        decoded += 1;
                        assert_eq!(encode(&bytes).as_bytes(), text);
                    }
                }
            }
        }
        assert!(decoded > 200_000, "only {decoded} texts were valid");
    }
}
