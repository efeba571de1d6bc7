//! Protected resource metadata (RFC 9728), and how challenges lead to it.

use serde_json::json;

use super::{Answer, Case, Section, Setup, Table, anonymous, bearer, get, insufficient, refused};

/// An edge that knows its public URL.
pub(super) const SECTION: Section = Section {
    name: "resource metadata",
    setup: Setup::Gateway,
    routes: &[
        r#"{"path":"/metadata/tools/*","scope":["tools"],"audience":"https://edge.example/mcp"}"#,
        r#"{"path":"/metadata/scoped/*","scope":["admin"]}"#,
    ],
    cases: |table| table.resource_metadata(),
};

/// An edge that does not.
pub(super) const UNKNOWN: Section = Section {
    name: "no resource metadata",
    setup: Setup::Plain,
    routes: &[],
    cases: |table| table.no_resource_metadata(),
};

const METADATA: &str = "/.well-known/oauth-protected-resource";

impl Table<'_> {
    fn resource_metadata(&self) -> Vec<Case> {
        let reader = bearer(&self.eddsa());
        let named = |mut answer: Answer, path: &str, scope: Option<&str>| {
            let challenge = answer.challenge.take().expect("a refusal has a challenge");
            let separator = if challenge == "Bearer" { " " } else { ", " };
            let scope = scope.map(|scope| format!(", scope=\"{scope}\"")).unwrap_or_default();
            let url = format!("https://edge.example{METADATA}{path}");
            answer.challenge = Some(format!("{challenge}{separator}resource_metadata=\"{url}\"{scope}"));
            answer
        };
        let not_found = Answer { status: 404, error: Some("not_found".to_owned()), ..Answer::default() };
        let no_method = Answer { status: 405, error: Some("method_not_allowed".to_owned()), ..Answer::default() };
        let expired = bearer(&self.eddsa().shifted(-7200));
        let missing = super::challenged;
        vec![
            get("metadata of the edge", METADATA, &[], anonymous())
                .response_has("content-type", "application/json")
                .response_has("access-control-allow-origin", "*")
                .body_has(json!({
                    "resource": "https://edge.example",
                    "authorization_servers": [self.factory.issuer],
                    "bearer_methods_supported": ["header"],
                })),
            get("metadata of a route's audience", format!("{METADATA}/mcp"), &[], anonymous())
                .body_has(json!({ "resource": "https://edge.example/mcp", "scopes_supported": ["tools"] })),
            get("metadata of an unknown resource", format!("{METADATA}/other"), &[], not_found)
                .response_has("access-control-allow-origin", "*"),
            get("preflight for metadata", METADATA, &[], Answer { status: 204, ..Answer::default() })
                .with_method("OPTIONS")
                .with("Origin", "https://app.example")
                .with("Access-Control-Request-Method", "GET")
                .response_has("access-control-allow-origin", "*"),
            get("metadata by another method", METADATA, &[], no_method).with_method("POST"),
            get("challenge with metadata", "/metadata/x", &[], named(missing(), "", None)),
            get("challenge with metadata and scope", "/metadata/tools/x", &[], named(missing(), "/mcp", Some("tools"))),
            get(
                "challenge to an expired token",
                "/metadata/scoped/x",
                &[&expired],
                named(refused(401, "invalid_token", "the token has expired"), "", Some("admin")),
            ),
            get(
                "challenge to a token without scope",
                "/metadata/scoped/x",
                &[&reader],
                named(insufficient("admin"), "", None),
            ),
            get(
                "challenge passed on by a proxy",
                "/_tollgate/validate/metadata/tools/x",
                &[],
                named(missing(), "/mcp", Some("tools")),
            ),
            get("keys of the edge", "/.well-known/jwks.json", &[], anonymous()).body_has(json!({ "keys": [{
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
                "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            }] })),
            get("other documents are the upstream's", "/.well-known/security.txt", &[&reader], anonymous()),
        ]
    }

    fn no_resource_metadata(&self) -> Vec<Case> {
        let draft = self.eddsa();
        [METADATA, "/.well-known/oauth-protected-resource/mcp", "/.well-known/jwks.json"]
            .map(|target| get(&format!("{target} of the upstream"), target, &[&bearer(&draft)], self.identity(&draft)))
            .into()
    }
}
