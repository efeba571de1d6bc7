//! Cross-origin requests of browsers: preflight requests, and the headers by which a page may read
//! responses.

use super::{Answer, Case, Section, Setup, Table, anonymous, bearer, challenged, get, insufficient, refused};

pub(super) const SECTION: Section = Section {
    name: "cross-origin requests",
    setup: Setup::Plain,
    routes: &[
        r#"{"path":"/cors/app/*","cors":{"origins":["https://app.example","https://*.preview.example"],"expose":["X-Total"],"max_age":600}}"#,
        r#"{"path":"/cors/strict/*","methods":["GET","PUT"],"cors":{"origins":["https://app.example"],"methods":["PUT"],"headers":["Authorization","X-Trace"],"credentials":true}}"#,
        r#"{"path":"/cors/scoped/*","scope":["admin"],"cors":{"origins":["https://app.example"]}}"#,
        r#"{"path":"/cors/all/*","public":true,"cors":{"origins":["*"]}}"#,
    ],
    cases: |table| [table.preflights(), table.cross_origin_responses()].concat(),
};

const APP: &str = "https://app.example";
const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";
const EXPOSE: &str = "access-control-expose-headers";

/// Origins that are not `https://app.example`.
const OTHER_ORIGINS: &[&str] = &[
    "null",
    "http://app.example",
    "https://app.example:8443",
    "https://app.example.evil.example",
    "https://evil-app.example",
    "https://preview.example",
    "https://evilpreview.example",
];

