//! The clients of the tables, and requests as a correct client sends them. Each row changes one
//! thing.

use serde_json::{Value, json};
pub(super) use tollgate_tests::client::{
    ACCESS_TOKEN_TYPE, CODE_CHALLENGE, CODE_VERIFIER, DEVICE_CODE_GRANT, JWT_BEARER_GRANT, TOKEN_EXCHANGE_GRANT,
};
use tollgate_tests::rfc_requirements::{AUDIENCE, Fixture, RequestSpec, Sender, get, post};

/// A second resource server, for clients with two audiences.
pub(super) const FILES: &str = "https://files.example";

const CODE: &str = "authorization_code";
const REFRESH: &str = "refresh_token";
const CREDENTIALS: &str = "client_credentials";
const SCOPES: &str = "openid profile email offline_access read write";

/// Starts an origin with the clients of the tables.
pub(super) async fn start_origin(database_url: &str) -> anyhow::Result<Fixture> {
    let (basic, none) = ("client_secret_basic", "none");
    let web = |name: &str| {
        let redirect = format!("https://{name}.example/cb");
        json!({
            "token_endpoint_auth_method": basic, "redirect_uris": [redirect], "scope": SCOPES,
            "grant_types": [CODE, REFRESH],
        })
    };
    let with = |mut metadata: Value, name: &str, value: Value| {
        metadata[name] = value;
        metadata
    };
    let public = |name: &str| with(web(name), "token_endpoint_auth_method", json!(none));
    let machine = |method: &str| json!({ "token_endpoint_auth_method": method, "grant_types": [CREDENTIALS], "scope": "read write" });
    let device = |scope: &str| json!({ "token_endpoint_auth_method": none, "grant_types": [DEVICE_CODE_GRANT, REFRESH], "scope": scope });
    let pairwise = |name: &str| with(web(name), "subject_type", json!("pairwise"));
    let two = json!(["https://several.example/one", "https://several.example/two?tenant=1"]);
    Fixture::start(
        database_url,
        &[
            ("app", with(web("app"), "post_logout_redirect_uris", json!(["https://app.example/bye"]))),
            ("other", web("other")),
            ("stranger", web("stranger")),
            ("many", with(web("many"), "audiences", json!([AUDIENCE, FILES]))),
            ("several", with(web("several"), "redirect_uris", two)),
            ("spa", public("spa")),
            ("native", with(public("native"), "redirect_uris", json!(["http://127.0.0.1/cb"]))),
            ("bound", with(public("bound"), "dpop_bound_access_tokens", json!(true))),
            ("pushed", with(web("pushed"), "require_pushed_authorization_requests", json!(true))),
            ("jar", with(with(web("jar"), "jwks", json!("own")), "request_object_signing_alg", json!("EdDSA"))),
            ("pair1", pairwise("pair1")),
            ("pair2", pairwise("pair2")),
            ("signed", with(web("signed"), "userinfo_signed_response_alg", json!("ES256"))),
            ("service", machine(basic)),
            ("poster", machine("client_secret_post")),
            ("robot", with(machine(basic), "tls_client_certificate_bound_access_tokens", json!(true))),
            (
                "jwt",
                with(
                    with(machine("private_key_jwt"), "jwks", json!("own")),
                    "grant_types",
                    json!([CREDENTIALS, JWT_BEARER_GRANT]),
                ),
            ),
            (
                "api",
                with(
                    with(machine(basic), "audiences", json!([AUDIENCE, FILES])),
                    "grant_types",
                    json!([CREDENTIALS, TOKEN_EXCHANGE_GRANT]),
                ),
            ),
            (
                "bank",
                with(
                    with(
                        with(web("bank"), "token_endpoint_auth_method", json!("private_key_jwt")),
                        "jwks",
                        json!("own"),
                    ),
                    "profile",
                    json!("fapi2"),
                ),
            ),
            ("rich", with(web("rich"), "authorization_details_types", json!(["payment"]))),
            ("tv", device(SCOPES)),
            ("box", device("read")),
        ],
    )
    .await
}

/// Authorization request of the client `app`, allowed by `alice` (RFC 6749 §4.1.1).
pub(super) fn authorize() -> RequestSpec {
    authorization(get("/oauth/authorize").sent_by(Sender::ConsentingUser).set("client_id", "app"))
}

/// The same request, pushed (RFC 9126).
pub(super) fn push() -> RequestSpec {
    authorization(post("/oauth/par").as_client("app"))
}

fn authorization(request: RequestSpec) -> RequestSpec {
    request
        .set("response_type", "code")
        .set("redirect_uri", "https://app.example/cb")
        .set("scope", "openid read write")
        .set("state", "a state")
        .set("code_challenge", CODE_CHALLENGE)
        .set("code_challenge_method", "S256")
}

/// RFC 6749 §4.1.3
pub(super) fn redeem(code: &str) -> RequestSpec {
    post("/oauth/token")
        .set("grant_type", CODE)
        .set("code", code)
        .set("redirect_uri", "https://app.example/cb")
        .set("code_verifier", CODE_VERIFIER)
        .as_client("app")
}

/// RFC 6749 §6
pub(super) fn refresh(token: &str) -> RequestSpec {
    post("/oauth/token").set("grant_type", REFRESH).set("refresh_token", token).as_client("app")
}

/// RFC 6749 §4.4.2
pub(super) fn credentials() -> RequestSpec {
    post("/oauth/token").set("grant_type", CREDENTIALS).as_client("service")
}

/// Introspection by the resource server.
pub(super) fn introspect(token: &str) -> RequestSpec {
    post("/oauth/introspect").set("token", token).as_client("api")
}

/// Revocation by the client `app`.
pub(super) fn revoke(token: &str) -> RequestSpec {
    post("/oauth/revoke").set("token", token).as_client("app")
}

/// OpenID Connect Core section 5.3.1
pub(super) fn userinfo(token: &str) -> RequestSpec {
    get("/oauth/userinfo").bearer(token)
}

/// RFC 8628 §3.1
pub(super) fn device() -> RequestSpec {
    post("/oauth/device/code").set("scope", "openid read").as_client("tv")
}

/// The user types the user code and allows the device.
pub(super) fn enter_user_code(user_code: &str) -> RequestSpec {
    get("/device").sent_by(Sender::ConsentingUser).with_user_code(user_code)
}

/// RFC 8628 §3.4
pub(super) fn poll(device_code: &str) -> RequestSpec {
    post("/oauth/token").set("grant_type", DEVICE_CODE_GRANT).set("device_code", device_code).as_client("tv")
}

/// RFC 8414 §3.1
pub(super) fn metadata() -> RequestSpec {
    get("/.well-known/oauth-authorization-server")
}

/// OpenID Connect Discovery section 4.1
pub(super) fn discovery() -> RequestSpec {
    get("/.well-known/openid-configuration")
}
