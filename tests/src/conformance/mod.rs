//! The conformance table: what every edge answers to which token in which request. The same table
//! runs against the gate called natively, the WIT component, the Spin component under wasmtime, and
//! the Worker under workerd.

mod profile;

use std::collections::BTreeMap;

use tollgate_model::TokenAlg;

use crate::token_builder::{TokenBuilder, encode};
use crate::token_factory::TokenFactory;

/// A request and the expected answer.
pub struct Case {
    /// Name of the case.
    pub name: String,
    pub method: &'static str,
    /// Path and query.
    pub target: &'static str,
    /// The headers in order.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// The answer.
    pub expected: Answer,
    /// Whether an HTTP header can carry the values. If not, only the gates called as functions get
    /// the case.
    pub fits_http: bool,
}

/// The gate's decision as the client sees it, and the identity as the upstream sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Status; 200 where the upstream or `validate` answered.
    pub status: u16,
    /// `WWW-Authenticate`, verbatim.
    pub challenge: Option<String>,
    /// `error` of the JSON body.
    pub error: Option<String>,
    /// Every `x-tollgate-*` header that the upstream received, or that `validate` returned to the
    /// proxy.
    pub identity: Option<BTreeMap<String, String>>,
}

/// The `jti` that the origin must revoke before the table runs.
pub const REVOKED: &str = "AAAAAAAAAAAAAAAAAAAAAA";
/// Routes that the origin must have: path, methods, scope, public.
pub const ROUTES: [(&str, &[&str], &[&str], bool); 4] = [
    ("/reports/*", &[], &["reports:read"], false),
    ("/reports/*", &["POST", "DELETE"], &["reports:read", "reports:write"], false),
    ("/admin", &[], &["admin"], false),
    ("/open/*", &[], &[], true),
];

