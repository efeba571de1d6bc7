//! The compact form of a token (RFC 7515 section 7.1): three base64url parts with dots between.

use crate::refusal::Refusal;

/// The longest token that is looked at, in bytes. Servers commonly cap a header field at 8 to 16 KiB.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A token taken apart: the parts as sent, none of them decoded and nothing verified.
pub(crate) struct Unverified<'a> {
    pub(crate) header: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) signature: &'a [u8],
    /// What the signature is over: header, dot, payload.
    pub(crate) signing_input: &'a [u8],
}

impl<'a> Unverified<'a> {
    /// Takes a token apart without looking into the parts.
    pub(crate) fn split(token: &'a [u8]) -> Result<Self, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::TooLarge { size: token.len() });
        }
        let (header, rest) = at_dot(token).ok_or(Refusal::NotCompact)?;
        let (payload, signature) = at_dot(rest).ok_or(Refusal::NotCompact)?;
        if header.is_empty() || payload.is_empty() || signature.is_empty() || at_dot(signature).is_some() {
            return Err(Refusal::NotCompact);
        }
        let signing_input = token.get(..header.len() + 1 + payload.len()).ok_or(Refusal::NotCompact)?;
        Ok(Self { header, payload, signature, signing_input })
    }
}

/// What stands before the first dot, and after it.
fn at_dot(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = memchr::memchr(b'.', text)?;
    Some((text.get(..dot)?, text.get(dot + 1..)?))
}
