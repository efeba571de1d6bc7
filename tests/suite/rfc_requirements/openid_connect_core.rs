//! OpenID Connect Core 1.0: ID tokens, userinfo, refreshing and subjects, and which pages the user
//! sees when (section 3.1.2).

use reqwest::Method;
use tollgate_tests::rfc_requirements::{
    Expectation, RequestSpec, Requirement, Sender, challenged, error, get, ok, redirected, refused, row, status,
};

use super::requests::{authorize, credentials, discovery, redeem, refresh, revoke, userinfo};

pub(super) fn rows() -> Vec<Requirement> {
    [
        id_token(),
        token_answers(),
        user_info(),
        claims(),
        subjects(),
        refreshing(),
        keys(),
        prompts(),
        renewed_prompts(),
        ages(),
        hints(),
        id_token_hints(),
        errors(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn granted() -> Vec<RequestSpec> {
    vec![authorize().set("nonce", "a nonce"), redeem("{1?code}")]
}

fn id_token() -> Vec<Requirement> {
    let number = |text: &str| text.parse::<u64>().is_ok();
    let token = |words, expected| row("2", words, granted(), expected);
    vec![
        token("iss is REQUIRED", ok().is("id_token@iss", "{issuer}")),
        token(
            "sub is REQUIRED and MUST NOT exceed 255 ASCII characters",
            ok().text("id_token@sub", "1 to 255 ASCII characters", |sub| {
                sub.is_ascii() && (1..=255).contains(&sub.len())
            }),
        ),
        token("aud is REQUIRED and MUST contain the client_id", ok().is("id_token@aud", "app")),
        token("exp is REQUIRED", ok().text("id_token@exp", "a number", number)),
        token("iat is REQUIRED", ok().text("id_token@iat", "a number", number)),
        token("nonce MUST be that of the request", ok().is("id_token@nonce", "a nonce")),
        token("the ID token MUST be signed", ok().one_of("id_token#alg", &["RS256", "ES256", "EdDSA"])),
        row(
            "2",
            "auth_time is REQUIRED when max_age is requested",
            [authorize().set("max_age", "3600"), redeem("{1?code}")],
            ok().text("id_token@auth_time", "a number", number),
        ),
        row(
            "2",
            "without a nonce in the request there is none in the ID token",
            [authorize(), redeem("{1?code}")],
            ok().lacks("id_token@nonce"),
        ),
        row(
            "3.1.3.6",
            "at_hash MUST be the left half of the access token's SHA-256",
            granted(),
            ok().is("id_token@at_hash", "{half:2.access_token}"),
        ),
        row(
            "15.1",
            "ID tokens MUST be signed with RS256 unless registered otherwise",
            granted(),
            ok().is("id_token#alg", "RS256"),
        ),
    ]
}

fn token_answers() -> Vec<Requirement> {
    vec![
        row("3.1.2.1", "the scope openid makes it an authentication request", granted(), ok().has("id_token")),
        row(
            "3.1.2.1",
            "without the scope openid there is no ID token",
            [authorize().set("scope", "read"), redeem("{1?code}")],
            ok().lacks("id_token"),
        ),
        row(
            "3.1.3.3",
            "token_type MUST be Bearer unless negotiated otherwise",
            granted(),
            ok().is("token_type", "Bearer"),
        ),
        row(
            "3.1.3.3",
            "answers with tokens MUST have Cache-Control: no-store",
            granted(),
            ok().contains(":cache-control", "no-store"),
        ),
        row(
            "3.1.3.2",
            "the code MUST be valid: invalid_grant otherwise (3.1.3.4)",
            [redeem("x")],
            refused("invalid_grant"),
        ),
        row(
            "3.1.3.2",
            "a code used before MUST be refused",
            [authorize(), redeem("{1?code}"), redeem("{1?code}")],
            refused("invalid_grant"),
        ),
        row(
            "3.1.3.2",
            "the server MUST authenticate the client",
            [authorize(), redeem("{1?code}").anonymous().header("authorization", "Basic YXBwOndyb25n")],
            error(&[401], "invalid_client"),
        ),
        row("4", "client credentials give no ID token", [credentials()], ok().lacks("id_token")),
    ]
}

fn user_info() -> Vec<Requirement> {
    let asked = || granted().into_iter().chain([userinfo("{2.access_token}")]);
    vec![
        row("5.3", "the endpoint MUST support GET", asked(), ok().has("sub")),
        row(
            "5.3",
            "the endpoint MUST support POST",
            granted().into_iter().chain([userinfo("{2.access_token}").method(Method::POST)]),
            ok().has("sub"),
        ),
        row(
            "5.3.2",
            "sub MUST always be there, the same as in the ID token",
            asked(),
            ok().is("sub", "{2.id_token@sub}"),
        ),
        row(
            "5.3.2",
            "the answer MUST be application/json",
            asked(),
            ok().contains(":content-type", "application/json"),
        ),
        row(
            "5.3.2",
            "a signed answer MUST be application/jwt",
            [authorize().as_client("signed"), redeem("{1?code}").as_client("signed"), userinfo("{2.access_token}")],
            ok().contains(":content-type", "application/jwt"),
        ),
        row(
            "5.3.2",
            "a signed answer has iss and aud",
            [authorize().as_client("signed"), redeem("{1?code}").as_client("signed"), userinfo("{2.access_token}")],
            ok().is("@iss", "{issuer}").is("@aud", "signed").is("@sub", "{2.id_token@sub}"),
        ),
        row(
            "5.3.3",
            "without a token: 401 and a challenge without an error (RFC 6750 §3.1)",
            [get("/oauth/userinfo")],
            status(&[401]).contains(":www-authenticate", "Bearer").omits(":www-authenticate", "error"),
        ),
        row("5.3.3", "with an invalid token: invalid_token", [userinfo("nonsense")], challenged("invalid_token")),
        row(
            "5.3.3",
            "with a revoked token: invalid_token",
            granted().into_iter().chain([revoke("{2.access_token}"), userinfo("{2.access_token}")]),
            challenged("invalid_token"),
        ),
        row(
            "5.3.3",
            "with a token without the scope openid: insufficient_scope (RFC 6750 §3.1)",
            [authorize().set("scope", "read"), redeem("{1?code}"), userinfo("{2.access_token}")],
            status(&[403]).contains(":www-authenticate", "insufficient_scope"),
        ),
    ]
}

fn claims() -> Vec<Requirement> {
    let with = |scope: &str| [authorize().set("scope", scope), redeem("{1?code}"), userinfo("{2.access_token}")];
    vec![
        row(
            "5.4",
            "the scope email gives email and email_verified",
            with("openid email"),
            ok().is("email", "alice@example.com").has("email_verified"),
        ),
        row("5.4", "without the scope email there is no email", with("openid profile"), ok().lacks("email")),
        row("5.4", "the scope profile gives name", with("openid profile"), ok().is("name", "Alice Example")),
        row("5.4", "without the scope profile there is no name", with("openid email"), ok().lacks("name")),
        row(
            "5.3.2",
            "a claim that is not there is left out, and is not null or empty",
            with("openid profile"),
            ok().omits("~", "null").omits("~", "\"\""),
        ),
    ]
}

fn subjects() -> Vec<Requirement> {
    let first = || [authorize().as_client("pair1"), redeem("{1?code}").as_client("pair1")];
    vec![
        row(
            "8",
            "a public subject is the same for all clients",
            [authorize(), redeem("{1?code}"), authorize().as_client("spa"), redeem("{3?code}").as_client("spa")],
            ok().is("id_token@sub", "{2.id_token@sub}"),
        ),
        row(
            "8.1",
            "pairwise subjects of different sectors MUST differ",
            first().into_iter().chain([authorize().as_client("pair2"), redeem("{3?code}").as_client("pair2")]),
            ok().differs("id_token@sub", "{2.id_token@sub}"),
        ),
        row(
            "8.1",
            "a pairwise subject MUST stay the same",
            first().into_iter().chain([authorize().as_client("pair1"), redeem("{3?code}").as_client("pair1")]),
            ok().is("id_token@sub", "{2.id_token@sub}"),
        ),
        row(
            "8.1",
            "a pairwise subject MUST NOT be that of other clients",
            [authorize(), redeem("{1?code}"), authorize().as_client("pair1"), redeem("{3?code}").as_client("pair1")],
            ok().differs("id_token@sub", "{2.id_token@sub}"),
        ),
        row(
            "5.3.2",
            "userinfo returns the same pairwise subject",
            first().into_iter().chain([userinfo("{2.access_token}")]),
            ok().is("sub", "{2.id_token@sub}"),
        ),
        row(
            "8.1",
            "the access token does not contain the public subject",
            first(),
            ok().is("access_token@sub", "{2.id_token@sub}"),
        ),
    ]
}

fn refreshing() -> Vec<Requirement> {
    let refreshed = || granted().into_iter().chain([refresh("{2.refresh_token}")]);
    vec![
        row(
            "12.1",
            "the client MUST authenticate",
            granted().into_iter().chain([refresh("{2.refresh_token}").anonymous()]),
            error(&[400, 401], "invalid_client"),
        ),
        row(
            "12.1",
            "the refresh token MUST have been issued to the client",
            granted().into_iter().chain([refresh("{2.refresh_token}").as_client("other")]),
            refused("invalid_grant"),
        ),
        row("12.2", "a new ID token's iss MUST be the same", refreshed(), ok().is("id_token@iss", "{2.id_token@iss}")),
        row("12.2", "its sub MUST be the same", refreshed(), ok().is("id_token@sub", "{2.id_token@sub}")),
        row("12.2", "its aud MUST include the original", refreshed(), ok().is("id_token@aud", "app")),
        row(
            "12.2",
            "its auth_time MUST be that of the original sign-in",
            refreshed(),
            ok().is("id_token@auth_time", "{number:2.id_token@auth_time}"),
        ),
        row("12.2", "its nonce SHOULD NOT be there", refreshed(), ok().lacks("id_token@nonce")),
        row(
            "12.2",
            "its iat MUST be when it was made",
            refreshed(),
            ok().text("id_token@iat", "a number", |text| text.parse::<u64>().is_ok()),
        ),
        row(
            "11",
            "offline_access gives a refresh token to use when the person is away",
            [
                authorize().set("scope", "openid offline_access").set("prompt", "consent"),
                redeem("{1?code}"),
                refresh("{2.refresh_token}"),
            ],
            ok().has("access_token"),
        ),
    ]
}

fn keys() -> Vec<Requirement> {
    vec![
        row("10.1", "with several keys in the set, a kid MUST be in the header", granted(), ok().has("id_token#kid")),
        row(
            "10.1",
            "the ID token's key is in the published set",
            granted().into_iter().chain([get("/.well-known/jwks.json")]),
            ok().contains("~", "\"{2.id_token#kid}\""),
        ),
        row(
            "6.1",
            "a request_uri that the client has not registered is refused",
            [authorize().set("request_uri", "https://app.example/request.jwt")],
            status(&[302, 303, 400]).lacks("?code"),
        ),
        row(
            "3.1.2.1",
            "the endpoint MUST support POST too",
            [authorize().method(Method::POST)],
            redirected("https://app.example/cb?").has("?code"),
        ),
    ]
}

fn first_page(request: RequestSpec) -> RequestSpec {
    request.sent_by(Sender::SignedInBrowser)
}

fn sign_in_page() -> Expectation {
    ok().stays().contains("~", "name=\"password\"")
}

fn sent(error: &'static str) -> Expectation {
    redirected("https://app.example/cb?").is("?error", error).is("?state", "a state").lacks("?code")
}

fn prompts() -> Vec<Requirement> {
    vec![
        row(
            "3.1.2.3",
            "a person who is not signed in MUST be asked to",
            [authorize().sent_by(Sender::SignedOutBrowser)],
            sign_in_page(),
        ),
        row(
            "3.1.2.3",
            "a person who signs in comes back to what was asked",
            [authorize().sent_by(Sender::UserSigningIn)],
            redirected("https://app.example/cb?").has("?code").is("?state", "a state"),
        ),
        row(
            "3.1.2.1",
            "prompt=none MUST NOT show a page: login_required",
            [authorize().set("prompt", "none").sent_by(Sender::SignedOutBrowser)],
            sent("login_required"),
        ),
        row(
            "3.1.2.6",
            "prompt=none without consent: consent_required or interaction_required",
            [first_page(authorize().as_client("stranger").set("prompt", "none"))],
            redirected("https://stranger.example/cb?").one_of("?error", &["consent_required", "interaction_required"]),
        ),
        row(
            "3.1.2.1",
            "prompt=none with a session and consent gives a code",
            [authorize(), first_page(authorize().set("prompt", "none"))],
            redirected("https://app.example/cb?").has("?code"),
        ),
        row(
            "3.1.2.1",
            "none with any other value is an error",
            [first_page(authorize().set("prompt", "none login"))],
            sent("invalid_request"),
        ),
    ]
}

fn renewed_prompts() -> Vec<Requirement> {
    vec![
        row(
            "3.1.2.1",
            "prompt=login MUST ask for a sign-in though there is a session",
            [first_page(authorize().set("prompt", "login"))],
            sign_in_page(),
        ),
        row(
            "3.1.2.1",
            "prompt=login, after the sign-in, gives a code",
            [authorize().sent_by(Sender::UserSigningIn), authorize().set("prompt", "login").same_browser()],
            redirected("https://app.example/cb?").has("?code"),
        ),
        row(
            "3.1.2.1",
            "prompt=consent asks for consent though it was given",
            [authorize(), first_page(authorize().set("prompt", "consent"))],
            ok().stays().contains("~", "name=\"decision\""),
        ),
        row(
            "3.1.2.4",
            "the server MUST obtain consent before it releases anything",
            [first_page(authorize().as_client("stranger"))],
            ok().stays().contains("~", "name=\"decision\""),
        ),
        row(
            "3.1.2.1",
            "an unknown prompt is an error",
            [first_page(authorize().set("prompt", "dance"))],
            sent("invalid_request"),
        ),
    ]
}

fn ages() -> Vec<Requirement> {
    vec![
        row(
            "3.1.2.1",
            "past max_age the server MUST ask for a sign-in",
            [first_page(authorize().set("max_age", "0"))],
            sign_in_page(),
        ),
        row(
            "3.1.2.1",
            "within max_age it need not",
            [authorize(), first_page(authorize().set("max_age", "86400"))],
            redirected("https://app.example/cb?").has("?code"),
        ),
        row(
            "3.1.2.1",
            "a max_age that is no number is an error",
            [first_page(authorize().set("max_age", "soon"))],
            sent("invalid_request"),
        ),
        row(
            "3.1.2.1",
            "prompt=none past max_age: login_required",
            [first_page(authorize().set("max_age", "0").set("prompt", "none"))],
            sent("login_required"),
        ),
        row(
            "2",
            "auth_time is when the person signed in, not when the token was made",
            [
                authorize().set("max_age", "86400"),
                redeem("{1?code}"),
                authorize().set("max_age", "86400"),
                redeem("{3?code}"),
            ],
            ok().is("id_token@auth_time", "{number:2.id_token@auth_time}"),
        ),
    ]
}

fn hints() -> Vec<Requirement> {
    vec![
        row(
            "3.1.2.1",
            "login_hint fills in the sign-in page",
            [authorize().set("login_hint", "alice@example.com").sent_by(Sender::SignedOutBrowser)],
            ok().contains("~", "alice@example.com"),
        ),
        row(
            "3.1.2.1",
            "login_hint is text, whatever it holds",
            [authorize().set("login_hint", "\"><script>alert(1)</script>").sent_by(Sender::SignedOutBrowser)],
            ok().omits("~", "<script>alert(1)"),
        ),
        row(
            "3.1.2.1",
            "ui_locales that are not known MUST NOT be an error",
            [authorize().set("ui_locales", "tlh x-none")],
            redirected("https://app.example/cb?").has("?code"),
        ),
        row(
            "15.1",
            "display MUST NOT be an error",
            [authorize().set("display", "popup")],
            redirected("https://app.example/cb?").has("?code"),
        ),
        row(
            "15.1",
            "acr_values MUST NOT be an error",
            [authorize().set("acr_values", "urn:example:gold")],
            redirected("https://app.example/cb?").has("?code"),
        ),
        row(
            "15.1",
            "claims_locales MUST NOT be an error",
            [authorize().set("claims_locales", "de")],
            redirected("https://app.example/cb?").has("?code"),
        ),
    ]
}

fn id_token_hints() -> Vec<Requirement> {
    vec![
        row(
            "3.1.2.1",
            "prompt=none with the id_token_hint of the person who is signed in gives a code",
            [
                authorize(),
                redeem("{1?code}"),
                first_page(authorize().set("prompt", "none").set("id_token_hint", "{2.id_token}")),
            ],
            redirected("https://app.example/cb?").has("?code"),
        ),
        row(
            "3.1.2.1",
            "with the hint of somebody who is not signed in: login_required",
            [
                authorize(),
                redeem("{1?code}"),
                authorize()
                    .set("prompt", "none")
                    .set("id_token_hint", "{2.id_token}")
                    .sent_by(Sender::SignedOutBrowser),
            ],
            sent("login_required"),
        ),
        row(
            "3.1.2.1",
            "with the hint of somebody else than who is signed in: login_required",
            [
                authorize().as_client("pair1"),
                redeem("{1?code}").as_client("pair1"),
                first_page(authorize().set("prompt", "none").set("id_token_hint", "{2.id_token}")),
            ],
            sent("login_required"),
        ),
        row(
            "3.1.2.2",
            "an id_token_hint that is not ours is not believed",
            [first_page(authorize().set("prompt", "none").set("id_token_hint", "a.b.c"))],
            redirected("https://app.example/cb?").one_of("?error", &["invalid_request", "login_required"]),
        ),
    ]
}

fn errors() -> Vec<Requirement> {
    vec![
        row(
            "3.1.2.6",
            "a denied request goes back with access_denied, state and iss",
            [authorize().sent_by(Sender::DenyingUser).set("prompt", "consent")],
            sent("access_denied").is("?iss", "{issuer}"),
        ),
        row(
            "3.1.2.5",
            "a success is code and state in the query, and nothing in the fragment",
            [authorize()],
            redirected("https://app.example/cb?").omits(":location", "#"),
        ),
        row(
            "3.1.2.6",
            "the answer's mode is the query; another that is not supported is an error",
            [authorize().set("response_mode", "telepathy")],
            redirected("https://app.example/cb?").is("?error", "invalid_request"),
        ),
        row(
            "3.1.2.1",
            "response_mode=query is the default of code, and may be said",
            [authorize().set("response_mode", "query")],
            redirected("https://app.example/cb?").has("?code"),
        ),
    ]
}

/// The `claims` parameter.
pub(super) fn claims_parameter() -> Vec<Requirement> {
    let asked = |claims: &str| {
        [
            authorize().set("scope", "openid read").set("claims", claims),
            redeem("{1?code}"),
            userinfo("{2.access_token}"),
        ]
    };
    let refused_with = |claims: &str, error: &'static str| {
        ([authorize().set("claims", claims)], redirected("https://app.example/cb?").is("?error", error).lacks("?code"))
    };
    let (malformed, is_refused) = refused_with("[]", "invalid_request");
    let unmet = "{\"id_token\": {\"acr\": {\"essential\": true, \"values\": [\"urn:none\"]}}}";
    let (unmet, is_unmet) = refused_with(unmet, "unmet_authentication_requirements");
    vec![
        row(
            "5.5",
            "a claim requested for userinfo is returned there",
            asked("{\"userinfo\": {\"email\": {\"essential\": true}}}"),
            ok().is("email", "alice@example.com").lacks("name"),
        ),
        row(
            "5.5",
            "… and one for the ID token there",
            asked("{\"id_token\": {\"email\": null}}").into_iter().take(2),
            ok().is("id_token@email", "alice@example.com").lacks("id_token@name"),
        ),
        row(
            "5.5",
            "members and claims that are not understood MUST be ignored",
            asked("{\"userinfo\": {\"http://example.com/x\": null}, \"more\": 1}"),
            ok().has("sub"),
        ),
        row("5.5", "a claims parameter that is no JSON object is refused", malformed, is_refused),
        row("5.5.1.1", "an essential acr that cannot be met MUST be a failed authentication", unmet, is_unmet),
        row(
            "5.5",
            "the metadata say that it is supported",
            [discovery()],
            ok().is("claims_parameter_supported", true).holds("claims_supported", "email"),
        ),
    ]
}
