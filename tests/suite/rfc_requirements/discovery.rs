//! Server metadata (RFC 8414, OpenID Connect Discovery 1.0), issuer identification (RFC 9207), and
//! RP-Initiated Logout 1.0.

use reqwest::Method;
use serde_json::json;
use tollgate_tests::rfc_requirements::{Requirement, Sender, get, ok, redirected, row, status};

use super::requests::{authorize, discovery, metadata, redeem};

pub(super) fn rfc8414() -> Vec<Requirement> {
    [endpoints(), abilities()].into_iter().flatten().collect()
}

fn endpoints() -> Vec<Requirement> {
    let said = |section, words, member, path: &str| {
        row(section, words, [metadata()], ok().is(member, format!("{{issuer}}{path}")))
    };
    vec![
        row("3.1", "the metadata are at /.well-known/oauth-authorization-server", [metadata()], ok()),
        row("3.1", "they are asked for by GET", [metadata().method(Method::POST)], status(&[405])),
        row(
            "3.2",
            "the answer MUST be 200 and application/json",
            [metadata()],
            ok().contains(":content-type", "application/json"),
        ),
        row("3.2", "claims with zero elements MUST be omitted", [metadata()], ok().no_empty_lists()),
        row(
            "3.3",
            "issuer MUST be identical to the issuer that was asked",
            [metadata()],
            ok().is("issuer", "{issuer}"),
        ),
        said("2", "authorization_endpoint is REQUIRED", "authorization_endpoint", "/oauth/authorize"),
        said("2", "token_endpoint is REQUIRED", "token_endpoint", "/oauth/token"),
        said("2", "jwks_uri", "jwks_uri", "/.well-known/jwks.json"),
        said("2", "registration_endpoint, where it is on", "registration_endpoint", "/oauth/register"),
        said("2", "revocation_endpoint", "revocation_endpoint", "/oauth/revoke"),
        said("2", "introspection_endpoint", "introspection_endpoint", "/oauth/introspect"),
        row("2", "response_types_supported is REQUIRED", [metadata()], ok().holds("response_types_supported", "code")),
        row(
            "2",
            "grant_types_supported says all of them",
            [metadata()],
            [
                "authorization_code",
                "refresh_token",
                "client_credentials",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ]
            .into_iter()
            .fold(ok(), |expected, grant| expected.holds("grant_types_supported", grant)),
        ),
    ]
}

fn abilities() -> Vec<Requirement> {
    vec![
        row(
            "2",
            "token_endpoint_auth_methods_supported",
            [metadata()],
            ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]
                .into_iter()
                .fold(ok(), |expected, method| expected.holds("token_endpoint_auth_methods_supported", method)),
        ),
        row(
            "2",
            "the signing algorithms of client assertions MUST be there with private_key_jwt, and none MUST NOT be used",
            [metadata()],
            ok().holds("token_endpoint_auth_signing_alg_values_supported", "ES256")
                .omits("token_endpoint_auth_signing_alg_values_supported", "none"),
        ),
        row(
            "2",
            "code_challenge_methods_supported",
            [metadata()],
            ok().is("code_challenge_methods_supported", json!(["S256"])),
        ),
        row(
            "2",
            "revocation_endpoint_auth_methods_supported",
            [metadata()],
            ok().holds("revocation_endpoint_auth_methods_supported", "client_secret_basic"),
        ),
        row(
            "2",
            "introspection_endpoint_auth_methods_supported",
            [metadata()],
            ok().holds("introspection_endpoint_auth_methods_supported", "client_secret_basic"),
        ),
    ]
}

/// OpenID Connect Discovery 1.0
pub(super) fn openid() -> Vec<Requirement> {
    vec![
        row(
            "4.2",
            "the answer MUST be 200 and application/json",
            [discovery()],
            ok().contains(":content-type", "application/json"),
        ),
        row(
            "4.3",
            "issuer MUST be identical to the issuer that was asked",
            [discovery()],
            ok().is("issuer", "{issuer}"),
        ),
        row("4.2", "claims with zero elements MUST be omitted", [discovery()], ok().no_empty_lists()),
        row(
            "3",
            "subject_types_supported is REQUIRED",
            [discovery()],
            ok().holds("subject_types_supported", "public").holds("subject_types_supported", "pairwise"),
        ),
        row(
            "3",
            "id_token_signing_alg_values_supported MUST include RS256",
            [discovery()],
            ok().holds("id_token_signing_alg_values_supported", "RS256"),
        ),
        row("3", "userinfo_endpoint", [discovery()], ok().is("userinfo_endpoint", "{issuer}/oauth/userinfo")),
        row("3", "scopes_supported MUST include openid", [discovery()], ok().holds("scopes_supported", "openid")),
        row("3", "claims_supported", [discovery()], ok().holds("claims_supported", "sub")),
        row(
            "3",
            "request_parameter_supported says what is so",
            [discovery()],
            ok().is("request_parameter_supported", true),
        ),
        row(
            "3",
            "request_uri_parameter_supported says what is so",
            [discovery()],
            ok().is("request_uri_parameter_supported", true),
        ),
        row(
            "3",
            "require_request_uri_registration is false unless said otherwise",
            [discovery()],
            ok().is("require_request_uri_registration", true),
        ),
        row(
            "3",
            "end_session_endpoint (RP-Initiated Logout section 2.1)",
            [discovery()],
            ok().is("end_session_endpoint", "{issuer}/oauth/logout"),
        ),
        row(
            "3",
            "jwks_uri holds the keys, each with its kid",
            [get("/.well-known/jwks.json")],
            ok().has("keys.0.kid").has("keys.0.kty"),
        ),
    ]
}

