//! What an integrator's mistakes look like in the log, in the answer, and to administrators.

use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tollgate_model::text::displayable;
use tollgate_system::Clock;
use tollgate_test_kit::admin_client::AdminClient;
use tollgate_test_kit::client::CODE_VERIFIER;
use tollgate_test_kit::secret_leaks::refusal_lines;

use crate::fixture::{Origin, REDIRECT_URI, UserBrowser, authorization_query, parameters, redemption};

/// What a refused request leads to.
struct Refused {
    /// The answer: a page's text, the error of a redirect, or JSON.
    answer: String,
    request_id: String,
}

/// What administrators are to see of a mistake.
struct Expected<'a> {
    error: &'static str,
    reason: &'a str,
    parameter: Value,
    received: Value,
    registered: Value,
    /// Part of the answer.
    answer: &'static str,
}

async fn send(request: RequestBuilder) -> Refused {
    let response = request.send().await.expect("answered");
    let request_id = response.headers()["x-request-id"].to_str().expect("text").to_owned();
    let location = response.headers().get("location").map(|value| value.to_str().expect("text").to_owned());
    let body = response.text().await.expect("a body");
    let answer = match location {
        Some(location) => {
            let sent = parameters(&location);
            format!("{}: {}", sent["error"], sent["error_description"])
        }
        None => body,
    };
    Refused { answer, request_id }
}

/// Checks and prints what log, answer and admin API say of a mistake.
async fn check(mistake: &str, admin: &AdminClient, refused: &Refused, expected: Expected<'_>) {
    let Refused { answer, request_id } = refused;
    let lines = refusal_lines(request_id);
    let listed = admin.send(Method::GET, "/clients/shop/refusals", &Value::Null).await.expect("answered").body;
    let entry = listed[0].clone();
    println!("== {mistake}\n   log:    {}\n   answer: {}\n   admin:  {entry}", lines.join("\n"), shortened(answer));
    assert_eq!(lines.len(), 1, "{mistake}: one line");
    for part in [expected.error, expected.reason, "client=\"shop\"", "endpoint=\"/oauth/"] {
        assert!(lines[0].contains(part), "{mistake}: {part} in {}", lines[0]);
    }
    assert!(answer.contains(expected.answer), "{mistake}: {answer}");
    let seen = ["request_id", "error", "reason", "parameter", "received"].map(|name| entry[name].clone());
    let wanted =
        [json!(request_id), json!(expected.error), json!(expected.reason), expected.parameter, expected.received];
    assert_eq!(seen, wanted, "{mistake}");
    let registered = if entry["registered"].is_null() { json!([]) } else { entry["registered"].clone() };
    assert_eq!(registered, expected.registered, "{mistake}");
}

