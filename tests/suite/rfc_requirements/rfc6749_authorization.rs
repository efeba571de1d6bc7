//! RFC 6749, OAuth 2.0: clients, the authorization endpoint and its responses.

use tollgate_tests::rfc_requirements::{Requirement, Sender, error, ok, page, post, redirected, refused, row, status};

use super::requests::{authorize, credentials, redeem};

pub(super) fn rows() -> Vec<Requirement> {
    [clients(), endpoint(), redirection(), responses(), secrecy(), errors()].into_iter().flatten().collect()
}

fn clients() -> Vec<Requirement> {
    vec![
        row(
            "2.3",
            "a client MUST NOT use more than one authentication method in a request",
            [credentials().set("client_id", "service").set("client_secret", "{secret:service}")],
            refused("invalid_request"),
        ),
        row("2.3.1", "the server MUST support HTTP Basic for clients with a password", [credentials()], ok()),
        row(
            "2.3.1",
            "id and password in HTTP Basic are form-urlencoded, so any character may be percent-encoded",
            [credentials().anonymous().header("authorization", "Basic {encoded:service}")],
            ok(),
        ),
        row("2.3.1", "credentials may stand in the body", [credentials().as_client("poster")], ok()),
        row(
            "2.3.1",
            "credentials in the body MUST NOT be in the request URI",
            [credentials().anonymous().query("client_id", "poster").query("client_secret", "{secret:poster}")],
            status(&[400, 401]).one_of("error", &["invalid_client", "invalid_request"]),
        ),
        row(
            "3.2.1",
            "confidential clients MUST authenticate at the token endpoint",
            [authorize(), redeem("{1?code}").anonymous().set("client_id", "app")],
            error(&[401], "invalid_client"),
        ),
        row(
            "3.1.2.2",
            "a public client MUST register its redirection endpoint",
            [post("/oauth/register").body(
                "application/json",
                r#"{"token_endpoint_auth_method":"none","grant_types":["authorization_code"],"response_types":["code"]}"#,
            )],
            refused("invalid_redirect_uri"),
        ),
        row(
            "3.1.2",
            "a redirection URI MUST NOT include a fragment",
            [post("/oauth/register").body(
                "application/json",
                r#"{"redirect_uris":["https://a.example/cb#part"],"grant_types":["authorization_code"]}"#,
            )],
            refused("invalid_redirect_uri"),
        ),
        row(
            "3.1.2",
            "a redirection URI MUST be an absolute URI",
            [post("/oauth/register")
                .body("application/json", r#"{"redirect_uris":["/cb"],"grant_types":["authorization_code"]}"#)],
            refused("invalid_redirect_uri"),
        ),
    ]
}

fn endpoint() -> Vec<Requirement> {
    vec![
        row(
            "3.1",
            "the authorization endpoint MUST support GET",
            [authorize()],
            redirected("https://app.example/cb?").has("?code"),
        ),
        row(
            "3.1",
            "a parameter without a value MUST be treated as if it were omitted",
            [authorize().set("state", "")],
            redirected("https://app.example/cb?").has("?code").lacks("?state"),
        ),
        row(
            "3.1",
            "unrecognized parameters MUST be ignored",
            [authorize().set("unheard_of", "1")],
            redirected("https://app.example/cb?").has("?code"),
        ),
        row(
            "3.1",
            "parameters MUST NOT be included more than once: scope",
            [authorize().append("scope", "read")],
            status(&[302, 303, 400]).lacks("?code"),
        ),
        row(
            "3.1",
            "parameters MUST NOT be included more than once: redirect_uri",
            [authorize().append("redirect_uri", "https://other.example/cb")],
            page(),
        ),
        row(
            "3.1",
            "parameters MUST NOT be included more than once: client_id",
            [authorize().append("client_id", "other")],
            page(),
        ),
        row(
            "3.1.1",
            "without response_type the server MUST return an error response",
            [authorize().without("response_type")],
            redirected("https://app.example/cb?").is("?error", "invalid_request").is("?state", "a state"),
        ),
        row(
            "3.1.1",
            "for a response type that is not understood the server MUST return an error response",
            [authorize().set("response_type", "telepathy")],
            redirected("https://app.example/cb?").is("?error", "unsupported_response_type"),
        ),
        row("4.1.1", "client_id is REQUIRED", [authorize().without("client_id")], page()),
    ]
}

fn redirection() -> Vec<Requirement> {
    vec![
        row(
            "3.1.2",
            "the query of a redirection URI MUST be retained when parameters are added",
            [authorize().as_client("several").set("redirect_uri", "https://several.example/two?tenant=1")],
            redirected("https://several.example/two?tenant=1&").has("?code"),
        ),
        row(
            "3.1.2.3",
            "with several registered URIs the client MUST include one",
            [authorize().as_client("several").without("redirect_uri")],
            page(),
        ),
        row(
            "3.1.2.3",
            "the URI MUST match one of those registered",
            [authorize().set("redirect_uri", "https://several.example/one")],
            page(),
        ),
        row(
            "3.1.2.4",
            "the server MUST NOT redirect to an invalid redirection URI",
            [authorize().set("redirect_uri", "javascript:alert(1)")],
            page(),
        ),
        row(
            "3.1.2.4",
            "nor where something else is wrong too",
            [authorize().set("redirect_uri", "https://evil.example/cb").set("response_type", "token")],
            page(),
        ),
        row(
            "3.1.2",
            "a fragment in the request's URI is refused",
            [authorize().set("redirect_uri", "https://app.example/cb#part")],
            page(),
        ),
        row(
            "10.15",
            "the authorization endpoint is no open redirector",
            [authorize().set("client_id", "nobody").set("redirect_uri", "https://evil.example/")],
            page(),
        ),
    ]
}

fn responses() -> Vec<Requirement> {
    vec![
        row(
            "4.1.2",
            "state is REQUIRED in the response, with the exact value received",
            [authorize().set("state", "a &=#%+/é\"'<>")],
            redirected("https://app.example/cb?").is("?state", "a &=#%+/é\"'<>"),
        ),
        row(
            "4.1.2",
            "state is absent where the request had none",
            [authorize().without("state")],
            redirected("https://app.example/cb?").lacks("?state"),
        ),
        row(
            "4.1.2",
            "a code MUST NOT be used more than once",
            [authorize(), redeem("{1?code}"), redeem("{1?code}")],
            refused("invalid_grant"),
        ),
        row(
            "4.1.2",
            "a code used twice SHOULD revoke the tokens it gave",
            [
                authorize(),
                redeem("{1?code}"),
                redeem("{1?code}").refused(),
                super::requests::introspect("{2.access_token}"),
            ],
            ok().is("active", false),
        ),
        row(
            "4.1.2",
            "a code used twice SHOULD revoke the refresh token it gave",
            [
                authorize(),
                redeem("{1?code}"),
                redeem("{1?code}").refused(),
                super::requests::refresh("{2.refresh_token}"),
            ],
            refused("invalid_grant"),
        ),
    ]
}

fn secrecy() -> Vec<Requirement> {
    vec![
        row(
            "4.1.2",
            "a code is bound to its client",
            [authorize(), redeem("{1?code}").as_client("other").set("redirect_uri", "https://app.example/cb")],
            refused("invalid_grant"),
        ),
        row(
            "10.10",
            "a code MUST NOT be guessable: at least 128 bits",
            [authorize()],
            redirected("https://app.example/cb?").longer("?code", 22),
        ),
        row(
            "10.12",
            "the server MUST protect the authorization endpoint from cross-site request forgery: consent",
            [post("/consent").sent_by(Sender::SignedInBrowser).set("decision", "allow")],
            status(&[400, 403, 404, 422]),
        ),
        row(
            "10.12",
            "the server MUST protect the authorization endpoint from cross-site request forgery: sign-in",
            [post("/login").sent_by(Sender::SignedOutBrowser).set("username", "alice").set("password", "x")],
            ok().contains("~", "out of date"),
        ),
    ]
}

fn errors() -> Vec<Requirement> {
    let sent = |error: &'static str| {
        redirected("https://app.example/cb?").is("?error", error).is("?state", "a state").lacks("?code")
    };
    vec![
        row(
            "4.1.2.1",
            "an unknown client is reported to the user, and the browser MUST NOT be redirected",
            [authorize().set("client_id", "nobody")],
            page(),
        ),
        row(
            "4.1.2.1",
            "the owner denies: access_denied, with state",
            [authorize().sent_by(Sender::DenyingUser).set("prompt", "consent")],
            sent("access_denied"),
        ),
        row(
            "4.1.2.1",
            "an invalid scope: invalid_scope",
            [authorize().set("scope", "everything")],
            sent("invalid_scope"),
        ),
        row("4.1.2.1", "a malformed scope: invalid_scope", [authorize().set("scope", "a\"b")], sent("invalid_scope")),
        row(
            "4.1.2.1",
            "error_description MUST NOT hold other characters than %x20-21 / %x23-5B / %x5D-7E",
            [authorize().set("scope", "é\"\\")],
            redirected("https://app.example/cb?").has("?error").text(
                "?error_description",
                "in the allowed characters",
                |text| text.bytes().all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)),
            ),
        ),
    ]
}
