//! RFC 8693, Token Exchange, and the JWT bearer grant (RFC 7523).

use tollgate_tests::rfc_requirements::{
    AUDIENCE, Jws, RequestSpec, Requirement, assertion, error, ok, post, refused, row,
};

use super::requests::{
    ACCESS_TOKEN_TYPE, FILES, JWT_BEARER_GRANT, TOKEN_EXCHANGE_GRANT, authorize, credentials, introspect, redeem,
    revoke,
};

/// The API exchanges a token that it received.
fn exchange(token: &str) -> RequestSpec {
    post("/oauth/token")
        .set("grant_type", TOKEN_EXCHANGE_GRANT)
        .set("subject_token", token)
        .set("subject_token_type", ACCESS_TOKEN_TYPE)
        .as_client("api")
}

pub(super) fn rows() -> Vec<Requirement> {
    [requests(), refused_requests(), tokens()].into_iter().flatten().collect()
}

fn shown(request: RequestSpec) -> [RequestSpec; 3] {
    [authorize(), redeem("{1?code}"), request]
}

fn requests() -> Vec<Requirement> {
    let whole = || exchange("{2.access_token}");
    vec![
        row("2.1", "subject_token is REQUIRED", shown(whole().without("subject_token")), refused("invalid_request")),
        row(
            "2.1",
            "subject_token_type is REQUIRED",
            shown(whole().without("subject_token_type")),
            refused("invalid_request"),
        ),
        row(
            "2.1",
            "actor_token_type is REQUIRED with actor_token",
            shown(whole().set("actor_token", "{2.access_token}")),
            refused("invalid_request"),
        ),
        row(
            "2.1",
            "actor_token_type MUST NOT be there without actor_token",
            shown(whole().set("actor_token_type", ACCESS_TOKEN_TYPE)),
            refused("invalid_request"),
        ),
        row(
            "2.1",
            "a requested_token_type that is not made is refused",
            shown(whole().set("requested_token_type", "urn:ietf:params:oauth:token-type:saml2")),
            refused("invalid_request"),
        ),
        row(
            "2.2.2",
            "an invalid subject_token MUST be answered with invalid_request",
            [exchange("no-such-token")],
            refused("invalid_request"),
        ),
    ]
}

fn refused_requests() -> Vec<Requirement> {
    let whole = || exchange("{2.access_token}");
    vec![
        row(
            "2.2.2",
            "a revoked subject_token is invalid",
            [authorize(), redeem("{1?code}"), revoke("{2.access_token}"), exchange("{2.access_token}")],
            refused("invalid_request"),
        ),
        row(
            "2.2.2",
            "an ID token called an access token is invalid",
            shown(exchange("{2.id_token}")),
            refused("invalid_request"),
        ),
        row(
            "2.2.2",
            "a resource for which no token is made: invalid_target",
            shown(whole().set("resource", "https://unknown.example")),
            refused("invalid_target"),
        ),
        row("2.1", "the client authenticates", shown(whole().anonymous()), error(&[400, 401], "invalid_client")),
        row(
            "2.1",
            "a client that is not registered for it is refused",
            shown(whole().as_client("other")),
            refused("unauthorized_client"),
        ),
    ]
}

fn tokens() -> Vec<Requirement> {
    let whole = || exchange("{2.access_token}");
    vec![
        row("2.2.1", "access_token is REQUIRED", shown(whole()), ok().has("access_token")),
        row("2.2.1", "issued_token_type is REQUIRED", shown(whole()), ok().is("issued_token_type", ACCESS_TOKEN_TYPE)),
        row("2.2.1", "token_type is REQUIRED", shown(whole()), ok().is("token_type", "Bearer")),
        row("2.2.1", "a refresh token is not for this", shown(whole()), ok().lacks("refresh_token")),
        row(
            "2.1",
            "the scope may be narrower",
            shown(whole().set("scope", "read")),
            ok().is("scope", "read").is("access_token@scope", "read"),
        ),
        row("2.1", "the scope never widens", shown(whole().set("scope", "read profile")), refused("invalid_scope")),
        row("4.1", "act names who acts: the API", shown(whole()), ok().is("access_token@act.sub", "api")),
        row("4.1", "sub stays the person", shown(whole()), ok().is("access_token@sub", "{2.access_token@sub}")),
        row(
            "4.1",
            "a token that its holder narrows again still names who acts",
            [authorize(), redeem("{1?code}"), whole(), exchange("{3.access_token}")],
            ok().is("access_token@act.sub", "api").lacks("access_token@act.act"),
        ),
        row(
            "2.1",
            "the token is for the resource that was asked",
            shown(whole().set("resource", FILES)),
            ok().is("access_token@aud", FILES),
        ),
        row(
            "2.1",
            "audience is asked for likewise",
            shown(whole().set("audience", AUDIENCE)),
            ok().is("access_token@aud", AUDIENCE),
        ),
        row(
            "5",
            "the token ends with the grant that it came from",
            [authorize(), redeem("{1?code}"), whole(), revoke("{2.refresh_token}"), introspect("{3.access_token}")],
            ok().is("active", false),
        ),
    ]
}

/// RFC 7523 §2.1: a client presents an assertion about itself.
pub(super) fn rfc7523() -> Vec<Requirement> {
    let ask = |assertion: Jws| {
        [post("/oauth/token").set("grant_type", JWT_BEARER_GRANT).signed("assertion", assertion).as_client("jwt")]
    };
    let good = || assertion("jwt");
    let bad = |section, words, assertion| row(section, words, ask(assertion), refused("invalid_grant"));
    vec![
        row(
            "2.1",
            "a good assertion gives a token",
            ask(good()),
            ok().is("access_token@sub", "jwt").lacks("refresh_token"),
        ),
        row("2.1", "assertion is REQUIRED", ask(good()).map(RequestSpec::unsigned), refused("invalid_request")),
        bad("3.1", "iss MUST be there", good().claim("iss", serde_json::Value::Null)),
        bad("3.1", "an issuer that is not trusted MUST be answered with invalid_grant", good().claim("iss", "app")),
        bad("3.1", "sub MUST be there", good().claim("sub", serde_json::Value::Null)),
        bad("3.1", "a client speaks for itself alone", good().claim("sub", "alice")),
        bad("3.1", "aud MUST be this server", good().claim("aud", "https://other.example")),
        bad("3.1", "aud MUST be there", good().claim("aud", serde_json::Value::Null)),
        bad("3.1", "exp MUST be there", good().claim("exp", serde_json::Value::Null)),
        bad("3.1", "an expired assertion is refused", good().claim("exp", "{now-3600}")),
        bad("3.1", "one that is not yet valid is refused", good().claim("nbf", "{now+3600}")),
        bad("3.1", "the signature MUST be valid", good().signed_by_other_key()),
        bad("3.1", "alg none is no signature", good().header("alg", "none").with_signature("")),
        row(
            "3.1",
            "an assertion is for one use where it has a jti",
            ask(good().claim("jti", "{random:row}")).into_iter().chain(ask(good().claim("jti", "{random:row}"))),
            refused("invalid_grant"),
        ),
        row(
            "2.1",
            "a client that is not registered for it is refused",
            [credentials().set("grant_type", JWT_BEARER_GRANT).signed("assertion", assertion("service"))],
            refused("unauthorized_client"),
        ),
    ]
}
