//! Each metric moves when its event happens, and tools of Prometheus can read the text.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tollgate_system::Clock;
use tollgate_tests::browser::Browser;
use tollgate_tests::client::{DEVICE_CODE_GRANT, TestClient};
use tollgate_tests::database::TestDatabase;
use tollgate_tests::database_proxy::DatabaseProxy;
use tollgate_tests::environment::{free_port, now_ms};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::origin_process::OriginProcess;
use tollgate_tests::prometheus::{promtool, samples};
use tollgate_tests::users::register_user;

async fn metrics(origin: &TestOrigin) -> Result<BTreeMap<String, f64>> {
    samples(&origin.http.get(origin.url("/metrics")).send().await?.text().await?)
}

/// How much metrics have changed.
struct Change(BTreeMap<String, f64>, BTreeMap<String, f64>);

impl Change {
    fn of(&self, name: &str) -> Result<f64> {
        let after = self.1.get(name).with_context(|| format!("no {name}"))?;
        Ok(after - self.0.get(name).copied().unwrap_or_default())
    }

    fn assert_moved(&self, names: &[&str]) -> Result<()> {
        for name in names {
            ensure!(self.of(name)? > 0.0, "{name} has not moved");
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_move_when_their_events_happen() -> Result<()> {
    let (clock, time) = Clock::manual(now_ms());
    let origin = TestOrigin::start_with_clock(&[("TOLLGATE_METRICS_PUBLIC", "true")], clock).await?;
    let client = TestClient::register_web_app(
        &origin,
        "shop",
        &json!({ "grant_types": ["client_credentials", "authorization_code", "refresh_token", DEVICE_CODE_GRANT] }),
    )
    .await?;
    let (_, ada) = register_user(&origin, "ada").await?;
    let before = metrics(&origin).await?;
    ensure!(before["tollgate_database_up"] == 1.0 && before["tollgate_sessions"] == 0.0, "at the start");
    ensure!(before["tollgate_device_codes"] == 0.0 && before["tollgate_edges"] == 0.0, "at the start");
    ensure!(!before.contains_key("tollgate_redis_up"), "without Redis");

    for _ in 0..2 {
        client.token("read").await?;
    }
    let wrong = origin.http.post(origin.url("/oauth/token")).basic_auth("shop", Some("wrong"));
    assert_eq!(wrong.form(&[("grant_type", "client_credentials")]).send().await?.status(), 401);
    let admin = origin.http.get(origin.url("/admin/api/clients")).bearer_auth("wrong");
    assert_eq!(admin.send().await?.status(), 401);
    let browser = Browser::new(&origin.server.url())?;
    client.user_tokens(&browser, &ada, &[]).await?;
    assert_eq!(client.post("/oauth/device/code", &[("scope", "read")]).await?.status, 200);
    origin.cli(&["edge", "add", "fra", "--url", "http://127.0.0.1:1"])?;
    // Live records are counted every 15 seconds at most.
    time.advance(Duration::from_secs(20));

    let change = Change(before, metrics(&origin).await?);
    assert_eq!(change.of("tollgate_tokens_issued_total{grant_type=\"client_credentials\"}")?, 2.0);
    assert_eq!(change.of("tollgate_tokens_issued_total{grant_type=\"authorization_code\"}")?, 1.0);
    assert_eq!(change.of("tollgate_refusals_total{route=\"/oauth/token\",reason=\"invalid_client\"}")?, 1.0);
    for credentials in ["client", "admin_api"] {
        let name = |address| {
            format!("tollgate_failed_authentications_total{{credentials=\"{credentials}\",address=\"{address}\"}}")
        };
        assert_eq!((change.of(&name("loopback"))?, change.of(&name("public"))?), (1.0, 0.0), "{credentials}");
    }
    assert_eq!((change.of("tollgate_sessions")?, change.of("tollgate_device_codes")?), (1.0, 1.0));
    assert_eq!(change.of("tollgate_edges")?, 1.0);
    change.assert_moved(&[
        "tollgate_http_requests_total{route=\"/oauth/token\",status=\"2xx\"}",
        "tollgate_http_request_duration_seconds_count{route=\"/oauth/token\"}",
        "tollgate_hashes_total",
        "tollgate_hashing_wait_seconds_count",
        "tollgate_hashing_duration_seconds_sum",
        "tollgate_writer_wait_seconds_count",
        "tollgate_writer_batch_seconds_sum",
        "tollgate_database_wait_seconds_count{pool=\"read\"}",
        "tollgate_database_statement_seconds_sum{pool=\"read\"}",
        "tollgate_database_statement_seconds_count{pool=\"write\"}",
        "tollgate_cache_hits_total{cache=\"clients\"}",
        "tollgate_cache_misses_total{cache=\"clients\"}",
        "tollgate_cache_entries{cache=\"clients\"}",
        "tollgate_runtime_busy_seconds_total{worker=\"0\"}",
        "process_cpu_seconds_total",
    ])?;
    for (name, floor) in [
        ("tollgate_database_connections_max{pool=\"read\"}", 1.0),
        ("tollgate_http_requests_in_flight", 1.0),
        ("tollgate_runtime_tasks", 5.0),
        ("tollgate_runtime_workers", 1.0),
        ("tollgate_writer_queue_capacity", 1000.0),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 3.0),
        ("process_start_time_seconds", 1e9),
        ("tollgate_feed_publishing", 1.0),
        ("tollgate_feed_watching", 1.0),
        ("tollgate_clock_trusted", 0.0),
        ("tollgate_build_info{version=\"0.1.0\"}", 1.0),
    ] {
        ensure!(change.1.get(name).is_some_and(|value| *value >= floor), "{name}: {:?}", change.1.get(name));
    }
    Ok(())
}

/// Complaint about a metric that has kept its name.
const KNOWN_COMPLAINT: &str = "tollgate_edge_contact_age_milliseconds use base unit \"seconds\"";

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_no_fault_in_the_metrics() -> Result<()> {
    let origin = TestOrigin::start_with(&[("TOLLGATE_METRICS_PUBLIC", "true")]).await?;
    TestClient::register(&origin, "shop", json!({ "grant_types": ["client_credentials"], "scope": "read" }))
        .await?
        .token("read")
        .await?;
    let text = origin.http.get(origin.url("/metrics")).send().await?.text().await?;
    let checked = promtool(&["check", "metrics"], &text)?;
    let complaints = String::from_utf8(checked.stderr)?;
    let others: Vec<&str> = complaints.lines().filter(|line| !line.starts_with(KNOWN_COMPLAINT)).collect();
    ensure!(others.is_empty(), "{}", others.join("\n"));
    // Success, or success with complaints.
    ensure!(matches!(checked.status.code(), Some(0 | 3)), "{:?}", checked.status);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_served_while_the_database_is_away() -> Result<()> {
    let database = TestDatabase::postgres("metrics_outage").await?;
    let url = database.url(Path::new("."))?;
    let (mut proxy, proxied) = DatabaseProxy::for_database(&url).await?;
    let mut origin = OriginProcess::new(TestDatabase::Shared(proxied))?;
    let address = format!("127.0.0.1:{}", free_port()?);
    origin.set("TOLLGATE_METRICS_LISTEN", &address);
    let http = reqwest::Client::new();
    origin.start(&http).await?;
    let read = async || {
        let response = http.get(format!("http://{address}/metrics")).send().await?;
        assert_eq!(response.status(), 200);
        samples(&response.text().await?)
    };
    let before = read().await?;
    ensure!(before["tollgate_database_up"] == 1.0 && before.contains_key("tollgate_feed_sequence"), "{before:?}");
    proxy.stop().await;
    let during = read().await?;
    ensure!(during["tollgate_database_up"] == 0.0 && !during.contains_key("tollgate_feed_sequence"), "{during:?}");
    ensure!(during.contains_key("tollgate_hashing_queue"), "{during:?}");
    drop(origin);
    database.delete().await
}
