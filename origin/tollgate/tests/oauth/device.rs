//! The device grant (RFC 8628).

use serde_json::{Value, json};
use tollgate_model::{AuthMethod, ClientMetadata, GrantType};
use tollgate_test_kit::client::DEVICE_CODE_GRANT;
use tollgate_test_kit::users::PASSWORD;

use crate::fixture::{Origin, UserBrowser, answer, text};

/// An origin with the devices `tv` and `radio`, and the device authorization response to `tv`.
async fn start() -> (Origin, Value) {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let metadata = ClientMetadata {
        auth_method: AuthMethod::None,
        grant_types: vec![GrantType::DeviceCode, GrantType::RefreshToken],
        redirect_uris: Vec::new(),
        ..Origin::web()
    };
    origin.client("tv", metadata.clone()).await;
    origin.client("radio", metadata).await;
    let (status, started) = origin.post("/oauth/device/code", "tv", &[("scope", "orders")]).await;
    assert_eq!(status, 200, "{started}");
    (origin, started)
}

async fn poll(origin: &Origin, client: &str, started: &Value) -> Value {
    let code = text(started, "device_code");
    origin.post("/oauth/token", client, &[("grant_type", DEVICE_CODE_GRANT), ("device_code", code)]).await.1
}

/// Moves the last poll back by so many seconds.
async fn let_pass(origin: &Origin, seconds: i64) {
    origin.age_polls(seconds * 1000).await;
}

/// Enters the user code, decides, and returns the last page.
async fn decide(browser: &UserBrowser<'_>, code: &str, decision: &str) -> String {
    let page = browser.get("/device").await;
    let csrf = page.field("csrf").expect("a form");
    let confirm = browser.post("/device", &[("csrf", &csrf), ("user_code", code)]).await;
    assert!(confirm.body.contains("A shop"), "{}", confirm.body);
    let form = [("csrf", csrf.as_str()), ("user_code", code), ("decision", decision)];
    browser.post("/device", &form).await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn device_gets_tokens_after_its_user_allows_it() {
    let (origin, started) = start().await;
    let code = text(&started, "user_code");
    assert_eq!(
        (code.len(), &code[4..5], &started["interval"], &started["expires_in"]),
        (9, "-", &json!(5), &json!(600))
    );
    let complete = text(&started, "verification_uri_complete");
    assert_eq!(complete, format!("{}?user_code={code}", text(&started, "verification_uri")));
    assert_eq!(poll(&origin, "tv", &started).await["error"], "authorization_pending");

    let browser = UserBrowser::new(&origin, "ada");
    let login = browser.get(complete).await.redirect().expect("a redirect to /login");
    let page = browser.get(&login).await;
    let csrf = page.field("csrf").expect("a form");
    let user_code = page.field("user_code").expect("the user code");
    let form = [("csrf", csrf.as_str()), ("user_code", &user_code), ("username", "ada"), ("password", PASSWORD)];
    let back = browser.post("/login", &form).await.redirect().expect("a redirect to /device");
    assert!(browser.get(&back).await.body.contains(code));
    // In lower case and without the dash.
    assert!(decide(&browser, &code.to_lowercase().replace('-', ""), "allow").await.contains("connected"));

    let csrf = browser.csrf("/device").await;
    let again =
        async |decision| browser.post("/device", &[("csrf", &csrf), ("user_code", code), ("decision", decision)]).await;
    assert!(again("allow").await.body.contains("Device connected"), "a double click");
    assert_eq!(again("deny").await.status, 404, "decided already");

    let_pass(&origin, 5).await;
    assert_eq!(poll(&origin, "radio", &started).await["error"], "invalid_grant", "another client's code");
    let tokens = poll(&origin, "tv", &started).await;
    assert!(tokens["access_token"].is_string() && tokens["refresh_token"].is_string(), "{tokens}");
    assert_eq!(tokens["scope"], "orders");
    assert_eq!(poll(&origin, "tv", &started).await["error"], "invalid_grant", "a second redemption");
    let access = text(&tokens, "access_token");
    let info = answer(origin.http.get(origin.url("/oauth/tokeninfo")).bearer_auth(access)).await;
    assert_eq!(info.0, 401, "the second redemption revoked the tokens");
}

#[tokio::test(flavor = "multi_thread")]
async fn device_that_polls_too_fast_must_slow_down() {
    let (origin, started) = start().await;
    assert_eq!(poll(&origin, "tv", &started).await["error"], "authorization_pending");
    assert_eq!(poll(&origin, "tv", &started).await["error"], "slow_down");
    let_pass(&origin, 5).await;
    assert_eq!(poll(&origin, "tv", &started).await["error"], "slow_down", "the interval is ten seconds now");
    let_pass(&origin, 15).await;
    assert_eq!(poll(&origin, "tv", &started).await["error"], "authorization_pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn user_may_deny_a_device_and_user_code_guesses_are_limited() {
    let (origin, started) = start().await;
    let browser = UserBrowser::new(&origin, "ada");
    browser.sign_in().await;
    assert!(decide(&browser, text(&started, "user_code"), "deny").await.contains("Device denied"));
    assert_eq!(poll(&origin, "tv", &started).await["error"], "access_denied");
    let csrf = browser.csrf("/device").await;
    let mut statuses = Vec::new();
    for _ in 0..11 {
        statuses.push(browser.post("/device", &[("csrf", &csrf), ("user_code", "BCDF-GHJK")]).await.status);
    }
    assert_eq!(statuses, [[404; 10].as_slice(), &[429]].concat());
    let shown_again = browser.post("/device", &[("user_code", "BCDF-GHJK")]).await;
    assert_eq!(
        shown_again.redirect(),
        Some(origin.url("/device?user_code=BCDF-GHJK&stale=1")),
        "a form without a token"
    );
    let (status, error) = origin.post("/oauth/device/code", "tv", &[("scope", "admin")]).await;
    assert_eq!((status, &error["error"]), (400, &json!("invalid_scope")));
}
