//! JWS compact serialization (RFC 7515 section 7.1): three base64url parts separated by dots.

use crate::refusal::{MAX_TOKEN_BYTES, Refusal};

/// The parts of a token as they were sent: not decoded, and nothing is verified.
pub(crate) struct UnverifiedToken<'a> {
    pub(crate) header: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) signature: &'a [u8],
    /// The signed bytes: header, dot, payload.
    pub(crate) signing_input: &'a [u8],
}

impl<'a> UnverifiedToken<'a> {
    /// Splits a token at its dots, without reading the parts.
    pub(crate) fn split(token: &'a [u8]) -> Result<Self, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::TooLarge { size: token.len() });
        }
        let (header, rest) = split_at_dot(token).ok_or(Refusal::NotCompact)?;
        let (payload, signature) = split_at_dot(rest).ok_or(Refusal::NotCompact)?;
        if header.is_empty() || payload.is_empty() || signature.is_empty() || split_at_dot(signature).is_some() {
            return Err(Refusal::NotCompact);
        }
        let signing_input = token.get(..header.len() + 1 + payload.len()).ok_or(Refusal::NotCompact)?;
        Ok(Self { header, payload, signature, signing_input })
    }
}

/// The bytes before the first dot, and the bytes after it.
fn split_at_dot(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = memchr::memchr(b'.', text)?;
    Some((text.get(..dot)?, text.get(dot + 1..)?))
}
