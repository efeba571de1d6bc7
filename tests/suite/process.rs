//! `tollgate serve` as operators run it: logs, metrics, traces, settings, graceful shutdown, and no
//! secrets in logs.

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::client::{CODE_CHALLENGE, CODE_VERIFIER, REDIRECT_URI, query, redemption};
use tollgate_tests::database::TestDatabase;
use tollgate_tests::environment::free_port;
use tollgate_tests::origin_process::OriginProcess;
use tollgate_tests::secret_leaks::find_secrets;
use tollgate_tests::users::PASSWORD;
use tollgate_tests::wait::wait_until;

/// The example of W3C Trace Context §3.2.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn traceparent() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

/// Registers a client credentials client and returns its secret.
fn register_service(origin: &OriginProcess, id: &str, more: &[&str]) -> Result<String> {
    let created = origin.cli(&[&["client", "create", "--json", "--id", id, "--name", id], more].concat())?;
    let created: Value = serde_json::from_str(&created)?;
    Ok(created["client_secret"].as_str().context("a secret")?.to_owned())
}

async fn token(http: &Client, origin: &OriginProcess, id: &str, secret: &str) -> Result<String> {
    let request = http.post(format!("{}/oauth/token", origin.url)).basic_auth(id, Some(secret));
    let answer: Value = request.form(&[("grant_type", "client_credentials")]).send().await?.json().await?;
    Ok(answer["access_token"].as_str().with_context(|| answer.to_string())?.to_owned())
}

/// Sends each secret to an endpoint in every place where one may be sent, and in places where none
/// belongs.
async fn send_in_every_place(browser: &Browser, url: &str, method: &Method, secrets: &[String]) -> Result<()> {
    let names = [
        "token",
        "password",
        "code",
        "refresh_token",
        "client_secret",
        "device_code",
        "subject_token",
        "assertion",
        "username",
        "csrf",
        "request",
        "user_code",
        "secret",
        "id_token_hint",
        "new",
        "again",
        "client_assertion",
    ];
    for (nth, secret) in secrets.iter().enumerate() {
        let parameters: Vec<(&str, &str)> = names.iter().map(|name| (*name, secret.as_str())).collect();
        let request = browser.request(method.clone(), &url.replace("SECRET", secret)).query(&parameters);
        let request = request.header("x-request-id", secret).header("traceparent", secret).header("dpop", secret);
        let request = match nth % 3 {
            0 => request.bearer_auth(secret).form(&parameters),
            1 => request.basic_auth(secret, Some(secret)).json(
                &parameters
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), json!(value)))
                    .collect::<serde_json::Map<_, _>>(),
            ),
            _ => request.header("authorization", secret).header("content-type", secret).body(secret.clone()),
        };
        browser.send(request).await?;
    }
    Ok(())
}

/// Signs in with the right and a wrong password, gets tokens by two grants, introspects, uses and
/// revokes them. Returns the browser and the secrets used.
async fn use_secrets(http: &Client, origin: &OriginProcess, secret: &str) -> Result<(Browser, Vec<String>)> {
    let mut secrets = vec![secret.to_owned(), PASSWORD.to_owned(), "a wrong password".to_owned()];
    let browser = Browser::new(&origin.url)?;
    let login = format!("{}/login", origin.url);
    let wrong = browser.visit(&login, &Person::new("alice", "a wrong password")).await;
    // No local user has this password, and the external user directory does not answer.
    ensure!(wrong.is_err() || wrong.is_ok_and(|page| page.status == 503), "a wrong password does not sign in");
    let defaults = [
        ("client_id", "app"),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT_URI),
        ("scope", "openid"),
        ("code_challenge", CODE_CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let url = format!("{}/oauth/authorize?{}", origin.url, query(&defaults, &[]));
    let page = browser.visit(&url, &Person::new("alice", PASSWORD)).await?;
    let code = page.parameter("code").with_context(|| format!("no code: {} {}", page.status, page.body))?;
    let form = [&[("client_id", "app")][..], &redemption(&code)].concat();
    let tokens = http.post(format!("{}/oauth/token", origin.url)).form(&form).send().await?;
    let tokens: Value = tokens.json().await?;
    let text = |name: &str| tokens[name].as_str().map(str::to_owned).with_context(|| format!("{name} in {tokens}"));
    secrets.extend([
        code.clone(),
        CODE_VERIFIER.to_owned(),
        text("access_token")?,
        text("refresh_token")?,
        text("id_token")?,
    ]);
    // Redeems the code again: the grant is revoked.
    http.post(format!("{}/oauth/token", origin.url)).form(&form).send().await?;
    let own = token(http, origin, "machine", secret).await?;
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        let request = http.post(format!("{}{path}", origin.url)).basic_auth("machine", Some(secret));
        ensure!(request.form(&[("token", &own)]).send().await?.status() == StatusCode::OK, "{path}");
    }
    secrets.push(own);
    Ok((browser, secrets))
}

