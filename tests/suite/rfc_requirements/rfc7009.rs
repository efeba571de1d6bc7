//! RFC 7009, Token Revocation.

use reqwest::Method;
use tollgate_tests::rfc_requirements::{Requirement, challenged, error, ok, refused, row, status};

use super::requests::{authorize, credentials, introspect, redeem, refresh, revoke, userinfo};

pub(super) fn rows() -> Vec<Requirement> {
    [requests(), tokens(), owners_of_tokens()].into_iter().flatten().collect()
}

fn requests() -> Vec<Requirement> {
    vec![
        row("2", "the client revokes by POST", [revoke("x").method(Method::GET)], status(&[405])),
        row("2.1", "token is REQUIRED", [revoke("").without("token")], refused("invalid_request")),
        row(
            "2.1",
            "the server first validates the client's credentials",
            [revoke("x").anonymous().header("authorization", "Basic YXBwOndyb25n")],
            error(&[401], "invalid_client"),
        ),
        row(
            "2.1",
            "a confidential client without credentials is refused",
            [revoke("x").anonymous()],
            error(&[401, 400], "invalid_client"),
        ),
        row(
            "2.1",
            "a confidential client's client_id alone is no authentication",
            [revoke("x").anonymous().set("client_id", "app")],
            error(&[401], "invalid_client"),
        ),
        row("2.2", "an invalid token is answered with 200", [revoke("no-such-token")], ok()),
        row(
            "2.2",
            "an invalid token with a hint is answered with 200",
            [revoke("x").set("token_type_hint", "refresh_token")],
            ok(),
        ),
        row(
            "2.1",
            "a hint that is not understood may be ignored",
            [revoke("x").set("token_type_hint", "id_token_of_another_world")],
            status(&[200, 400]),
        ),
        row(
            "2.1",
            "parameters more than once are refused",
            [revoke("x").append("token", "y")],
            refused("invalid_request"),
        ),
    ]
}

fn tokens() -> Vec<Requirement> {
    let granted = || vec![authorize(), redeem("{1?code}")];
    let then = |more: Vec<_>| granted().into_iter().chain(more);
    let inactive = || ok().is("", serde_json::json!({ "active": false }));
    vec![
        row("2.2", "a revoked token is answered with 200", then(vec![revoke("{2.access_token}")]), ok()),
        row(
            "2.2",
            "a token revoked twice is answered with 200",
            then(vec![revoke("{2.access_token}"), revoke("{2.access_token}")]),
            ok(),
        ),
        row(
            "2.1",
            "the invalidation takes place immediately: introspection",
            then(vec![revoke("{2.access_token}"), introspect("{2.access_token}")]),
            inactive(),
        ),
        row(
            "2.1",
            "the invalidation takes place immediately: a protected resource",
            then(vec![revoke("{2.access_token}"), userinfo("{2.access_token}")]),
            challenged("invalid_token"),
        ),
        row(
            "2",
            "implementations MUST support the revocation of refresh tokens",
            then(vec![revoke("{2.refresh_token}"), refresh("{2.refresh_token}")]),
            refused("invalid_grant"),
        ),
        row(
            "2.1",
            "with a refresh token the server SHOULD revoke the access tokens of its grant",
            then(vec![revoke("{2.refresh_token}"), introspect("{2.access_token}")]),
            inactive(),
        ),
        row(
            "2.1",
            "a wrong hint MUST extend the search: an access token called a refresh token",
            then(vec![
                revoke("{2.access_token}").set("token_type_hint", "refresh_token"),
                introspect("{2.access_token}"),
            ]),
            inactive(),
        ),
        row(
            "2.1",
            "a wrong hint MUST extend the search: a refresh token called an access token",
            then(vec![
                revoke("{2.refresh_token}").set("token_type_hint", "access_token"),
                refresh("{2.refresh_token}"),
            ]),
            refused("invalid_grant"),
        ),
    ]
}

fn owners_of_tokens() -> Vec<Requirement> {
    let granted = || vec![authorize(), redeem("{1?code}")];
    let then = |more: Vec<_>| granted().into_iter().chain(more);
    vec![
        row(
            "2.1",
            "the server verifies that the token was issued to the client: another's access token survives",
            then(vec![revoke("{2.access_token}").as_client("other"), introspect("{2.access_token}")]),
            ok().is("active", true),
        ),
        row(
            "2.1",
            "the server verifies that the token was issued to the client: another's refresh token survives",
            then(vec![revoke("{2.refresh_token}").as_client("other"), refresh("{2.refresh_token}")]),
            ok().has("access_token"),
        ),
        row(
            "2.1",
            "a public client revokes its own token by its client_id",
            [
                authorize().as_client("spa"),
                redeem("{1?code}").as_client("spa"),
                revoke("{2.refresh_token}").as_client("spa"),
                refresh("{2.refresh_token}").as_client("spa"),
            ],
            refused("invalid_grant"),
        ),
        row(
            "2.1",
            "a public client does not revoke another's",
            then(vec![revoke("{2.access_token}").as_client("spa"), introspect("{2.access_token}")]),
            ok().is("active", true),
        ),
        row(
            "2.1",
            "another token of the same client survives",
            [
                credentials(),
                credentials(),
                revoke("{1.access_token}").as_client("service"),
                introspect("{2.access_token}"),
            ],
            ok().is("active", true),
        ),
    ]
}
