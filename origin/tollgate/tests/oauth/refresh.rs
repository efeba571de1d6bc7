//! Refresh tokens: rotation, grace, reuse, and what they can never do.

use serde_json::{Value, json};
use tollgate_model::{AuthMethod, ClientMetadata, RefreshKeys};

use crate::harness::{Browser, Key, Origin, answer, claims, redemption};

async fn start(settings: &[(&str, &str)]) -> (Origin, Value) {
    let origin = Origin::with(settings).await;
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let code = origin.code(&Browser::of(&origin, "ada"), "shop", &[("scope", "openid orders email")]).await;
    let tokens = origin.redeem("shop", &code).await;
    (origin, tokens)
}

fn text<'a>(tokens: &'a Value, name: &str) -> &'a str {
    tokens[name].as_str().unwrap_or_else(|| panic!("no {name} in {tokens}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_use_gives_another_and_an_old_one_revokes_all() {
    let (origin, first) = start(&[("TOLLGATE_REFRESH_GRACE", "0")]).await;
    let refresh = |token: &str| [("grant_type", "refresh_token".to_owned()), ("refresh_token", token.to_owned())];
    let use_it = async |token: &str| {
        let form = refresh(token);
        origin.post("/oauth/token", "shop", &form.each_ref().map(|(name, value)| (*name, value.as_str()))).await
    };
    let (status, second) = use_it(text(&first, "refresh_token")).await;
    assert_eq!(status, 200, "{second}");
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    assert!(second["id_token"].is_string() && claims(text(&second, "id_token")).get("nonce").is_none());
    // A grace of nothing ends with the second in which the token was used.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let (status, error) = use_it(text(&first, "refresh_token")).await;
    assert_eq!((status.as_u16(), &error["error"]), (400, &json!("invalid_grant")));
    for token in [text(&first, "access_token"), text(&second, "access_token")] {
        assert_eq!(origin.introspect("shop", token).await, json!({ "active": false }));
    }
    assert_eq!(use_it(text(&second, "refresh_token")).await.1["error"], "invalid_grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_given_again() {
    let (origin, first) = start(&[("TOLLGATE_REFRESH_GRACE", "60")]).await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", text(&first, "refresh_token"))];
    let (one, other) = tokio::join!(origin.token("shop", &form), origin.token("shop", &form));
    assert_eq!(one["refresh_token"], other["refresh_token"], "the same successor");
    assert_ne!(one["access_token"], other["access_token"]);
    let next = [("grant_type", "refresh_token"), ("refresh_token", text(&one, "refresh_token"))];
    origin.token("shop", &next).await;
    assert_eq!(origin.refused("shop", &form).await, "invalid_grant", "its successor was used");
    assert_eq!(origin.refused("shop", &next).await, "invalid_grant", "and so everything is revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_is_narrowed_and_never_widened() {
    let (origin, first) = start(&[]).await;
    let with = async |token: &str, scope: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)];
        origin.post("/oauth/token", "shop", &form).await
    };
    let (_, narrow) = with(text(&first, "refresh_token"), "orders").await;
    assert_eq!(narrow["scope"], "orders");
    let (status, error) = with(text(&narrow, "refresh_token"), "orders profile").await;
    assert_eq!((status.as_u16(), &error["error"]), (400, &json!("invalid_scope")));
    let (_, whole) = with(text(&narrow, "refresh_token"), "").await;
    assert_eq!(whole["scope"], "email openid orders", "a refresh token keeps what was granted");
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_their_clients_alone_and_can_be_revoked() {
    let (origin, tokens) = start(&[]).await;
    origin.client("other", Origin::web()).await;
    let refresh = text(&tokens, "refresh_token");
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    assert_eq!(origin.refused("other", &form).await, "invalid_grant");
    assert_eq!(origin.introspect("other", refresh).await, json!({ "active": false }));
    assert_eq!(origin.introspect("shop", refresh).await, json!({ "active": true }));
    let revoke = [("token", refresh), ("token_type_hint", "access_token")];
    assert_eq!(origin.post("/oauth/revoke", "other", &revoke).await.0, 200);
    assert_eq!(origin.introspect("shop", refresh).await, json!({ "active": true }), "another client's survives");
    assert_eq!(origin.post("/oauth/revoke", "shop", &revoke).await.0, 200);
    assert_eq!(origin.introspect("shop", text(&tokens, "access_token")).await, json!({ "active": false }));
    assert_eq!(origin.refused("shop", &form).await, "invalid_grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_a_public_client_are_bound_to_the_key_it_proved() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    origin.client("app", ClientMetadata { auth_method: AuthMethod::None, ..Origin::web() }).await;
    let code = origin.code(&Browser::of(&origin, "ada"), "app", &[]).await;
    let (key, url) = (Key::new(), format!("{}/oauth/token", origin.server.issuer()));
    let proof = |key: &Key| key.proof("POST", &url, json!({}));
    let (status, tokens) =
        answer(origin.form("/oauth/token", "app", &redemption(&code)).header("dpop", proof(&key))).await;
    assert_eq!((status.as_u16(), &tokens["token_type"]), (200, &json!("DPoP")), "{tokens}");
    let form = [("grant_type", "refresh_token"), ("refresh_token", text(&tokens, "refresh_token"))];
    assert_eq!(origin.refused("app", &form).await, "invalid_grant", "no proof");
    let other = answer(origin.form("/oauth/token", "app", &form).header("dpop", proof(&Key::new()))).await;
    assert_eq!(other.1["error"], "invalid_grant", "another key");
    let (status, next) = answer(origin.form("/oauth/token", "app", &form).header("dpop", proof(&key))).await;
    assert_eq!(status, 200, "{next}");
    assert_eq!(claims(text(&next, "access_token"))["cnf"]["jkt"], json!(key.thumbprint()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_generations_ago_revokes_all_even_at_once() {
    let (origin, first) = start(&[("TOLLGATE_REFRESH_GRACE", "60")]).await;
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
    assert_eq!(origin.refused("shop", &old).await, "invalid_grant");
    for name in ["access_token", "refresh_token"] {
        assert_eq!(origin.introspect("shop", text(&last, name)).await, json!({ "active": false }), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_origin_did_not_make_changes_nothing() {
    let (origin, tokens) = start(&[]).await;
    let (elsewhere, of_another) = start(&[]).await;
    // Whoever has an access token knows the grant's id, and how refresh tokens are written is no secret.
    let sid = claims(text(&tokens, "access_token"))["sid"].as_str().expect("a grant").parse().expect("a grant's id");
    let keys = RefreshKeys::new(&[1; 32], &[2; 32]);
    let forged = keys.first(&sid, &[3; 32]).expect("the id is of a usual form");
    for token in [forged.reveal(), text(&of_another, "refresh_token")] {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        assert_eq!(origin.refused("shop", &form).await, "invalid_grant");
        assert_eq!(origin.introspect("shop", token).await, json!({ "active": false }));
        assert_eq!(origin.post("/oauth/revoke", "shop", &[("token", token)]).await.0, 200);
    }
    for (origin, tokens) in [(&origin, &tokens), (&elsewhere, &of_another)] {
        assert_eq!(origin.introspect("shop", text(tokens, "access_token")).await["active"], true);
        let form = [("grant_type", "refresh_token"), ("refresh_token", text(tokens, "refresh_token"))];
        origin.token("shop", &form).await;
    }
}
