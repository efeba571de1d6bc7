//! RFC 6749, OAuth 2.0: the token endpoint and its grants.

use reqwest::Method;
use tollgate_tests::rfc_requirements::{Requirement, error, ok, refused, row, status};

use super::requests::{authorize, credentials, introspect, redeem, refresh};

pub(super) fn rows() -> Vec<Requirement> {
    [endpoint(), scopes(), code(), client_credentials(), answers(), errors(), refreshing(), refresh_tokens()]
        .into_iter()
        .flatten()
        .collect()
}

fn endpoint() -> Vec<Requirement> {
    vec![
        row("3.2", "the client MUST use POST", [credentials().method(Method::GET)], status(&[405])),
        row(
            "3.2",
            "a parameter without a value MUST be treated as if it were omitted",
            [credentials().set("scope", "")],
            ok().has("access_token"),
        ),
        row(
            "3.2",
            "unrecognized parameters MUST be ignored",
            [credentials().set("unheard_of", "1")],
            ok().has("access_token"),
        ),
        row(
            "3.2",
            "parameters MUST NOT be included more than once: scope",
            [credentials().set("scope", "read").append("scope", "read")],
            refused("invalid_request"),
        ),
        row(
            "3.2",
            "parameters MUST NOT be included more than once: grant_type",
            [credentials().append("grant_type", "client_credentials")],
            refused("invalid_request"),
        ),
        row(
            "3.2",
            "parameters in the request URI are none",
            [credentials().without("grant_type").query("grant_type", "client_credentials")],
            refused("invalid_request"),
        ),
        row(
            "4.4.2",
            "parameters come as application/x-www-form-urlencoded in the body",
            [credentials().body("application/json", r#"{"grant_type":"client_credentials"}"#)],
            status(&[400, 415]),
        ),
    ]
}

fn scopes() -> Vec<Requirement> {
    vec![
        row(
            "3.3",
            "without a scope the server MUST use a default and MUST say which, or fail",
            [credentials()],
            ok().longer("scope", 1),
        ),
        row("3.3", "scope values are case-sensitive", [credentials().set("scope", "READ")], refused("invalid_scope")),
        row(
            "3.3",
            "the order of scope values does not matter",
            [credentials().set("scope", "write read")],
            ok().holds("scope", "read").holds("scope", "write"),
        ),
        row(
            "3.3",
            "the scope of the answer is that of the token",
            [credentials().set("scope", "read")],
            ok().is("scope", "read").is("access_token@scope", "read"),
        ),
        row(
            "3.3",
            "a quote or backslash in a scope is refused",
            [credentials().set("scope", "re\\ad")],
            refused("invalid_scope"),
        ),
        row(
            "5.2",
            "a scope beyond what was granted: invalid_scope",
            [credentials().set("scope", "read admin")],
            refused("invalid_scope"),
        ),
    ]
}

fn code() -> Vec<Requirement> {
    vec![
        row(
            "4.1.3",
            "redirect_uri is REQUIRED if the authorization request had it",
            [authorize(), redeem("{1?code}").without("redirect_uri")],
            status(&[400]).one_of("error", &["invalid_grant", "invalid_request"]),
        ),
        row(
            "4.1.3",
            "redirect_uri MUST be identical to that of the authorization request",
            [
                authorize().as_client("several"),
                redeem("{1?code}").as_client("several").set("redirect_uri", "https://several.example/two?tenant=1"),
            ],
            refused("invalid_grant"),
        ),
        row(
            "4.1.3",
            "identical means character by character",
            [authorize(), redeem("{1?code}").set("redirect_uri", "https://app.example/cb/")],
            refused("invalid_grant"),
        ),
        row("4.1.3", "code is REQUIRED", [redeem("").without("code")], refused("invalid_request")),
        row("4.1.3", "an invalid code is refused", [redeem("no-such-code")], refused("invalid_grant")),
        row(
            "4.1.3",
            "a code as long as a real one, but another, is refused",
            [authorize(), redeem("{sha256:1?code}")],
            refused("invalid_grant"),
        ),
        row(
            "4.1.3",
            "client_id is REQUIRED of a client that does not authenticate",
            [authorize().as_client("spa"), redeem("{1?code}").as_client("spa").anonymous()],
            error(&[400, 401], "invalid_client"),
        ),
        row(
            "4.1.3",
            "a public client's code is bound to its client_id",
            [
                authorize().as_client("spa"),
                redeem("{1?code}").as_client("native").set("redirect_uri", "{redirect:spa}"),
            ],
            refused("invalid_grant"),
        ),
        row(
            "4.1.4",
            "a good code gives an access token, and a refresh token where that is registered",
            [authorize(), redeem("{1?code}")],
            ok().has("access_token").has("refresh_token").is("token_type", "Bearer"),
        ),
        row(
            "10.5",
            "no authorization response contains an access token",
            [authorize()],
            status(&[302, 303]).omits(":location", "access_token"),
        ),
    ]
}

fn client_credentials() -> Vec<Requirement> {
    vec![
        row(
            "4.4",
            "the client credentials grant MUST only be used by confidential clients",
            [credentials().as_client("spa")],
            status(&[400, 401]).one_of("error", &["unauthorized_client", "invalid_client"]),
        ),
        row("4.4.3", "a refresh token SHOULD NOT be included", [credentials()], ok().lacks("refresh_token")),
    ]
}

fn answers() -> Vec<Requirement> {
    vec![
        row("5.1", "access_token is REQUIRED", [credentials()], ok().longer("access_token", 22)),
        row("5.1", "token_type is REQUIRED", [credentials()], ok().is("token_type", "Bearer")),
        row(
            "5.1",
            "expires_in is a number of seconds",
            [credentials()],
            ok().text("expires_in", "a number", |text| text.parse::<u64>().is_ok_and(|seconds| seconds > 0)),
        ),
        row(
            "5.1",
            "parameters are in application/json",
            [credentials()],
            ok().contains(":content-type", "application/json"),
        ),
        row(
            "5.1",
            "the answer MUST have Cache-Control: no-store",
            [credentials()],
            ok().contains(":cache-control", "no-store"),
        ),
        row("5.1", "the answer MUST have Pragma: no-cache", [credentials()], ok().contains(":pragma", "no-cache")),
    ]
}

fn errors() -> Vec<Requirement> {
    vec![
        row(
            "5.2",
            "a client that tried Authorization and failed MUST get 401 and the scheme it used",
            [credentials().anonymous().header("authorization", "Basic c2VydmljZTp3cm9uZw==")],
            error(&[401], "invalid_client").contains(":www-authenticate", "Basic"),
        ),
        row(
            "5.2",
            "an unknown client: invalid_client",
            [credentials().anonymous().set("client_id", "nobody").set("client_secret", "x")],
            error(&[401, 400], "invalid_client"),
        ),
        row(
            "5.2",
            "no client authentication: invalid_client",
            [credentials().anonymous()],
            error(&[401, 400], "invalid_client"),
        ),
        row(
            "5.2",
            "a malformed Authorization header: invalid_client or invalid_request",
            [credentials().anonymous().header("authorization", "Basic %%%")],
            status(&[400, 401]).one_of("error", &["invalid_client", "invalid_request"]),
        ),
        row(
            "5.2",
            "grant_type missing: invalid_request",
            [credentials().without("grant_type")],
            refused("invalid_request"),
        ),
        row(
            "5.2",
            "an unknown grant type: unsupported_grant_type",
            [credentials().set("grant_type", "telepathy")],
            refused("unsupported_grant_type"),
        ),
        row(
            "5.2",
            "a grant type that is not this client's: unauthorized_client",
            [credentials().as_client("app")],
            refused("unauthorized_client"),
        ),
        row(
            "5.2",
            "an error's characters are %x20-21 / %x23-5B / %x5D-7E",
            [credentials().set("scope", "é\"\\\u{7f}")],
            refused("invalid_scope").text("error_description", "in the allowed characters", |text| {
                text.bytes().all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e))
            }),
        ),
        row(
            "5.2",
            "an error has Cache-Control: no-store too",
            [redeem("no-such-code")],
            refused("invalid_grant").contains(":cache-control", "no-store"),
        ),
    ]
}

