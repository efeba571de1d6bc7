//! The compact form of a token (RFC 7515 section 7.1): three base64url parts with dots between.

use alloc::vec::Vec;

use crate::base64url;
use crate::refusal::{Part, Refusal};

/// The longest token that is looked at, in bytes. Servers commonly cap a header field at 8 to 16 KiB.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A token taken apart. Nothing in it is verified.
pub(crate) struct Unverified<'a> {
    pub(crate) header: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    /// What the signature is over: header, dot, payload, as sent.
    pub(crate) signing_input: &'a [u8],
}

impl<'a> Unverified<'a> {
    /// Takes a token apart without looking into the parts.
    pub(crate) fn split(token: &'a [u8]) -> Result<Self, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::TooLarge { size: token.len() });
        }
        let mut parts = token.split(|&byte| byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::NotCompact);
        };
        if header.is_empty() || payload.is_empty() || signature.is_empty() {
            return Err(Refusal::NotCompact);
        }
        Ok(Self {
            header: base64url::decode(header).ok_or(Refusal::NotBase64Url { part: Part::Header })?,
            payload: base64url::decode(payload).ok_or(Refusal::NotBase64Url { part: Part::Claims })?,
            signature: base64url::decode(signature).ok_or(Refusal::NotBase64Url { part: Part::Signature })?,
            signing_input: token.get(..header.len() + 1 + payload.len()).ok_or(Refusal::NotCompact)?,
        })
    }
}
