//! OpenID Connect: discovery, ID tokens, userinfo, pairwise subjects, logout.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tollgate_core::{Algorithm, KeySet};
use tollgate_keys::jose::Jws;
use tollgate_model::jwks::public_keys;
use tollgate_model::{ClientMetadata, SubjectType, TokenAlg};
use tollgate_test_kit::jwt::base64url;
use tollgate_test_kit::logout_listener::LogoutListener;
use tollgate_test_kit::users::PASSWORD;

use crate::console::Fixture;
use crate::fixture::{Origin, UserBrowser, answer, claims, header, parameters, text};

#[tokio::test(flavor = "multi_thread")]
async fn discovery_lists_only_existing_endpoints() {
    let origin = Origin::start().await;
    let get = async |path: &str| answer(origin.http.get(origin.url(path))).await;
    let (status, openid) = get("/.well-known/openid-configuration").await;
    assert_eq!((status, &openid["issuer"]), (200, &json!(origin.server.issuer())));
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
async fn id_token_is_signed_with_the_registered_algorithm_and_has_at_hash() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let keys = origin.http.get(origin.url("/.well-known/jwks.json")).send().await.expect("answered");
    let keys = KeySet::from_jwks(&keys.bytes().await.expect("a body")).expect("keys");
    for alg in [None, Some(TokenAlg::EdDsa), Some(TokenAlg::Es256)] {
        let id = alg.map_or("default", TokenAlg::as_str);
        origin.client(id, ClientMetadata { id_token_signed_response_alg: alg, ..Origin::web() }).await;
        let code = origin.code(&UserBrowser::new(&origin, "ada"), id, &[("scope", "openid email")]).await;
        let tokens = origin.redeem(id, &code).await;
        let (access, jwt) = (text(&tokens, "access_token"), text(&tokens, "id_token"));
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
        // An ID token is not accepted as an access token.
        assert_eq!(origin.introspect(id, jwt).await, json!({ "active": false }));
        let as_bearer = answer(origin.http.get(origin.url("/oauth/userinfo")).bearer_auth(jwt)).await;
        assert_eq!(as_bearer.0, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn userinfo_returns_only_claims_of_the_granted_scope() {
    let origin = Origin::start().await;
    let user = origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let signed = ClientMetadata { userinfo_signed_response_alg: Some(TokenAlg::Es256), ..Origin::web() };
    origin.client("bank", signed).await;
    let token = async |client: &str, scope: &str| {
        let code = origin.code(&UserBrowser::new(&origin, "ada"), client, &[("scope", scope)]).await;
        text(&origin.redeem(client, &code).await, "access_token").to_owned()
    };
    let ask = async |token: &str| answer(origin.http.get(origin.url("/oauth/userinfo")).bearer_auth(token)).await;
    let (status, info) = ask(&token("shop", "openid profile").await).await;
    assert_eq!(
        (status, info),
        (200, json!({ "sub": user.as_str(), "name": "Ada Lovelace", "preferred_username": "ada" }))
    );
    assert_eq!(ask(&token("shop", "orders").await).await.0, 403, "the scope lacks openid");
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
async fn pairwise_subject_differs_between_sectors() {
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
        let code = origin.code(&UserBrowser::new(&origin, "ada"), id, &[]).await;
        let tokens = origin.redeem(id, &code).await;
        let access = text(&tokens, "access_token");
        let info = answer(origin.http.get(origin.url("/oauth/userinfo")).bearer_auth(access)).await.1;
        assert_eq!(claims(text(&tokens, "id_token"))["sub"], info["sub"]);
        assert_eq!(claims(access)["sub"], info["sub"]);
        subjects.push(info["sub"].as_str().expect("a subject").to_owned());
    }
    assert_eq!(subjects[0], subjects[1]);
    assert!(subjects[0] != subjects[2] && !subjects.contains(&user.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_a_user_ends_sessions_and_tokens() {
    let origin = Origin::start().await;
    let user = origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let browser = UserBrowser::new(&origin, "ada");
    let code = origin.code(&browser, "shop", &[]).await;
    let tokens = origin.redeem("shop", &code).await;
    let by = tollgate_model::Actor::command_line(None);
    origin
        .server
        .store()
        .disable_user(&user, &tollgate_storage::Termination::new(&by, "test", tollgate_system::Clock::system().now()))
        .await
        .expect("disabled");
    let access = text(&tokens, "access_token");
    assert_eq!(origin.introspect("shop", access).await, json!({ "active": false }));
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(&tokens, "refresh_token"))];
    assert_eq!(origin.token_error("shop", &refresh).await, "invalid_grant");
    assert!(browser.request_authorization("shop", &[]).await.redirect().expect("a redirect").contains("/login?"));
    let page = browser.get("/login").await;
    let csrf = page.field("csrf").expect("a form");
    let form = [("csrf", csrf.as_str()), ("username", "ada"), ("password", PASSWORD)];
    assert_eq!(browser.post("/login", &form).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_ends_the_session_and_its_grants_and_notifies_clients() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let listener = LogoutListener::start().await.expect("a free port");
    let metadata = ClientMetadata {
        backchannel_logout_uri: Some(listener.url.parse().expect("a URL")),
        post_logout_redirect_uris: vec!["https://shop.example/bye".parse().expect("a URI")],
        ..Origin::web()
    };
    origin.client("shop", metadata).await;
    let browser = UserBrowser::new(&origin, "ada");
    let offline = origin.code(&browser, "shop", &[("scope", "openid offline_access")]).await;
    let offline = origin.redeem("shop", &offline).await;
    let code = origin.code(&browser, "shop", &[]).await;
    let tokens = origin.redeem("shop", &code).await;
    let hint = text(&tokens, "id_token");

    let elsewhere = format!("/oauth/logout?id_token_hint={hint}&post_logout_redirect_uri=https%3A%2F%2Fevil.example");
    assert_eq!(browser.get(&elsewhere).await.status, 400);
    assert_eq!(browser.get("/oauth/logout?id_token_hint=x.y.z").await.status, 400);
    let question = browser.get("/oauth/logout?client_id=shop").await;
    assert!(question.status == 200 && question.body.contains("Sign out?"), "without a hint the origin asks the user");
    let uri = "https%3A%2F%2Fshop.example%2Fbye";
    let page = browser.get(&format!("/oauth/logout?id_token_hint={hint}&post_logout_redirect_uri={uri}&state=s")).await;
    assert_eq!(page.redirect().as_deref(), Some("https://shop.example/bye?state=s"));

    let access = |tokens: &Value| text(tokens, "access_token").to_owned();
    assert_eq!(origin.introspect("shop", &access(&tokens)).await, json!({ "active": false }));
    assert_eq!(
        origin.introspect("shop", &access(&offline)).await["active"],
        true,
        "offline_access outlasts the session"
    );
    assert!(browser.request_authorization("shop", &[]).await.redirect().expect("a redirect").contains("/login?"));
    let mut sids = Vec::new();
    let logout_tokens = listener.received_tokens(&origin).await.expect("all logout tokens are sent");
    assert_eq!(logout_tokens.len(), 2, "one for each grant");
    for token in logout_tokens {
        assert_eq!(header(&token)["typ"], "logout+jwt");
        let token = claims(&token);
        assert!(token["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());
        assert!(token.get("nonce").is_none());
        assert_eq!(token["aud"], "shop");
        sids.push(token["sid"].clone());
    }
    assert!(sids.contains(&claims(hint)["sid"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_with_backchannel_logout_get_the_session_with_their_tokens() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let listener = LogoutListener::start().await.expect("a free port");
    let uri = Some(listener.url.parse().expect("a URL"));
    origin.client("shop", ClientMetadata { backchannel_logout_uri: uri, ..Origin::web() }).await;
    origin.client("other", Origin::web()).await;
    let browser = UserBrowser::new(&origin, "ada");
    let code = origin.code(&browser, "shop", &[]).await;
    let tokens = origin.redeem("shop", &code).await;
    assert_eq!(tokens["session_state"], claims(text(&tokens, "id_token"))["sid"]);
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(&tokens, "refresh_token"))];
    assert_eq!(origin.token("shop", &refresh).await["session_state"], tokens["session_state"]);
    let code = origin.code(&browser, "other", &[]).await;
    assert!(origin.redeem("other", &code).await.get("session_state").is_none());
}

/// What discovery offers for ID tokens.
async fn id_token_algorithms(origin: &Origin) -> Vec<String> {
    let (_, discovery) = answer(origin.http.get(origin.url("/.well-known/openid-configuration"))).await;
    let algs = discovery["id_token_signing_alg_values_supported"].as_array().expect("a list").iter();
    algs.map(|alg| alg.as_str().expect("a name").to_owned()).collect()
}

/// Creates the first key of an algorithm, and waits until discovery offers it.
async fn create_key(fixture: &Fixture, alg: &str) {
    let (status, created) = fixture.send(reqwest::Method::POST, "/keys", json!({ "alg": alg })).await;
    assert_eq!(status, 201, "{created}");
    let published = tokio::time::timeout(Duration::from_secs(60), async {
        while !id_token_algorithms(&fixture.origin).await.iter().any(|offered| offered == alg) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    published.await.expect("the key is published and signs");
}

/// Registers a client by the admin API; `member` is its signature algorithm `alg`.
async fn register(fixture: &Fixture, id: &str, member: &str, alg: &str) -> (u16, Value) {
    let body = json!({
        "client_id": id, "client_name": "A bank", "grant_types": ["authorization_code"], "scope": "openid",
        "redirect_uris": ["https://bank.example/cb"], member: alg,
    });
    fixture.send(reqwest::Method::POST, "/clients", body).await
}

/// An access token and a verified ID token of a client whose ID tokens have this algorithm.
async fn tokens_signed_with(origin: &Origin, browser: &UserBrowser<'_>, alg: TokenAlg) -> (Value, Map<String, Value>) {
    let client = alg.as_str();
    let metadata = ClientMetadata { id_token_signed_response_alg: Some(alg), ..Origin::web() };
    origin.client(client, metadata.checked().expect("good")).await;
    let tokens = origin.redeem(client, &origin.code(browser, client, &[("scope", "openid email")]).await).await;
    let (access, jwt) = (text(&tokens, "access_token"), text(&tokens, "id_token"));
    assert_eq!((&header(jwt)["alg"], &header(access)["alg"]), (&json!(client), &json!("EdDSA")));
    let (_, jwks) = answer(origin.http.get(origin.url("/.well-known/jwks.json"))).await;
    let key = jwks["keys"].as_array().expect("keys").iter().find(|key| key["kid"] == header(jwt)["kid"]).expect("it");
    assert_eq!(key["alg"], client, "a key has one algorithm");
    let verified = Jws::parse(jwt).and_then(|jws| jws.verify(&public_keys(&jwks))).expect("verified");
    // It is no access token, but the server recognises it.
    assert_eq!(origin.introspect(client, jwt).await, json!({ "active": false }));
    let hint = [("id_token_hint", jwt), ("prompt", "none"), ("scope", "openid email")];
    let page = browser.request_authorization(client, &hint).await;
    assert!(parameters(&page.redirect().expect("a redirect")).contains_key("code"));
    (tokens.clone(), verified)
}

#[tokio::test(flavor = "multi_thread")]
async fn ps256_is_offered_once_an_operator_created_its_key() {
    let fixture = Fixture::start().await;
    let origin = &fixture.origin;
    origin.user("ada").await;
    assert_eq!(id_token_algorithms(origin).await, ["EdDSA", "ES256", "RS256"]);
    let (status, refusal) = register(&fixture, "early", "id_token_signed_response_alg", "PS256").await;
    assert!(status == 400 && refusal.to_string().contains("tollgate key rotate --alg PS256"), "{refusal}");
    create_key(&fixture, "PS256").await;
    assert_eq!(register(&fixture, "bank", "id_token_signed_response_alg", "PS256").await.0, 201);
    let (status, refusal) = register(&fixture, "tokens", "access_token_signed_response_alg", "PS256").await;
    assert!(status == 400 && refusal.to_string().contains("edges do not verify PS256"), "{refusal}");
    let browser = UserBrowser::new(origin, "ada");
    let (tokens, verified) = tokens_signed_with(origin, &browser, TokenAlg::Ps256).await;
    let half = base64url(&Sha256::digest(text(&tokens, "access_token"))[..16]);
    assert_eq!(verified["at_hash"], json!(half));
}

#[tokio::test(flavor = "multi_thread")]
async fn ed25519_names_the_algorithm_of_responses_once_its_key_exists() {
    const MEMBER: &str = "id_token_signed_response_alg";
    let fixture = Fixture::start().await;
    let origin = &fixture.origin;
    origin.user("ada").await;
    let (status, registered) = register(&fixture, "early", MEMBER, "Ed25519").await;
    assert_eq!((status, &registered[MEMBER]), (201, &json!("EdDSA")), "the other name of the algorithm");
    create_key(&fixture, "Ed25519").await;
    let (status, registered) = register(&fixture, "late", MEMBER, "Ed25519").await;
    assert_eq!((status, &registered[MEMBER]), (201, &json!("Ed25519")));
    let (status, registered) = register(&fixture, "tokens", "access_token_signed_response_alg", "Ed25519").await;
    assert_eq!((status, &registered["alg"]), (201, &json!("EdDSA")), "access tokens keep the usual name");
    let (_, verified) = tokens_signed_with(origin, &UserBrowser::new(origin, "ada"), TokenAlg::Ed25519).await;
    assert_eq!(verified["email"], "ada@example.org");
}