fn refreshing() -> Vec<Requirement> {
    let granted = || [authorize(), redeem("{1?code}")];
    vec![
        row(
            "6",
            "a refresh token gives an access token of the same scope",
            granted().into_iter().chain([refresh("{2.refresh_token}")]),
            ok().has("access_token").is("scope", "{2.scope}"),
        ),
        row(
            "6",
            "the scope MUST NOT include any that was not granted",
            [
                authorize().set("scope", "read"),
                redeem("{1?code}"),
                refresh("{2.refresh_token}").set("scope", "read write"),
            ],
            refused("invalid_scope"),
        ),
        row(
            "6",
            "a narrower scope may be asked for",
            granted().into_iter().chain([refresh("{2.refresh_token}").set("scope", "read")]),
            ok().is("scope", "read").is("access_token@scope", "read"),
        ),
        row(
            "6",
            "a new refresh token's scope MUST be that of the old one, though the access token's was narrower",
            granted().into_iter().chain([
                refresh("{2.refresh_token}").set("scope", "read"),
                refresh("{3.refresh_token}").set("scope", "read write"),
            ]),
            ok().holds("scope", "write"),
        ),
        row(
            "6",
            "a refresh token is bound to its client",
            granted().into_iter().chain([refresh("{2.refresh_token}").as_client("other")]),
            refused("invalid_grant"),
        ),
    ]
}

fn refresh_tokens() -> Vec<Requirement> {
    let granted = || [authorize(), redeem("{1?code}")];
    vec![
        row(
            "6",
            "the server MUST require client authentication of confidential clients",
            granted().into_iter().chain([refresh("{2.refresh_token}").anonymous().set("client_id", "app")]),
            error(&[401], "invalid_client"),
        ),
        row("6", "refresh_token is REQUIRED", [refresh("").without("refresh_token")], refused("invalid_request")),
        row("6", "the server MUST validate the refresh token", [refresh("no-such-token")], refused("invalid_grant")),
        row(
            "6",
            "an access token is no refresh token",
            granted().into_iter().chain([refresh("{2.access_token}")]),
            refused("invalid_grant"),
        ),
        row(
            "10.4",
            "a refresh token that another client tried stays its owner's",
            granted()
                .into_iter()
                .chain([refresh("{2.refresh_token}").as_client("other").refused(), refresh("{2.refresh_token}")]),
            ok().has("access_token"),
        ),
        row(
            "1.5",
            "an access token outlives the refreshing of its grant",
            granted().into_iter().chain([refresh("{2.refresh_token}"), introspect("{2.access_token}")]),
            ok().is("active", true),
        ),
    ]
}
