//! Identifiers of clients, users, grants and browser sessions.

use std::fmt;
use std::str::FromStr;

use super::encoding::base64url;
use super::malformed::{Malformed, identifier};

/// A client identifier (RFC 6749 §2.2): 1 to 255 characters of `A-Z a-z 0-9 . _ ~ -`, which need no
/// escaping in headers, forms and URLs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(String);

impl ClientId {
    /// An identifier made from random bytes, with the prefix `tgc_`.
    #[must_use]
    pub fn from_random(random: &[u8; 12]) -> ClientId {
        ClientId(format!("tgc_{}", base64url(random)))
    }

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

json_as_text!(ClientId);

generated_id! {
    /// A grant's public identifier, `tgg_…`.
    GrantId, "tgg_", "grant id"
}
generated_id! {
    /// A user's identifier, `tgu_…`: the `sub` of tokens of clients with public subject
    /// identifiers.
    UserId, "tgu_", "user id"
}
generated_id! {
    /// The public identifier of a browser session, `tgl_…`.
    BrowserSessionId, "tgl_", "session id"
}
