//! Users of the operator's HTTP API, and failures of that API.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, extract};
use serde_json::{Value, json};
use tollgate_test_kit::browser::Page;
use tollgate_test_kit::users::PASSWORD;

use crate::fixture::{Origin, UserBrowser, claims, text};

/// A users API that answers as configured.
#[derive(Clone, Default)]
struct UsersApi(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Status and body; none to answer never.
    answer: Option<(u16, Value)>,
    /// Body and `Authorization` header of each request.
    requests: Vec<(Value, Option<String>)>,
}

impl UsersApi {
    async fn start(&self) -> String {
        let router = axum::Router::new().route("/check", post(check)).with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}/check", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn set_answer(&self, status: u16, body: Value) {
        self.0.lock().expect("not poisoned").answer = Some((status, body));
    }

    /// Stops answering requests.
    fn stop_answering(&self) {
        self.0.lock().expect("not poisoned").answer = None;
    }

    /// Returns and forgets the requests so far.
    fn take_requests(&self) -> Vec<(Value, Option<String>)> {
        std::mem::take(&mut self.0.lock().expect("not poisoned").requests)
    }
}

async fn check(extract::State(api): extract::State<UsersApi>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let answer = {
        let mut state = api.0.lock().expect("not poisoned");
        state.requests.push((body, bearer));
        state.answer.clone()
    };
    match answer {
        Some((status, body)) => {
            let location = [("location", "http://127.0.0.1:1/elsewhere")];
            (StatusCode::from_u16(status).expect("a status"), location, Json(body)).into_response()
        }
        None => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

async fn start() -> (Origin, UsersApi) {
    let api = UsersApi::default();
    let url = api.start().await;
    let settings = [
        ("TOLLGATE_USERS_API_URL", url.as_str()),
        ("TOLLGATE_USERS_API_SECRET", "s3cret"),
        ("TOLLGATE_USERS_API_TIMEOUT", "1"),
        // Otherwise the many sign-ins of a test would be throttled.
        ("TOLLGATE_LIMITS", "off"),
    ];
    let origin = Origin::start_with(&settings).await;
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    (origin, api)
}

async fn sign_in(browser: &UserBrowser<'_>, name: &str, password: &str) -> Page {
    let csrf = browser.csrf("/login").await;
    browser.post("/login", &[("csrf", &csrf), ("username", name), ("password", password)]).await
}

fn is_signed_in(page: &Page) -> bool {
    page.redirect().as_deref().is_some_and(|to| to.ends_with("/account/sessions"))
}

#[tokio::test(flavor = "multi_thread")]
async fn user_of_the_api_signs_in_and_keeps_the_same_account() {
    let (origin, api) = start().await;
    api.set_answer(200, json!({ "external_id": "u-42", "claims": { "name": "Grace Hopper", "email": "grace@example.org", "role": "x" } }));
    let browser = UserBrowser::new(&origin, "grace");
    assert!(is_signed_in(&sign_in(&browser, " Grace ", "their secret").await));
    let request = (json!({ "username": "grace", "password": "their secret" }), Some("Bearer s3cret".to_owned()));
    assert_eq!(api.take_requests(), [request]);
    let known = origin.server.store().find_user_by_external_id("u-42").await.expect("read").expect("kept");
    assert_eq!((known.auth_source.as_str(), known.name.as_str(), &known.password_hash), ("http_api", "grace", &None));

    api.set_answer(200, json!({ "external_id": "u-42", "claims": { "name": "Rear Admiral Hopper" } }));
    let again = UserBrowser::new(&origin, "grace");
    assert!(is_signed_in(&sign_in(&again, "grace", "their secret").await));
    let code = origin.code(&again, "shop", &[("scope", "openid profile email")]).await;
    let tokens = origin.redeem("shop", &code).await;
    let id_token = claims(text(&tokens, "id_token"));
    assert_eq!((&id_token["sub"], &id_token["email"]), (&json!(known.id.as_str()), &Value::Null), "{id_token}");
    let page = again.get("/account/password").await;
    assert!(page.body.contains("managed elsewhere") && !page.body.contains("name=\"old\""), "{}", page.body);

    let by = tollgate_model::Actor::command_line(None);
    origin
        .server
        .store()
        .disable_user(&known.id, &tollgate_storage::Termination::new(&by, "test", 1))
        .await
        .expect("disabled");
    assert_eq!(
        sign_in(&UserBrowser::new(&origin, "grace"), "grace", "their secret").await.status,
        403,
        "the user is disabled at the origin"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn users_api_leaves_local_users_unchanged() {
    let (origin, api) = start().await;
    api.set_answer(401, json!({}));
    assert!(is_signed_in(&sign_in(&UserBrowser::new(&origin, "ada"), "ada", PASSWORD).await));
    assert!(api.take_requests().is_empty(), "the API is not asked about a local user's right password");
    let (ada, nobody) = (UserBrowser::new(&origin, "ada"), UserBrowser::new(&origin, "nobody"));
    let (wrong, unknown) = (sign_in(&ada, "ada", "wrong").await, sign_in(&nobody, "nobody", "wrong").await);
    assert_eq!((wrong.status, unknown.status, api.take_requests().len()), (403, 403, 2), "the same answer for both");
    api.set_answer(200, json!({ "external_id": "u-1" }));
    let conflict = sign_in(&ada, "ada", "the API's password for it").await;
    assert_eq!(conflict.status, 409);
    assert!(conflict.body.contains("already has this username"), "{}", conflict.body);
    assert!(conflict.redirect().is_none() && ada.get("/account/sessions").await.status == 303, "nobody is signed in");
    // The external id of ada, which the API must not claim.
    api.set_answer(200, json!({ "external_id": "https://partner.example|ada" }));
    assert_eq!(sign_in(&ada, "somebody", "x").await.status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_api_failure_signs_nobody_in() {
    let (origin, api) = start().await;
    let browser = UserBrowser::new(&origin, "grace");
    for (status, body) in [
        (500, json!({ "external_id": "u-42" })),
        (302, json!({ "external_id": "u-42" })),
        (404, json!({})),
        (201, json!({ "external_id": "u-42" })),
        (200, json!({ "id": "u-42" })),
        (200, json!("u-42")),
        (200, json!({ "external_id": "u-42", "more": "x".repeat(40_000) })),
    ] {
        api.set_answer(status, body);
        let page = sign_in(&browser, "grace", "their secret").await;
        assert_eq!(page.status, 503, "{status}: {}", page.body);
        assert!(page.body.contains("cannot be checked") && page.headers.contains_key("retry-after"), "{}", page.body);
    }
    api.stop_answering();
    assert_eq!(sign_in(&browser, "grace", "their secret").await.status, 503);
    assert!(
        is_signed_in(&sign_in(&UserBrowser::new(&origin, "ada"), "ada", PASSWORD).await),
        "local users sign in without the API"
    );
    assert!(origin.server.store().find_user_by_external_id("u-42").await.expect("read").is_none());
}
