//! Dynamic Client Registration (RFC 7591) and its management (RFC 7592).

use reqwest::Method;
use tollgate_tests::rfc_requirements::{
    Expectation, RequestSpec, Requirement, error, get, ok, post, refused, row, status,
};

use super::requests::credentials;

const GOOD: &str = r#"{"client_name":"shop","redirect_uris":["https://shop.example/cb"]}"#;

fn register(json: &str) -> RequestSpec {
    post("/oauth/register").body("application/json", json)
}

pub(super) fn rfc7591() -> Vec<Requirement> {
    [registered(), not_registered()].into_iter().flatten().collect()
}

fn registered() -> Vec<Requirement> {
    let with = |members: &str| [register(&format!("{},{members}}}", &GOOD[..GOOD.len() - 1]))];
    let made = || status(&[201]);
    let bad = |section, words, members| row(section, words, with(members), refused("invalid_client_metadata"));
    vec![
        row("3.2.1", "a success is 201", [register(GOOD)], made()),
        row("3.2.1", "client_id is REQUIRED", [register(GOOD)], made().longer("client_id", 8)),
        row(
            "3.2.1",
            "client_secret_expires_at is REQUIRED with client_secret",
            [register(GOOD)],
            made().longer("client_secret", 32).has("client_secret_expires_at"),
        ),
        row(
            "3.2.1",
            "the server MUST return all registered metadata",
            [register(GOOD)],
            made().is("client_name", "shop").is("redirect_uris.0", "https://shop.example/cb"),
        ),
        row(
            "3.2.1",
            "and what it chose itself",
            [register(GOOD)],
            made().has("grant_types").has("token_endpoint_auth_method"),
        ),
        row(
            "3.2.1",
            "the answer is application/json and MUST NOT be cached",
            [register(GOOD)],
            made().contains(":content-type", "application/json").contains(":cache-control", "no-store"),
        ),
        row(
            "2",
            "members that are not understood MUST be ignored",
            with(r#""unheard_of":1"#),
            made().lacks("unheard_of"),
        ),
        row(
            "2",
            "a public client gets no secret",
            with(r#""token_endpoint_auth_method":"none""#),
            made().lacks("client_secret"),
        ),
        bad(
            "2",
            "jwks and jwks_uri MUST NOT both be there",
            r#""jwks":{"keys":[]},"jwks_uri":"https://shop.example/keys""#,
        ),
    ]
}

fn not_registered() -> Vec<Requirement> {
    let with = |members: &str| [register(&format!("{},{members}}}", &GOOD[..GOOD.len() - 1]))];
    let made = || status(&[201]);
    let bad = |section, words, members| row(section, words, with(members), refused("invalid_client_metadata"));
    vec![
        bad(
            "3.2.2",
            "an unknown way to authenticate: invalid_client_metadata",
            r#""token_endpoint_auth_method":"telepathy""#,
        ),
        bad("3.2.2", "an unknown grant type: invalid_client_metadata", r#""grant_types":["telepathy"]"#),
        bad("3.2.2", "a member of another type: invalid_client_metadata", r#""grant_types":"authorization_code""#),
        bad(
            "2.1",
            "response types and grant types MUST be consistent",
            r#""response_types":["token"],"grant_types":["implicit"]"#,
        ),
        row(
            "3.2.2",
            "a redirect URI that is none: invalid_redirect_uri",
            [register(r#"{"redirect_uris":["no uri"]}"#)],
            refused("invalid_redirect_uri"),
        ),
        row(
            "3.2.2",
            "a script is no redirect URI",
            [register(r#"{"redirect_uris":["javascript:alert(1)"]}"#)],
            refused("invalid_redirect_uri"),
        ),
        row(
            "3.2.2",
            "a body that is no JSON object",
            [register("[]")],
            status(&[400]).one_of("error", &["invalid_client_metadata", "invalid_request"]),
        ),
        row("3", "the endpoint is asked by POST", [get("/oauth/register")], status(&[405])),
        row(
            "5",
            "a client cannot register itself as first party",
            with(r#""first_party":true"#),
            made().omits("~", "\"first_party\":true"),
        ),
        row(
            "5",
            "a client cannot register itself with the admin scope",
            with(r#""scope":"tollgate:admin""#),
            status(&[201, 400]).omits("scope", "tollgate:admin"),
        ),
    ]
}

pub(super) fn rfc7592() -> Vec<Requirement> {
    [read(), replaced_and_removed()].into_iter().flatten().collect()
}

fn read() -> Vec<Requirement> {
    let manage = || get("{1.registration_client_uri}").bearer("{1.registration_access_token}");
    let put = |json: &str| {
        let json = json.replace("ID", "{1.client_id}");
        manage().method(Method::PUT).body("application/json", &json)
    };
    let refused_token = || -> Expectation { status(&[401]).has(":www-authenticate") };
    let changed = r#"{"client_id":"ID","client_name":"another","redirect_uris":["https://shop.example/other"]}"#;
    vec![
        row(
            "3",
            "registration_client_uri and registration_access_token MUST be given",
            [register(GOOD)],
            status(&[201]).has("registration_client_uri").longer("registration_access_token", 32),
        ),
        row(
            "2.1",
            "the client reads its registration",
            [register(GOOD), manage()],
            ok().is("client_id", "{1.client_id}"),
        ),
        row("2.1", "without the token: 401", [register(GOOD), get("{1.registration_client_uri}")], refused_token()),
        row(
            "2.1",
            "with another token: 401",
            [
                register(GOOD),
                register(GOOD),
                get("{1.registration_client_uri}").bearer("{2.registration_access_token}"),
            ],
            refused_token(),
        ),
        row(
            "2.1",
            "a client that is not there: 401",
            [register(GOOD), get("/oauth/register/nobody").bearer("{1.registration_access_token}")],
            refused_token(),
        ),
        row(
            "2.2",
            "the client replaces its registration",
            [register(GOOD), put(changed)],
            ok().is("client_name", "another"),
        ),
    ]
}

fn replaced_and_removed() -> Vec<Requirement> {
    let manage = || get("{1.registration_client_uri}").bearer("{1.registration_access_token}");
    let put = |json: &str| {
        let json = json.replace("ID", "{1.client_id}");
        manage().method(Method::PUT).body("application/json", &json)
    };
    let refused_token = || -> Expectation { status(&[401]).has(":www-authenticate") };
    let changed = r#"{"client_id":"ID","client_name":"another","redirect_uris":["https://shop.example/other"]}"#;
    vec![
        row(
            "2.2",
            "… and finds it replaced",
            [register(GOOD), put(changed), manage()],
            ok().is("redirect_uris.0", "https://shop.example/other"),
        ),
        row(
            "2.2",
            "client_id MUST be there",
            [register(GOOD), put(GOOD)],
            status(&[400]).one_of("error", &["invalid_client_metadata", "invalid_request"]),
        ),
        row(
            "2.2",
            "client_id MUST be the client's own",
            [register(GOOD), put(&changed.replace("ID", "app"))],
            status(&[400]).one_of("error", &["invalid_client_metadata", "invalid_request"]),
        ),
        row("2.3", "the client removes itself: 204", [register(GOOD), manage().method(Method::DELETE)], status(&[204])),
        row(
            "2.3",
            "its token opens nothing after that",
            [register(GOOD), manage().method(Method::DELETE), manage()],
            refused_token(),
        ),
        row(
            "2.3",
            "nor does its secret",
            [
                register(GOOD),
                manage().method(Method::DELETE),
                credentials().anonymous().set("client_id", "{1.client_id}").set("client_secret", "{1.client_secret}"),
            ],
            error(&[401], "invalid_client"),
        ),
    ]
}
