//! RFC 6749 §10.14: the server MUST sanitize and validate every value it receives. Each row sends
//! an unexpected value.

use tollgate_tests::rfc_requirements::{
    Expectation, RequestSpec, Requirement, Sender, get, ok, page, post, redirected, refused, row, status,
};

use super::requests::{
    authorize, credentials, device, enter_user_code, introspect, poll, push, redeem, refresh, revoke, userinfo,
};

pub(super) fn rows() -> Vec<Requirement> {
    let rows = [pages(), redirects(), bodies(), values(), more_values(), cookies()];
    rows.into_iter().flatten().collect()
}

fn unexpected_value(
    words: &'static str,
    requests: impl IntoIterator<Item = RequestSpec>,
    expected: Expectation,
) -> Requirement {
    row("10.14", words, requests, expected)
}

fn pages() -> Vec<Requirement> {
    let script = "<script>alert(1)</script>";
    let named = r#"{"client_name":"<script>alert(1)</script>","redirect_uris":["https://x.example/cb"]}"#;
    let register = || post("/oauth/register").body("application/json", named);
    let looks = || {
        let request = authorize().set("client_id", "{1.client_id}").set("redirect_uri", "https://x.example/cb");
        request.set("scope", "openid").sent_by(Sender::SignedInBrowser)
    };
    vec![
        unexpected_value(
            "a client's name is text on the page",
            [register(), looks()],
            ok().omits("~", script).contains("~", "alert(1)"),
        ),
        unexpected_value(
            "an unknown client's id is text on the page",
            [authorize().set("client_id", script)],
            page().omits("~", script),
        ),
        unexpected_value(
            "a redirect URI is text on the page",
            [authorize().set("redirect_uri", script)],
            page().omits("~", script),
        ),
        unexpected_value(
            "a user code is text on the page",
            [enter_user_code(script).sent_by(Sender::SignedInBrowser).set("user_code", script)],
            status(&[200, 400, 404]).omits("~", script),
        ),
        unexpected_value(
            "a user name is text on the page",
            [get("/login")
                .sent_by(Sender::SignedOutBrowser)
                .set("username", script)
                .set("login_hint", script)
                .set("error", script)],
            status(&[200, 400]).omits("~", script),
        ),
        unexpected_value(
            "a page that is not there shows nothing of what was asked",
            [get("/<script>alert(1)</script>")],
            status(&[404]).omits("~", script),
        ),
    ]
}

fn redirects() -> Vec<Requirement> {
    let login = |name: &str, value: &str| [get("/login").set(name, value).sent_by(Sender::UserSigningIn)];
    let stays = || status(&[200, 400]).stays();
    vec![
        unexpected_value("signing in leads nowhere else: next", login("next", "https://evil.example/"), stays()),
        unexpected_value("signing in leads nowhere else: return_to", login("return_to", "//evil.example/"), stays()),
        unexpected_value(
            "signing in leads nowhere else: redirect_uri",
            login("redirect_uri", "https://evil.example/"),
            stays(),
        ),
        unexpected_value(
            "signing in leads nowhere else: request",
            login("request", "https://evil.example/"),
            status(&[200, 400, 404]).stays(),
        ),
        unexpected_value(
            "a line break in state makes no header",
            [authorize().set("state", "a\r\nx-evil: 1")],
            redirected("https://app.example/cb?").lacks(":x-evil").is("?state", "a\r\nx-evil: 1"),
        ),
        unexpected_value(
            "a line break in redirect_uri makes no header",
            [authorize().set("redirect_uri", "https://app.example/cb\r\nx-evil: 1")],
            page().lacks(":x-evil"),
        ),
        unexpected_value(
            "a backslash is no slash",
            [authorize().set("redirect_uri", "https://app.example\\@evil.example/cb")],
            page(),
        ),
        unexpected_value("a scheme alone is no redirect URI", [authorize().set("redirect_uri", "https:")], page()),
        unexpected_value("data is no redirect URI", [authorize().set("redirect_uri", "data:text/html,x")], page()),
    ]
}

fn bodies() -> Vec<Requirement> {
    let form = "application/x-www-form-urlencoded";
    let long = "a".repeat(200_000);
    vec![
        unexpected_value(
            "bytes that are no UTF-8",
            [credentials().body(form, "grant_type=%FF%FE&scope=%C3%28")],
            status(&[400]),
        ),
        unexpected_value(
            "a form that is cut short",
            [credentials().body(form, "grant_type=client_credentials&scope=%")],
            status(&[200, 400]),
        ),
        unexpected_value("an empty body", [credentials().body(form, "")], refused("invalid_request")),
        unexpected_value(
            "a body of another kind",
            [credentials().body("multipart/form-data; boundary=x", "--x--")],
            status(&[400, 415]),
        ),
        unexpected_value(
            "a body that is too large",
            [credentials().body(form, &format!("grant_type=client_credentials&x={long}"))],
            status(&[400, 413]),
        ),
        unexpected_value(
            "a registration that is too large",
            [post("/oauth/register").body("application/json", &format!("{{\"client_name\":\"{long}\"}}"))],
            status(&[400, 413]),
        ),
        unexpected_value(
            "a registration nested too deep",
            [post("/oauth/register").body("application/json", &"[".repeat(20_000))],
            status(&[400]),
        ),
        unexpected_value(
            "a JWT of nothing",
            [credentials()
                .anonymous()
                .set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
                .set("client_assertion", "..")],
            status(&[400, 401]),
        ),
        unexpected_value("a proof of nothing", [credentials().header("dpop", "..")], refused("invalid_dpop_proof")),
    ]
}

