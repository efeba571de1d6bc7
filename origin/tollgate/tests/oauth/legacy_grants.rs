//! The password grant, and the implicit and hybrid response types: the server's setting and the
//! client's registration must both turn them on.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tollgate_model::{ClientMetadata, GrantType, ResponseType};
use tollgate_system::Clock;
use tollgate_test_kit::jwt::base64url;
use tollgate_test_kit::users::PASSWORD;

use crate::fixture::{Origin, UserBrowser, answer, claims, redemption, text};

const SWITCH: (&str, &str) = ("TOLLGATE_LEGACY_GRANTS", "password");

/// A client that is registered for the password grant.
fn legacy() -> ClientMetadata {
    ClientMetadata { grant_types: vec![GrantType::Password, GrantType::RefreshToken], ..Origin::web() }
}

fn request<'a>(username: &'a str, password: &'a str) -> [(&'a str, &'a str); 4] {
    [("grant_type", "password"), ("username", username), ("password", password), ("scope", "openid orders")]
}

#[tokio::test(flavor = "multi_thread")]
async fn password_grant_needs_the_setting_and_the_registration() {
    for (settings, metadata, error) in
        [([].as_slice(), legacy(), "unsupported_grant_type"), (&[SWITCH], Origin::web(), "unauthorized_client")]
    {
        let origin = Origin::start_with(settings).await;
        origin.user("ada").await;
        origin.client("old", metadata).await;
        assert_eq!(origin.token_error("old", &request("ada", PASSWORD)).await, error);
        let (_, discovery) = answer(origin.http.get(origin.url("/.well-known/openid-configuration"))).await;
        let grants = discovery["grant_types_supported"].as_array().expect("a list");
        assert_eq!(grants.iter().any(|grant| grant == "password"), !settings.is_empty());
        origin.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn password_grant_gives_tokens_of_a_grant_that_the_user_can_end() {
    let origin = Origin::start_with(&[SWITCH]).await;
    let user = origin.user("ada").await;
    origin.client("old", legacy()).await;
    let tokens = origin.token("old", &request("ada", PASSWORD)).await;
    assert_eq!(claims(text(&tokens, "access_token"))["sub"], user.as_str());
    assert_eq!(claims(text(&tokens, "id_token"))["amr"], json!(["pwd"]));
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(&tokens, "refresh_token"))];
    origin.token("old", &refresh).await;
    let browser = UserBrowser::new(&origin, "ada");
    browser.sign_in().await;
    assert!(browser.get("/account/sessions").await.body.contains("A shop"), "the user sees the grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_passwords_are_limited_as_sign_ins_and_reveal_nothing() {
    let origin = Origin::start_with(&[SWITCH]).await;
    origin.user("ada").await;
    origin.client("old", legacy()).await;
    let wrong = origin.post("/oauth/token", "old", &request("ada", "wrong")).await;
    let unknown = origin.post("/oauth/token", "old", &request("nobody", "wrong")).await;
    assert_eq!((wrong.0, wrong.1["error"].as_str()), (400, Some("invalid_grant")));
    assert_eq!(wrong, unknown, "an unknown user looks the same");
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(origin.post("/oauth/token", "old", &request("ada", "wrong")).await.0);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}

const FRONT_CHANNEL: (&str, &str) = ("TOLLGATE_LEGACY_GRANTS", "implicit");

/// A client that is registered for all response types.
fn hybrid() -> ClientMetadata {
    ClientMetadata { response_types: ResponseType::ALL.to_vec(), ..Origin::web() }
}

/// Parameters in the fragment of the authorization response.
async fn fragment(browser: &UserBrowser<'_>, changes: &[(&str, &str)]) -> HashMap<String, String> {
    let page = browser.request_authorization("old", changes).await;
    let location = browser.complete_pages(page, "allow").await.redirect().expect("a redirect");
    let (address, fragment) = location.split_once('#').expect("a fragment");
    assert!(!address.contains('?'), "nothing in the query: {location}");
    url::form_urlencoded::parse(fragment.as_bytes()).into_owned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_in_responses_need_the_setting_and_the_registration() {
    for (settings, metadata, is_offered) in
        [([].as_slice(), hybrid(), false), (&[FRONT_CHANNEL], Origin::web(), false), (&[FRONT_CHANNEL], hybrid(), true)]
    {
        let origin = Origin::start_with(settings).await;
        origin.user("ada").await;
        origin.client("old", metadata).await;
        let changes = [("response_type", "id_token"), ("scope", "openid"), ("nonce", "n")];
        let page = UserBrowser::new(&origin, "ada").request_authorization("old", &changes).await;
        let location = page.redirect().expect("a redirect");
        assert_eq!(!location.contains("error=unsupported_response_type"), is_offered, "{location}");
        let (_, discovery) = answer(origin.http.get(origin.url("/.well-known/openid-configuration"))).await;
        let types = discovery["response_types_supported"].as_array().expect("a list");
        assert_eq!(types.len(), if settings.is_empty() { 1 } else { 7 });
        origin.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_register_response_types_with_tokens_by_themselves_where_the_setting_offers_them() {
    let registration = ("TOLLGATE_REGISTRATION", "open");
    let client = json!({
        "redirect_uris": ["https://app.example/cb"], "scope": "openid",
        "grant_types": ["implicit"], "response_types": ["id_token token", "id_token"],
    });
    for (settings, is_offered) in [(&[registration][..], false), (&[registration, FRONT_CHANNEL], true)] {
        let origin = Origin::start_with(settings).await;
        origin.user("ada").await;
        let (_, discovery) = answer(origin.http.get(origin.url("/.well-known/openid-configuration"))).await;
        let grants = discovery["grant_types_supported"].as_array().expect("a list");
        assert_eq!(grants.contains(&json!("implicit")), is_offered, "{discovery}");
        let (status, made) = answer(origin.http.post(origin.url("/oauth/register")).json(&client)).await;
        if !is_offered {
            assert_eq!((status, &made["error"]), (400, &json!("invalid_client_metadata")), "{made}");
            continue;
        }
        assert_eq!((status, &made["response_types"]), (201, &client["response_types"]), "{made}");
        assert_eq!(made["grant_types"], client["grant_types"]);
        let browser = UserBrowser::new(&origin, "ada");
        let changes = [
            ("redirect_uri", "https://app.example/cb"),
            ("response_type", "id_token token"),
            ("scope", "openid"),
            ("nonce", "n"),
        ];
        let page = browser.request_authorization(text(&made, "client_id"), &changes).await;
        let location = browser.complete_pages(page, "allow").await.redirect().expect("a redirect");
        assert!(location.contains("access_token=") && location.contains("id_token="), "{location}");
        origin.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hybrid_response_binds_code_and_token_to_the_id_token() {
    let origin = Origin::start_with(&[FRONT_CHANNEL]).await;
    origin.user("ada").await;
    origin.client("old", hybrid()).await;
    let browser = UserBrowser::new(&origin, "ada");
    let changes = [("response_type", "code id_token token"), ("nonce", "n-1")];
    let response = fragment(&browser, &changes).await;
    assert_eq!((response["state"].as_str(), response["token_type"].as_str()), ("a state", "Bearer"));
    assert!(!response.contains_key("refresh_token"));
    let id_token = claims(&response["id_token"]);
    let half = |text: &str| json!(base64url(&Sha256::digest(text)[..16]));
    assert_eq!(id_token["c_hash"], half(&response["code"]));
    assert_eq!(id_token["at_hash"], half(&response["access_token"]));
    assert_eq!(id_token["nonce"], "n-1");
    let userinfo = origin.http.get(origin.url("/oauth/userinfo")).bearer_auth(&response["access_token"]);
    assert_eq!(answer(userinfo).await.0, 200);
    let tokens = origin.redeem("old", &response["code"]).await;
    assert_eq!(claims(text(&tokens, "id_token")).get("c_hash"), None);
    // The code still needs its verifier.
    let again = fragment(&browser, &changes).await;
    let without = &redemption(&again["code"])[..3];
    assert_eq!(origin.token_error("old", without).await, "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn implicit_responses_have_no_code_and_can_be_posted() {
    let origin = Origin::start_with(&[FRONT_CHANNEL]).await;
    origin.user("ada").await;
    origin.client("old", hybrid()).await;
    let browser = UserBrowser::new(&origin, "ada");
    let with_token = fragment(&browser, &[("response_type", "id_token token"), ("nonce", "n")]).await;
    assert!(with_token.contains_key("access_token") && !with_token.contains_key("code"));
    assert_eq!(origin.introspect("old", &with_token["access_token"]).await["active"], true);
    let id_token_alone = fragment(&browser, &[("response_type", "id_token"), ("nonce", "n")]).await;
    assert!(!id_token_alone.contains_key("access_token"));
    assert_eq!(claims(&id_token_alone["id_token"]).get("at_hash"), None);
    let posted = [("response_type", "id_token"), ("nonce", "n"), ("response_mode", "form_post")];
    let page = browser.request_authorization("old", &posted).await;
    assert!(page.field("id_token").is_some(), "{}", page.body);
    let in_query = [("response_type", "id_token"), ("nonce", "n"), ("response_mode", "query")];
    assert_eq!(fragment(&browser, &in_query).await["error"], "invalid_request");
    assert_eq!(fragment(&browser, &[("response_type", "id_token")]).await["error"], "invalid_request", "no nonce");
}

#[tokio::test(flavor = "multi_thread")]
async fn hybrid_token_is_valid_until_it_expires_although_the_code_is_not_redeemed() {
    let (clock, time) = Clock::manual(Clock::system().now_ms());
    let origin = Origin::start_with_clock(&[FRONT_CHANNEL], clock.clone()).await;
    origin.user("ada").await;
    origin.client("old", hybrid()).await;
    let changes = [("response_type", "code id_token token"), ("nonce", "n-1")];
    let response = fragment(&UserBrowser::new(&origin, "ada"), &changes).await;
    let token = response["access_token"].as_str();
    time.advance(Duration::from_secs(120));
    origin.server.store().sweep(clock.now()).await.expect("swept");
    assert_eq!(origin.token_error("old", &redemption(&response["code"])).await, "invalid_grant", "the code expired");
    let userinfo = || origin.http.get(origin.url("/oauth/userinfo")).bearer_auth(token);
    assert_eq!(answer(userinfo()).await.0, 200, "as edges accept it");
    assert_eq!(origin.introspect("old", token).await["active"], true);
    time.advance(Duration::from_secs(3600 + 120));
    origin.server.store().sweep(clock.now()).await.expect("swept");
    assert_eq!(answer(userinfo()).await.0, 401);
    let sid = claims(token)["sid"].as_str().expect("a grant").parse().expect("a grant id");
    assert!(origin.server.store().find_grant(&sid).await.expect("read").is_none());
}
