//! RFC 9700, Best Current Practice for OAuth 2.0 Security.

use reqwest::Method;
use tollgate_tests::rfc_requirements::{
    Jws, Requirement, Sender, assertion, error, get, ok, page, post, redirected, refused, row, status,
};

use super::requests::{authorize, credentials, discovery, introspect, metadata, push, redeem, refresh, userinfo};

pub(super) fn rows() -> Vec<Requirement> {
    [redirects(), flows(), measures(), replays(), assertions(), pages()].into_iter().flatten().collect()
}

fn redirects() -> Vec<Requirement> {
    let other = |uri: &str| [authorize().set("redirect_uri", uri)];
    let loopback = |uri: &str| [authorize().as_client("native").set("redirect_uri", uri)];
    vec![
        row("2.1", "exact match of the redirection URI: no longer path", other("https://app.example/cb/more"), page()),
        row("2.1", "… no slash at the end", other("https://app.example/cb/"), page()),
        row("2.1", "… no other query", other("https://app.example/cb?a=b"), page()),
        row("2.1", "… no other case of the path", other("https://app.example/CB"), page()),
        row("2.1", "… no other host", other("https://app.example.evil.example/cb"), page()),
        row("2.1", "… no user in the host", other("https://app.example@evil.example/cb"), page()),
        row("2.1", "… no other scheme", other("http://app.example/cb"), page()),
        row("2.1", "… no other port", other("https://app.example:8443/cb"), page()),
        row("2.1", "… no dot segments", other("https://app.example/x/../cb"), page()),
        row("2.1", "… no percent-encoding of the same path", other("https://app.example/%63b"), page()),
        row(
            "2.1",
            "the port of a native app's loopback URI may vary (RFC 8252 §7.3)",
            loopback("http://127.0.0.1:49152/cb"),
            redirected("http://127.0.0.1:49152/cb?").has("?code"),
        ),
        row("2.1", "… but not its path", loopback("http://127.0.0.1:49152/other"), page()),
        row("2.1", "… nor its host", loopback("http://127.0.0.2:49152/cb"), page()),
        row(
            "4.1.3",
            "a host that only begins like loopback is none",
            loopback("http://127.0.0.1.evil.example/cb"),
            page(),
        ),
        row(
            "2.1",
            "plain http redirects are refused at registration",
            [post("/oauth/register").body(
                "application/json",
                r#"{"redirect_uris":["http://app.example/cb"],"grant_types":["authorization_code"]}"#,
            )],
            refused("invalid_redirect_uri"),
        ),
        row(
            "4.11.2",
            "the server MUST NOT be an open redirector: a bad request is reported to the user first",
            [authorize().set("redirect_uri", "https://evil.example/").set("scope", "everything")],
            page(),
        ),
        row(
            "4.12",
            "a redirect after a form MUST NOT be 307",
            [authorize().sent_by(Sender::UserSigningIn)],
            redirected("https://app.example/cb?").has("?code"),
        ),
    ]
}

fn flows() -> Vec<Requirement> {
    let implicit = |kind: &str| [authorize().set("response_type", kind)];
    let not_supported = || {
        redirected("https://app.example/cb")
            .is("?error", "unsupported_response_type")
            .omits(":location", "access_token")
    };
    vec![
        row("2.1.2", "no access token from the authorization endpoint: token", implicit("token"), not_supported()),
        row(
            "2.1.2",
            "no access token from the authorization endpoint: id_token token",
            implicit("id_token token"),
            not_supported(),
        ),
        row(
            "2.1.2",
            "no access token from the authorization endpoint: code token",
            implicit("code token"),
            not_supported(),
        ),
        row(
            "2.1.2",
            "the metadata offer no such response type",
            [metadata()],
            ok().is("response_types_supported", serde_json::json!(["code"])),
        ),
        row(
            "2.4",
            "the password grant MUST NOT be used",
            [post("/oauth/token")
                .set("grant_type", "password")
                .set("username", "alice")
                .set("password", "x")
                .as_client("app")],
            refused("unsupported_grant_type"),
        ),
        row(
            "2.4",
            "the metadata do not offer it",
            [metadata()],
            ok().omits("grant_types_supported", "password").omits("grant_types_supported", "implicit"),
        ),
    ]
}

