//! When authorization requests need PKCE, by client.

use tollgate_model::{AuthMethod, ClientMetadata, PkceRequirement};
use tollgate_test_kit::client::CODE_VERIFIER;

use crate::console::Fixture;
use crate::fixture::{Origin, REDIRECT_URI, UserBrowser, parameters};

/// Removes PKCE from an authorization request.
const NO_PKCE: [(&str, &str); 2] = [("code_challenge", ""), ("code_challenge_method", "")];

/// Redeems a code, with or without a verifier; returns status and error.
async fn redeem(origin: &Origin, code: &str, verifier: Option<&str>) -> (u16, Option<String>) {
    let mut form = vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT_URI)];
    form.extend(verifier.map(|verifier| ("code_verifier", verifier)));
    let (status, answer) = origin.post("/oauth/token", "shop", &form).await;
    (status, answer["error"].as_str().map(str::to_owned))
}

/// The error of an authorization request.
async fn refusal(browser: &UserBrowser<'_>, changes: &[(&str, &str)]) -> String {
    let page = browser.request_authorization("shop", changes).await;
    parameters(&page.redirect().expect("a redirect"))["error"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn nonce_replaces_pkce_for_a_client_that_authenticates() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let browser = UserBrowser::new(&origin, "ada");
    let with_nonce = [&NO_PKCE[..], &[("nonce", "n")]].concat();
    let code = origin.code(&browser, "shop", &with_nonce).await;
    assert_eq!(redeem(&origin, &code, None).await, (200, None));
    assert_eq!(refusal(&browser, &NO_PKCE).await, "invalid_request", "neither PKCE nor nonce");
    let plain_oauth = [&with_nonce[..], &[("scope", "orders")]].concat();
    assert_eq!(refusal(&browser, &plain_oauth).await, "invalid_request", "no ID token that has the nonce");
    let method_alone = [("code_challenge", ""), ("nonce", "n")];
    assert_eq!(refusal(&browser, &method_alone).await, "invalid_request", "a method without a challenge");
}

#[tokio::test(flavor = "multi_thread")]
async fn pkce_cannot_be_downgraded() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let browser = UserBrowser::new(&origin, "ada");
    let without_challenge = origin.code(&browser, "shop", &[&NO_PKCE[..], &[("nonce", "n")]].concat()).await;
    let error = |name: &str| (400, Some(name.to_owned()));
    assert_eq!(redeem(&origin, &without_challenge, Some(CODE_VERIFIER)).await, error("invalid_grant"));
    assert_eq!(redeem(&origin, &without_challenge, None).await, (200, None), "the refusal did not use the code up");
    let with_challenge = origin.code(&browser, "shop", &[("nonce", "n")]).await;
    assert_eq!(redeem(&origin, &with_challenge, None).await, error("invalid_request"));
    assert_eq!(redeem(&origin, &with_challenge, Some(CODE_VERIFIER)).await, (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn public_client_needs_pkce_whatever_it_sends() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    origin.client("shop", ClientMetadata { auth_method: AuthMethod::None, ..Origin::web() }).await;
    let browser = UserBrowser::new(&origin, "ada");
    assert_eq!(refusal(&browser, &[&NO_PKCE[..], &[("nonce", "n")]].concat()).await, "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_can_require_or_waive_pkce_and_the_console_warns() {
    let fixture = Fixture::start().await;
    let origin = &fixture.origin;
    origin.user("ada").await;
    origin.client("shop", ClientMetadata { require_pkce: Some(PkceRequirement::Never), ..Origin::web() }).await;
    let always = ClientMetadata { require_pkce: Some(PkceRequirement::Always), ..Origin::web() };
    origin.client("strict", always).await;
    let browser = UserBrowser::new(origin, "ada");
    let code = origin.code(&browser, "shop", &NO_PKCE).await;
    assert_eq!(redeem(origin, &code, None).await, (200, None));
    let plain = [("code_challenge_method", "plain")];
    assert_eq!(refusal(&browser, &plain).await, "invalid_request", "plain is refused all the same");
    let page = browser.request_authorization("strict", &[&NO_PKCE[..], &[("nonce", "n")]].concat()).await;
    assert_eq!(parameters(&page.redirect().expect("a redirect"))["error"], "invalid_request");
    let root = fixture.browser("root").await;
    let warns = async |client: &str| root.get(&format!("/admin/clients/{client}")).await.body.contains("need no PKCE");
    assert!(warns("shop").await && !warns("strict").await);
}
