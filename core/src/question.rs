//! What an edge's question to its origin carries: a nonce that the answer must bear, and the proof of which edge asks.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::mac::MacKey;

/// 128 random bits of one question. Only an answer that bears them can have been made after the question was asked, so only
/// such an answer makes an edge fresh: a recorded one does not, nor one that was asked for in advance with a nonce that could
/// be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; Self::LEN]);

impl Nonce {
    /// Bytes of a nonce.
    pub const LEN: usize = 16;

    /// A nonce of these random bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The nonce as it stands in a message.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Reads the form that [`Display`](fmt::Display) writes: 32 hexadecimal digits in small letters.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut nonce = [0; Self::LEN];
        for (byte, [high, low]) in nonce.iter_mut().zip(text.as_bytes().as_chunks().0) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        (text.len() == 2 * Self::LEN).then_some(Self(nonce))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(2 * Self::LEN);
        self.0.iter().for_each(|byte| push_hex(&mut text, *byte));
        f.write_str(&text)
    }
}

/// The secret by which a registered edge proves to its origin which edge it is. It says nothing of tokens and forges nothing.
#[derive(Clone)]
pub struct EdgeKey(MacKey);

impl EdgeKey {
    /// Bytes of the secret.
    pub const LEN: usize = 32;

    /// The key of this secret.
    pub fn new(secret: &[u8; Self::LEN]) -> Self {
        Self(MacKey::new(secret))
    }

    /// The question, a query's text, with the proof at its end: HMAC-SHA256 over what stands before.
    pub fn sign(&self, mut question: String) -> String {
        let proof = self.0.tag(&message(&question));
        question.push_str(PROOF);
        proof.iter().for_each(|byte| push_hex(&mut question, *byte));
        question
    }

    /// Whether the question has its proof at its end; compared in constant time.
    pub fn has_signed(&self, question: &str) -> bool {
        let Some((question, proof)) = question.rsplit_once(PROOF) else { return false };
        let bytes = proof.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> =
            bytes.0.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
        proof.len() == 64 && bytes.is_some_and(|bytes| self.0.fits(&message(question), &bytes))
    }
}

impl fmt::Debug for EdgeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EdgeKey").field(&"secret").finish()
    }
}

/// What stands before the proof.
const PROOF: &str = "&proof=";

fn push_hex(text: &mut String, byte: u8) {
    for digit in [byte >> 4, byte & 15] {
        text.push(char::from(digit + if digit < 10 { b'0' } else { b'a' - 10 }));
    }
}

/// The value of a hexadecimal digit in small letters.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// What is authenticated: the question behind a name for this use, so that no other MAC by the same secret fits.
fn message(question: &str) -> Vec<u8> {
    [b"tollgate edge question v1\0", question.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn a_nonce_has_one_text() {
        let nonce = Nonce::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff]);
        assert_eq!(nonce.to_string(), "000102030405060708090a0b0c0d0eff");
        assert_eq!(Nonce::from_hex(&nonce.to_string()), Some(nonce));
        for text in ["", "00", "000102030405060708090A0B0C0D0EFF", "+00102030405060708090a0b0c0d0eff", &"0".repeat(33)]
        {
            assert_eq!(Nonce::from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn a_proof_is_for_one_question_by_one_key() {
        let (key, other) = (EdgeKey::new(&[1; 32]), EdgeKey::new(&[2; 32]));
        let signed = key.sign("after=1&edge=a".into());
        assert!(key.has_signed(&signed));
        assert!(!other.has_signed(&signed));
        let proof = signed.split_once(PROOF).expect("a proof").1;
        for question in [
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
            assert!(!key.has_signed(&question), "{question}");
        }
    }
}
