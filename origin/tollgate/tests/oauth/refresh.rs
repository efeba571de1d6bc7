//! Refresh tokens: rotation, grace period, reuse, and their limits.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_model::{AuthMethod, ClientMetadata, RefreshKeys};
use tollgate_system::Clock;
use tollgate_test_kit::jwt::ClientKey;

use crate::fixture::{Origin, UserBrowser, answer, claims, redemption, text};

/// An origin with the client `shop`, and its tokens of ada.
async fn start(settings: &[(&'static str, &str)]) -> (Origin, Value) {
    start_with_clock(settings, Clock::system()).await
}

/// As [`start`], with a clock that the test can set.
async fn start_with_clock(settings: &[(&'static str, &str)], clock: Clock) -> (Origin, Value) {
    let origin = Origin::start_with_clock(settings, clock).await;
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let code = origin.code(&UserBrowser::new(&origin, "ada"), "shop", &[("scope", "openid orders email")]).await;
    let tokens = origin.redeem("shop", &code).await;
    (origin, tokens)
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_rotates_the_token_and_reuse_revokes_the_family() {
    let (clock, time) = Clock::manual(Clock::system().now_ms());
    let (origin, first) = start_with_clock(&[("TOLLGATE_REFRESH_REUSE_GRACE", "0")], clock).await;
    let refresh = |token: &str| [("grant_type", "refresh_token".to_owned()), ("refresh_token", token.to_owned())];
    let use_token = async |token: &str| {
        let form = refresh(token);
        origin.post("/oauth/token", "shop", &form.each_ref().map(|(name, value)| (*name, value.as_str()))).await
    };
    let (status, second) = use_token(text(&first, "refresh_token")).await;
    assert_eq!(status, 200, "{second}");
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    assert!(second["id_token"].is_string() && claims(text(&second, "id_token")).get("nonce").is_none());
    // A grace period of 0 ends with the second in which the token was used.
    time.advance(Duration::from_secs(1));
    let (status, error) = use_token(text(&first, "refresh_token")).await;
    assert_eq!((status, &error["error"]), (400, &json!("invalid_grant")));
    for token in [text(&first, "access_token"), text(&second, "access_token")] {
        assert_eq!(origin.introspect("shop", token).await, json!({ "active": false }));
    }
    assert_eq!(use_token(text(&second, "refresh_token")).await.1["error"], "invalid_grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_within_the_grace_period_returns_the_same_successor() {
    let (origin, first) = start(&[("TOLLGATE_REFRESH_REUSE_GRACE", "60")]).await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", text(&first, "refresh_token"))];
    let (one, other) = tokio::join!(origin.token("shop", &form), origin.token("shop", &form));
    assert_eq!(one["refresh_token"], other["refresh_token"], "the same successor");
    assert_ne!(one["access_token"], other["access_token"]);
    let next = [("grant_type", "refresh_token"), ("refresh_token", text(&one, "refresh_token"))];
    origin.token("shop", &next).await;
    assert_eq!(origin.token_error("shop", &form).await, "invalid_grant", "its successor was used already");
    assert_eq!(origin.token_error("shop", &next).await, "invalid_grant", "the reuse revoked the family");
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_narrows_the_scope_and_never_widens_it() {
    let (origin, first) = start(&[]).await;
    let refresh_with_scope = async |token: &str, scope: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)];
        origin.post("/oauth/token", "shop", &form).await
    };
    let (_, narrow) = refresh_with_scope(text(&first, "refresh_token"), "orders").await;
    assert_eq!(narrow["scope"], "orders");
    let (status, error) = refresh_with_scope(text(&narrow, "refresh_token"), "orders profile").await;
    assert_eq!((status, &error["error"]), (400, &json!("invalid_scope")));
    let (_, whole) = refresh_with_scope(text(&narrow, "refresh_token"), "").await;
    assert_eq!(whole["scope"], "email openid orders", "the refresh token keeps the granted scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_token_belongs_to_its_client_and_can_be_revoked() {
    let (origin, tokens) = start(&[]).await;
    origin.client("other", Origin::web()).await;
    let refresh = text(&tokens, "refresh_token");
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    assert_eq!(origin.token_error("other", &form).await, "invalid_grant");
    assert_eq!(origin.introspect("other", refresh).await, json!({ "active": false }));
    assert_eq!(origin.introspect("shop", refresh).await, json!({ "active": true }));
    let revoke = [("token", refresh), ("token_type_hint", "access_token")];
    assert_eq!(origin.post("/oauth/revoke", "other", &revoke).await.0, 200);
    assert_eq!(origin.introspect("shop", refresh).await, json!({ "active": true }), "another client cannot revoke it");
    assert_eq!(origin.post("/oauth/revoke", "shop", &revoke).await.0, 200);
    assert_eq!(origin.introspect("shop", text(&tokens, "access_token")).await, json!({ "active": false }));
    assert_eq!(origin.token_error("shop", &form).await, "invalid_grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn public_clients_refresh_token_is_bound_to_its_dpop_key() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    origin.client("app", ClientMetadata { auth_method: AuthMethod::None, ..Origin::web() }).await;
    let code = origin.code(&UserBrowser::new(&origin, "ada"), "app", &[]).await;
    let (key, url) = (ClientKey::generate(), format!("{}/oauth/token", origin.server.issuer()));
    let proof = |key: &ClientKey| key.proof("POST", &url, json!({}));
    let (status, tokens) =
        answer(origin.form("/oauth/token", "app", &redemption(&code)).header("dpop", proof(&key))).await;
    assert_eq!((status, &tokens["token_type"]), (200, &json!("DPoP")), "{tokens}");
    let form = [("grant_type", "refresh_token"), ("refresh_token", text(&tokens, "refresh_token"))];
    assert_eq!(origin.token_error("app", &form).await, "invalid_grant", "no proof");
    let other = answer(origin.form("/oauth/token", "app", &form).header("dpop", proof(&ClientKey::generate()))).await;
    assert_eq!(other.1["error"], "invalid_grant", "another key");
    let (status, next) = answer(origin.form("/oauth/token", "app", &form).header("dpop", proof(&key))).await;
    assert_eq!(status, 200, "{next}");
    assert_eq!(claims(text(&next, "access_token"))["cnf"]["jkt"], json!(key.thumbprint()));
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_token_two_generations_old_revokes_the_family_within_the_grace_period() {
    let (origin, first) = start(&[("TOLLGATE_REFRESH_REUSE_GRACE", "60")]).await;
    let form = |token: &str| [("grant_type", "refresh_token".to_owned()), ("refresh_token", token.to_owned())];
    let mut last = first.clone();
    for _ in 0..2 {
        let form = form(text(&last, "refresh_token"));
        last = origin.token("shop", &form.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    }
    let old = form(text(&first, "refresh_token"));
    let old = old.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(origin.introspect("shop", old[1].1).await, json!({ "active": false }));
    assert_eq!(origin.introspect("shop", text(&last, "refresh_token")).await, json!({ "active": true }));
    assert_eq!(origin.token_error("shop", &old).await, "invalid_grant");
    for name in ["access_token", "refresh_token"] {
        assert_eq!(origin.introspect("shop", text(&last, name)).await, json!({ "active": false }), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_or_forged_refresh_token_revokes_nothing() {
    let (origin, tokens) = start(&[]).await;
    let (other_origin, foreign) = start(&[]).await;
    // A resource server knows the grant's id from access tokens, and the format is public.
    let sid = claims(text(&tokens, "access_token"))["sid"].as_str().expect("a grant").parse().expect("a grant id");
    let keys = RefreshKeys::new(&[1; 32], &[2; 32]);
    let forged = keys.first(&sid, &[3; 32]).expect("a valid grant id");
    for token in [forged.reveal(), text(&foreign, "refresh_token")] {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        assert_eq!(origin.token_error("shop", &form).await, "invalid_grant");
        assert_eq!(origin.introspect("shop", token).await, json!({ "active": false }));
        assert_eq!(origin.post("/oauth/revoke", "shop", &[("token", token)]).await.0, 200);
    }
    for (origin, tokens) in [(&origin, &tokens), (&other_origin, &foreign)] {
        assert_eq!(origin.introspect("shop", text(tokens, "access_token")).await["active"], true);
        let form = [("grant_type", "refresh_token"), ("refresh_token", text(tokens, "refresh_token"))];
        origin.token("shop", &form).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_token_without_rotation_stays_valid_until_its_grant_ends() {
    let (clock, time) = Clock::manual(Clock::system().now_ms());
    let settings = [("TOLLGATE_REFRESH_IDLE_TIMEOUT", "1000"), ("TOLLGATE_REFRESH_LIFETIME", "3000")];
    let origin = Origin::start_with_clock(&settings, clock).await;
    origin.user("ada").await;
    origin.client("shop", ClientMetadata { rotate_refresh_tokens: Some(false), ..Origin::web() }).await;
    let code = origin.code(&UserBrowser::new(&origin, "ada"), "shop", &[("scope", "openid orders email")]).await;
    let first = origin.redeem("shop", &code).await;
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(&first, "refresh_token"))];
    // Each use extends the idle time, and a narrower scope applies to its own access token alone.
    for scope in ["orders", "", "email"] {
        time.advance(Duration::from_secs(900));
        let form = [&refresh[..], &[("scope", scope)]].concat();
        let tokens = origin.token("shop", &form).await;
        assert_eq!(tokens.get("refresh_token"), None, "{tokens}");
        assert_eq!(tokens["scope"], if scope.is_empty() { "email openid orders" } else { scope });
        assert_eq!(origin.introspect("shop", text(&tokens, "access_token")).await["active"], true);
        assert_eq!(origin.introspect("shop", text(&first, "refresh_token")).await, json!({ "active": true }));
    }
    time.advance(Duration::from_secs(300));
    assert_eq!(
        origin.token_error("shop", &refresh).await,
        "invalid_grant",
        "the grant ends, however often it was used"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_token_without_rotation_expires_unused_and_can_be_revoked() {
    let (clock, time) = Clock::manual(Clock::system().now_ms());
    let origin = Origin::start_with_clock(&[("TOLLGATE_REFRESH_IDLE_TIMEOUT", "1000")], clock).await;
    origin.user("ada").await;
    origin.client("shop", ClientMetadata { rotate_refresh_tokens: Some(false), ..Origin::web() }).await;
    let browser = UserBrowser::new(&origin, "ada");
    for ends_idle in [true, false] {
        let code = origin.code(&browser, "shop", &[]).await;
        let tokens = origin.redeem("shop", &code).await;
        let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(&tokens, "refresh_token"))];
        origin.token("shop", &refresh).await;
        match ends_idle {
            true => time.advance(Duration::from_secs(1000)),
            false => {
                let revoke = [("token", text(&tokens, "refresh_token"))];
                assert_eq!(origin.post("/oauth/revoke", "shop", &revoke).await.0, 200);
            }
        }
        assert_eq!(origin.token_error("shop", &refresh).await, "invalid_grant");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn switching_rotation_off_keeps_reuse_detection_of_earlier_tokens() {
    let (origin, first) = start(&[("TOLLGATE_REFRESH_REUSE_GRACE", "60")]).await;
    let form = |token: &Value| {
        [("grant_type", "refresh_token".to_owned()), ("refresh_token", text(token, "refresh_token").to_owned())]
    };
    let use_token = async |token: &Value| {
        let form = form(token);
        origin.post("/oauth/token", "shop", &form.each_ref().map(|(name, value)| (*name, value.as_str()))).await
    };
    let (_, second) = use_token(&first).await;
    origin.update_client("shop", ClientMetadata { rotate_refresh_tokens: Some(false), ..Origin::web() }).await;
    let (status, again) = use_token(&first).await;
    assert_eq!((status, &again["refresh_token"]), (200, &second["refresh_token"]), "the response was lost");
    for _ in 0..2 {
        let (status, tokens) = use_token(&second).await;
        assert_eq!((status, tokens.get("refresh_token")), (200, None), "{tokens}");
    }
    assert_eq!(use_token(&first).await.1["error"], "invalid_grant", "its successor was used");
    assert_eq!(use_token(&second).await.1["error"], "invalid_grant", "the reuse revoked the grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn public_clients_refresh_token_is_kept_only_by_its_dpop_key() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let public = ClientMetadata { auth_method: AuthMethod::None, ..Origin::web() };
    origin.client("app", public.clone()).await;
    let browser = UserBrowser::new(&origin, "ada");
    let (key, url) = (ClientKey::generate(), format!("{}/oauth/token", origin.server.issuer()));
    let post = async |form: &[(&str, &str)]| {
        let proof = key.proof("POST", &url, json!({}));
        answer(origin.form("/oauth/token", "app", form).header("dpop", proof)).await
    };
    // From before its tokens had to be bound.
    let code = origin.code(&browser, "app", &[]).await;
    let unbound = origin.redeem("app", &code).await;
    let bound = ClientMetadata { dpop_bound_access_tokens: true, rotate_refresh_tokens: Some(false), ..public };
    origin.update_client("app", bound.checked().expect("good")).await;
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(&unbound, "refresh_token"))];
    let (status, rotated) = post(&refresh).await;
    assert!(status == 200 && rotated["refresh_token"].is_string(), "no key protects it: {rotated}");
    let code = origin.code(&browser, "app", &[]).await;
    let (_, bound) = post(&redemption(&code)).await;
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(&bound, "refresh_token"))];
    for _ in 0..2 {
        let (status, tokens) = post(&refresh).await;
        assert_eq!((status, tokens.get("refresh_token")), (200, None), "{tokens}");
    }
    assert_ne!(origin.post("/oauth/token", "app", &refresh).await.0, 200, "without a proof");
}
