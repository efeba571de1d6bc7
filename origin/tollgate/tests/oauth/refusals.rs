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

use crate::fixture::{Origin, REDIRECT_URI, UserBrowser, answer, authorization_query, parameters, redemption, text};

/// What a refused request leads to.
struct Refused {
    /// The answer: a page's text, the error of a redirect, or JSON.
    answer: String,
    request_id: String,
}

/// What log, answer and admin API are to say of a mistake.
struct Expected<'a> {
    error: &'static str,
    reason: &'a str,
    parameter: &'static str,
    /// The value in the request, for parameters that may be shown.
    received: Option<&'static str>,
    registered: &'a [&'a str],
    /// Part of the answer, which is not the reason where a reason would help a thief.
    answer: &'a str,
}

impl<'a> Expected<'a> {
    fn new(error: &'static str, reason: &'a str, parameter: &'static str) -> Expected<'a> {
        Expected { error, reason, parameter, received: None, registered: &[], answer: reason }
    }
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
    let entry = &listed[0];
    println!("== {mistake}\n   log:    {}\n   answer: {}\n   admin:  {entry}", lines.join("\n"), shortened(answer));
    assert_eq!(lines.len(), 1, "{mistake}: one line");
    for part in [expected.error, expected.reason, "client=\"shop\"", "endpoint=\"/oauth/"] {
        assert!(lines[0].contains(part), "{mistake}: {part} in {}", lines[0]);
    }
    assert!(answer.contains(expected.answer), "{mistake}: {answer}");
    let seen = ["request_id", "error", "reason", "parameter"].map(|name| entry[name].as_str());
    let wanted = [request_id.as_str(), expected.error, expected.reason, expected.parameter].map(Some);
    assert_eq!(seen, wanted, "{mistake}");
    assert_eq!(entry["received"], json!(expected.received), "{mistake}");
    let registered = entry["registered"].as_array().cloned().unwrap_or_default();
    assert_eq!(json!(registered), json!(expected.registered), "{mistake}");
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
            !(in_tag || was_in_tag && *char == '>')
        })
        .collect();
    displayable(&text.split_whitespace().collect::<Vec<_>>().join(" ")).chars().take(300).collect()
}

/// Five of ten deliberate mistakes.
#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_authorization_requests_can_be_diagnosed() {
    let origin = Origin::start().await;
    let admin = AdminClient::register(&origin, "operator").await.expect("an administrator");
    origin.client("shop", Origin::web()).await;
    let authorize = |changes: &[(&str, &str)]| {
        let url = origin.url(&format!("/oauth/authorize?{}", authorization_query("shop", changes)));
        send(origin.http.get(url))
    };

    let refused = authorize(&[("redirect_uri", "https://shop.example/callback")]).await;
    assert!(refused.answer.contains(&refused.request_id), "the page shows the request ID");
    let reason = "redirect_uri is not one that this client registered";
    let expected = Expected::new("invalid_request", reason, "redirect_uri");
    let received = Some("https://shop.example/callback");
    check("wrong redirect_uri", &admin, &refused, Expected { received, registered: &[REDIRECT_URI], ..expected }).await;

    let refused = authorize(&[("code_challenge", ""), ("code_challenge_method", "")]).await;
    let (_, reason) = refused.answer.split_once(": ").expect("a description");
    assert!(reason.starts_with("code_challenge is missing"), "{reason}");
    check("missing PKCE", &admin, &refused, Expected::new("invalid_request", reason, "code_challenge")).await;

    let refused = authorize(&[("scope", "orders admin:all")]).await;
    let reason = "the scope value admin:all is not registered for this client";
    let expected = Expected::new("invalid_scope", reason, "scope");
    let (received, metadata) = (Some("orders admin:all"), Origin::web());
    let registered: Vec<&str> = metadata.scope.values().collect();
    check("unknown scope", &admin, &refused, Expected { received, registered: &registered, ..expected }).await;

    let refused = authorize(&[("resource", "https://other.example")]).await;
    let expected = Expected::new("invalid_target", "tokens for this resource are not allowed", "resource");
    let received = Some("https://other.example");
    check("wrong audience", &admin, &refused, Expected { received, ..expected }).await;

    let refused = authorize(&[("response_type", "device")]).await;
    let (_, reason) = refused.answer.split_once(": ").expect("a description");
    let expected = Expected::new("unsupported_response_type", reason, "response_type");
    check("unsupported response_type", &admin, &refused, Expected { received: Some("device"), ..expected }).await;
    origin.shutdown().await;
}

