//! What the log says about slow work, and request IDs from end to end.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::client::TestClient;
use tollgate_tests::database::TestDatabase;
use tollgate_tests::edge::{EdgeKind, TestEdge};
use tollgate_tests::environment::now;
use tollgate_tests::jwt::{ClientKey, random_id};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::origin_process::OriginProcess;
use tollgate_tests::recording_server::RecordingServer;
use tollgate_tests::wait::wait_until;

fn lines(origin: &OriginProcess, message: &str) -> Result<Vec<Value>> {
    let log = origin.log()?;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.filter(|line| line["fields"]["message"] == message).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_requests_and_queries_are_logged_with_their_parts() -> Result<()> {
    let mut origin = OriginProcess::new(TestDatabase::Sqlite)?;
    origin.set("TOLLGATE_LOG_FORMAT", "json");
    // A password hash takes longer, and so does a commit on any disk and most of a page.
    origin.set("TOLLGATE_SLOW_REQUEST_MS", "1");
    origin.set("TOLLGATE_SLOW_QUERY_MS", "1");
    let http = reqwest::Client::new();
    origin.start(&http).await?;
    let browser = Browser::new(&origin.url)?;
    let page = browser.visit(&format!("{}/login", origin.url), &Person::new("nobody", "wrong")).await?;
    assert_eq!(page.status, 403);

    let slow = lines(&origin, "slow request")?;
    let sign_in = slow.iter().find(|line| line["span"]["route"] == "/login" && line["span"]["method"] == "POST");
    let sign_in = sign_in.with_context(|| format!("{slow:?}"))?;
    let ms = |part: &str| sign_in["fields"][part].as_f64().with_context(|| format!("no {part} in {sign_in}"));
    ensure!(ms("hashing_ms")? > 1.0 && ms("took_ms")? >= ms("hashing_ms")?, "{sign_in}");
    ensure!(ms("database_ms")? > 0.0 && ms("queue_ms")? >= 0.0 && ms("outbound_ms")? == 0.0, "{sign_in}");
    ensure!(sign_in["span"]["request_id"].as_str().is_some_and(|id| id.len() == 32), "{sign_in}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_query_is_logged_with_its_place() -> Result<()> {
    let database = TestDatabase::postgres("slow_query").await?;
    let url = database.url(Path::new("."))?;
    let mut origin = OriginProcess::new(TestDatabase::Shared(url.clone()))?;
    origin.set("TOLLGATE_LOG_FORMAT", "json");
    origin.set("TOLLGATE_SLOW_QUERY_MS", "200");
    let http = reqwest::Client::new();
    origin.start(&http).await?;
    // Another session locks the table that the request reads, until the request waits for it.
    let pool = sqlx::PgPool::connect(&url).await?;
    let mut lock = pool.begin().await?;
    sqlx::query("LOCK TABLE clients IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await?;
    let request = http.post(format!("{}/oauth/token", origin.url)).basic_auth("nobody", Some("wrong"));
    let waiting = request.form(&[("grant_type", "client_credentials")]).send();
    let unlocking = async {
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'clients'::regclass";
        let is_waiting =
            async || sqlx::query_scalar::<_, i64>(waits).fetch_one(&pool).await.is_ok_and(|count| count > 0);
        wait_until("the request waits for the lock", is_waiting).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        lock.rollback().await
    };
    let (answered, unlocked) = tokio::join!(waiting, unlocking);
    unlocked?;
    assert_eq!(answered?.status(), 401);
    pool.close().await;
    let slow = lines(&origin, "slow query")?;
    drop(origin);
    database.delete().await?;
    let of_clients = |line: &&Value| {
        line["fields"]["statement"].as_str().is_some_and(|place| place.starts_with("tollgate_storage::oauth::clients:"))
    };
    let line = slow.iter().find(of_clients).with_context(|| format!("{slow:?}"))?;
    ensure!(line["fields"]["took_ms"].as_f64() >= Some(200.0) && line["fields"]["pool"] == "read", "{line}");
    ensure!(line["span"]["route"] == "/oauth/token", "{line}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_gives_each_request_an_id_that_upstream_and_client_get() -> Result<()> {
    let origin = TestOrigin::start().await?;
    let upstream = RecordingServer::start(200, "{}", Duration::ZERO).await?;
    let settings = origin.edge_settings(&upstream.url).await?;
    origin.cli(&["route", "add", "--path", "/reports/*", "--scope", "read"])?;
    let client = TestClient::register_with_cli(&origin, "shop", &["--scope", "read"])?;
    let token = client.token("read").await?;
    for kind in [EdgeKind::Runner, EdgeKind::Spin] {
        let edge = TestEdge::start(kind, &settings).await?;
        let request = || origin.http.get(format!("{}/reports/7", edge.url)).bearer_auth(&token);
        let own = request().send().await?;
        assert_eq!(own.status(), 200, "{kind:?}");
        let id = own.headers()["x-request-id"].clone();
        assert_eq!(id.len(), 32, "{kind:?}");
        assert_eq!(upstream.headers().last().context("a request")?["x-request-id"], id, "{kind:?}");
        let given = request().header("x-request-id", "7b0d9a7e-4b1c").send().await?;
        assert_eq!(given.headers()["x-request-id"], "7b0d9a7e-4b1c", "{kind:?}");
        assert_eq!(upstream.headers().last().context("a request")?["x-request-id"], "7b0d9a7e-4b1c", "{kind:?}");
        let refused = origin.http.get(format!("{}/reports/7", edge.url)).bearer_auth("wrong").send().await?;
        ensure!(refused.status() == 401 && refused.headers().contains_key("x-request-id"), "{kind:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn outbound_requests_have_the_request_id_and_the_trace() -> Result<()> {
    let origin = TestOrigin::start().await?;
    let server = RecordingServer::start(200, r#"{"keys":[]}"#, Duration::ZERO).await?;
    let key = ClientKey::generate();
    let metadata = json!({
        "grant_types": ["client_credentials"],
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks_uri": format!("{}/jwks", server.url),
    });
    let client = TestClient::register(&origin, "keys", metadata).await?;
    let claims = json!({
        "iss": client.id,
        "sub": client.id,
        "aud": origin.server.issuer(),
        "jti": random_id(),
        "exp": now() + 60,
    });
    let assertion = key.sign(&json!({}), &claims);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion.as_str()),
    ];
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = origin.http.post(origin.url("/oauth/token")).form(&form);
    let response = request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01")).send().await?;
    assert_eq!(response.status(), 401, "the client has no keys");
    let id = response.headers()["x-request-id"].to_str()?.to_owned();
    let fetches = server.headers();
    let fetch = fetches.first().context("the keys were fetched")?;
    assert_eq!(fetch["x-request-id"], id);
    ensure!(fetch["traceparent"].to_str()?.starts_with(&format!("00-{trace}-")), "{fetch:?}");
    Ok(())
}