/// Sends the secrets to every operation of the origin, and returns the number of operations.
async fn send_to_all_operations(
    http: &Client,
    origin: &OriginProcess,
    browser: &Browser,
    secrets: &[String],
) -> Result<usize> {
    let document: Value = http.get(format!("{}/openapi.json", origin.url)).send().await?.json().await?;
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().context("paths")? {
        let mut parts = path.split('{');
        let filled: String = parts.next().unwrap_or_default().to_owned()
            + &parts
                .map(|part| part.split_once('}').map_or_else(String::new, |(_, rest)| format!("SECRET{rest}")))
                .collect::<String>();
        for method in operations.as_object().context("operations")?.keys() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            send_in_every_place(browser, &format!("{}{filled}", origin.url), &method, secrets).await?;
            asked += 1;
        }
    }
    Ok(asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged() -> Result<()> {
    for format in ["json", "pretty"] {
        let mut origin = OriginProcess::new(TestDatabase::Sqlite)?;
        let api_secret = "a-secret-for-the-users-api";
        for (name, value) in [
            ("TOLLGATE_LOG", "trace"),
            ("TOLLGATE_LOG_FORMAT", format),
            ("TOLLGATE_LIMITS", "off"),
            ("TOLLGATE_REGISTRATION", "open"),
            ("TOLLGATE_SIGN_UP", "true"),
            // 127.0.0.1 is a trusted proxy, so the test may set request ids.
            ("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1"),
            ("TOLLGATE_USERS_API_URL", "http://127.0.0.1:9/check"),
            ("TOLLGATE_USERS_API_SECRET", api_secret),
        ] {
            origin.set(name, value);
        }
        let http = Client::new();
        let secret = register_service(&origin, "machine", &[])?;
        origin.cli_with(&["user", "create", "alice", "--admin", "--password-stdin"], PASSWORD)?;
        let app = json!({
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "redirect_uris": ["https://app.example/cb"],
            "scope": "openid",
        });
        origin.cli(&["client", "create", "--id", "app", "--name", "App", "--metadata", &app.to_string()])?;
        origin.start(&http).await?;
        let (browser, mut secrets) = use_secrets(&http, &origin, &secret).await?;
        let asked = send_to_all_operations(&http, &origin, &browser, &secrets).await?;
        ensure!(asked > 60, "only {asked} operations were found");
        secrets.push(api_secret.to_owned());
        secrets.push(std::fs::read_to_string(origin.master_key())?.trim().to_owned());
        origin.terminate()?;
        assert_eq!(origin.wait_for_exit().await?, Some(0));
        let log = origin.log()?;
        assert_eq!(find_secrets(&log, &secrets), [], "{format}");
        println!(
            "{format}: {asked} operations, {} lines, none with any of {} secrets",
            log.lines().count(),
            secrets.len()
        );
        // Check of the check: each secret would be found.
        for secret in &secrets {
            let planted = format!("{log}\nplanted {secret}\n");
            assert_eq!(find_secrets(&planted, &secrets).len(), 1, "{secret}");
        }
    }
    Ok(())
}

#[test]
fn secrets_are_recognized_by_their_form() {
    let found = |line: &str| !find_secrets(line, &[]).is_empty();
    for line in [
        "x tgs_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
        "\"tgr_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX\"",
        "Bearer eyJhbGciOiJFZERTQSJ9.e30.sig",
        "$argon2id$v=19$m=19456,t=2,p=1$x$y",
    ] {
        assert!(found(line), "{line}");
    }
    for line in ["", "the prefix tgs_ alone", "eyJ", "usr_AAECAwQFBgcICQoL signed in"] {
        assert!(!found(line), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn origin_shuts_down_gracefully() -> Result<()> {
    let mut origin = OriginProcess::new(TestDatabase::Sqlite)?;
    origin.set("TOLLGATE_SHUTDOWN_DRAIN", "2");
    let http = Client::builder().pool_max_idle_per_host(0).build()?;
    let secret = register_service(&origin, "machine", &[])?;
    origin.start(&http).await?;
    let ready = async || http.get(format!("{}/health/ready", origin.url)).send().await.map(|answer| answer.status());
    assert_eq!(ready().await?, 200);
    // A request that is half sent when the shutdown is requested.
    let address = origin.url.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).await?;
    let form = format!("grant_type=client_credentials&client_id=machine&client_secret={secret}");
    let head = format!(
        "POST /oauth/token HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n",
        form.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&form.as_bytes()[..10]).await?;
    origin.terminate()?;
    let mut was_not_ready = false;
    // The origin first reports that it is not ready, then accepts no more connections.
    wait_until("the origin accepts no more connections", async || {
        let status = ready().await;
        was_not_ready |= status.as_ref().is_ok_and(|status| *status == 503);
        status.is_err()
    })
    .await;
    ensure!(was_not_ready, "the origin did not report that it is shutting down");
    stream.write_all(&form.as_bytes()[10..]).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "the request in progress was answered: {answer}");
    assert_eq!(origin.wait_for_exit().await?, Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_have_ids_logs_and_metrics() -> Result<()> {
    let mut origin = OriginProcess::new(TestDatabase::Sqlite)?;
    let metrics = format!("127.0.0.1:{}", free_port()?);
    origin.set("TOLLGATE_METRICS_LISTEN", &metrics);
    origin.set("TOLLGATE_LOG", "debug");
    origin.set("TOLLGATE_LOG_FORMAT", "json");
    let http = Client::new();
    origin.start(&http).await?;
    let named = async |id: &str| {
        let request = http.get(format!("{}/oauth/userinfo", origin.url)).header("x-request-id", id);
        let answer = request.header("traceparent", traceparent()).send().await?;
        let given = answer.headers().get("x-request-id").context("a name")?.to_str()?.to_owned();
        Ok::<_, anyhow::Error>((answer.status(), given))
    };
    let (status, given) = named("strangers-name").await?;
    ensure!(status == 401 && given != "strangers-name" && given.len() == 32, "the origin's own request id: {given}");
    let log = origin.log()?;
    let line = log.lines().find(|line| line.contains(&given)).context("the request is in the log")?;
    let line: Value = serde_json::from_str(line)?;
    assert_eq!((&line["span"]["trace_id"], &line["span"]["route"]), (&json!(TRACE), &json!("/oauth/userinfo")));
    assert!(!log.contains("strangers-name"));

    assert_eq!(http.get(format!("{}/metrics", origin.url)).send().await?.status(), 404);
    assert_eq!(http.get(format!("http://{metrics}/health")).send().await?.status(), 404);
    let text = http.get(format!("http://{metrics}/metrics")).send().await?.text().await?;
    for figure in [
        "tollgate_http_requests_total{route=\"/oauth/userinfo\",status=\"4xx\"} 1",
        "tollgate_refusals_total{route=\"/oauth/userinfo\",reason=\"no_token\"} 1",
        "tollgate_hashing_queue 0",
        "tollgate_signing_key_age_seconds{purpose=\"token\",alg=\"EdDSA\"",
        "tollgate_rate_limited_total{limit=\"sign-ins\"} 0",
    ] {
        ensure!(text.lines().any(|line| line.starts_with(figure)), "{figure} in\n{text}");
    }
    let health: Value = http.get(format!("{}/health", origin.url)).send().await?.json().await?;
    for part in ["database", "feed", "keys", "writer", "hashing"] {
        assert_eq!(health[part]["status"], "ok", "{health}");
    }

    // A request id of a trusted proxy is kept.
    origin.set("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1");
    origin.kill();
    origin.start(&http).await?;
    let named =
        http.get(format!("{}/health/live", origin.url)).header("x-request-id", "0af7651916cd43dd-8448").send().await?;
    assert_eq!(named.headers()["x-request-id"], "0af7651916cd43dd-8448");
    Ok(())
}

#[test]
fn every_setting_is_in_help_and_sample_configuration() -> Result<()> {
    let mut origin = OriginProcess::new(TestDatabase::Sqlite)?;
    let help = origin.cli(&["serve", "--help"])?;
    let sample = origin.cli(&["config", "sample"])?;
    for setting in tollgate_config::all() {
        ensure!(help.contains(setting.name), "--help does not explain {}", setting.name);
        ensure!(sample.contains(&format!("\n#{} = ", setting.key())), "the sample lacks {}", setting.key());
    }
    let shown = origin.cli(&["config", "show", "--json"])?;
    origin.write("tollgate.toml", &sample)?;
    assert_eq!(origin.cli(&["config", "show", "--json"])?, shown, "the sample changes nothing");

    origin.set("TOLLGATE_USERS_API_SECRET", "hidden-secret");
    origin.set("TOLLGATE_REDIS_URL", "redis://:hidden-secret@127.0.0.1/");
    origin.write(".env", "TOLLGATE_TOKEN_LIFETIME=600\n")?;
    let shown = origin.cli(&["config", "show"])?;
    ensure!(!shown.contains("hidden-secret"), "{shown}");
    let row = |name: &str| {
        shown.lines().find(|line| line.starts_with(name)).map(|line| line.split_whitespace().collect::<Vec<_>>())
    };
    assert_eq!(row("TOLLGATE_TOKEN_LIFETIME"), Some(vec!["TOLLGATE_TOKEN_LIFETIME", "600", ".env"]));
    assert_eq!(row("TOLLGATE_USERS_API_SECRET").map(|row| row[1..].to_vec()), Some(vec!["***", "environment"]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn deprecated_setting_works_with_one_warning_and_is_shown_under_its_new_name() -> Result<()> {
    let mut origin = OriginProcess::new(TestDatabase::Sqlite)?;
    origin.set("TOLLGATE_DRAIN", "2");
    let shown = origin.cli(&["config", "show"])?;
    let row = shown.lines().find(|line| line.starts_with("TOLLGATE_SHUTDOWN_DRAIN")).context("no row")?;
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        ["TOLLGATE_SHUTDOWN_DRAIN", "2", "environment", "(TOLLGATE_DRAIN)"]
    );
    origin.start(&Client::new()).await?;
    let log = origin.log()?;
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("deprecated setting")).collect();
    ensure!(warnings.len() == 1 && warnings[0].contains("TOLLGATE_SHUTDOWN_DRAIN"), "{warnings:?}");

    origin.set("TOLLGATE_SHUTDOWN_DRAIN", "3");
    let error = origin.cli(&["config", "show"]).expect_err("two values").to_string();
    ensure!(error.contains("TOLLGATE_SHUTDOWN_DRAIN") && error.contains("remove TOLLGATE_DRAIN"), "{error}");
    Ok(())
}
