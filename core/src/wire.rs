//! Envelope of all messages from an origin to its edges, and a reader for their bodies.
//!
//! ```text
//! message   = magic version reserved body signature [ path length ]
//! magic     = "TGSN" (a snapshot) / "TGDL" (deltas)
//! version   = %x01 / %x02 (deltas that answer a nonce) / %x03 (deltas that may answer many)
//! reserved  = 3 %x00
//! signature = 64 OCTET ; Ed25519 (RFC 8032) over all bytes before it
//! path      = *OCTET   ; from the request's nonce to the signed one: `nonce_tree.rs`
//! length    = u16      ; of the path; both only in version 3
//! ```
//! Numbers are big-endian. A message with trailing bytes, a reserved byte that is not zero, or
//! another version is refused.
//!
//! Never: a body that is read before its signature was checked.

use core::fmt;

use ed25519_dalek::{Signature, VerifyingKey};

use crate::policy::ConfigError;

/// Version of snapshots, and of deltas without a nonce: pushes, and answers to edges that send
/// none.
pub(crate) const VERSION: u8 = 1;
/// Version of deltas that answer a nonce.
pub(crate) const ANSWER_VERSION: u8 = 2;
/// Version of deltas that answer one nonce or many.
pub(crate) const SHARED_VERSION: u8 = 3;
pub(crate) const HEADER_BYTES: usize = 8;
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// Type of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// A [`Snapshot`](crate::Snapshot).
    Snapshot,
    /// A message of [`Deltas`](crate::Deltas).
    Deltas,
}

impl MessageKind {
    /// The kind that the first bytes of an unverified message claim.
    pub fn of(message: &[u8]) -> Option<Self> {
        [Self::Snapshot, Self::Deltas].into_iter().find(|kind| message.starts_with(kind.magic()))
    }

    pub(crate) fn magic(self) -> &'static [u8; 4] {
        match self {
            Self::Snapshot => b"TGSN",
            Self::Deltas => b"TGDL",
        }
    }
}

/// Checks a message's envelope and its signature by one of the pinned keys. Returns its version and
/// body.
pub(crate) fn open<'a>(message: &'a [u8], kind: MessageKind, pins: &[[u8; 32]]) -> Result<(u8, &'a [u8]), WireError> {
    let signed_bytes =
        message.len().checked_sub(SIGNATURE_BYTES).filter(|&n| n >= HEADER_BYTES).ok_or(WireError::Truncated)?;
    let (signed, signature) = message.split_at(signed_bytes);
    let (header, body) = signed.split_at(HEADER_BYTES);
    let [m0, m1, m2, m3, version, reserved @ ..] = header else {
        return Err(WireError::Truncated);
    };
    if [*m0, *m1, *m2, *m3] != *kind.magic() {
        return Err(WireError::WrongKind);
    }
    let is_known = match kind {
        MessageKind::Snapshot => *version == VERSION,
        MessageKind::Deltas => [VERSION, ANSWER_VERSION, SHARED_VERSION].contains(version),
    };
    if !is_known {
        return Err(WireError::UnknownVersion { version: *version });
    }
    if reserved != [0; 3] {
        return Err(WireError::Malformed("a reserved byte is not zero"));
    }
    let signature = Signature::from_slice(signature).map_err(|_| WireError::BadSignature)?;
    let signed_by =
        |pin: &[u8; 32]| VerifyingKey::from_bytes(pin).is_ok_and(|key| key.verify_strict(signed, &signature).is_ok());
    if pins.iter().any(signed_by) { Ok((*version, body)) } else { Err(WireError::BadSignature) }
}

/// Splits deltas of version 3 into the bytes up to the signature, and the path that follows.
pub(crate) fn split_path(message: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let (rest, length) = message.split_last_chunk().ok_or(WireError::Truncated)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let signed = rest.len().checked_sub(length).ok_or(WireError::Truncated)?;
    Ok(rest.split_at(signed))
}

/// Whether the first bytes of an unverified message claim to be deltas of version 3.
pub(crate) fn has_path(message: &[u8]) -> bool {
    let magic = MessageKind::Deltas.magic();
    message.strip_prefix(magic.as_slice()).and_then(<[u8]>::first) == Some(&SHARED_VERSION)
}

/// Reads a body from front to back. Each length is checked against the remaining bytes before it is
/// used.
pub(crate) struct Body<'a> {
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Reads a u32 count of elements of `size` bytes, and returns their total number of bytes.
    pub(crate) fn extent(&mut self, size: usize) -> Result<usize, WireError> {
        let count = self.u32()? as usize;
        count.checked_mul(size).filter(|&bytes| bytes <= self.rest.len()).ok_or(WireError::Truncated)
    }

    /// Reads a text that follows its length as a u16.
    pub(crate) fn text(&mut self) -> Result<&'a str, WireError> {
        let length = self.u16()?;
        core::str::from_utf8(self.bytes(length.into())?).map_err(|_| WireError::Malformed("a text is not UTF-8"))
    }

    /// Number of bytes that were not read yet.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn finish(self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::Malformed("trailing bytes")) }
    }
}

/// Why an edge refuses a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireError {
    /// The message ends too early, or a length in it points past its end.
    Truncated,
    /// The message is of another kind.
    WrongKind,
    /// This edge does not support the version of the message.
    UnknownVersion {
        /// The version.
        version: u8,
    },
    /// The signature is not by a pinned key.
    BadSignature,
    /// The message is signed, but does not follow the format.
    Malformed(&'static str),
    /// The configuration in the snapshot cannot be used.
    Config(ConfigError),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the message is truncated"),
            Self::WrongKind => f.write_str("unexpected kind of message"),
            Self::UnknownVersion { version } => {
                write!(f, "message version {version} is not supported")
            }
            Self::BadSignature => f.write_str("the signature is not by a pinned snapshot key"),
            Self::Malformed(what) => write!(f, "the message is malformed: {what}"),
            Self::Config(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for WireError {}
