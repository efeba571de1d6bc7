//! The configuration document of edges: JSON with members in alphabetical order and without white
//! space, so that equal configurations have equal digests.

use std::sync::Arc;

use serde::Serialize;
use tollgate_core::ConfigDigest;
use tollgate_keys::{Jwk, KeyRing};
use tollgate_model::Route;

#[derive(Serialize)]
struct Config<'a> {
    audience: &'a str,
    jwks: Jwks<'a>,
    routes: Vec<RouteRule<'a>>,
}

#[derive(Serialize)]
struct Jwks<'a> {
    keys: &'a [Jwk],
}

#[derive(Serialize)]
struct RouteRule<'a> {
    methods: Vec<&'a str>,
    on_not_covered: &'static str,
    on_stale: &'static str,
    path: &'a str,
    public: bool,
    scope: Vec<&'a str>,
}

impl<'a> From<&'a Route> for RouteRule<'a> {
    fn from(route: &'a Route) -> RouteRule<'a> {
        RouteRule {
            methods: route.methods().iter().map(String::as_str).collect(),
            on_not_covered: route.on_not_covered.as_str(),
            on_stale: route.on_stale.as_str(),
            path: route.path(),
            public: route.public,
            scope: route.scope.values().collect(),
        }
    }
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

/// The document for edges, whose default audience is `audience`.
///
/// # Errors
/// Never in practice: strings and flags can always be encoded as JSON.
pub fn document(audience: &str, keys: &[Jwk], routes: &[Route]) -> Result<Vec<u8>, serde_json::Error> {
    let routes = routes.iter().map(RouteRule::from).collect();
    serde_json::to_vec(&Config { audience, jwks: Jwks { keys }, routes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_model::{OnStale, Scope};

    #[test]
    fn the_document_is_canonical() {
        let scope = Scope::parse("b a").expect("a scope");
        let route = Route::new("/reports/*", &["GET".to_owned()], scope, false, OnStale::Allow).expect("a route");
        let document = document("https://api.example", &[], &[route]).expect("written");
        assert_eq!(
            String::from_utf8(document).expect("UTF-8"),
            r#"{"audience":"https://api.example","jwks":{"keys":[]},"routes":[{"methods":["GET"],"on_not_covered":"deny","on_stale":"allow","path":"/reports/*","public":false,"scope":["a","b"]}]}"#
        );
    }
}
