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