/// Builds the table. `now`: Unix seconds.
pub fn cases(factory: &TokenFactory, now: u64) -> Vec<Case> {
    let table = Table { factory, now };
    [
        table.accepted_tokens(),
        table.token_presentation(),
        table.malformed_tokens(),
        table.forged_tokens(),
        table.claims_and_revocation(),
        table.route_rules(),
        table.external_authorization(),
        table.profile(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Builds the part of the table for an audience whose resource server has tokens of type `JWT`.
pub fn plain_jwt_cases(factory: &TokenFactory, now: u64) -> Vec<Case> {
    Table { factory, now }.plain_jwts()
}

struct Table<'a> {
    factory: &'a TokenFactory,
    now: u64,
}

impl<'a> Table<'a> {
    fn good(&self, alg: TokenAlg) -> TokenBuilder<'a> {
        self.factory.token(alg, self.now)
    }

    fn eddsa(&self) -> TokenBuilder<'a> {
        self.good(TokenAlg::EdDsa)
    }

    fn accepted_tokens(&self) -> Vec<Case> {
        let audiences = serde_json::json!(["https://other.example", self.factory.audience.as_str()]);
        vec![
            self.passes("HS256", &self.good(TokenAlg::Hs256)),
            self.passes("EdDSA", &self.eddsa()),
            self.passes("Ed25519 (RFC 9864)", &self.eddsa().header("alg", "Ed25519")),
            self.passes("ES256", &self.good(TokenAlg::Es256)),
            self.passes("RS256", &self.good(TokenAlg::Rs256)),
            self.passes("typ in full and in capitals", &self.eddsa().header("typ", "Application/AT+JWT")),
            self.passes("no kid where one key fits", &self.eddsa().header("kid", ())),
            self.passes("one of several audiences", &self.eddsa().claim("aud", audiences)),
            self.passes("expired within the leeway", &self.eddsa().claim("exp", self.now - 1)),
            self.passes("issued ahead within the leeway", &self.eddsa().claim("iat", self.now + 20)),
            self.passes("a date as a float", &self.eddsa().rewrite(|text| text.replacen('{', "{\"nbf\":1.7e9,", 1))),
            self.passes(
                "unknown claims",
                &self.eddsa().claim("https://claims.example/x", serde_json::json!({ "deep": [1, { "er": null }] })),
            ),
            self.passes("an identity beyond ASCII", &self.eddsa().claim("sub", "café 100%")),
        ]
    }

    fn token_presentation(&self) -> Vec<Case> {
        let draft = self.eddsa();
        let token = draft.sign();
        let bearer = bearer(&draft);
        let twice = || refused(400, "invalid_request", "more than one credential");
        let query = || {
            let why = "an access token in the query is not accepted; send it in the Authorization header";
            refused(400, "invalid_request", why)
        };
        let alone = refused(400, "invalid_request", "the Bearer scheme has no token");
        vec![
            get("no token", "/", &[], challenged()),
            get("another scheme", "/", &["Basic YTpi"], challenged()),
            get("the scheme in another case", "/", &[&format!("bEARER {token}")], self.identity(&draft)),
            get("the scheme alone", "/", &["Bearer"], alone),
            get("two words after the scheme", "/", &[&format!("{bearer} {token}")], twice()),
            get("two tokens", "/", &[&bearer, &bearer], twice()),
            get("a token behind another scheme", "/", &["Basic YTpi", &bearer], twice()),
            get("a token in the query", "/?access_token=abc", &[], query()),
            get("a token in header and query", "/?a=b&access_token=abc", &[&bearer], query()),
        ]
    }

    fn malformed_tokens(&self) -> Vec<Case> {
        let good = self.eddsa().sign();
        let (most, last) = good.split_at(good.len() - 1);
        let spare_bits = format!("{most}{}", char::from(last.as_bytes()[0] + 1)); // only 2 of the last letter's 6 bits are used; the others are 0
        let empty_signature = format!("{}.", self.eddsa().signing_input());
        let long = self.eddsa().claim("padding", "x".repeat(12_400)).sign();
        assert!(long.len() > 16 * 1024 && long.len() < 17 * 1024, "{} is a little too long", long.len());
        let deep = self
            .eddsa()
            .rewrite(|text| text.replacen('{', &format!("{{\"x\":{}{},", "[".repeat(20), "]".repeat(20)), 1));
        vec![
            self.fails("not a token", "abc", "the token is not three parts separated by dots"),
            self.fails("two parts", "a.b", "the token is not three parts separated by dots"),
            self.fails("four parts", &format!("{good}.a"), "the token is not three parts separated by dots"),
            self.fails("no signature", &empty_signature, "the token is not three parts separated by dots"),
            self.fails("padding", &format!("{good}=="), "the token's signature is not base64url"),
            self.fails("spare bits set", &spare_bits, "the token's signature is not base64url"),
            self.fails("another alphabet", &good.replacen(['e'], "+", 1), "the token's header is not base64url"),
            self.fails("oversized", &long, &format!("the token has {} bytes; the limit is 16384", long.len())),
            self.fails(
                "a header that is not JSON",
                &format!("{}.{}.{}", encode("{"), encode("{}"), encode("x")),
                "the token's header is not JSON",
            ),
            self.fails("claims nested too deep", &deep.sign(), "the token's claims set is nested too deep"),
            self.fails(
                "a claim twice",
                &self.eddsa().rewrite(|text| text.replacen('{', "{\"exp\":9999999999,", 1)).sign(),
                "the token's claims set repeats a member name",
            ),
            self.fails("a claim missing", &self.eddsa().claim("jti", ()).sign(), "the claim jti is missing"),
            self.fails(
                "a date as a string",
                &self.eddsa().claim("exp", "9999999999").sign(),
                "the claim exp is malformed",
            ),
            self.fails(
                "an identifier with a line break",
                &self.eddsa().claim("sub", "a\nx-admin: 1").sign(),
                "the claim sub is malformed",
            ),
        ]
    }

    fn forged_tokens(&self) -> Vec<Case> {
        let good = self.eddsa().sign();
        let tampered = {
            let parts: Vec<&str> = good.split('.').collect();
            let claims = self.eddsa().claim("scope", "admin").signing_input();
            format!("{claims}.{}", parts[2])
        };
        let unsigned = self.eddsa().header("alg", "none").signing_input();
        let psychic = format!("{}.{}", self.good(TokenAlg::Es256).signing_input(), encode([0; 64]));
        let short = format!("{}.{}", self.good(TokenAlg::Hs256).signing_input(), encode([0; 16]));
        let confused = self.good(TokenAlg::Hs256).header("kid", self.factory.kid(TokenAlg::Rs256)).sign();
        let borrowed = self.good(TokenAlg::Hs256).claim("aud", "https://other.example").sign();
        vec![
            self.fails("tampered claims", &tampered, "the signature is not valid"),
            self.fails("alg none", &format!("{unsigned}.{}", encode("x")), "the algorithm is not accepted"),
            self.fails(
                "alg in another case",
                &self.eddsa().header("alg", "eddsa").sign(),
                "the algorithm is not accepted",
            ),
            self.fails(
                "Ed25519 with the kid of an RSA key",
                &self.eddsa().header("alg", "Ed25519").header("kid", self.factory.kid(TokenAlg::Rs256)).sign(),
                "the key is for another algorithm",
            ),
            self.fails(
                "PS256 with the kid of an RSA key",
                &self.good(TokenAlg::Rs256).header("alg", "PS256").sign(),
                "the algorithm is not accepted",
            ),
            self.fails("HS256 with the kid of an RSA key", &confused, "the key is for another algorithm"),
            self.fails("ES256 signature of zeros", &psychic, "the signature is not valid"),
            self.fails("HS256 signature cut short", &short, "the signature is not valid"),
            self.fails("an unknown key", &self.eddsa().header("kid", "another").sign(), "no key matches the token"),
            self.fails(
                "an embedded key",
                &self.eddsa().header("jwk", serde_json::json!({ "kty": "OKP" })).sign(),
                "the header member jwk is not accepted",
            ),
            self.fails(
                "a critical extension",
                &self.eddsa().header("crit", serde_json::json!(["x"])).sign(),
                "the header member crit is not accepted",
            ),
            self.fails("an HS256 token of another audience", &borrowed, "the token is for another audience"),
        ]
    }

    fn claims_and_revocation(&self) -> Vec<Case> {
        let respelled = self.eddsa().claim("jti", REVOKED).rewrite(|text| text.replacen('{', "{ \"again\" : 1 , ", 1));
        vec![
            self.fails("a plain JWT", &self.eddsa().header("typ", "JWT").sign(), "the token is not an access token"),
            self.fails(
                "a plain JWT, signed as Ed25519",
                &self.eddsa().header("typ", "JWT").header("alg", "Ed25519").sign(),
                "the token is not an access token",
            ),
            self.fails("no typ", &self.eddsa().header("typ", ()).sign(), "the token is not an access token"),
            self.fails("expired", &self.eddsa().shifted(-7200).sign(), "the token has expired"),
            self.fails(
                "not yet valid",
                &self.eddsa().claim("nbf", self.now + 600).sign(),
                "the token is not valid yet",
            ),
            self.fails("issued in the future", &self.eddsa().shifted(600).sign(), "the token is not valid yet"),
            self.fails(
                "another issuer",
                &self.eddsa().claim("iss", "https://other.example").sign(),
                "the token is from another issuer",
            ),
            self.fails(
                "another audience",
                &self.eddsa().claim("aud", "https://other.example").sign(),
                "the token is for another audience",
            ),
            self.fails("revoked", &self.eddsa().claim("jti", REVOKED).sign(), "the token was revoked"),
            self.fails("revoked, another text of the same token", &respelled.sign(), "the token was revoked"),
            self.fails(
                "revoked, another name of the algorithm",
                &self.eddsa().header("alg", "Ed25519").claim("jti", REVOKED).sign(),
                "the token was revoked",
            ),
            self.fails(
                "revoked, another algorithm",
                &self.good(TokenAlg::Es256).claim("jti", REVOKED).sign(),
                "the token was revoked",
            ),
        ]
    }

    fn plain_jwts(&self) -> Vec<Case> {
        let plain = |alg| self.good(alg).header("typ", "JWT");
        let as_ed25519 = || plain(TokenAlg::EdDsa).header("alg", "Ed25519");
        vec![
            self.passes("typ JWT, HS256", &plain(TokenAlg::Hs256)),
            self.passes("typ JWT, EdDSA", &plain(TokenAlg::EdDsa)),
            self.passes("typ JWT, Ed25519 (RFC 9864)", &as_ed25519()),
            self.passes("typ JWT, ES256", &plain(TokenAlg::Es256)),
            self.passes("typ JWT, RS256", &plain(TokenAlg::Rs256)),
            self.passes("typ at+jwt is accepted as before", &self.eddsa()),
            self.passes("typ at+jwt, Ed25519", &self.eddsa().header("alg", "Ed25519")),
            self.passes("no typ, as RFC 7519 has it", &self.eddsa().header("typ", ())),
            self.fails(
                "the typ of a logout token",
                &self.eddsa().header("typ", "logout+jwt").sign(),
                "the token is not an access token",
            ),
            self.fails(
                "an ID token, which has no jti",
                &as_ed25519().claim("jti", ()).sign(),
                "the claim jti is missing",
            ),
            self.fails("typ JWT, revoked", &as_ed25519().claim("jti", REVOKED).sign(), "the token was revoked"),
            self.fails(
                "typ JWT, another audience",
                &as_ed25519().claim("aud", "https://other.example").sign(),
                "the token is for another audience",
            ),
        ]
    }

    fn route_rules(&self) -> Vec<Case> {
        let draft = self.eddsa();
        let writer = self.eddsa().claim("scope", "x reports:write reports:read");
        let none = self.eddsa().claim("scope", ());
        let reader = bearer(&draft);
        let ambiguous = || refused(400, "invalid_request", "the path can be read in more than one way");
        let capitals = || {
            let why = "the path's route depends on capital letters, or on spaces or dots at the end of a segment";
            refused(400, "invalid_request", why)
        };
        let not_found = Answer { status: 404, error: Some("not_found".into()), ..Answer::default() };
        vec![
            get("a route's scope", "/reports/7?page=2", &[&reader], self.identity(&draft)),
            get("a route's scope is missing", "/admin", &[&reader], insufficient("admin")),
            get("a route's scope, percent-encoded path", "/%61dmin", &[&reader], insufficient("admin")),
            get("no scope at all", "/reports/7", &[&bearer(&none)], insufficient("reports:read")),
            get("a method's scope", "/reports/7", &[&bearer(&writer)], self.identity(&writer)).with_method("POST"),
            get("a method's scope is missing", "/reports/7", &[&reader], insufficient("reports:read reports:write"))
                .with_method("DELETE"),
            get("a public route", "/open/door", &[], anonymous()),
            get("a public route with a token", "/open/door", &[&reader], self.identity(&draft)),
            get("a public route with a bad token", "/open/door", &["Bearer abc"], anonymous()),
            get("identity headers of the client's own", "/", &[&reader], self.identity(&draft)).with_forged_identity(),
            get("identity headers of a client without a token", "/open/door", &[], anonymous()).with_forged_identity(),
            get("an encoded slash", "/open/..%2fadmin", &[&reader], ambiguous()),
            get("a segment with a parameter", "/admin;x", &[&reader], ambiguous()),
            get("a segment encoded twice", "/%2561dmin", &[&reader], ambiguous()),
            get("an encoded question mark", "/admin%3Fx", &[&reader], ambiguous()),
            get("an encoded number sign", "/admin%23x", &[&reader], ambiguous()),
            get("a rule passed by capitals", "/ADMIN", &[&reader], capitals()),
            get("a rule passed by a space at the end", "/admin%20", &[&reader], capitals()),
            get("a rule passed by a dot at the end", "/admin.", &[&reader], capitals()),
            get("a dot and a space that pass no rule", "/st.%20john.", &[&reader], self.identity(&draft)),
            get("a rule passed by a slash at the end", "/admin/", &[&reader], insufficient("admin")),
            get("an empty segment", "/open//admin", &[&reader], ambiguous()),
            get("the gate's own pages stay its own", "/_tollgate/secret", &[&reader], not_found),
        ]
    }

    /// External authorization: a proxy asks whether its request may pass.
    fn external_authorization(&self) -> Vec<Case> {
        let draft = self.eddsa();
        let reader = bearer(&draft);
        let missing = "the proxied request's URI is missing: set X-Original-URI";
        let no_method = "the proxied request's method is missing: set X-Original-Method";
        let two = "X-Original-* and X-Forwarded-Uri or -Method are both set";
        let ask = |name: &str, credentials: &[&str], expected| get(name, "/_tollgate/validate", credentials, expected);
        vec![
            ask("validate asked by nginx", &[&reader], self.identity(&draft))
                .with("X-Original-URI", "/reports/1")
                .with("X-Original-Method", "GET"),
            ask("validate asked by Traefik", &[&reader], insufficient("reports:read reports:write"))
                .with("X-Forwarded-Uri", "/reports/1")
                .with("X-Forwarded-Method", "POST"),
            get("validate asked by Envoy", "/_tollgate/validate/admin", &[&reader], insufficient("admin")),
            ask("validate asked without a token", &[], challenged())
                .with("X-Original-URI", "/reports/1")
                .with("X-Original-Method", "GET"),
            ask("validate asked about a public route", &[], self.empty_identity())
                .with("X-Original-URI", "/open/x")
                .with("X-Original-Method", "GET"),
            ask("validate asked about nothing", &[&reader], refused(400, "invalid_request", missing)),
            ask(
                "validate asked about a method that differs from a rule's by case",
                &[&reader],
                refused(400, "invalid_request", "the method's route depends on capital letters"),
            )
            .with("X-Original-URI", "/reports/1")
            .with("X-Original-Method", "delete"),
            ask("validate asked without the method", &[&reader], refused(400, "invalid_request", no_method))
                .with("X-Original-URI", "/reports/1"),
            ask(
                "validate asked by Traefik for a client that names another request",
                &[&reader],
                refused(400, "invalid_request", two),
            )
            .with("X-Forwarded-Uri", "/admin")
            .with("X-Forwarded-Method", "DELETE")
            .with("X-Original-URI", "/open/x"),
            get(
                "validate asked by Envoy for a client that names another request",
                "/_tollgate/validate/admin",
                &[&reader],
                insufficient("admin"),
            )
            .with("X-Original-URI", "/open/x")
            .with("X-Original-Method", "GET"),
        ]
    }

    fn passes(&self, name: &str, draft: &TokenBuilder<'_>) -> Case {
        get(name, "/anything", &[&bearer(draft)], self.identity(draft))
    }

    fn fails(&self, name: &str, token: &str, why: &str) -> Case {
        get(name, "/anything", &[&format!("Bearer {token}")], refused(401, "invalid_token", why))
    }

    /// `validate` returns empty identity headers, so that the proxy overwrites those that its
    /// client forged.
    fn empty_identity(&self) -> Answer {
        let mut answer = self.identity(&self.eddsa());
        answer.identity.iter_mut().flat_map(BTreeMap::values_mut).for_each(String::clear);
        answer
    }

    /// The upstream receives the identity of the token.
    fn identity(&self, draft: &TokenBuilder<'_>) -> Answer {
        let identity = [
            ("issuer", self.factory.issuer.clone()),
            ("subject", draft.text("sub").replace('%', "%25").replace('é', "%C3%A9")),
            ("client-id", draft.text("client_id")),
            ("scope", draft.text("scope")),
            ("token-id", draft.text("jti")),
            ("expires-at", draft.text("exp")),
        ]
        .map(|(name, value)| (format!("x-tollgate-{name}"), value));
        Answer { status: 200, identity: Some(identity.into()), ..Answer::default() }
    }
}

