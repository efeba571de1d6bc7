//! The device grant: a device asks, a person decides elsewhere.

use serde_json::{Value, json};
use tollgate_model::{AuthMethod, ClientMetadata, GrantType};

use crate::harness::{Browser, Origin, PASSWORD, answer};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

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
    let (status, asked) = origin.post("/oauth/device/code", "tv", &[("scope", "orders")]).await;
    assert_eq!(status, 200, "{asked}");
    (origin, asked)
}

async fn poll(origin: &Origin, client: &str, asked: &Value) -> Value {
    let code = asked["device_code"].as_str().expect("a code");
    origin.post("/oauth/token", client, &[("grant_type", GRANT), ("device_code", code)]).await.1
}

/// The device's clock: as if so many seconds had gone by since it polled.
async fn wait(origin: &Origin, seconds: i64) {
    origin.age_polls(seconds * 1000).await;
}

/// Types the code and decides.
async fn decide(browser: &Browser<'_>, code: &str, decision: &str) -> String {
    let page = browser.get("/device").await;
    let csrf = page.field("csrf").expect("a form");
    let confirm = browser.post("/device", &[("csrf", &csrf), ("user_code", code)]).await;
    assert!(confirm.body.contains("A shop"), "{}", confirm.body);
    let form = [("csrf", csrf.as_str()), ("user_code", code), ("decision", decision)];
    browser.post("/device", &form).await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_gets_tokens_when_its_user_agrees() {
    let (origin, asked) = start().await;
    let code = asked["user_code"].as_str().expect("a code");
    assert_eq!((code.len(), &code[4..5], &asked["interval"], &asked["expires_in"]), (9, "-", &json!(5), &json!(600)));
    let complete = asked["verification_uri_complete"].as_str().expect("a URI");
    assert_eq!(complete, format!("{}?user_code={code}", asked["verification_uri"].as_str().expect("a URI")));
    assert_eq!(poll(&origin, "tv", &asked).await["error"], "authorization_pending");

    let browser = Browser::of(&origin, "ada");
    let login = browser.get(complete).await.location.expect("first the sign-in");
    let page = browser.get(&login).await;
    let csrf = page.field("csrf").expect("a form");
    let kept = page.field("user_code").expect("the code is kept");
    let form = [("csrf", csrf.as_str()), ("user_code", &kept), ("username", "ada"), ("password", PASSWORD)];
    let back = browser.post("/login", &form).await.location.expect("back to the device's page");
    assert!(browser.get(&back).await.body.contains(code));
    // In any case, without the dash.
    assert!(decide(&browser, &code.to_lowercase().replace('-', ""), "allow").await.contains("connected"));

    let csrf = browser.get("/device").await.field("csrf").expect("a form");
    let again =
        async |decision| browser.post("/device", &[("csrf", &csrf), ("user_code", code), ("decision", decision)]).await;
    assert!(again("allow").await.body.contains("Device connected"), "a second click");
    assert_eq!(again("deny").await.status, 404, "it is decided");

    wait(&origin, 5).await;
    assert_eq!(poll(&origin, "radio", &asked).await["error"], "invalid_grant", "another client's");
    let tokens = poll(&origin, "tv", &asked).await;
    assert!(tokens["access_token"].is_string() && tokens["refresh_token"].is_string(), "{tokens}");
    assert_eq!(tokens["scope"], "orders");
    assert_eq!(poll(&origin, "tv", &asked).await["error"], "invalid_grant", "it is good once");
    let access = tokens["access_token"].as_str().expect("a token");
    let info = answer(origin.http.get(origin.url("/oauth/tokeninfo")).bearer_auth(access)).await;
    assert_eq!(info.0, 401, "and what it gave is revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impatient_device_really_waits() {
    let (origin, asked) = start().await;
    assert_eq!(poll(&origin, "tv", &asked).await["error"], "authorization_pending");
    assert_eq!(poll(&origin, "tv", &asked).await["error"], "slow_down");
    wait(&origin, 5).await;
    assert_eq!(poll(&origin, "tv", &asked).await["error"], "slow_down", "ten seconds by now");
    wait(&origin, 15).await;
    assert_eq!(poll(&origin, "tv", &asked).await["error"], "authorization_pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_may_refuse_a_device_and_guessing_is_bounded() {
    let (origin, asked) = start().await;
    let browser = Browser::of(&origin, "ada");
    browser.sign_in().await;
    assert!(decide(&browser, asked["user_code"].as_str().expect("a code"), "deny").await.contains("refused"));
    assert_eq!(poll(&origin, "tv", &asked).await["error"], "access_denied");
    let csrf = browser.get("/device").await.field("csrf").expect("a form");
    let mut statuses = Vec::new();
    for _ in 0..11 {
        statuses.push(browser.post("/device", &[("csrf", &csrf), ("user_code", "BCDF-GHJK")]).await.status.as_u16());
    }
    assert_eq!(statuses, [[404; 10].as_slice(), &[429]].concat());
    let anew = browser.post("/device", &[("user_code", "BCDF-GHJK")]).await;
    assert_eq!(anew.location, Some(origin.url("/device?user_code=BCDF-GHJK&stale=1")), "no form of ours");
    let (status, error) = origin.post("/oauth/device/code", "tv", &[("scope", "admin")]).await;
    assert_eq!((status.as_u16(), &error["error"]), (400, &json!("invalid_scope")));
}