fn measures() -> Vec<Requirement> {
    vec![
        row(
            "2.1.1",
            "the server MUST support PKCE and say so",
            [metadata()],
            ok().is("code_challenge_methods_supported", serde_json::json!(["S256"])),
        ),
        row(
            "2.1.1",
            "a pushed request needs a challenge too",
            [push().without("code_challenge").without("code_challenge_method")],
            refused("invalid_request"),
        ),
        row(
            "2.1.1",
            "an OpenID client that authenticates may use the nonce instead",
            [
                authorize().without("code_challenge").without("code_challenge_method").set("nonce", "n"),
                redeem("{1?code}").without("code_verifier"),
            ],
            status(&[200]).is("id_token@nonce", "n"),
        ),
        row(
            "4.8.2",
            "a code_verifier for a request without a code_challenge MUST be refused",
            [
                authorize().without("code_challenge").without("code_challenge_method").set("nonce", "n"),
                redeem("{1?code}"),
            ],
            refused("invalid_grant"),
        ),
        row(
            "2.6",
            "the authorization endpoint MUST NOT support CORS",
            [authorize().sent_by(Sender::SignedInBrowser).header("origin", "https://evil.example")],
            status(&[200, 302, 303]).lacks(":access-control-allow-origin"),
        ),
        row("2.6", "metadata are published", [metadata()], ok().is("issuer", "{issuer}")),
        row(
            "4.3.2",
            "an access token in the query is not taken",
            [authorize(), redeem("{1?code}"), get("/oauth/userinfo").set("access_token", "{2.access_token}")],
            status(&[400, 401]),
        ),
        row(
            "2.3",
            "a token is for one audience",
            [credentials()],
            ok().text("access_token@aud", "one audience", |aud| !aud.contains(',')),
        ),
    ]
}

fn replays() -> Vec<Requirement> {
    let granted = || [authorize().as_client("spa"), redeem("{1?code}").as_client("spa")];
    let again = || refresh("{2.refresh_token}").as_client("spa");
    let next = |token: &str| refresh(token).as_client("spa");
    // The previous refresh token may be reused within the grace period; an older one never.
    let reused = |go_on: bool| {
        let reuse = if go_on { again().refused() } else { again() };
        granted().into_iter().chain([again(), next("{3.refresh_token}"), reuse])
    };
    vec![
        row(
            "4.14.2",
            "a public client's refresh tokens are rotated",
            granted().into_iter().chain([again()]),
            ok().differs("refresh_token", "{2.refresh_token}"),
        ),
        row("4.14.2", "an old refresh token is refused", reused(false), refused("invalid_grant")),
        row(
            "4.14.2",
            "its reuse revokes the active refresh token",
            reused(true).chain([next("{4.refresh_token}")]),
            refused("invalid_grant"),
        ),
        row(
            "4.14.2",
            "its reuse revokes the access tokens of the grant",
            reused(true).chain([introspect("{4.access_token}")]),
            ok().is("active", false),
        ),
        row(
            "4.14.2",
            "the direct predecessor, repeated at once, gives the same successor: an answer may get lost",
            granted().into_iter().chain([again(), again()]),
            ok().is("refresh_token", "{3.refresh_token}"),
        ),
        row(
            "4.14.2",
            "the scope and resource of a refresh token stay what was consented to",
            granted().into_iter().chain([again().set("scope", "read profile")]),
            refused("invalid_scope"),
        ),
        row(
            "4.5.3.1",
            "a code injected into another session does not fit its challenge",
            [
                authorize()
                    .as_client("spa")
                    .set("code_challenge", "{sha256:=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}"),
                redeem("{1?code}").as_client("spa"),
            ],
            refused("invalid_grant"),
        ),
    ]
}

