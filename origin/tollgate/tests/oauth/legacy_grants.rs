//! The password grant, which the server's setting and the client's registration must both turn on.

use tollgate_model::{ClientMetadata, GrantType};
use tollgate_test_kit::users::PASSWORD;

use crate::fixture::{Origin, UserBrowser, answer, claims, text};

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
    assert_eq!(claims(text(&tokens, "id_token"))["amr"], serde_json::json!(["pwd"]));
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
