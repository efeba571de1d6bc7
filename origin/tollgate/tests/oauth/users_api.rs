//! Users whom an HTTP API of the operator's knows, and what happens when it does not answer as it should.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::{Value, json};

use crate::harness::{Browser, Origin, PASSWORD, Page, claims};

/// A users' API that answers as it is told to.
#[derive(Clone, Default)]
struct Api(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    answer: Option<(u16, Value)>,
    asked: Vec<(Value, Option<String>)>,
}

impl Api {
    async fn start(&self) -> String {
        let router = axum::Router::new().route("/check", post(check)).with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}/check", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn answers(&self, status: u16, body: Value) {
        self.0.lock().expect("whole").answer = Some((status, body));
    }

    /// From now on it takes requests and never answers.
    fn hangs(&self) {
        self.0.lock().expect("whole").answer = None;
    }

    fn asked(&self) -> Vec<(Value, Option<String>)> {
        std::mem::take(&mut self.0.lock().expect("whole").asked)
    }
}

async fn check(State(api): State<Api>, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let answer = {
        let mut told = api.0.lock().expect("whole");
        told.asked.push((asked, bearer));
        told.answer.clone()
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

async fn start() -> (Origin, Api) {
    let api = Api::default();
    let url = api.start().await;
    let settings = [
        ("TOLLGATE_USERS_API_URL", url.as_str()),
        ("TOLLGATE_USERS_API_SECRET", "s3cret"),
        ("TOLLGATE_USERS_API_TIMEOUT", "1"),
        // Whoever signs in while the API is in trouble would soon be told to wait, and that is not meant here.
        ("TOLLGATE_LIMITS", "off"),
    ];
    let origin = Origin::with(&settings).await;
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    (origin, api)
}

async fn sign_in(browser: &Browser<'_>, name: &str, password: &str) -> Page {
    let csrf = browser.get("/login").await.field("csrf").expect("a form");
    browser.post("/login", &[("csrf", &csrf), ("username", name), ("password", password)]).await
}

fn is_in(page: &Page) -> bool {
    page.location.as_deref().is_some_and(|to| to.ends_with("/account/sessions"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_the_api_signs_in_and_stays_who_they_are() {
    let (origin, api) = start().await;
    api.answers(200, json!({ "external_id": "u-42", "claims": { "name": "Grace Hopper", "email": "grace@example.org", "role": "x" } }));
    let browser = Browser::of(&origin, "grace");
    assert!(is_in(&sign_in(&browser, " Grace ", "their secret").await));
    let asked = (json!({ "username": "grace", "password": "their secret" }), Some("Bearer s3cret".to_owned()));
    assert_eq!(api.asked(), [asked]);
    let known = origin.server.store().user_by_external_id("u-42").await.expect("read").expect("kept");
    assert_eq!((known.auth_source.as_str(), known.name.as_str(), &known.password_hash), ("http_api", "grace", &None));

    api.answers(200, json!({ "external_id": "u-42", "claims": { "name": "Rear Admiral Hopper" } }));
    let again = Browser::of(&origin, "grace");
    assert!(is_in(&sign_in(&again, "grace", "their secret").await));
    let code = origin.code(&again, "shop", &[("scope", "openid profile email")]).await;
    let tokens = origin.redeem("shop", &code).await;
    let id_token = claims(tokens["id_token"].as_str().expect("an ID token"));
    assert_eq!((&id_token["sub"], &id_token["email"]), (&json!(known.id.as_str()), &Value::Null), "{id_token}");
    let page = again.get("/account/password").await;
    assert!(page.body.contains("managed elsewhere") && !page.body.contains("name=\"old\""), "{}", page.body);

    let by = tollgate_model::Actor::command_line(None);
    origin
        .server
        .store()
        .disable_user(&known.id, &tollgate_storage::Ending::new(&by, "test", 1))
        .await
        .expect("disabled");
    assert_eq!(sign_in(&Browser::of(&origin, "grace"), "grace", "their secret").await.status, 403, "disabled here");
}

#[tokio::test(flavor = "multi_thread")]
async fn local_users_and_wrong_passwords_are_as_ever() {
    let (origin, api) = start().await;
    api.answers(401, json!({}));
    assert!(is_in(&sign_in(&Browser::of(&origin, "ada"), "ada", PASSWORD).await));
    assert!(api.asked().is_empty(), "a right password of a local user goes nowhere");
    let (ada, nobody) = (Browser::of(&origin, "ada"), Browser::of(&origin, "nobody"));
    let (wrong, unknown) = (sign_in(&ada, "ada", "wrong").await, sign_in(&nobody, "nobody", "wrong").await);
    assert_eq!((wrong.status.as_u16(), unknown.status.as_u16(), api.asked().len()), (403, 403, 2), "the same for both");
    api.answers(200, json!({ "external_id": "u-1" }));
    let conflict = sign_in(&ada, "ada", "the API's password for it").await;
    assert_eq!(conflict.status, 409);
    assert!(conflict.body.contains("already has this username"), "{}", conflict.body);
    assert!(conflict.location.is_none() && ada.get("/account/sessions").await.status == 303, "nobody is signed in");
    // That of ada in the harness: whoever the API calls so is not thereby ada.
    api.answers(200, json!({ "external_id": "https://partner.example|ada" }));
    assert_eq!(sign_in(&ada, "somebody", "x").await.status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_the_api_is_never_a_sign_in() {
    let (origin, api) = start().await;
    let browser = Browser::of(&origin, "grace");
    for (status, body) in [
        (500, json!({ "external_id": "u-42" })),
        (302, json!({ "external_id": "u-42" })),
        (404, json!({})),
        (201, json!({ "external_id": "u-42" })),
        (200, json!({ "id": "u-42" })),
        (200, json!("u-42")),
        (200, json!({ "external_id": "u-42", "more": "x".repeat(40_000) })),
    ] {
        api.answers(status, body);
        let page = sign_in(&browser, "grace", "their secret").await;
        assert_eq!(page.status, 503, "{status}: {}", page.body);
        assert!(page.body.contains("cannot be checked") && page.headers.contains_key("retry-after"), "{}", page.body);
    }
    api.hangs();
    assert_eq!(sign_in(&browser, "grace", "their secret").await.status, 503);
    assert!(is_in(&sign_in(&Browser::of(&origin, "ada"), "ada", PASSWORD).await), "local users need it not");
    assert!(origin.server.store().user_by_external_id("u-42").await.expect("read").is_none());
}