impl Case {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn with_method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    /// The client sends forged identity headers.
    fn with_forged_identity(self) -> Self {
        self.with("x-tollgate-subject", "root")
            .with("X-Tollgate-Role", "admin")
            .with("x_tollgate_subject", "root")
            .with("x-tollgate-scope", "root")
    }
}

fn get(name: &str, target: &'static str, credentials: &[&str], expected: Answer) -> Case {
    let headers = credentials.iter().map(|value| ("Authorization", (*value).into())).collect();
    Case { name: name.to_owned(), method: "GET", target, headers, expected, fits_http: true }
}

fn challenged() -> Answer {
    Answer { status: 401, challenge: Some("Bearer".into()), ..Answer::default() }
}

fn refused(status: u16, error: &str, description: &str) -> Answer {
    let challenge = format!("Bearer error=\"{error}\", error_description=\"{description}\"");
    Answer { status, challenge: Some(challenge), error: Some(error.to_owned()), identity: None }
}

fn insufficient(scope: &str) -> Answer {
    let mut answer = refused(403, "insufficient_scope", &format!("the scope {scope} is needed"));
    answer.challenge = answer.challenge.map(|challenge| format!("{challenge}, scope=\"{scope}\""));
    answer
}

/// The upstream answers and receives no identity.
fn anonymous() -> Answer {
    Answer { status: 200, identity: Some(BTreeMap::new()), ..Answer::default() }
}

fn bearer(draft: &TokenBuilder<'_>) -> String {
    format!("Bearer {}", draft.sign())
}
