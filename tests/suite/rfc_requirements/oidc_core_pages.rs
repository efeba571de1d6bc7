//! OpenID Connect Core 1.0: what the person sees, and when (section 3.1.2).

use tollgate_tests::rfc_requirements::{Expectation, RequestSpec, Requirement, Sender, ok, redirected, row};

use super::steps::{authorize, redeem};

pub(super) fn rows() -> Vec<Requirement> {
    [prompts(), renewed_prompts(), ages(), hints(), id_token_hints(), errors()].into_iter().flatten().collect()
}

fn looks(ask: RequestSpec) -> RequestSpec {
    ask.sent_by(Sender::SignedInBrowser)
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
            [looks(authorize().as_client("stranger").set("prompt", "none"))],
            redirected("https://stranger.example/cb?").one_of("?error", &["consent_required", "interaction_required"]),
        ),
        row(
            "3.1.2.1",
            "prompt=none with a session and consent gives a code",
            [authorize(), looks(authorize().set("prompt", "none"))],
            redirected("https://app.example/cb?").has("?code"),
        ),
        row(
            "3.1.2.1",
            "none with any other value is an error",
            [looks(authorize().set("prompt", "none login"))],
            sent("invalid_request"),
        ),
    ]
}

fn renewed_prompts() -> Vec<Requirement> {
    vec![
        row(
            "3.1.2.1",
            "prompt=login MUST ask for a sign-in though there is a session",
            [looks(authorize().set("prompt", "login"))],
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
            [authorize(), looks(authorize().set("prompt", "consent"))],
            ok().stays().contains("~", "name=\"decision\""),
        ),
        row(
            "3.1.2.4",
            "the server MUST obtain consent before it releases anything",
            [looks(authorize().as_client("stranger"))],
            ok().stays().contains("~", "name=\"decision\""),
        ),
        row(
            "3.1.2.1",
            "an unknown prompt is an error",
            [looks(authorize().set("prompt", "dance"))],
            sent("invalid_request"),
        ),
    ]
}

fn ages() -> Vec<Requirement> {
    vec![
        row(
            "3.1.2.1",
            "past max_age the server MUST ask for a sign-in",
            [looks(authorize().set("max_age", "0"))],
            sign_in_page(),
        ),
        row(
            "3.1.2.1",
            "within max_age it need not",
            [authorize(), looks(authorize().set("max_age", "86400"))],
            redirected("https://app.example/cb?").has("?code"),
        ),
        row(
            "3.1.2.1",
            "a max_age that is no number is an error",
            [looks(authorize().set("max_age", "soon"))],
            sent("invalid_request"),
        ),
        row(
            "3.1.2.1",
            "prompt=none past max_age: login_required",
            [looks(authorize().set("max_age", "0").set("prompt", "none"))],
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
                looks(authorize().set("prompt", "none").set("id_token_hint", "{2.id_token}")),
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
                looks(authorize().set("prompt", "none").set("id_token_hint", "{2.id_token}")),
            ],
            sent("login_required"),
        ),
        row(
            "3.1.2.2",
            "an id_token_hint that is not ours is not believed",
            [looks(authorize().set("prompt", "none").set("id_token_hint", "a.b.c"))],
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