/// NUL, which PostgreSQL stores in no text, and other characters that nobody types.
fn values() -> Vec<Requirement> {
    let odd = "a\u{0}b\u{202e}\u{feff}😀";
    vec![
        unexpected_value(
            "an odd state comes back as it was",
            [authorize().set("state", odd)],
            redirected("https://app.example/cb?").is("?state", odd),
        ),
        unexpected_value(
            "an odd nonce",
            [authorize().set("nonce", "a\u{202e}😀"), redeem("{1?code}")],
            ok().is("id_token@nonce", "a\u{202e}😀"),
        ),
        unexpected_value(
            "a nonce that no text of a database holds",
            [authorize().set("nonce", odd)],
            redirected("https://app.example/cb?"),
        ),
        unexpected_value(
            "an odd login_hint",
            [authorize().set("login_hint", odd).sent_by(Sender::SignedOutBrowser)],
            ok(),
        ),
        unexpected_value("an odd client_id", [authorize().set("client_id", odd)], page()),
        unexpected_value(
            "an odd client_id at the token endpoint",
            [credentials().anonymous().set("client_id", odd).set("client_secret", odd)],
            status(&[400, 401]),
        ),
        unexpected_value("an odd code", [redeem(odd)], refused("invalid_grant")),
        unexpected_value("an odd refresh token", [refresh(odd)], refused("invalid_grant")),
        unexpected_value("an odd device code", [poll(odd)], refused("invalid_grant")),
        unexpected_value("an odd scope", [device().set("scope", odd)], refused("invalid_scope")),
        unexpected_value("an odd resource", [credentials().set("resource", odd)], refused("invalid_target")),
        unexpected_value("an odd token is not active", [introspect(odd)], ok().is("active", false)),
        unexpected_value("an odd token is revoked with 200", [revoke(odd)], ok()),
    ]
}

fn more_values() -> Vec<Requirement> {
    let odd = "a\u{0}b\u{202e}\u{feff}😀";
    vec![
        unexpected_value("an odd access token", [userinfo("{random}.{random}.{random}")], status(&[401])),
        unexpected_value(
            "an odd request_uri",
            [authorize().set("request_uri", odd)],
            status(&[302, 303, 400]).lacks("?code"),
        ),
        unexpected_value("an odd parameter name", [push().append(odd, odd)], status(&[201, 400])),
        unexpected_value("an odd user code", [enter_user_code(odd)], status(&[200, 400, 404])),
        unexpected_value(
            "an odd password",
            [post("/login").sent_by(Sender::SignedOutBrowser).set("username", odd).set("password", odd)],
            status(&[400, 403]),
        ),
        unexpected_value(
            "a number where none fits",
            [authorize().set("max_age", "99999999999999999999")],
            redirected("https://app.example/cb?").is("?error", "invalid_request"),
        ),
        unexpected_value(
            "a number below zero",
            [authorize().set("max_age", "-1")],
            redirected("https://app.example/cb?").is("?error", "invalid_request"),
        ),
        unexpected_value(
            "sixteen thousand scope values",
            [credentials().set("scope", &"read ".repeat(16_000))],
            status(&[400, 413]),
        ),
        unexpected_value(
            "a hundred resources",
            [(0..100).fold(credentials(), |request, at| request.append("resource", &format!("https://{at}.example")))],
            status(&[400]),
        ),
    ]
}

fn cookies() -> Vec<Requirement> {
    let login = || [get("/login").sent_by(Sender::SignedOutBrowser)];
    vec![
        unexpected_value("a script cannot read the cookies", login(), ok().contains(":set-cookie", "HttpOnly")),
        unexpected_value(
            "another site's form does not send the cookies",
            login(),
            ok().contains(":set-cookie", "SameSite=Lax"),
        ),
        unexpected_value("pages are not kept by caches", login(), ok().contains(":cache-control", "no-store")),
        unexpected_value(
            "a made-up session is none",
            [get("/oauth/authorize")
                .header("cookie", "tollgate=x; __Host-tollgate=x")
                .sent_by(Sender::SignedOutBrowser)
                .set("client_id", "app")],
            status(&[200, 303, 400]).lacks("?code"),
        ),
    ]
}
