//! RFC 7662, Token Introspection, and its signed responses (RFC 9701).

use reqwest::Method;
use serde_json::json;
use tollgate_tests::rfc_requirements::{AUDIENCE, Requirement, error, ok, refused, row, status};

use super::requests::{FILES, authorize, credentials, introspect, redeem};

pub(super) fn rows() -> Vec<Requirement> {
    [requests(), active(), inactive(), signed()].into_iter().flatten().collect()
}

fn requests() -> Vec<Requirement> {
    vec![
        row("2.1", "the endpoint MUST be called by POST", [introspect("x").method(Method::GET)], status(&[405])),
        row("2.1", "token is REQUIRED", [introspect("").without("token")], refused("invalid_request")),
        row(
            "2.1",
            "the endpoint MUST require authorization",
            [credentials(), introspect("{1.access_token}").anonymous()],
            error(&[401], "invalid_client"),
        ),
        row(
            "2.3",
            "wrong credentials are answered with 401",
            [credentials(), introspect("{1.access_token}").anonymous().header("authorization", "Basic YXBpOndyb25n")],
            error(&[401], "invalid_client"),
        ),
        row(
            "2.1",
            "a public client's client_id is no authorization",
            [credentials(), introspect("{1.access_token}").as_client("spa")],
            status(&[400, 401, 403]),
        ),
        row(
            "2.1",
            "a wrong hint MUST extend the search",
            [credentials(), introspect("{1.access_token}").set("token_type_hint", "refresh_token")],
            ok().is("active", true),
        ),
    ]
}

fn active() -> Vec<Requirement> {
    let asked = || [credentials().set("scope", "read"), introspect("{1.access_token}")];
    vec![
        row("2.2", "active is REQUIRED and a boolean", asked(), ok().is("active", true)),
        row("2.2", "the answer is application/json", asked(), ok().contains(":content-type", "application/json")),
        row("2.2", "scope is that of the token", asked(), ok().is("scope", "read")),
        row("2.2", "client_id is that of the token", asked(), ok().is("client_id", "service")),
        row(
            "2.2",
            "exp is that of the token",
            asked(),
            ok().text("exp", "a number", |text| text.parse::<u64>().is_ok()),
        ),
        row("2.2", "iat is a number", asked(), ok().text("iat", "a number", |text| text.parse::<u64>().is_ok())),
        row("2.2", "sub is the token's", asked(), ok().is("sub", "{1.access_token@sub}")),
        row("2.2", "aud is the token's", asked(), ok().is("aud", AUDIENCE)),
        row("2.2", "iss is the issuer", asked(), ok().is("iss", "{issuer}")),
        row("2.2", "jti is the token's", asked(), ok().is("jti", "{1.access_token@jti}")),
        row("2.2", "token_type is that of RFC 6749 §5.1", asked(), ok().is("token_type", "Bearer")),
        row(
            "2.2",
            "sub is the person's where a person gave the token",
            [authorize(), redeem("{1?code}"), introspect("{2.access_token}")],
            ok().is("sub", "{2.id_token@sub}").is("client_id", "app").is("username", "alice"),
        ),
    ]
}

fn inactive() -> Vec<Requirement> {
    let inactive = || ok().is("", json!({ "active": false }));
    vec![
        row(
            "2.2",
            "an unknown token is {\"active\":false} and nothing more",
            [introspect("no-such-token")],
            inactive(),
        ),
        row(
            "4",
            "a signed token's signature MUST be checked",
            [credentials(), introspect("{1.access_token}AAAA")],
            inactive(),
        ),
        row(
            "4",
            "the server MUST determine whether a token was revoked",
            [
                credentials(),
                super::requests::revoke("{1.access_token}").as_client("service"),
                introspect("{1.access_token}"),
            ],
            inactive(),
        ),
        row(
            "2.2",
            "a token of another resource server is not this one's business",
            [
                authorize().as_client("many").set("resource", FILES),
                redeem("{1?code}").as_client("many").set("resource", FILES),
                introspect("{2.access_token}"),
            ],
            inactive(),
        ),
        row(
            "2.2",
            "an ID token is no access token",
            [authorize(), redeem("{1?code}"), introspect("{2.id_token}")],
            inactive(),
        ),
        row(
            "2.2",
            "another client's refresh token is not this one's business",
            [authorize(), redeem("{1?code}"), introspect("{2.refresh_token}").as_client("other")],
            inactive(),
        ),
        row("2.2", "an unused code is no token", [authorize(), introspect("{1?code}")], inactive()),
    ]
}

/// RFC 9701
fn signed() -> Vec<Requirement> {
    let asked =
        || [credentials(), introspect("{1.access_token}").header("accept", "application/token-introspection+jwt")];
    vec![
        row(
            "2.2 (RFC 9701 §5)",
            "a signed answer is application/token-introspection+jwt",
            asked(),
            ok().contains(":content-type", "application/token-introspection+jwt"),
        ),
        row(
            "2.2 (RFC 9701 §5)",
            "typ MUST be token-introspection+jwt",
            asked(),
            ok().is("#typ", "token-introspection+jwt"),
        ),
        row("2.2 (RFC 9701 §5)", "iss MUST be the issuer", asked(), ok().is("@iss", "{issuer}")),
        row("2.2 (RFC 9701 §5)", "aud MUST be the resource server", asked(), ok().is("@aud", "api")),
        row("2.2 (RFC 9701 §5)", "iat MUST be there", asked(), ok().has("@iat")),
        row(
            "2.2 (RFC 9701 §5)",
            "the token's members are in token_introspection",
            asked(),
            ok().is("@token_introspection.active", true),
        ),
        row("2.2 (RFC 9701 §5)", "sub and exp SHOULD NOT stand at the top", asked(), ok().lacks("@sub").lacks("@exp")),
    ]
}