/// The other five.
#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_token_requests_can_be_diagnosed() {
    let (clock, time) = Clock::manual(Clock::system().now_ms());
    let origin = Origin::start_with_clock(&[], clock).await;
    let admin = AdminClient::register(&origin, "operator").await.expect("an administrator");
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let code = async || {
        let browser = UserBrowser::new(&origin, "ada");
        origin.code(&browser, "shop", &[]).await
    };
    let redeem = async |form: &[(&str, &str)]| send(origin.form("/oauth/token", "shop", form)).await;

    let form = [("grant_type", "authorization_code"), ("code", "x")];
    let request = origin.http.post(origin.url("/oauth/token")).basic_auth("shop", Some("not-the-secret")).form(&form);
    let expected = Expected::new("invalid_client", "the client secret is wrong or expired", "client_secret");
    let (answer, registered) = ("the client could not be authenticated", &["client_secret_basic"]);
    check("wrong secret", &admin, &send(request).await, Expected { answer, registered, ..expected }).await;

    let refused = redeem(&[("grant_type", "client_credentials")]).await;
    let reason = "this client is not registered for that grant_type";
    let expected = Expected::new("unauthorized_client", reason, "grant_type");
    let (received, registered) = (Some("client_credentials"), &["authorization_code", "refresh_token"]);
    check("wrong grant", &admin, &refused, Expected { received, registered, ..expected }).await;

    let expired = code().await;
    time.advance(Duration::from_secs(90));
    let refused = redeem(&redemption(&expired)).await;
    check("expired code", &admin, &refused, Expected::new("invalid_grant", "the grant is expired", "code")).await;

    let used = code().await;
    origin.redeem("shop", &used).await;
    let refused = redeem(&redemption(&used)).await;
    check("reused code", &admin, &refused, Expected::new("invalid_grant", "the grant was used before", "code")).await;

    let (other, wrong_verifier) = (code().await, "a".repeat(CODE_VERIFIER.len()));
    let mut form = redemption(&other);
    form[3] = ("code_verifier", &wrong_verifier);
    let reason = "code_verifier does not match the code_challenge";
    let refused = redeem(&form).await;
    check("wrong verifier", &admin, &refused, Expected::new("invalid_grant", reason, "code_verifier")).await;
    origin.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_at_userinfo_introspection_and_registration_can_be_diagnosed() {
    let origin = Origin::start_with(&[("TOLLGATE_REGISTRATION", "open")]).await;
    let admin = AdminClient::register(&origin, "operator").await.expect("an administrator");
    origin.client("shop", Origin::service("orders")).await;
    let tokens = origin.token("shop", &[("grant_type", "client_credentials")]).await;

    let request = origin.http.get(origin.url("/oauth/userinfo")).bearer_auth(text(&tokens, "access_token"));
    let expected = Expected::new("insufficient_scope", "the access token lacks the scope openid", "scope");
    let (received, registered) = (Some("orders"), &["orders"]);
    let expected = Expected { received, registered, answer: "insufficient_scope", ..expected };
    check("token without openid at userinfo", &admin, &send(request).await, expected).await;

    let refused = send(origin.form("/oauth/introspect", "shop", &[])).await;
    let expected = Expected::new("invalid_request", "token is missing", "token");
    check("introspection without a token", &admin, &refused, expected).await;

    let register = origin.http.post(origin.url("/oauth/register"));
    let (_, made) = answer(register.json(&json!({ "redirect_uris": ["https://app.example/cb"] }))).await;
    let id = text(&made, "client_id");
    let wrong = json!({ "client_id": id, "redirect_uris": ["ftp://app.example/cb"] });
    let manage = origin.http.put(text(&made, "registration_client_uri")).json(&wrong);
    let refused = send(manage.bearer_auth(text(&made, "registration_access_token"))).await;
    assert!(refused.answer.contains("redirect_uris"), "{}", refused.answer);
    assert!(refusal_lines(&refused.request_id)[0].contains("parameter=\"redirect_uris\""));
    let path = format!("/clients/{id}/refusals");
    let listed = admin.send(Method::GET, &path, &Value::Null).await.expect("answered").body;
    assert_eq!(
        (&listed[0]["parameter"], &listed[0]["received"]),
        (&json!("redirect_uris"), &json!("ftp://app.example/cb"))
    );
    origin.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn console_shows_what_was_received_beside_what_is_registered() {
    let origin = Origin::start().await;
    let ada = origin.user("ada").await;
    origin.server.store().set_admin(&ada, true).await.expect("an administrator");
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
