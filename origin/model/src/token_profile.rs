//! What access tokens look like: signature algorithm, `typ`, format, lifetime and claims.
//!
//! Those who verify a token decide: its resource servers. Where they say nothing, the registration
//! of the client does, and then the default. The lifetime is the smallest of all.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::access::{AccessError, Audiences};
use super::malformed::Malformed;
use super::metadata::{AccessTokenType, ClientMetadata, TokenFormat, Verifier};
use super::resource::Resource;
use super::token::MAX_TOKEN_LIFETIME;
use super::token_alg::TokenAlg;

/// Claims of the user in the tokens of one resource server.
const MAX_CLAIMS: usize = 16;
/// Bytes of a claim's name.
const MAX_CLAIM_NAME_BYTES: usize = 64;
/// Claims with a meaning of their own in access tokens (RFC 7519 §4.1, RFC 9068 §2.2, RFC 8693
/// §4, RFC 7800 §3.1, RFC 9396 §9.1, Token Status List) or in ID tokens. No claim of a user
/// replaces them.
const RESERVED_CLAIMS: [&str; 26] = [
    "acr",
    "act",
    "amr",
    "at_hash",
    "aud",
    "auth_time",
    "authorization_details",
    "azp",
    "c_hash",
    "client_id",
    "cnf",
    "events",
    "exp",
    "iat",
    "iss",
    "jti",
    "may_act",
    "nbf",
    "nonce",
    "s_hash",
    "scope",
    "sid",
    "status",
    "sub",
    "sub_id",
    "toe",
];

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

    /// Checks lifetime and claims.
    ///
    /// # Errors
    /// If the lifetime is out of range, or a claim is reserved.
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
        match self.claims.iter().any(|name| RESERVED_CLAIMS.contains(&name.as_str())) {
            true => Err(Malformed::new("access_token_claims", "contain a claim that access tokens define themselves")),
            false => Ok(()),
        }
    }
}

/// What one access token looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenForm {
    pub alg: TokenAlg,
    pub token_type: AccessTokenType,
    pub format: TokenFormat,
    /// Longest lifetime in seconds that the resource servers accept.
    pub lifetime: Option<u64>,
    /// Names of the user's claims in the token.
    pub claims: BTreeSet<String>,
}

impl TokenForm {
    /// Decides the form of a token for `audience`, of which `resources` are registered. What one
    /// resource server requires, all must accept; the user's claims go only to those that all
    /// receive them.
    ///
    /// # Errors
    /// If two resource servers require different things.
    pub fn decide(
        client: &ClientMetadata,
        audience: &Audiences,
        resources: &[&Resource],
    ) -> Result<TokenForm, AccessError> {
        let format = required("formats", resources, |tokens| tokens.format)?.unwrap_or(client.access_token_format);
        let lifetime = resources.iter().filter_map(|resource| resource.tokens.lifetime).min();
        let (mut alg, mut token_type, mut claims) = (client.alg, AccessTokenType::default(), BTreeSet::new());
        if format == TokenFormat::Jwt {
            alg = required("signature algorithms", resources, |tokens| tokens.alg)?.unwrap_or(alg);
            token_type = required("types (typ)", resources, |tokens| tokens.token_type)?.unwrap_or(token_type);
            claims = common_claims(audience, resources);
        }
        Ok(TokenForm { alg, token_type, format, lifetime, claims })
    }
}

/// The value that resource servers require; none if none of them requires one.
fn required<T: Copy + PartialEq>(
    what: &'static str,
    resources: &[&Resource],
    member: impl Fn(&TokenProfile) -> Option<T>,
) -> Result<Option<T>, AccessError> {
    let mut requirements =
        resources.iter().filter_map(|resource| Some((&resource.audience, member(&resource.tokens)?)));
    let Some((one, value)) = requirements.next() else { return Ok(None) };
    match requirements.find(|(_, other)| *other != value) {
        None => Ok(Some(value)),
        Some((other, _)) => Err(AccessError::Disagreement { what, one: one.clone(), other: other.clone() }),
    }
}