impl Table<'_> {
    fn preflights(&self) -> Vec<Case> {
        let asks = |name: &str, target: &str, origin: &str, method: &str, expected: Answer| {
            get(name, target, &[], expected)
                .with_method("OPTIONS")
                .with("Origin", origin)
                .with("Access-Control-Request-Method", method)
        };
        let allowed = || Answer { status: 204, ..Answer::default() };
        let forbidden =
            || Answer { status: 403, error: Some("cross_origin_request_refused".to_owned()), ..Answer::default() };
        let others = OTHER_ORIGINS.iter().map(|origin| {
            asks(&format!("preflight from {origin}"), "/cors/app/x", origin, "GET", forbidden())
                .response_lacks(ALLOW_ORIGIN)
                .varies_by("Origin")
        });
        let cases = [
            asks("preflight", "/cors/app/x", APP, "PUT", allowed())
                .with("Access-Control-Request-Headers", "authorization,content-type")
                .response_has(ALLOW_ORIGIN, APP)
                .response_has("access-control-allow-methods", "PUT")
                .response_has("access-control-allow-headers", "authorization,content-type")
                .response_has("access-control-max-age", "600")
                .response_lacks(ALLOW_CREDENTIALS)
                .varies_by("Origin")
                .varies_by("Access-Control-Request-Method")
                .varies_by("Access-Control-Request-Headers"),
            asks("preflight from a subdomain", "/cors/app/x", "https://pr-7.preview.example", "GET", allowed())
                .response_has(ALLOW_ORIGIN, "https://pr-7.preview.example")
                .response_lacks("access-control-allow-headers"),
            asks("preflight with credentials", "/cors/strict/x", APP, "PUT", allowed())
                .with("Access-Control-Request-Headers", "authorization, x-trace")
                .response_has(ALLOW_CREDENTIALS, "true"),
            asks("preflight with another header", "/cors/strict/x", APP, "PUT", forbidden())
                .with("Access-Control-Request-Headers", "authorization, x-other"),
            asks("preflight with a malformed header", "/cors/app/x", APP, "PUT", forbidden())
                .with("Access-Control-Request-Headers", "a b"),
            asks("preflight with another method", "/cors/strict/x", APP, "GET", forbidden()),
            asks("preflight for a method without a rule for it", "/cors/strict/x", APP, "DELETE", challenged()),
            asks("preflight for all pages", "/cors/all/x", "https://any.example", "POST", allowed())
                .response_has(ALLOW_ORIGIN, "*"),
            asks("preflight for a route without CORS", "/cors/none", APP, "GET", challenged())
                .response_lacks(ALLOW_ORIGIN),
            asks(
                "preflight for an ambiguous path",
                "/cors/app/a;b",
                APP,
                "GET",
                refused(400, "invalid_request", "the path can be read in more than one way: it has a semicolon"),
            ),
            get("OPTIONS without a question", "/cors/app/x", &[], challenged())
                .with_method("OPTIONS")
                .with("Origin", APP)
                .response_has(ALLOW_ORIGIN, APP),
            asks(
                "validate asked about a preflight",
                "/_tollgate/validate/cors/app/x",
                APP,
                "PUT",
                self.empty_identity(),
            ),
            asks(
                "validate asked about a forbidden preflight",
                "/_tollgate/validate/cors/app/x",
                "null",
                "PUT",
                forbidden(),
            ),
        ];
        others.chain(cases).collect()
    }

    fn cross_origin_responses(&self) -> Vec<Case> {
        let draft = self.eddsa();
        let reader = bearer(&draft);
        let exposed = "WWW-Authenticate, DPoP-Nonce, Retry-After";
        let from = |name: &str, target: &str, credentials: &[&str], origin: &str, expected: Answer| {
            get(name, target, credentials, expected).with("Origin", origin)
        };
        let expired = bearer(&self.eddsa().shifted(-7200));
        let others = OTHER_ORIGINS.iter().flat_map(|origin| {
            [
                from(&format!("refusal to {origin}"), "/cors/app/x", &[], origin, challenged()),
                from(&format!("answer to {origin}"), "/cors/app/x", &[&reader], origin, self.identity(&draft)),
            ]
            .map(|case| case.response_lacks(ALLOW_ORIGIN).varies_by("Origin"))
        });
        let cases = [
            from("refusal that a page may read", "/cors/app/x", &[], APP, challenged())
                .response_has(ALLOW_ORIGIN, APP)
                .response_has(EXPOSE, &format!("{exposed}, X-Total"))
                .varies_by("Origin"),
            from(
                "expired token, read by a page",
                "/cors/app/x",
                &[&expired],
                APP,
                refused(401, "invalid_token", "the token has expired"),
            )
            .response_has(ALLOW_ORIGIN, APP),
            from("missing scope, read by a page", "/cors/scoped/x", &[&reader], APP, insufficient("admin"))
                .response_has(ALLOW_ORIGIN, APP)
                .response_has(EXPOSE, exposed),
            from("answer that a page may read", "/cors/app/x", &[&reader], APP, self.identity(&draft))
                .response_has(ALLOW_ORIGIN, APP)
                .response_lacks(ALLOW_CREDENTIALS)
                .varies_by("Origin"),
            from("answer to a page with credentials", "/cors/strict/x", &[&reader], APP, self.identity(&draft))
                .response_has(ALLOW_ORIGIN, APP)
                .response_has(ALLOW_CREDENTIALS, "true"),
            from("answer of an upstream with CORS of its own", "/cors/app/x", &[&reader], APP, self.identity(&draft))
                .with("x-answer-with", "access-control-allow-origin: https://own.example")
                .response_has(ALLOW_ORIGIN, "https://own.example")
                .response_lacks(EXPOSE),
            get("answer without an origin", "/cors/app/x", &[&reader], self.identity(&draft))
                .response_lacks(ALLOW_ORIGIN)
                .varies_by("Origin"),
            get("answer to all pages", "/cors/all/x", &[], anonymous()).response_has(ALLOW_ORIGIN, "*"),
            from("answer of a route without CORS", "/cors/none", &[&reader], APP, self.identity(&draft))
                .response_lacks(ALLOW_ORIGIN),
        ];
        others.chain(cases).collect()
    }
}
