//! Browsers and devices: redirects after a form, two tabs, double clicks, the back button, and
//! jittering polls.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::extract::RawQuery;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::{Instant, sleep_until};
use tollgate_tests::browser::{Browser, Page};
use tollgate_tests::client::{CODE_CHALLENGE, DEVICE_CODE_GRANT, TestClient};
use tollgate_tests::client_script::copy_with_node_modules;
use tollgate_tests::environment::required_env;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::regression_case::RegressionCase;
use tollgate_tests::users::{PASSWORD, register_user};

cases! {
    both {
        O21 o21_device_polls_may_jitter_and_recover_after_slow_down,
        O22 o22_stale_sign_in_form_continues_or_is_shown_again,
    }
    once {
        O19 o19_codes_reach_clients_that_redirect_on_in_chromium,
        O22 o22_tabs_double_clicks_back_and_reload_work_in_chromium,
    }
}

/// Metadata of a public client with the authorization code grant.
fn public_client(redirect_uri: &str) -> Value {
    json!({
        "client_name": "Field Notes", "token_endpoint_auth_method": "none", "grant_types": ["authorization_code"],
        "redirect_uris": [redirect_uri], "scope": "openid",
    })
}

fn authorize(origin: &TestOrigin, client: &str) -> String {
    format!(
        "{}/oauth/authorize?client_id={client}&response_type=code&scope=openid&code_challenge={CODE_CHALLENGE}\
         &code_challenge_method=S256&state=s",
        origin.server.url()
    )
}

/// Value of a hidden field.
fn hidden_field(page: &Page, name: &str) -> Result<String> {
    page.field(name).with_context(|| format!("{} has no field {name}: {}", page.url, page.body))
}

/// Fields of a page's form: CSRF token, authorization request, and these.
fn form(page: &Page, more: &[(&str, &str)]) -> Result<Vec<(String, String)>> {
    let own = ["csrf", "request"].map(|name| Ok((name.to_owned(), hidden_field(page, name)?)));
    let more = more.iter().map(|(name, value)| Ok(((*name).to_owned(), (*value).to_owned())));
    own.into_iter().chain(more).collect()
}

const SIGN_IN: [(&str, &str); 2] = [("username", "ada"), ("password", PASSWORD)];

async fn o22_stale_sign_in_form_continues_or_is_shown_again(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    TestClient::register(&origin, "web", public_client("http://127.0.0.1:9/cb")).await?;
    register_user(&origin, "ada").await?;
    let (login, consent) = (format!("{}/login", origin.server.url()), format!("{}/consent", origin.server.url()));
    let browser = Browser::new(&origin.server.url())?;
    let mut tabs = Vec::new();
    for _ in 0..2 {
        tabs.push(browser.open(&authorize(&origin, "web")).await?);
    }
    // A second click submits the form again before the first response arrives.
    let second_click = browser.clone();
    let asked = browser.post(&login, &form(&tabs[0], &SIGN_IN)?).await?;
    let asked_twice = second_click.post(&login, &form(&tabs[0], &SIGN_IN)?).await?;
    for page in [&asked, &asked_twice] {
        ensure!(page.status == 200 && page.url.path() == "/consent", "{}: {}", page.url, page.status);
    }
    let other_tab = browser.post(&login, &form(&tabs[1], &SIGN_IN)?).await?;
    ensure!(other_tab.status == 200 && other_tab.url.path() == "/consent", "{}: {}", other_tab.url, other_tab.status);
    let mut codes = Vec::new();
    for _ in 0..2 {
        let answer = browser.post(&consent, &form(&asked, &[("decision", "allow")])?).await?;
        codes.push(answer.parameter("code").with_context(|| format!("no code: {} {}", answer.status, answer.body))?);
    }
    ensure!(codes[0] != codes[1], "each submission gets its own code");
    let back = browser.open(asked.url.as_str()).await?;
    ensure!(back.status == 200 && back.url.path() == "/consent", "the way back: {} {}", back.status, back.url);

    // A form without its cookie is stale and signs nobody in: neither from another site nor with
    // another browser's token.
    let stranger = Browser::new(&origin.server.url())?;
    let forged = stranger.post(&login, &form(&tabs[1], &SIGN_IN)?).await?;
    ensure!(
        forged.status == 200 && forged.url.path() == "/login" && forged.body.contains("out of date"),
        "{}",
        forged.url
    );
    let account = stranger.open(&format!("{}/account/sessions", origin.server.url())).await?;
    ensure!(account.url.path() == "/login", "signed in by a forged form: {}", account.url);
    case.report("second click, other tab and the way back lead on to /consent; a forged form to a fresh one");
    Ok(())
}

