//! The configuration document of edges: JSON with members in alphabetical order and without white
//! space, so that equal configurations have equal digests.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use tollgate_core::ConfigDigest;
use tollgate_keys::{Jwk, KeyRing};
use tollgate_model::{AccessTokenType, Resource, Route};

#[derive(Serialize)]
struct Config<'a> {
    audience: &'a str,
    jwks: Jwks<'a>,
    routes: Vec<Map<String, Value>>,
}

/// JWK set of the keys that sign tokens. Edges before the member that follows ignore it, because
/// RFC 7517 §5 requires that of unknown members, and refuse those tokens.
#[derive(Serialize)]
struct Jwks<'a> {
    keys: &'a [Jwk],
    /// Audiences whose access tokens may have the `typ` `JWT`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tollgate_plain_jwt_audiences: Vec<&'a str>,
}

/// A configuration document, with the keys that it contains and that sign the snapshot.
pub(super) struct SignedConfig {
    pub(super) document: Vec<u8>,
    pub(super) keys: Arc<KeyRing>,
}

impl SignedConfig {
    pub(super) fn digest(&self) -> ConfigDigest {
        ConfigDigest::of(&self.document)
    }
}

/// The document for edges, whose default audience is `audience`. `resources` are all resource
/// servers, by audience.
///
/// # Errors
/// Never in practice: strings and flags can always be encoded as JSON.
pub fn document(
    audience: &str,
    keys: &[Jwk],
    routes: &[Route],
    resources: &[Resource],
) -> Result<Vec<u8>, serde_json::Error> {
    let routes = routes.iter().map(|route| route.document().to_edge_rule()).collect::<Result<_, _>>()?;
    let plain = resources.iter().filter(|resource| resource.tokens.token_type == Some(AccessTokenType::Jwt));
    let tollgate_plain_jwt_audiences = plain.map(|resource| resource.audience.as_str()).collect();
    serde_json::to_vec(&Config { audience, jwks: Jwks { keys, tollgate_plain_jwt_audiences }, routes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_model::{OnStale, Scope, TokenProfile, Verifier};

    #[test]
    fn the_document_is_canonical() {
        let scope = Scope::parse("b a").expect("a scope");
        let route = Route::new("/reports/*", &["GET".to_owned()], scope, false, OnStale::Allow).expect("a route");
        let written = |resources: &[Resource]| {
            let document = document("https://api.example", &[], std::slice::from_ref(&route), resources);
            String::from_utf8(document.expect("written")).expect("UTF-8")
        };
        assert_eq!(
            written(&[]),
            r#"{"audience":"https://api.example","jwks":{"keys":[]},"routes":[{"methods":["GET"],"on_not_covered":"deny","on_stale":"allow","path":"/reports/*","public":false,"scope":["a","b"]}]}"#
        );
        let resource = |audience: &str, verifier| Resource {
            audience: audience.parse().expect("an audience"),
            name: "An API".to_owned(),
            scopes: Default::default(),
            introspected_by: None,
            tokens: TokenProfile::preset(verifier),
        };
        let resources = [
            resource("https://a.example", Verifier::Spring),
            resource("https://b.example", Verifier::Edge),
            resource("https://c.example", Verifier::Generic),
        ];
        let document = written(&resources);
        let jwks = r#""jwks":{"keys":[],"tollgate_plain_jwt_audiences":["https://a.example","https://c.example"]}"#;
        assert!(document.contains(jwks), "{document}");
        assert!(tollgate_core::Config::read(document.as_bytes()).is_ok());
    }
}