/// The text of a page, or JSON, on one line.
fn shortened(answer: &str) -> String {
    let is_page = answer.contains("<main");
    let text = if is_page { answer.split("<main").nth(1).unwrap_or_default() } else { answer };
    let mut in_tag = is_page;
    let text: String = text
        .chars()
        .filter(|char| {
            let was_in_tag = in_tag;
            in_tag = match char {
                '<' => true,
                '>' => false,
                _ => in_tag,
            };
            !in_tag && !(was_in_tag && *char == '>')
        })
        .collect();
    displayable(&text.split_whitespace().collect::<Vec<_>>().join(" ")).chars().take(300).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_mistakes_of_an_integrator_can_be_diagnosed() {
    let (clock, time) = Clock::manual(1_800_000_000_000);
    let origin = Origin::start_with_clock(&[], clock).await;
    let admin = AdminClient::register(&origin, "operator").await.expect("an administrator");
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let authorize = |changes: &[(&str, &str)]| {
        let url = origin.url(&format!("/oauth/authorize?{}", authorization_query("shop", changes)));
        send(origin.http.get(url))
    };
    let scopes = json!(Origin::web().scope.values().collect::<Vec<_>>());
    let code = async || {
        let browser = UserBrowser::new(&origin, "ada");
        origin.code(&browser, "shop", &[]).await
    };

    let refused = authorize(&[("redirect_uri", "https://shop.example/callback")]).await;
    assert!(refused.answer.contains(&refused.request_id), "the page shows the request ID");
    check(
        "wrong redirect_uri",
        &admin,
        &refused,
        Expected {
            error: "invalid_request",
            reason: "redirect_uri is not one that this client registered",
            parameter: json!("redirect_uri"),
            received: json!("https://shop.example/callback"),
            registered: json!([REDIRECT_URI]),
            answer: "redirect_uri is not one that this client registered",
        },
    )
    .await;

    let refused = authorize(&[("code_challenge", ""), ("code_challenge_method", "")]).await;
    let (_, reason) = refused.answer.split_once(": ").expect("a description");
    assert!(reason.contains("code_challenge"), "{reason}");
    check(
        "missing PKCE",
        &admin,
        &refused,
        Expected {
            error: "invalid_request",
            reason,
            parameter: json!("code_challenge"),
            received: Value::Null,
            registered: json!([]),
            answer: "invalid_request: ",
        },
    )
    .await;

    let form = [("grant_type", "authorization_code"), ("code", "x")];
    let request = origin.http.post(origin.url("/oauth/token")).basic_auth("shop", Some("not-the-secret")).form(&form);
    check(
        "wrong secret",
        &admin,
        &send(request).await,
        Expected {
            error: "invalid_client",
            reason: "the client secret is wrong or expired",
            parameter: json!("client_secret"),
            received: Value::Null,
            registered: json!(["client_secret_basic"]),
            answer: "the client could not be authenticated",
        },
    )
    .await;

    let refused = authorize(&[("scope", "orders admin:all"), ("nonce", "n")]).await;
    check(
        "unknown scope",
        &admin,
        &refused,
        Expected {
            error: "invalid_scope",
            reason: "the scope value admin:all is not registered for this client",
            parameter: json!("scope"),
            received: json!("orders admin:all"),
            registered: scopes,
            answer: "invalid_scope: ",
        },
    )
    .await;

    let refused = authorize(&[("resource", "https://other.example")]).await;
    check(
        "wrong audience",
        &admin,
        &refused,
        Expected {
            error: "invalid_target",
            reason: "tokens for this resource are not allowed",
            parameter: json!("resource"),
            received: json!("https://other.example"),
            registered: json!([]),
            answer: "invalid_target: ",
        },
    )
    .await;

    let request = origin.form("/oauth/token", "shop", &[("grant_type", "client_credentials")]);
    check(
        "wrong grant",
        &admin,
        &send(request).await,
        Expected {
            error: "unauthorized_client",
            reason: "this client is not registered for that grant_type",
            parameter: json!("grant_type"),
            received: json!("client_credentials"),
            registered: json!(["authorization_code", "refresh_token"]),
            answer: "this client is not registered for that grant_type",
        },
    )
    .await;

    let expired = code().await;
    time.advance(Duration::from_secs(90));
    let request = origin.form("/oauth/token", "shop", &redemption(&expired));
    check(
        "expired code",
        &admin,
        &send(request).await,
        Expected {
            error: "invalid_grant",
            reason: "the grant is expired",
            parameter: json!("code"),
            received: Value::Null,
            registered: json!([]),
            answer: "the grant is expired",
        },
    )
    .await;

    let used = code().await;
    origin.redeem("shop", &used).await;
    let request = origin.form("/oauth/token", "shop", &redemption(&used));
    check(
        "reused code",
        &admin,
        &send(request).await,
        Expected {
            error: "invalid_grant",
            reason: "the grant was used before",
            parameter: json!("code"),
            received: Value::Null,
            registered: json!([]),
            answer: "the grant was used before",
        },
    )
    .await;

    let other = code().await;
    let wrong_verifier = CODE_VERIFIER.replace(|char: char| char.is_ascii_lowercase(), "a");
    let mut form = redemption(&other);
    form[3] = ("code_verifier", &wrong_verifier);
    check(
        "wrong verifier",
        &admin,
        &send(origin.form("/oauth/token", "shop", &form)).await,
        Expected {
            error: "invalid_grant",
            reason: "code_verifier does not match the code_challenge",
            parameter: json!("code_verifier"),
            received: Value::Null,
            registered: json!([]),
            answer: "code_verifier does not match the code_challenge",
        },
    )
    .await;

    let refused = authorize(&[("response_type", "device")]).await;
    let (_, reason) = refused.answer.split_once(": ").expect("a description");
    check(
        "unsupported response_type",
        &admin,
        &refused,
        Expected {
            error: "unsupported_response_type",
            reason,
            parameter: json!("response_type"),
            received: json!("device"),
            registered: json!([]),
            answer: "unsupported_response_type: ",
        },
    )
    .await;
    origin.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn console_shows_what_was_received_beside_what_is_registered() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    origin.cli(&["user", "admin", "ada"]).expect("an administrator");
    origin.client("shop", Origin::web()).await;
    let browser = UserBrowser::new(&origin, "ada");
    browser.sign_in().await;
    let before = browser.get("/admin/clients/shop").await;
    assert!(before.body.contains("No request was refused."), "{}", before.body);
    let refused = browser.request_authorization("shop", &[("redirect_uri", "https://shop.example/<b>cb")]).await;
    assert_eq!(refused.status, 400);
    let page = browser.get("/admin/clients/shop").await.body;
    for part in ["https://shop.example/&#60;b&#62;cb", REDIRECT_URI, "invalid_request", "redirect_uri is not one that"]
    {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(page.contains(refused.headers["x-request-id"].to_str().expect("text")), "{page}");
    origin.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_the_protocol_is_not_logged_as_refused() {
    let origin = Origin::start().await;
    origin.client("shop", Origin::web()).await;
    let url = origin.url(&format!("/oauth/authorize?{}", authorization_query("shop", &[("prompt", "none")])));
    let silent = send(origin.http.get(url)).await;
    assert!(silent.answer.starts_with("login_required"), "{}", silent.answer);
    let bare = send(origin.http.get(origin.url("/oauth/userinfo"))).await;
    for request in [&silent, &bare] {
        assert_eq!(refusal_lines(&request.request_id), Vec::<String>::new());
    }
    let wrong = send(origin.http.get(origin.url("/oauth/userinfo")).bearer_auth("x.y.z")).await;
    assert_eq!(refusal_lines(&wrong.request_id).len(), 1);
    origin.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_tells_people_and_programs_what_this_server_is() {
    let origin = Origin::start().await;
    let response = origin.http.get(origin.url("/")).send().await.expect("answered");
    assert_eq!(response.status(), StatusCode::OK);
    let home: Value = response.json().await.expect("JSON");
    let issuer = origin.server.issuer();
    assert_eq!(home["issuer"], issuer);
    let discovery = home["openid_configuration"].as_str().expect("a URL");
    assert_eq!(discovery, format!("{issuer}/.well-known/openid-configuration"));
    let metadata: Value =
        origin.http.get(discovery).send().await.expect("answered").json().await.expect("the metadata");
    assert_eq!(metadata["issuer"], issuer);
    let page = origin.http.get(origin.url("/")).header(ACCEPT, "text/html").send().await.expect("answered");
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let text = page.text().await.expect("a page");
    for part in [issuer, "/account/sessions", "/.well-known/openid-configuration"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    origin.shutdown().await;
}