async fn o21_device_polls_may_jitter_and_recover_after_slow_down(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let metadata = json!({
        "client_name": "A television", "token_endpoint_auth_method": "none", "grant_types": [DEVICE_CODE_GRANT], "scope": "openid",
    });
    TestClient::register(&origin, "tv", metadata).await?;
    let http = reqwest::Client::new();
    let post = async |path: &str, form: &[(&str, &str)]| -> Result<Value> {
        Ok(http.post(format!("{}{path}", origin.server.url())).form(form).send().await?.json().await?)
    };
    let device_code = async || -> Result<String> {
        let asked = post("/oauth/device/code", &[("client_id", "tv")]).await?;
        Ok(asked["device_code"].as_str().with_context(|| asked.to_string())?.to_owned())
    };
    let poll = async |code: &str| -> Result<String> {
        let form = [("grant_type", DEVICE_CODE_GRANT), ("client_id", "tv"), ("device_code", code)];
        let answer = post("/oauth/token", &form).await?;
        Ok(answer["error"].as_str().with_context(|| answer.to_string())?.to_owned())
    };
    let (steady, hasty) = (device_code().await?, device_code().await?);
    let mut answers = (vec![poll(&steady).await?], vec![poll(&hasty).await?, poll(&hasty).await?]);
    // 40 ms early twice: the second poll is early relative to the first as well.
    let began = Instant::now();
    for seconds in [4.96, 9.92] {
        sleep_until(began + Duration::from_secs_f64(seconds)).await;
        answers.0.push(poll(&steady).await?);
    }
    // After slow_down the interval is 10 seconds.
    sleep_until(began + Duration::from_secs(10)).await;
    answers.1.push(poll(&hasty).await?);
    ensure!(answers.0.iter().all(|answer| answer == "authorization_pending"), "{answers:?}");
    ensure!(answers.1 == ["authorization_pending", "slow_down", "authorization_pending"], "{answers:?}");
    case.report(format_args!("40 ms early: {}; after slow_down and 10 s: {}", answers.0[1], answers.1[2]));
    Ok(())
}

/// Serves a page at this address, and redirects `/cb` to `elsewhere`, if given.
async fn serve(address: &str, elsewhere: Option<String>) -> Result<SocketAddr> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let bound = listener.local_addr()?;
    let arrived = axum::routing::get(async move |RawQuery(query): RawQuery| {
        let location = elsewhere.map(|elsewhere| format!("{elsewhere}?{}", query.unwrap_or_default()));
        match location.and_then(|location| HeaderValue::try_from(location).ok()) {
            Some(location) => (StatusCode::FOUND, [(LOCATION, location)], ""),
            None => (StatusCode::OK, [(LOCATION, HeaderValue::from_static(""))], "arrived"),
        }
    });
    let application =
        Router::new().route("/cb", arrived.clone()).route("/arrived", axum::routing::get(async || "arrived"));
    tokio::spawn(async move { axum::serve(listener, application).await });
    Ok(bound)
}

/// Runs a flow of `tests/browser/regression_cases.mjs` and returns its steps.
async fn run_flow(flow: &str, settings: &Value) -> Result<Vec<String>> {
    let folder = copy_with_node_modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("browser"))?;
    let mut node = Command::new(required_env("TOLLGATE_TEST_NODE"));
    node.arg(folder.path().join("regression_cases.mjs"))
        .arg(flow)
        .env("TOLLGATE_TEST_FLOW_SETTINGS", settings.to_string());
    node.env("HOME", folder.path()).current_dir(folder.path()).stdin(Stdio::null()).kill_on_drop(true);
    let output = node.output().await?;
    ensure!(output.status.success(), "{flow}: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout)?;
    let step = |line: &str| Ok(serde_json::from_str::<Value>(line)?["step"].as_str().context("a step")?.to_owned());
    said.lines().map(step).collect()
}

async fn o19_codes_reach_clients_that_redirect_on_in_chromium(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    register_user(&origin, "ada").await?;
    let elsewhere = format!("http://{}/arrived", serve("127.0.0.1:0", None).await?);
    let leads_on = format!("http://{}/cb", serve("127.0.0.1:0", Some(elsewhere.clone())).await?);
    let at_ipv6 = format!("http://{}/cb", serve("[::1]:0", None).await?);
    let mut clients = Vec::new();
    for (id, redirect_uri, ends_at) in [("leads-on", &leads_on, &elsewhere), ("ipv6", &at_ipv6, &at_ipv6)] {
        for first_party in [false, true] {
            let id = if first_party { format!("{id}-own") } else { id.to_owned() };
            let mut metadata = public_client(redirect_uri);
            if first_party {
                // Confidential, because a public client on the user's machine must ask for consent
                // each time.
                metadata["first_party"] = json!(true);
                metadata["token_endpoint_auth_method"] = json!("client_secret_basic");
            }
            TestClient::register(&origin, &id, metadata).await?;
            clients.push(json!({ "id": id, "authorize": authorize(&origin, &id), "endsAt": ends_at }));
        }
    }
    let person = json!({ "username": "ada", "password": PASSWORD });
    let settings = json!({ "issuer": origin.server.url(), "clients": clients, "person": person });
    let arrived = run_flow("arrives", &settings).await?;
    ensure!(arrived.len() == 4, "{arrived:?}");
    case.report(format_args!("codes arrived: {}", arrived.join(", ")));
    Ok(())
}

async fn o22_tabs_double_clicks_back_and_reload_work_in_chromium(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[("TOLLGATE_SIGN_UP", "true")]).await?;
    register_user(&origin, "ada").await?;
    let home = format!("http://{}/cb", serve("127.0.0.1:0", None).await?);
    TestClient::register(&origin, "web", public_client(&home)).await?;
    let settings = json!({
        "issuer": origin.server.url(),
        "authorize": authorize(&origin, "web"),
        "home": home,
        "person": { "username": "ada", "password": PASSWORD },
    });
    let done = run_flow("stale", &settings).await?;
    ensure!(done.len() == 7, "{done:?}");
    case.report(done.join(", "));
    Ok(())
}