/// Section 2.5 recommends asymmetric authentication; RFC 7523 §3 lists the checks.
fn assertions() -> Vec<Requirement> {
    let ask = |assertion: Jws| {
        [credentials()
            .anonymous()
            .set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            .signed("client_assertion", assertion)]
    };
    let good = || assertion("jwt");
    let bad: Vec<(&str, Jws)> = vec![
        ("2.5 (RFC 7523 §3)", good().signed_by_other_key()),
        ("2.5 (RFC 7523 §3 item 3: aud)", good().claim("aud", "https://other.example")),
        ("2.5 (RFC 7523 §3 item 3: aud missing)", good().claim("aud", serde_json::Value::Null)),
        ("2.5 (RFC 7523 §3 item 4: exp)", good().claim("exp", "{now-3600}")),
        ("2.5 (RFC 7523 §3 item 4: exp missing)", good().claim("exp", serde_json::Value::Null)),
        ("2.5 (RFC 7523 §3 item 5: nbf)", good().claim("nbf", "{now+3600}")),
        ("2.5 (RFC 7523 §3 item 1: iss)", good().claim("iss", "app")),
        ("2.5 (RFC 7523 §3 item 2: sub)", good().claim("sub", "app")),
        ("2.5 (RFC 7523 §3 item 9: alg none)", good().header("alg", "none").with_signature("")),
    ];
    let mut rows: Vec<Requirement> = bad
        .into_iter()
        .map(|(section, assertion)| {
            row(
                section,
                "a client assertion that fails a check MUST be refused",
                ask(assertion),
                error(&[401, 400], "invalid_client"),
            )
        })
        .collect();
    rows.push(row("2.5", "a good client assertion is taken", ask(good()), ok().has("access_token")));
    rows.push(row(
        "2.5 (RFC 7523 §3 item 7)",
        "a client assertion is for one use",
        ask(good().claim("jti", "{random:row}")).into_iter().chain(ask(good().claim("jti", "{random:row}"))),
        error(&[401, 400], "invalid_client"),
    ));
    rows.push(row(
        "2.5",
        "a client registered with a key is refused by a secret",
        [credentials().anonymous().set("client_id", "jwt").set("client_secret", "x")],
        error(&[401], "invalid_client"),
    ));
    rows
}

fn pages() -> Vec<Requirement> {
    let login = || [authorize().sent_by(Sender::SignedOutBrowser)];
    let consent = || [authorize().as_client("stranger").set("prompt", "consent").sent_by(Sender::SignedInBrowser)];
    vec![
        row(
            "4.16",
            "the server MUST prevent clickjacking: sign-in",
            login(),
            ok().contains(":content-security-policy", "frame-ancestors 'none'"),
        ),
        row(
            "4.16",
            "the server MUST prevent clickjacking: consent",
            consent(),
            ok().contains(":content-security-policy", "frame-ancestors 'none'"),
        ),
        row("4.16", "… and for old browsers", login(), ok().is(":x-frame-options", "DENY")),
        row("4.2.4", "pages do not leak the request by Referer", login(), ok().is(":referrer-policy", "no-referrer")),
        row(
            "4.2.4",
            "pages load nothing from elsewhere",
            login(),
            ok().contains(":content-security-policy", "default-src 'none'"),
        ),
        row("4.7.1", "forms hold a token against cross-site requests", login(), ok().contains("~", "name=\"csrf\"")),
        row(
            "4.11.2",
            "a person who only looks is sent nowhere",
            consent(),
            ok().stays().contains("~", "name=\"decision\""),
        ),
        row("4.16", "the page names the client", consent(), ok().contains("~", "stranger")),
        row(
            "4.15.1",
            "a client's subject is never a person's: the userinfo endpoint refuses it",
            [credentials(), userinfo("{1.access_token}")],
            status(&[401, 403]),
        ),
        row(
            "2.1",
            "the authorization endpoint knows no other method",
            [authorize().sent_by(Sender::Client).method(Method::DELETE)],
            status(&[405]),
        ),
        row(
            "4.4.2.1",
            "discovery and metadata have the same issuer",
            [metadata(), discovery()],
            ok().is("issuer", "{1.issuer}"),
        ),
    ]
}
