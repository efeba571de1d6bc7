//! OpenID Connect: discovery, ID tokens, userinfo, pairwise subjects, logout.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::routing::post;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tollgate_core::{Algorithm, KeySet};
use tollgate_model::{ClientMetadata, SubjectType, TokenAlg};

use crate::harness::{Browser, Origin, answer, base64url, claims, header};

#[tokio::test(flavor = "multi_thread")]
async fn discovery_names_what_is_there() {
    let origin = Origin::start().await;
    let get = async |path: &str| answer(origin.http.get(origin.url(path))).await;
    let (status, openid) = get("/.well-known/openid-configuration").await;
    assert_eq!((status.as_u16(), &openid["issuer"]), (200, &json!(origin.server.issuer())));
    assert_eq!(get("/.well-known/oauth-authorization-server").await.1, openid);
    assert_eq!(openid["response_types_supported"], json!(["code"]));
    assert!(openid.get("registration_endpoint").is_none(), "registration is off");
    for (name, value) in openid.as_object().expect("an object") {
        let Some(path) = value.as_str().and_then(|url| url.strip_prefix(origin.server.issuer())) else {
            continue;
        };
        if !path.is_empty() && (name.ends_with("_endpoint") || name == "jwks_uri") {
            let status = origin.http.get(origin.url(path)).send().await.expect("answered").status();
            assert_ne!(status, 404, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn id_tokens_are_signed_as_registered_and_bound_to_their_access_token() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let keys = origin.http.get(origin.url("/.well-known/jwks.json")).send().await.expect("answered");
    let keys = KeySet::from_jwks(&keys.bytes().await.expect("a body")).expect("keys");
    for alg in [None, Some(TokenAlg::EdDsa), Some(TokenAlg::Es256)] {
        let id = alg.map_or("default", TokenAlg::as_str);
        origin.client(id, ClientMetadata { id_token_signed_response_alg: alg, ..Origin::web() }).await;
        let code = origin.code(&Browser::of(&origin, "ada"), id, &[("scope", "openid email")]).await;
        let tokens = origin.redeem(id, &code).await;
        let (access, jwt) = (tokens["access_token"].as_str().expect("one"), tokens["id_token"].as_str().expect("one"));
        let (signed, signature) = jwt.rsplit_once('.').expect("a JWT");
        let algorithm = Algorithm::from_name(header(jwt)["alg"].as_str().expect("an alg")).expect("known");
        assert_eq!(algorithm.name(), alg.unwrap_or(TokenAlg::Rs256).as_str());
        let signature = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature);
        let kid = header(jwt)["kid"].as_str().map(str::to_owned);
        keys.check_signature(kid.as_deref(), algorithm, signed.as_bytes(), &signature.expect("base64url"))
            .expect("good");
        let id_token = claims(jwt);
        if alg != Some(TokenAlg::EdDsa) {
            assert_eq!(id_token["at_hash"], json!(base64url(&Sha256::digest(access)[..16])));
        }
        assert_eq!((&id_token["email"], &id_token.get("name")), (&json!("ada@example.org"), &None));
        assert_eq!((&id_token["acr"], &id_token["amr"]), (&json!("urn:tollgate:acr:password"), &json!(["pwd"])));
        // An ID token is no access token, and the other way around.
        assert_eq!(origin.introspect(id, jwt).await, json!({ "active": false }));
        let as_bearer = answer(origin.http.get(origin.url("/oauth/userinfo")).bearer_auth(jwt)).await;
        assert_eq!(as_bearer.0, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn userinfo_tells_what_the_scope_opens() {
    let origin = Origin::start().await;
    let user = origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let signed = ClientMetadata { userinfo_signed_response_alg: Some(TokenAlg::Es256), ..Origin::web() };
    origin.client("bank", signed).await;
    let token = async |client: &str, scope: &str| {
        let code = origin.code(&Browser::of(&origin, "ada"), client, &[("scope", scope)]).await;
        origin.redeem(client, &code).await["access_token"].as_str().expect("a token").to_owned()
    };
    let ask = async |token: &str| answer(origin.http.get(origin.url("/oauth/userinfo")).bearer_auth(token)).await;
    let (status, info) = ask(&token("shop", "openid profile").await).await;
    assert_eq!((status.as_u16(), info), (200, json!({ "sub": user.as_str(), "name": "Ada Lovelace" })));
    assert_eq!(ask(&token("shop", "orders").await).await.0, 403, "it needs openid");
    assert_eq!(ask("x").await.0, 401);
    let request = origin.http.post(origin.url("/oauth/userinfo")).bearer_auth(token("bank", "openid email").await);
    let answered = request.send().await.expect("answered");
    assert_eq!(answered.headers()["content-type"], "application/jwt");
    let info = claims(&answered.text().await.expect("text"));
    assert_eq!((&info["aud"], &info["iss"]), (&json!("bank"), &json!(origin.server.issuer())));
    assert_eq!(info["email"], "ada@example.org");
    let bare = origin.http.get(origin.url("/oauth/userinfo")).send().await.expect("answered");
    assert_eq!(bare.headers()["www-authenticate"], "Bearer realm=\"tollgate\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn sectors_know_a_user_by_names_of_their_own() {
    let origin = Origin::start().await;
    let user = origin.user("ada").await;
    let mut subjects = Vec::new();
    for (id, sector) in
        [("a", "https://one.example/uris"), ("b", "https://one.example/x"), ("c", "https://two.example/x")]
    {
        let metadata = ClientMetadata {
            subject_type: SubjectType::Pairwise,
            sector_identifier_uri: Some(sector.parse().expect("a URL")),
            ..Origin::web()
        };
        origin.client(id, metadata).await;
        let code = origin.code(&Browser::of(&origin, "ada"), id, &[]).await;
        let tokens = origin.redeem(id, &code).await;
        let access = tokens["access_token"].as_str().expect("a token");
        let info = answer(origin.http.get(origin.url("/oauth/userinfo")).bearer_auth(access)).await.1;
        assert_eq!(claims(tokens["id_token"].as_str().expect("one"))["sub"], info["sub"]);
        assert_eq!(claims(access)["sub"], info["sub"]);
        subjects.push(info["sub"].as_str().expect("a subject").to_owned());
    }
    assert_eq!(subjects[0], subjects[1]);
    assert!(subjects[0] != subjects[2] && !subjects.contains(&user.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_disabled_is_out_everywhere() {
    let origin = Origin::start().await;
    let user = origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let browser = Browser::of(&origin, "ada");
    let code = origin.code(&browser, "shop", &[]).await;
    let tokens = origin.redeem("shop", &code).await;
    let by = tollgate_model::Actor::command_line(None);
    origin
        .server
        .store()
        .disable_user(&user, &tollgate_storage::Ending::new(&by, "test", tollgate_system::ambient::now()))
        .await
        .expect("disabled");
    let access = tokens["access_token"].as_str().expect("a token");
    assert_eq!(origin.introspect("shop", access).await, json!({ "active": false }));
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", tokens["refresh_token"].as_str().expect("one"))];
    assert_eq!(origin.refused("shop", &refresh).await, "invalid_grant");
    assert!(browser.ask("shop", &[]).await.location.expect("a redirect").contains("/login?"));
    let page = browser.get("/login").await;
    let csrf = page.field("csrf").expect("a form");
    let form = [("csrf", csrf.as_str()), ("username", "ada"), ("password", crate::harness::PASSWORD)];
    assert_eq!(browser.post("/login", &form).await.status, 403);
}

/// A client that listens for logouts.
async fn listener() -> (String, mpsc::Receiver<String>) {
    let (sender, receiver) = mpsc::channel(8);
    let hear = async |State(sender): State<Arc<mpsc::Sender<String>>>, Form(form): Form<Vec<(String, String)>>| {
        let token = form.into_iter().find(|(name, _)| name == "logout_token").expect("a token").1;
        sender.send(token).await.expect("heard");
    };
    let router = axum::Router::new().route("/logout", post(hear)).with_state(Arc::new(sender));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/logout", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, receiver)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_the_session_and_what_was_given_and_clients_hear_of_it() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let (url, mut heard) = listener().await;
    let metadata = ClientMetadata {
        backchannel_logout_uri: Some(url.parse().expect("a URL")),
        post_logout_redirect_uris: vec!["https://shop.example/bye".parse().expect("a URI")],
        ..Origin::web()
    };
    origin.client("shop", metadata).await;
    let browser = Browser::of(&origin, "ada");
    let lasting = origin.code(&browser, "shop", &[("scope", "openid offline_access")]).await;
    let lasting = origin.redeem("shop", &lasting).await;
    let code = origin.code(&browser, "shop", &[]).await;
    let tokens = origin.redeem("shop", &code).await;
    let hint = tokens["id_token"].as_str().expect("a token");

    let elsewhere = format!("/oauth/logout?id_token_hint={hint}&post_logout_redirect_uri=https%3A%2F%2Fevil.example");
    assert_eq!(browser.get(&elsewhere).await.status, 400);
    assert_eq!(browser.get("/oauth/logout?id_token_hint=x.y.z").await.status, 400);
    let asks = browser.get("/oauth/logout?client_id=shop").await;
    assert!(asks.status == 200 && asks.body.contains("Sign out?"), "without a hint the user is asked");
    let uri = "https%3A%2F%2Fshop.example%2Fbye";
    let page = browser.get(&format!("/oauth/logout?id_token_hint={hint}&post_logout_redirect_uri={uri}&state=s")).await;
    assert_eq!(page.location.as_deref(), Some("https://shop.example/bye?state=s"));

    let access = |tokens: &Value| tokens["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(origin.introspect("shop", &access(&tokens)).await, json!({ "active": false }));
    assert_eq!(origin.introspect("shop", &access(&lasting)).await["active"], true, "it was to last offline");
    assert!(browser.ask("shop", &[]).await.location.expect("a redirect").contains("/login?"));
    let mut sids = Vec::new();
    for _ in 0..2 {
        let token = heard.recv().await.expect("told");
        assert_eq!(header(&token)["typ"], "logout+jwt");
        let token = claims(&token);
        assert!(token["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());
        assert!(token.get("nonce").is_none());
        assert_eq!(token["aud"], "shop");
        sids.push(token["sid"].clone());
    }
    assert!(sids.contains(&claims(hint)["sid"]));
}
