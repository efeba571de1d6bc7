//! RFC 9068, JWT Profile for OAuth 2.0 Access Tokens.

use tollgate_tests::rfc_requirements::{AUDIENCE, Requirement, challenged, get, ok, row};

use super::requests::{authorize, credentials, redeem, userinfo};

pub(super) fn rows() -> Vec<Requirement> {
    [of_clients(), claims(), of_people()].into_iter().flatten().collect()
}

fn of_clients() -> Vec<Requirement> {
    let number = |text: &str| text.parse::<u64>().is_ok();
    vec![
        row("2.1", "typ MUST be at+jwt", [credentials()], ok().is("access_token#typ", "at+jwt")),
        row(
            "2.1",
            "the token MUST be signed and alg MUST NOT be none",
            [credentials()],
            ok().one_of("access_token#alg", &["EdDSA", "ES256", "RS256", "HS256"]),
        ),
        row(
            "2.1",
            "the server MUST include RS256 among its algorithms",
            [get("/.well-known/jwks.json")],
            ok().contains("~", "\"RS256\""),
        ),
        row("4", "the header names the key, and the key is published", [credentials()], ok().has("access_token#kid")),
        row(
            "4",
            "the key that signed is in the published set",
            [credentials(), get("/.well-known/jwks.json")],
            ok().contains("~", "\"{1.access_token#kid}\""),
        ),
        row(
            "4",
            "the published set holds no private key",
            [get("/.well-known/jwks.json")],
            ok().omits("~", "\"d\":").omits("~", "\"k\":"),
        ),
        row("2.2", "iss is REQUIRED", [credentials()], ok().is("access_token@iss", "{issuer}")),
        row("2.2", "exp is REQUIRED", [credentials()], ok().text("access_token@exp", "a number", number)),
        row("2.2", "aud is REQUIRED", [credentials()], ok().has("access_token@aud")),
        row("2.2", "sub is REQUIRED", [credentials()], ok().has("access_token@sub")),
        row("2.2", "client_id is REQUIRED", [credentials()], ok().is("access_token@client_id", "service")),
        row("2.2", "iat is REQUIRED", [credentials()], ok().text("access_token@iat", "a number", number)),
    ]
}

fn claims() -> Vec<Requirement> {
    vec![
        row("2.2", "jti is REQUIRED", [credentials()], ok().longer("access_token@jti", 16)),
        row(
            "2.2",
            "where no person takes part sub is the client",
            [credentials()],
            ok().is("access_token@sub", "service"),
        ),
        row(
            "2.2.3",
            "scope is there if the request had one",
            [credentials().set("scope", "read")],
            ok().is("access_token@scope", "read"),
        ),
        row(
            "3",
            "without a resource the audience is a default one",
            [credentials()],
            ok().is("access_token@aud", AUDIENCE),
        ),
        row(
            "3",
            "with a resource aud MUST be it",
            [credentials().set("resource", AUDIENCE)],
            ok().is("access_token@aud", AUDIENCE),
        ),
        row(
            "2.2",
            "jti is unique",
            [credentials(), credentials()],
            ok().differs("access_token@jti", "{1.access_token@jti}"),
        ),
    ]
}

fn of_people() -> Vec<Requirement> {
    let granted = || [authorize(), redeem("{1?code}")];
    vec![
        row("2.2", "sub is the person, as in the ID token", granted(), ok().is("access_token@sub", "{2.id_token@sub}")),
        row(
            "2.2.1",
            "auth_time, if there, is when the person signed in",
            granted(),
            ok().is("access_token@auth_time", "{number:2.id_token@auth_time}"),
        ),
        row("2.2", "client_id is the client, not the person", granted(), ok().is("access_token@client_id", "app")),
        row("2.2.3", "scope is that of the answer", granted(), ok().is("access_token@scope", "{2.scope}")),
        row(
            "6",
            "the token says no more of the person than was granted",
            granted(),
            ok().lacks("access_token@email").lacks("access_token@name"),
        ),
        row(
            "4",
            "a JWT that is no access token MUST be refused",
            [authorize(), redeem("{1?code}"), userinfo("{2.id_token}")],
            challenged("invalid_token"),
        ),
    ]
}
