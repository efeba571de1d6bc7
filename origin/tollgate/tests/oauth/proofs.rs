//! DPoP (RFC 9449).

use reqwest::header::AUTHORIZATION;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tollgate_model::ClientMetadata;
use tollgate_system::Clock;
use tollgate_test_kit::jwt::{ClientKey, base64url, random_id};

use crate::fixture::{Origin, UserBrowser, answer, claims, redemption, text};

fn now() -> u64 {
    Clock::system().now()
}

#[tokio::test(flavor = "multi_thread")]
async fn dpop_proof_is_valid_for_one_request_and_once() {
    let (origin, key) = (Origin::start().await, ClientKey::generate());
    origin.client("robot", Origin::service("orders")).await;
    let url = format!("{}/oauth/token", origin.server.issuer());
    let ask = async |proof: &str| {
        let form = [("grant_type", "client_credentials")];
        answer(origin.form("/oauth/token", "robot", &form).header("dpop", proof)).await
    };
    let proof = key.proof("POST", &url, json!({}));
    let (status, tokens) = ask(&proof).await;
    assert_eq!((status, &tokens["token_type"]), (200, &json!("DPoP")), "{tokens}");
    let token = text(&tokens, "access_token");
    assert_eq!(claims(token)["cnf"]["jkt"], json!(key.thumbprint()));
    let introspected = origin.introspect("robot", token).await;
    assert_eq!((&introspected["token_type"], &introspected["cnf"]["jkt"]), (&json!("DPoP"), &json!(key.thumbprint())));
    let claims = json!({ "htm": "POST", "htu": url, "iat": now(), "jti": random_id() });
    for (what, proof) in [
        ("a replay", proof),
        ("another method", key.proof("GET", &url, json!({}))),
        ("another URL", key.proof("POST", "https://elsewhere.example/oauth/token", json!({}))),
        ("too old", key.proof("POST", &url, json!({ "iat": now() - 301 }))),
        ("from the future", key.proof("POST", &url, json!({ "iat": now() + 120 }))),
        ("another type", key.sign(&json!({ "typ": "JWT", "jwk": key.jwk() }), &claims)),
        ("no key", key.sign(&json!({ "typ": "dpop+jwt" }), &claims)),
        (
            "a key that did not sign it",
            key.sign(&json!({ "typ": "dpop+jwt", "jwk": ClientKey::generate().jwk() }), &claims),
        ),
        ("not a JWT", "x".to_owned()),
    ] {
        let (status, error) = ask(&proof).await;
        assert_eq!((status, &error["error"]), (400, &json!("invalid_dpop_proof")), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dpop_nonce_is_required_when_configured() {
    let (origin, key) = (Origin::start_with(&[("TOLLGATE_DPOP_NONCE_REQUIRED", "true")]).await, ClientKey::generate());
    origin.client("robot", Origin::service("orders")).await;
    let url = format!("{}/oauth/token", origin.server.issuer());
    let ask = async |proof: String| {
        let form = [("grant_type", "client_credentials")];
        let answer = origin.form("/oauth/token", "robot", &form).header("dpop", proof).send().await.expect("answered");
        let nonce = answer.headers().get("dpop-nonce").map(|nonce| nonce.to_str().expect("text").to_owned());
        (answer.status().as_u16(), nonce, answer.json::<serde_json::Value>().await.expect("JSON"))
    };
    let (status, nonce, error) = ask(key.proof("POST", &url, json!({}))).await;
    assert_eq!((status, &error["error"]), (400, &json!("use_dpop_nonce")));
    let nonce = nonce.expect("a nonce");
    let (status, next, _) = ask(key.proof("POST", &url, json!({ "nonce": nonce }))).await;
    assert!(status == 200 && next.is_some());
    let (status, _, error) = ask(key.proof("POST", &url, json!({ "nonce": "AAAAAAAAAAAAAAAA" }))).await;
    assert_eq!((status, &error["error"]), (400, &json!("use_dpop_nonce")));
}

#[tokio::test(flavor = "multi_thread")]
async fn dpop_bound_token_needs_a_proof_of_its_key() {
    let (origin, key) = (Origin::start().await, ClientKey::generate());
    origin.user("ada").await;
    origin.client("shop", ClientMetadata { dpop_bound_access_tokens: true, ..Origin::web() }).await;
    let (token_url, info_url) =
        ["/oauth/token", "/oauth/userinfo"].map(|path| format!("{}{path}", origin.server.issuer())).into();
    let browser = UserBrowser::new(&origin, "ada");
    let code = origin.code(&browser, "shop", &[("dpop_jkt", &key.thumbprint())]).await;
    assert_eq!(origin.token_error("shop", &redemption(&code)).await, "invalid_grant", "the code is bound to the key");
    let proof = key.proof("POST", &token_url, json!({}));
    let (_, tokens) = answer(origin.form("/oauth/token", "shop", &redemption(&code)).header("dpop", proof)).await;
    let token = text(&tokens, "access_token");
    let ath = base64url(&Sha256::digest(token));
    let status_with = async |scheme: &str, proof: Option<String>| {
        let request = origin.http.get(origin.url("/oauth/userinfo")).header(AUTHORIZATION, format!("{scheme} {token}"));
        let request = match proof {
            Some(proof) => request.header("dpop", proof),
            None => request,
        };
        request.send().await.expect("answered").status().as_u16()
    };
    let proof = || Some(key.proof("GET", &info_url, json!({ "ath": ath })));
    assert_eq!(status_with("DPoP", proof()).await, 200);
    assert_eq!(status_with("Bearer", None).await, 401);
    assert_eq!(status_with("Bearer", proof()).await, 401);
    assert_eq!(status_with("DPoP", None).await, 401);
    assert_eq!(status_with("DPoP", Some(key.proof("GET", &info_url, json!({})))).await, 401, "no ath");
    assert_eq!(
        status_with("DPoP", Some(ClientKey::generate().proof("GET", &info_url, json!({ "ath": ath })))).await,
        401
    );
}