fn common_claims(audience: &Audiences, resources: &[&Resource]) -> BTreeSet<String> {
    let mut sets = resources.iter().map(|resource| &resource.tokens.claims);
    match sets.next() {
        Some(first) if resources.len() == audience.iter().count() => {
            sets.fold(first.clone(), |common, claims| common.intersection(claims).cloned().collect())
        }
        _ => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(audience: &str, tokens: TokenProfile) -> Resource {
        let audience = audience.parse().expect("an audience");
        Resource { audience, name: "An API".to_owned(), scopes: Default::default(), introspected_by: None, tokens }
    }

    fn decide(client: &ClientMetadata, resources: &[Resource], others: &[&str]) -> Result<TokenForm, AccessError> {
        let others = others.iter().map(|other| other.parse().expect("an audience"));
        let all = resources.iter().map(|resource| resource.audience.clone()).chain(others);
        let audience = Audiences::new(all).expect("audiences");
        TokenForm::decide(client, &audience, &resources.iter().collect::<Vec<_>>())
    }

    fn claims(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn resource_server_decides_before_the_client() {
        let client = ClientMetadata {
            alg: TokenAlg::Es256,
            access_token_format: TokenFormat::Opaque,
            ..ClientMetadata::default()
        };
        let form = decide(&client, &[], &["https://api.example"]).expect("a form");
        assert_eq!((form.alg, form.format), (TokenAlg::Es256, TokenFormat::Opaque), "nobody else says anything");
        let spring = [resource("https://api.example", TokenProfile::preset(Verifier::Spring))];
        let form = decide(&client, &spring, &[]).expect("a form");
        assert_eq!((form.alg, form.format, form.token_type), (TokenAlg::Rs256, TokenFormat::Jwt, AccessTokenType::Jwt));
        let only_type = TokenProfile { token_type: Some(AccessTokenType::Jwt), ..TokenProfile::default() };
        let client = ClientMetadata { access_token_format: TokenFormat::Jwt, ..client };
        let form = decide(&client, &[resource("https://api.example", only_type)], &[]).expect("a form");
        assert_eq!((form.alg, form.token_type), (TokenAlg::Es256, AccessTokenType::Jwt), "each member by itself");
    }

    #[test]
    fn token_for_several_resource_servers_needs_their_agreement() {
        let client = ClientMetadata::default();
        let (node, spring) = (TokenProfile::preset(Verifier::Node), TokenProfile::preset(Verifier::Spring));
        let both = [resource("https://a.example", node.clone()), resource("https://b.example", spring)];
        let error = decide(&client, &both, &[]).expect_err("at+jwt and JWT");
        let text = error.to_string();
        for part in ["typ", "https://a.example", "https://b.example"] {
            assert!(text.contains(part), "{text}");
        }
        let silent = TokenProfile::default();
        let both = [resource("https://a.example", node.clone()), resource("https://b.example", silent)];
        assert_eq!(decide(&client, &both, &["https://c.example"]).expect("they agree").alg, TokenAlg::Rs256);
        let opaque = TokenProfile { format: Some(TokenFormat::Opaque), ..TokenProfile::default() };
        let both = [resource("https://a.example", node), resource("https://b.example", opaque)];
        assert!(decide(&client, &both, &[]).expect_err("jwt and opaque").to_string().contains("formats"));
    }

    #[test]
    fn shortest_lifetime_and_common_claims_count() {
        let profile = |lifetime, names: &[&str]| TokenProfile { lifetime, claims: claims(names), ..Default::default() };
        let one = resource("https://a.example", profile(Some(600), &["email", "name"]));
        let other = resource("https://b.example", profile(Some(300), &["email", "phone_number"]));
        let client = ClientMetadata::default();
        let form = decide(&client, &[one.clone(), other], &[]).expect("a form");
        assert_eq!((form.lifetime, form.claims), (Some(300), claims(&["email"])));
        let form = decide(&client, std::slice::from_ref(&one), &["https://unknown.example"]).expect("a form");
        assert_eq!(form.claims, claims(&[]), "an unregistered resource server receives no claims");
        assert_eq!(decide(&client, &[one], &[]).expect("a form").claims, claims(&["email", "name"]));
    }

    #[test]
    fn reserved_claims_and_endless_tokens_are_refused() {
        let check = |names: &[&str], lifetime| {
            TokenProfile { claims: claims(names), lifetime, ..TokenProfile::default() }.check().is_ok()
        };
        assert!(check(&["email", "https://claims.example/role"], Some(MAX_TOKEN_LIFETIME)) && check(&[], None));
        for name in RESERVED_CLAIMS.iter().chain(&["", "a b", "a\u{200b}", &"x".repeat(65)]) {
            assert!(!check(&[*name], None), "{name}");
        }
        assert!(!check(&[], Some(0)) && !check(&[], Some(MAX_TOKEN_LIFETIME + 1)));
        let many: Vec<String> = (0..17).map(|number| format!("c{number}")).collect();
        assert!(!check(&many.iter().map(String::as_str).collect::<Vec<_>>(), None));
    }

    #[test]
    fn profile_is_stored_as_members_of_the_resource_server() {
        let stored = r#"{"audience":"https://a.example","name":"An API"}"#;
        let before: Resource = serde_json::from_str(stored).expect("an older row");
        assert_eq!(before.tokens, TokenProfile::default());
        let profile = TokenProfile::default().with_preset(Verifier::Generic);
        let json = serde_json::to_value(resource("https://a.example", profile.clone())).expect("JSON");
        assert_eq!(json["access_token_signed_response_alg"], "RS256");
        assert_eq!(json["access_token_type"], "JWT");
        assert_eq!(serde_json::from_value::<Resource>(json).expect("it reads back").tokens, profile);
    }
}
