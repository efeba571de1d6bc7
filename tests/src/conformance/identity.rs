//! The identity that an upstream receives: names of headers, claims, the signed token.

use serde_json::json;

use super::{Case, Section, Setup, Table, anonymous, bearer, get};
use crate::token_builder::TokenBuilder;

pub(super) const SECTION: Section = Section {
    name: "identity for the upstream",
    setup: Setup::Gateway,
    routes: &[
        r#"{"path":"/identity/mapped/*","headers":{"X-User":"sub","X-App":"client_id"}}"#,
        r#"{"path":"/identity/claims/*","headers":{"X-Tenant":"tenant","X-Level":"level","X-Groups":"groups","X-Realm":"/realm/name"}}"#,
        r#"{"path":"/identity/bare/*","token":"remove"}"#,
        r#"{"path":"/identity/open/*","public":true,"headers":{"X-User":"sub"},"token":"remove"}"#,
        r#"{"path":"/identity/kept/*","token":"keep"}"#,
    ],
    cases: |table| table.identities(),
};

/// Names of the identity headers under the prefix of [`Setup::Gateway`], with their claims.
const NAMES: [(&str, &str); 6] = [
    ("x-auth-issuer", "iss"),
    ("x-auth-subject", "sub"),
    ("x-auth-client-id", "client_id"),
    ("x-auth-scope", "scope"),
    ("x-auth-token-id", "jti"),
    ("x-auth-expires-at", "exp"),
];

impl Table<'_> {
    fn identities(&self) -> Vec<Case> {
        let draft = self.eddsa();
        let reader = bearer(&draft);
        let of = |case: Case, draft: &TokenBuilder<'_>| {
            NAMES.iter().fold(case, |case, (name, claim)| case.upstream_gets(name, &draft.text(claim)))
        };
        let passes = |name: &str, target: &str| get(name, target, &[&reader], anonymous());
        let open = |name: &str| get(name, "/identity/open/x", &[], anonymous());
        let forged = |case: Case| {
            let names = NAMES.iter().map(|(name, _)| *name).chain(["x-auth-identity", "x-user", "x-app"]);
            names.fold(case, |case, name| case.with(name, "root"))
        };
        let claims = json!({
            "iss": "https://edge.example", "aud": "https://upstream.example", "sub": "someone",
            "client_id": "a-client", "scope": "reports:read",
        });
        let mapped = of(passes("mapped claims", "/identity/mapped/x"), &draft);
        let signed = passes("signed identity", "/identity/kept/x").upstream_gets_identity_token(claims.clone());
        let kept = passes("a token that is kept", "/identity/kept/x").upstream_gets("authorization", &reader);
        let mut cases = vec![
            of(passes("identity headers by another prefix", "/identity/kept/x"), &draft),
            mapped.upstream_gets("x-user", "someone").upstream_gets("x-app", "a-client"),
            passes("claims of another route", "/identity/kept/x").upstream_lacks("x-user"),
            signed,
            kept,
            passes("a token that is removed", "/identity/bare/x").upstream_lacks("authorization"),
            open("a public route without a token").upstream_lacks("x-user").upstream_lacks("x-auth-identity"),
            of(forged(passes("forged identity with a token", "/identity/mapped/x")), &draft)
                .upstream_gets("x-user", "someone")
                .upstream_gets("x-app", "a-client")
                .upstream_gets_identity_token(claims),
            passes("a forged mapped header on another route", "/identity/kept/x")
                .with("X-User", "root")
                .upstream_lacks("x-user"),
            passes("a forged mapped header with an underscore", "/identity/kept/x")
                .with("x_user", "root")
                .upstream_lacks("x_user"),
            forged(open("forged identity without a token"))
                .upstream_lacks("x-user")
                .upstream_lacks("x-auth-subject")
                .upstream_lacks("x-auth-identity"),
            get("a public route with a token that is removed", "/identity/open/x", &[&reader], anonymous())
                .upstream_gets("x-user", "someone")
                .upstream_lacks("authorization"),
            get(
                "validate with names of the operator",
                "/_tollgate/validate/identity/mapped/x",
                &[&reader],
                anonymous(),
            )
            .response_has("x-auth-subject", "someone")
            .response_has("x-user", "someone"),
            get("validate without a token", "/_tollgate/validate/identity/open/x", &[], anonymous())
                .response_has("x-auth-subject", "")
                .response_has("x-auth-identity", "")
                .response_has("x-user", ""),
        ];
        let rich = self
            .eddsa()
            .claim("tenant", "Ä \"a\"")
            .claim("level", 7)
            .claim("groups", json!(["a", "b"]))
            .claim("realm", json!({ "name": "main" }));
        cases.push(
            get("claims of several types", "/identity/claims/x", &[&bearer(&rich)], anonymous())
                .upstream_gets("x-tenant", "%C3%84 \"a\"")
                .upstream_gets("x-level", "7")
                .upstream_gets("x-groups", "[\"a\",\"b\"]")
                .upstream_gets("x-realm", "main"),
        );
        cases.push(
            passes("claims that the token lacks", "/identity/claims/x")
                .with("x-tenant", "root")
                .upstream_lacks("x-tenant")
                .upstream_lacks("x-realm"),
        );
        let odd = self.eddsa().claim("sub", "café 100%");
        cases.push(
            get("a mapped claim beyond ASCII", "/identity/mapped/x", &[&bearer(&odd)], anonymous())
                .upstream_gets("x-user", "caf%C3%A9 100%25"),
        );
        cases
    }
}
