//! The authorization code grant.

use reqwest::header::SET_COOKIE;
use serde_json::json;
use tokio::task::JoinSet;
use tollgate_model::{AuthMethod, ClientMetadata};
use tollgate_test_kit::client::CODE_VERIFIER;
use tollgate_test_kit::jwt::ClientKey;
use tollgate_test_kit::users::PASSWORD;

use crate::fixture::{
    Origin, REDIRECT_URI, UserBrowser, answer, authorization_query, claims, parameters, redemption, text,
};

#[tokio::test(flavor = "multi_thread")]
async fn authorization_code_grant_issues_tokens_and_remembers_consent() {
    let origin = Origin::start().await;
    let user = origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let browser = UserBrowser::new(&origin, "ada");
    let to = browser.authorize("shop", &[("nonce", "n-1")]).await;
    assert_eq!((to["state"].as_str(), to["iss"].as_str()), ("a state", origin.server.issuer()));
    let tokens = origin.redeem("shop", &to["code"]).await;
    assert_eq!((&tokens["token_type"], &tokens["scope"]), (&json!("Bearer"), &json!("openid orders")));
    let access = claims(text(&tokens, "access_token"));
    assert_eq!((&access["sub"], &access["client_id"]), (&json!(user.as_str()), &json!("shop")));
    assert!(access["sid"].as_str().is_some_and(|sid| sid.starts_with("tgg_")) && access["auth_time"].is_u64());
    let id = claims(text(&tokens, "id_token"));
    assert_eq!((&id["aud"], &id["nonce"], &id["sid"]), (&json!("shop"), &json!("n-1"), &access["sid"]));
    assert!(tokens["refresh_token"].as_str().is_some_and(|token| token.starts_with("tgr_")));
    // The origin asks for consent once.
    let again = browser.request_authorization("shop", &[]).await;
    let location = again.redirect().expect("a redirect to the client");
    assert!(location.starts_with(REDIRECT_URI) && parameters(&location).contains_key("code"), "{location}");
    let more = browser.request_authorization("shop", &[("scope", "openid orders email")]).await;
    assert!(more.redirect().expect("a redirect").contains("/consent?"), "more needs consent");
    origin.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_code_redemption_succeeds_once_and_replay_revokes() {
    let origin = std::sync::Arc::new(Origin::start().await);
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let code = origin.code(&UserBrowser::new(&origin, "ada"), "shop", &[]).await;
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        let (origin, code) = (std::sync::Arc::clone(&origin), code.clone());
        requests.spawn(async move { origin.post("/oauth/token", "shop", &redemption(&code)).await });
    }
    let answers = requests.join_all().await;
    let good: Vec<_> = answers.iter().filter(|(status, _)| *status == 200).collect();
    assert_eq!(good.len(), 1);
    assert!(
        answers.iter().all(|(status, body)| *status == 200 || (*status == 400 && body["error"] == "invalid_grant"))
    );
    let tokens = &good[0].1;
    let access = origin.introspect("shop", text(tokens, "access_token")).await;
    assert_eq!(access, json!({ "active": false }), "the replay revoked it");
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(tokens, "refresh_token"))];
    assert_eq!(origin.token_error("shop", &refresh).await, "invalid_grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_is_bound_to_client_redirect_uri_and_challenge() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    origin.client("other", Origin::web()).await;
    let browser = UserBrowser::new(&origin, "ada");
    let code = origin.code(&browser, "shop", &[]).await;
    let refused = async |client: &str, name: &str, value: &str| {
        let form = redemption(&code).map(|(own, old)| (own, if own == name { value } else { old }));
        origin.token_error(client, &form).await
    };
    assert_eq!(refused("other", "", "").await, "invalid_grant");
    assert_eq!(refused("shop", "redirect_uri", "https://shop.example/").await, "invalid_grant");
    assert_eq!(refused("shop", "redirect_uri", "").await, "invalid_grant");
    let other = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    assert_eq!(refused("shop", "code_verifier", other).await, "invalid_grant");
    assert_eq!(refused("shop", "code_verifier", "").await, "invalid_request");
    // None of these redeemed the code.
    origin.redeem("shop", &code).await;
    for code in ["", "tgz_x", "x"] {
        let form = [("grant_type", "authorization_code"), ("code", code), ("code_verifier", CODE_VERIFIER)];
        let error = origin.token_error("shop", &form).await;
        assert_eq!(error, if code.is_empty() { "invalid_request" } else { "invalid_grant" });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn authorization_response_goes_only_to_a_registered_redirect_uri() {
    let origin = Origin::start().await;
    origin.client("shop", Origin::web()).await;
    let browser = UserBrowser::new(&origin, "ada");
    for more in [
        [("redirect_uri", "https://shop.example/cb/")].as_slice(),
        &[("redirect_uri", "https://evil.example/cb")],
        &[("redirect_uri", "https://shop.example/cb?x")],
        &[("client_id", "nobody")],
        &[("client_id", "")],
        &[("request_uri", "urn:ietf:params:oauth:request_uri:tgq_x")],
    ] {
        let page = browser.request_authorization("shop", more).await;
        assert_eq!((page.status, page.redirect()), (400, None), "{more:?}");
        assert!(page.headers["content-security-policy"].to_str().expect("text").contains("frame-ancestors 'none'"));
    }
    for (more, error) in [
        ([("response_type", "token")].as_slice(), "unsupported_response_type"),
        (&[("response_type", "")], "invalid_request"),
        (&[("code_challenge", "")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("scope", "admin")], "invalid_scope"),
        (&[("resource", "https://other.example")], "invalid_target"),
        (&[("prompt", "none")], "login_required"),
        (&[("request", "x.y.z")], "request_not_supported"),
        (&[("request_uri", "https://shop.example/request")], "request_uri_not_supported"),
        (&[("authorization_details", "[{\"type\":\"x\"}]")], "invalid_authorization_details"),
    ] {
        let page = browser.request_authorization("shop", more).await;
        assert_eq!(page.status, 303, "{more:?}");
        let to = parameters(&page.redirect().expect("a redirect"));
        assert_eq!((to["error"].as_str(), to["state"].as_str()), (error, "a state"), "{more:?}");
        assert_eq!(to["iss"], origin.server.issuer());
    }
    let twice = format!("/oauth/authorize?{}&state=b", authorization_query("shop", &[]));
    assert_eq!(browser.get(&twice).await.status, 400, "a repeated parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn user_may_deny_and_prompt_and_max_age_are_followed() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let browser = UserBrowser::new(&origin, "ada");
    let page = browser.request_authorization("shop", &[]).await;
    let to = browser.complete(page, "deny").await;
    assert_eq!((to["error"].as_str(), to["state"].as_str()), ("access_denied", "a state"));
    let to =
        parameters(&browser.request_authorization("shop", &[("prompt", "none")]).await.redirect().expect("a redirect"));
    assert_eq!(to["error"], "consent_required");
    origin.code(&browser, "shop", &[]).await;
    let silent =
        parameters(&browser.request_authorization("shop", &[("prompt", "none")]).await.redirect().expect("a redirect"));
    assert!(silent.contains_key("code"));
    for (more, page) in [
        ([("prompt", "login")], "/login?"),
        ([("prompt", "select_account")], "/login?"),
        ([("max_age", "0")], "/login?"),
        ([("prompt", "consent")], "/consent?"),
    ] {
        let location = browser.request_authorization("shop", &more).await.redirect().expect("a redirect");
        assert!(location.contains(page), "{more:?}: {location}");
        assert!(browser.authorize("shop", &more).await.contains_key("code"), "{more:?}");
    }
    let hinted = browser
        .request_authorization("shop", &[("prompt", "login"), ("login_hint", "ada")])
        .await
        .redirect()
        .expect("a redirect");
    assert!(browser.get(&hinted).await.body.contains("value=\"ada\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn form_is_valid_only_in_the_browser_that_got_it() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let (browser, other_browser) = (UserBrowser::new(&origin, "ada"), UserBrowser::new(&origin, "ada"));
    let before = browser.get("/login").await;
    let (csrf, anonymous) = (before.field("csrf").expect("a form"), browser.cookies());
    other_browser.get("/login").await;
    let form = [("csrf", csrf.as_str()), ("username", "ada"), ("password", PASSWORD)];
    for (other, why) in [(&other_browser, "another browser's form"), (&UserBrowser::new(&origin, "ada"), "no cookie")] {
        let shown_again = other.post("/login", &form).await;
        assert_eq!(shown_again.redirect(), Some(origin.url("/login?stale=1")), "{why}");
        assert!(
            !shown_again.headers.contains_key(SET_COOKIE),
            "{why}: a new cookie would replace the one that browsers omit with another site's form"
        );
        assert_eq!(other.get("/account/sessions").await.status, 303, "{why}: nobody is signed in");
    }
    let wrong = [("csrf", csrf.as_str()), ("username", "ada"), ("password", "wrong")];
    let unknown = [("csrf", csrf.as_str()), ("username", "bob"), ("password", "wrong")];
    let (wrong, unknown) = (browser.post("/login", &wrong).await, browser.post("/login", &unknown).await);
    assert_eq!((wrong.status, unknown.status), (403, 403));
    assert_eq!(wrong.body.replace("ada", "bob"), unknown.body, "the page does not show whether the user exists");
    assert_eq!(browser.post("/login", &form).await.status, 303);
    assert_ne!(browser.cookies(), anonymous, "a sign-in sets a new cookie");
}

#[tokio::test(flavor = "multi_thread")]
async fn pushed_request_is_valid_once_and_request_object_must_be_signed() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let key = ClientKey::generate();
    let strict =
        ClientMetadata { require_pushed_authorization_requests: true, jwks: Some(key.jwks()), ..Origin::web() };
    origin.client("shop", strict).await;
    origin.client("other", Origin::web()).await;
    let browser = UserBrowser::new(&origin, "ada");
    let to = parameters(&browser.request_authorization("shop", &[]).await.redirect().expect("a redirect"));
    assert_eq!(to["error"], "invalid_request", "it was not pushed");

    let query = authorization_query("shop", &[]);
    let form: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let push = async |form: &[(&str, &str)]| origin.post("/oauth/par", "shop", form).await;
    let (status, pushed) = push(&form).await;
    assert_eq!((status, &pushed["expires_in"]), (201, &json!(60)), "{pushed}");
    let uri = text(&pushed, "request_uri");
    let handle = [("client_id", "other"), ("request_uri", uri)];
    let by = |client: &str| {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("client_id", client), ("request_uri", uri)])
            .finish();
        format!("/oauth/authorize?{query}")
    };
    let first = browser.get(&by("shop")).await;
    assert!(browser.complete(first, "allow").await.contains_key("code"));
    assert_eq!(browser.get(&by("shop")).await.status, 400, "a second use");
    assert_eq!(push(&handle).await.1["error"], "invalid_request");
    let (_, other) = push(&form).await;
    let uri = text(&other, "request_uri");
    let foreign = format!("/oauth/authorize?client_id=other&request_uri={uri}");
    assert_eq!(browser.get(&foreign).await.status, 400, "another client's request");

    let mut inner =
        json!({ "iss": "shop", "aud": origin.server.issuer(), "exp": tollgate_system::Clock::system().now() + 60 });
    form.iter().for_each(|(name, value)| inner[name] = json!(value));
    let signed = key.sign(&json!({ "typ": "oauth-authz-req+jwt" }), &inner);
    assert_eq!(push(&[("request", &signed)]).await.0, 201);
    let forged = ClientKey::generate().sign(&json!({}), &inner);
    assert_eq!(push(&[("request", &forged)]).await.1["error"], "invalid_request_object");
    inner["client_id"] = json!("other");
    let of_other_client = key.sign(&json!({}), &inner);
    assert_eq!(push(&[("request", &of_other_client)]).await.1["error"], "invalid_request_object");
}

#[tokio::test(flavor = "multi_thread")]
async fn native_app_may_use_any_loopback_port_and_needs_consent_each_time() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let metadata = ClientMetadata {
        auth_method: AuthMethod::None,
        redirect_uris: vec!["http://127.0.0.1/cb".parse().expect("a URI")],
        ..Origin::web()
    };
    origin.client("app", metadata).await;
    let browser = UserBrowser::new(&origin, "ada");
    let more = [("redirect_uri", "http://127.0.0.1:61023/cb")];
    for _ in 0..2 {
        let page = browser.request_authorization("app", &more).await;
        assert!(!page.redirect().as_deref().expect("a redirect").contains("code="), "the user is asked");
        let to = browser.complete(page, "allow").await;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", to["code"].as_str()),
            ("redirect_uri", "http://127.0.0.1:61023/cb"),
            ("code_verifier", CODE_VERIFIER),
        ];
        origin.token("app", &form).await;
    }
    let (status, _) = answer(origin.http.post(origin.url("/oauth/token")).form(&[("grant_type", "x")])).await;
    assert_eq!(status, 401);
}
