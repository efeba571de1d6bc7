//! What one access token looks like.
//!
//! Those who verify it decide: its resource servers. Where they say nothing, the registration of
//! the client does, and then the default. The lifetime is the smallest of all.

use std::collections::BTreeSet;

use super::access::{AccessError, Audiences};
use super::metadata::{AccessTokenType, ClientMetadata, TokenFormat};
use super::resource::Resource;
use super::token_alg::TokenAlg;
use super::token_profile::TokenProfile;

/// Form of an access token.
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
    use super::super::metadata::Verifier;
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
}
