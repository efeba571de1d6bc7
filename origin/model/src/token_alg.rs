//! Signature algorithms of tokens.

use std::fmt;
use std::str::FromStr;

use super::malformed::Malformed;

/// A signature algorithm of JWTs (RFC 7518 §3.1, RFC 8037). No other is supported; in particular
/// not `none`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenAlg {
    /// Ed25519, the default: small and fast, and without parameters that could be chosen badly.
    #[default]
    EdDsa,
    /// The same algorithm under its name of RFC 9864, with keys of its own. Not for access tokens,
    /// in which it is named EdDSA.
    Ed25519,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 bits.
    Rs256,
    /// RSASSA-PSS with SHA-256, 2048 bits. Not for access tokens: edges do not verify it.
    Ps256,
    /// HMAC with SHA-256 under a key of the audience, for edges with the highest throughput.
    Hs256,
}

impl TokenAlg {
    pub const ALL: [TokenAlg; 6] =
        [TokenAlg::EdDsa, TokenAlg::Ed25519, TokenAlg::Es256, TokenAlg::Rs256, TokenAlg::Ps256, TokenAlg::Hs256];
    /// Those that access tokens can have, because edges verify them.
    pub const OF_ACCESS_TOKENS: [TokenAlg; 4] = [TokenAlg::EdDsa, TokenAlg::Es256, TokenAlg::Rs256, TokenAlg::Hs256];

    /// The registered name, as in `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TokenAlg::EdDsa => "EdDSA",
            TokenAlg::Ed25519 => "Ed25519",
            TokenAlg::Es256 => "ES256",
            TokenAlg::Rs256 => "RS256",
            TokenAlg::Ps256 => "PS256",
            TokenAlg::Hs256 => "HS256",
        }
    }

    /// Whether access tokens can have it.
    #[must_use]
    pub fn is_for_access_tokens(self) -> bool {
        TokenAlg::OF_ACCESS_TOKENS.contains(&self)
    }

    /// The algorithm under the name that JWTs of others and access tokens have here.
    #[must_use]
    pub fn usual_name(self) -> TokenAlg {
        if self == TokenAlg::Ed25519 { TokenAlg::EdDsa } else { self }
    }

    /// Whether its keys are RSA keys, whose signatures take long.
    #[must_use]
    pub const fn is_rsa(self) -> bool {
        matches!(self, TokenAlg::Rs256 | TokenAlg::Ps256)
    }
}

impl FromStr for TokenAlg {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<TokenAlg, Malformed> {
        let named = TokenAlg::ALL.into_iter().find(|alg| alg.as_str().eq_ignore_ascii_case(text));
        named.ok_or(Malformed::new("algorithm", "must be EdDSA, Ed25519, ES256, RS256, PS256 or HS256"))
    }
}

impl fmt::Display for TokenAlg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

json_as_text!(TokenAlg);
