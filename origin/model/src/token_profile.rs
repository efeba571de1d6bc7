//! What a resource server requires of its access tokens: signature algorithm, `typ`, format,
//! lifetime and claims.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::malformed::Malformed;
use super::metadata::{AccessTokenType, TokenFormat, Verifier};
use super::reserved_claims::RESERVED_CLAIMS;
use super::token_alg::TokenAlg;
use super::token_lifetime::MAX_TOKEN_LIFETIME;

/// Claims of the user in the tokens of one resource server.
const MAX_CLAIMS: usize = 16;
/// Bytes of a claim's name.
const MAX_CLAIM_NAME_BYTES: usize = 64;
/// What a resource server requires of its access tokens. What is absent, the client's registration
/// decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct TokenProfile {
    /// Signature algorithm: `EdDSA`, `ES256`, `RS256` or `HS256`.
    #[serde(rename = "access_token_signed_response_alg", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub alg: Option<TokenAlg>,
    /// `typ`: `at+jwt` (RFC 9068) or `JWT`.
    #[serde(rename = "access_token_type", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub token_type: Option<AccessTokenType>,
    /// Format: `jwt` or `opaque`.
    #[serde(rename = "access_token_format", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub format: Option<TokenFormat>,
    /// Longest lifetime in seconds.
    #[serde(rename = "access_token_lifetime", skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u64>,
    /// Names of the user's claims that its tokens contain.
    #[serde(rename = "access_token_claims", skip_serializing_if = "BTreeSet::is_empty")]
    pub claims: BTreeSet<String>,
}

impl TokenProfile {
    /// The profile that a verifier accepts with the settings of its own documentation.
    ///
    /// RS256 is the only algorithm that all of them support. `JWT` is for those that refuse other
    /// types unless they are configured (Spring Security); the others ignore `typ` or know
    /// `at+jwt`, which keeps ID tokens out.
    #[must_use]
    pub fn preset(verifier: Verifier) -> TokenProfile {
        let (alg, token_type) = match verifier {
            Verifier::Edge => (TokenAlg::EdDsa, AccessTokenType::AtJwt),
            Verifier::Generic | Verifier::Spring => (TokenAlg::Rs256, AccessTokenType::Jwt),
            Verifier::Node | Verifier::Python | Verifier::Dotnet => (TokenAlg::Rs256, AccessTokenType::AtJwt),
        };
        TokenProfile {
            alg: Some(alg),
            token_type: Some(token_type),
            format: Some(TokenFormat::Jwt),
            ..TokenProfile::default()
        }
    }

    /// Replaces what a preset sets, and leaves lifetime and claims.
    #[must_use]
    pub fn with_preset(self, verifier: Verifier) -> TokenProfile {
        TokenProfile { lifetime: self.lifetime, claims: self.claims, ..TokenProfile::preset(verifier) }
    }

    /// Checks algorithm, lifetime and claims.
    ///
    /// # Errors
    /// If edges do not verify the algorithm, the lifetime is out of range, or a claim is reserved.
    pub fn check(&self) -> Result<(), Malformed> {
        if self.lifetime.is_some_and(|lifetime| !(1..=MAX_TOKEN_LIFETIME).contains(&lifetime)) {
            return Err(Malformed::new("access_token_lifetime", "must be 1 to 86400 seconds"));
        }
        let is_name = |name: &String| {
            (1..=MAX_CLAIM_NAME_BYTES).contains(&name.len()) && super::text::is_displayable(name) && !name.contains(' ')
        };
        if self.claims.len() > MAX_CLAIMS || !self.claims.iter().all(is_name) {
            return Err(Malformed::new("access_token_claims", "must be at most 16 names of 1 to 64 bytes"));
        }
        if self.alg.is_some_and(|alg| !alg.is_for_access_tokens()) {
            return Err(Malformed::new("access_token_signed_response_alg", "must be EdDSA, ES256, RS256 or HS256"));
        }
        match self.claims.iter().any(|name| RESERVED_CLAIMS.contains(&name.as_str())) {
            true => Err(Malformed::new("access_token_claims", "contain a claim that access tokens define themselves")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_claims_and_endless_tokens_are_refused() {
        let check = |names: &[&str], lifetime| {
            let claims = names.iter().map(|name| (*name).to_owned()).collect();
            TokenProfile { claims, lifetime, ..TokenProfile::default() }.check().is_ok()
        };
        assert!(check(&["email", "https://claims.example/role"], Some(MAX_TOKEN_LIFETIME)) && check(&[], None));
        for name in RESERVED_CLAIMS.iter().chain(&["", "a b", "a\u{200b}", &"x".repeat(65)]) {
            assert!(!check(&[*name], None), "{name}");
        }
        let pss = TokenProfile { alg: Some(TokenAlg::Ps256), ..TokenProfile::default() };
        assert!(pss.check().is_err(), "edges do not verify it");
        assert!(!check(&[], Some(0)) && !check(&[], Some(MAX_TOKEN_LIFETIME + 1)));
        let many: Vec<String> = (0..17).map(|number| format!("c{number}")).collect();
        assert!(!check(&many.iter().map(String::as_str).collect::<Vec<_>>(), None));
    }
}
