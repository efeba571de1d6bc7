//! Clients: the machines that ask for tokens.

use std::fmt;
use std::str::FromStr;

use super::{Audience, Malformed, Scope, SecretHash, TokenAlg, identifier};
use crate::encoding::base64url;

/// A client's public identifier (RFC 6749 §2.2): 1 to 255 characters of `A-Z a-z 0-9 . _ ~ -`, which need no escaping in
/// headers, forms or URLs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(String);

impl ClientId {
    /// An identifier of these random bytes, with the prefix `tgc_`.
    #[must_use]
    pub fn from_random(random: &[u8; 12]) -> ClientId {
        ClientId(format!("tgc_{}", base64url(random)))
    }

    /// The identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<ClientId, Malformed> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        identifier("client id", text, allowed, "must be 1 to 255 characters of A-Z a-z 0-9 . _ ~ -").map(ClientId)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A registered client.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its public identifier; also the `sub` of tokens it gets for itself.
    pub id: ClientId,
    /// What people call it; never used in decisions.
    pub name: String,
    /// The hash its secret must have.
    pub secret: SecretHash,
    /// The widest scope its tokens may have.
    pub scope: Scope,
    /// The audiences its tokens may name; none listed means the server's default audience alone.
    pub audiences: Vec<Audience>,
    /// How its tokens are signed.
    pub alg: TokenAlg,
    /// Whether it may authenticate.
    pub status: ClientStatus,
    /// When it was registered, Unix seconds.
    pub created_at: u64,
}

/// Whether a client may authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientStatus {
    /// It may.
    Active,
    /// It may not, since this Unix second. Tokens it already holds stay good until they expire or are revoked.
    Disabled {
        /// When it was disabled.
        at: u64,
    },
}

/// The longest name of a client, in bytes.
const MAX_NAME_LENGTH: usize = 128;

/// Checks a client's display name.
///
/// # Errors
/// When it is empty, longer than 128 bytes, or has control characters (they would forge lines in listings and logs).
pub fn checked_name(name: &str) -> Result<String, Malformed> {
    if name.is_empty() || name.len() > MAX_NAME_LENGTH || name.chars().any(char::is_control) {
        return Err(Malformed::new("client name", "must be 1 to 128 bytes without control characters"));
    }
    Ok(name.to_owned())
}
