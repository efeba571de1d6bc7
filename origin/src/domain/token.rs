//! Access tokens (RFC 9068): what one says, and what is recorded of it.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{ClientId, Grant, Malformed, Scope, identifier};
use crate::encoding::{base64url, from_base64url};

/// A token's `jti`: 128 random bits in base64url, so it can be neither guessed nor repeated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId(String);

impl TokenId {
    /// The identifier of these random bytes.
    #[must_use]
    pub fn from_random(random: &[u8; 16]) -> TokenId {
        TokenId(base64url(random))
    }

    /// The identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<TokenId, Malformed> {
        let bytes = from_base64url(text).ok_or(Malformed::new("token id", "is not base64url"))?;
        if bytes.len() != 16 {
            return Err(Malformed::new("token id", "is not 128 bits long"));
        }
        Ok(TokenId(text.to_owned()))
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The API a token is for (`aud`), usually its URL: 1 to 255 visible ASCII characters without `"` and `\`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Audience(String);

impl Audience {
    /// The audience as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Audience {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Audience, Malformed> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
        identifier("audience", text, allowed, "must be 1 to 255 visible ASCII characters without \" and \\")
            .map(Audience)
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A signature algorithm of access tokens (RFC 7518 §3.1, RFC 8037). No others exist here, `none` least of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenAlg {
    /// Ed25519; the default: small, fast to sign and with nothing to get wrong.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 bits.
    Rs256,
    /// HMAC with SHA-256 under a key of the audience, for edges that must be fast above all.
    Hs256,
}

impl TokenAlg {
    /// All of them.
    pub const ALL: [TokenAlg; 4] = [TokenAlg::EdDsa, TokenAlg::Es256, TokenAlg::Rs256, TokenAlg::Hs256];

    /// The registered name, as in a token's `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TokenAlg::EdDsa => "EdDSA",
            TokenAlg::Es256 => "ES256",
            TokenAlg::Rs256 => "RS256",
            TokenAlg::Hs256 => "HS256",
        }
    }
}

impl FromStr for TokenAlg {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<TokenAlg, Malformed> {
        let named = TokenAlg::ALL.into_iter().find(|alg| alg.as_str().eq_ignore_ascii_case(text));
        named.ok_or(Malformed::new("algorithm", "must be EdDSA, ES256, RS256 or HS256"))
    }
}

impl fmt::Display for TokenAlg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A token as recorded: everything but its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// `jti`
    pub id: TokenId,
    /// `client_id`
    pub client: ClientId,
    /// `sub`; the client itself for the client-credentials grant (RFC 9068 §2.2).
    pub subject: String,
    /// `scope`
    pub scope: Scope,
    /// `aud`
    pub audience: Audience,
    /// `iat`, Unix seconds.
    pub issued_at: u64,
    /// `exp`, Unix seconds; the token is bad from this second on.
    pub expires_at: u64,
}

impl AccessToken {
    /// The token that `grant` entitles a client to.
    #[must_use]
    pub fn for_client(id: TokenId, client: &ClientId, grant: Grant, now: u64, lifetime: u64) -> AccessToken {
        AccessToken {
            id,
            client: client.clone(),
            subject: client.as_str().to_owned(),
            scope: grant.scope,
            audience: grant.audience,
            issued_at: now,
            expires_at: now.saturating_add(lifetime),
        }
    }

    /// The claims set to sign.
    #[must_use]
    pub fn claims(&self, issuer: &str) -> Claims {
        Claims {
            iss: issuer.to_owned(),
            sub: self.subject.clone(),
            aud: self.audience.as_str().to_owned(),
            exp: self.expires_at,
            iat: self.issued_at,
            jti: self.id.as_str().to_owned(),
            client_id: self.client.as_str().to_owned(),
            scope: (!self.scope.is_empty()).then(|| self.scope.to_string()),
        }
    }
}

/// The claims of an access token on the wire (RFC 9068 §2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are the RFC's")]
pub struct Claims {
    pub iss: String,
    pub sub: String,
    pub aud: String,
    pub exp: u64,
    pub iat: u64,
    pub jti: String,
    pub client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}