pub(super) fn rfc9207() -> Vec<Requirement> {
    vec![
        row(
            "2",
            "a success MUST have iss, the issuer",
            [authorize()],
            redirected("https://app.example/cb?").has("?code").is("?iss", "{issuer}"),
        ),
        row(
            "2",
            "an error MUST have iss too: invalid_scope",
            [authorize().set("scope", "everything")],
            redirected("https://app.example/cb?").has("?error").is("?iss", "{issuer}"),
        ),
        row(
            "2",
            "an error MUST have iss too: access_denied",
            [authorize().sent_by(Sender::DenyingUser).set("prompt", "consent")],
            redirected("https://app.example/cb?").has("?error").is("?iss", "{issuer}"),
        ),
        row(
            "2",
            "an error MUST have iss too: login_required",
            [authorize().set("prompt", "none").sent_by(Sender::SignedOutBrowser)],
            redirected("https://app.example/cb?").has("?error").is("?iss", "{issuer}"),
        ),
        row(
            "2.3",
            "iss MUST be the issuer of the metadata, character by character",
            [metadata(), authorize()],
            redirected("https://app.example/cb?").is("?iss", "{1.issuer}"),
        ),
        row(
            "3",
            "the metadata say authorization_response_iss_parameter_supported",
            [metadata()],
            ok().is("authorization_response_iss_parameter_supported", true),
        ),
        row(
            "2",
            "the issuer has no query and no fragment",
            [authorize()],
            redirected("https://app.example/cb?").text("?iss", "without ? and #", |iss| !iss.contains(['?', '#'])),
        ),
    ]
}

/// OpenID Connect RP-Initiated Logout 1.0
pub(super) fn logout() -> Vec<Requirement> {
    [leaving(), afterwards()].into_iter().flatten().collect()
}

fn leaving() -> Vec<Requirement> {
    let end =
        || get("/oauth/logout").set("id_token_hint", "{2.id_token}").sent_by(Sender::ConsentingUser).same_browser();
    let granted = || vec![authorize().sent_by(Sender::UserSigningIn), redeem("{1?code}").same_browser()];
    let then = |ask| granted().into_iter().chain([ask]);
    vec![
        row("2", "the endpoint MUST support GET", then(end()), ok().stays()),
        row("2", "the endpoint MUST support POST", then(end().method(Method::POST)), ok().stays()),
        row(
            "3",
            "the person is sent to a registered post_logout_redirect_uri, with state",
            then(end().set("post_logout_redirect_uri", "https://app.example/bye").set("state", "a state")),
            redirected("https://app.example/bye").is("?state", "a state"),
        ),
        row(
            "3",
            "the person MUST NOT be sent to another URI",
            then(end().set("post_logout_redirect_uri", "https://evil.example/")),
            status(&[200, 400]).stays(),
        ),
        row(
            "2",
            "without id_token_hint no redirect without confirmation",
            then(
                get("/oauth/logout")
                    .set("post_logout_redirect_uri", "https://app.example/bye")
                    .sent_by(Sender::SignedInBrowser)
                    .same_browser(),
            ),
            status(&[200, 400]).stays(),
        ),
        row(
            "2",
            "a hint that is not ours is refused, or asked about",
            then(end().set("id_token_hint", "a.b.c").set("post_logout_redirect_uri", "https://evil.example/")),
            status(&[200, 400]).stays(),
        ),
    ]
}

fn afterwards() -> Vec<Requirement> {
    let end =
        || get("/oauth/logout").set("id_token_hint", "{2.id_token}").sent_by(Sender::ConsentingUser).same_browser();
    let granted = || vec![authorize().sent_by(Sender::UserSigningIn), redeem("{1?code}").same_browser()];
    let then = |ask| granted().into_iter().chain([ask]);
    vec![
        row(
            "2",
            "a person who says yes MUST be logged out",
            granted().into_iter().chain([end(), authorize().sent_by(Sender::SignedInBrowser).same_browser()]),
            ok().stays().contains("~", "name=\"password\""),
        ),
        row(
            "2 (Back-Channel Logout 1.0 §2.7)",
            "refresh tokens of offline_access SHOULD NOT be revoked",
            [
                authorize()
                    .sent_by(Sender::UserSigningIn)
                    .set("scope", "openid offline_access")
                    .set("prompt", "consent"),
                redeem("{1?code}").same_browser(),
                end(),
                super::requests::refresh("{2.refresh_token}"),
            ],
            ok().has("access_token"),
        ),
        row("3", "state alone does not redirect", then(end().set("state", "a state")), ok().stays()),
        row(
            "2",
            "a client's redirect_uri is no post_logout_redirect_uri",
            then(end().set("post_logout_redirect_uri", "https://app.example/cb")),
            status(&[200, 400]).stays(),
        ),
    ]
}
