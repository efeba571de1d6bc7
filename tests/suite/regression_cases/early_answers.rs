//! Answers that the origin gives before it has read the request body, or before it has looked at
//! the method, are the right ones and arrive.

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::json;
use tollgate_tests::client::TestClient;
use tollgate_tests::curl;
use tollgate_tests::regression_case::RegressionCase;

cases! {
    both {}
    once {
        C3 c3_answers_over_http2_arrive_although_the_body_was_not_read,
        C10 c10_missing_or_invalid_token_is_reported_before_the_method,
    }
}

/// Requests of each kind. Without draining, curl 7.88 loses more than half of the answers.
const REPETITIONS: usize = 20;

async fn c3_answers_over_http2_arrive_although_the_body_was_not_read(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    if !curl::speaks_http2().await {
        case.report("not run: no curl with HTTP/2");
        return Ok(());
    }
    let long = format!("/oauth/token?{}", "x".repeat(17 * 1024));
    let body = format!(r#"{{"a":"{}"}}"#, "b".repeat(20_000));
    let mut answers = Vec::new();
    for (method, path, wanted) in [
        ("POST", "/oauth/token", None),
        ("POST", "/nothing", Some("404")),
        ("POST", "/.well-known/jwks.json", Some("405")),
        ("PUT", "/oauth/introspect", Some("405")),
        ("POST", "/ssf/streams", Some("401")),
        ("POST", long.as_str(), Some("414")),
    ] {
        for number in 0..REPETITIONS {
            let sent = curl::send_over_http2(method, &origin.url(path), &body).await;
            let path: String = path.chars().take(30).collect();
            let status = sent.with_context(|| format!("{method} {path}: request {number}"))?;
            ensure!(wanted.is_none_or(|wanted| wanted == status), "{method} {path}: {status}");
            if number == 0 {
                answers.push(format!("{method} {path} {status}"));
            }
        }
    }
    case.report(format!("{REPETITIONS} of {REPETITIONS} arrive: {}", answers.join(", ")));
    Ok(())
}

async fn c10_missing_or_invalid_token_is_reported_before_the_method(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let metadata = json!({
        "grant_types": ["client_credentials"], "scope": "ssf.read tollgate:admin", "audiences": [origin.server.issuer()],
    });
    let client = TestClient::register(&origin, "both", metadata).await?;
    let (receiver, admin) = (client.token("ssf.read").await?, client.token("tollgate:admin").await?);
    let mut answers = Vec::new();
    for (method, path, token) in [
        (Method::POST, "/ssf/streams", &receiver),
        (Method::DELETE, "/ssf/streams", &receiver),
        (Method::PUT, "/ssf/status", &receiver),
        (Method::GET, "/ssf/poll/any", &receiver),
        (Method::PUT, "/admin/api/clients", &admin),
        (Method::POST, "/admin/api/overview", &admin),
    ] {
        let request = || origin.http.request(method.clone(), format!("{}{path}", origin.server.url()));
        let anonymous = request().send().await?;
        ensure!(anonymous.status() == 401, "{method} {path} without a token: {}", anonymous.status());
        ensure!(anonymous.headers().contains_key("www-authenticate"), "{method} {path}: no challenge");
        let invalid = request().bearer_auth("not.a.token").send().await?;
        ensure!(invalid.status() == 401, "{method} {path} with an invalid token: {}", invalid.status());
        let valid = request().bearer_auth(token).send().await?;
        ensure!(valid.status() == 405, "{method} {path} with a valid token: {}", valid.status());
        ensure!(valid.headers().contains_key("allow"), "{method} {path}: RFC 9110 §15.5.6 requires Allow");
        answers.push(format!("{method} {path} 401, 401, 405"));
    }
    let public = origin.http.post(format!("{}/.well-known/jwks.json", origin.server.url())).send().await?;
    ensure!(public.status() == 405, "a public resource needs no token: {}", public.status());
    case.report(answers.join("; "));
    Ok(())
}
