//! Wrong clocks: an origin whose clock is an hour ahead for a while.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tollgate_core::Snapshot;
use tollgate_tests::client::TestClient;
use tollgate_tests::environment::{install_tls_provider, now_ms};
use tollgate_tests::origin_process::OriginProcess;
use tollgate_tests::regression_case::RegressionCase;

cases! {
    both {
        F3 f3_clock_an_hour_ahead_deletes_no_revocation,
        O32 o32_clock_an_hour_ahead_does_not_stop_snapshots,
    }
    once {}
}

const HOUR_SECONDS: i64 = 3600;
/// Longest wait for a change, on a busy machine.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for a sweep of expired records, which runs once a minute.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(120);

/// Starts an origin with a fake clock, and registers a client.
async fn start(case: &RegressionCase) -> Result<(OriginProcess, TestClient)> {
    install_tls_provider();
    let mut origin = case.origin_process()?;
    origin.fake_clock()?;
    origin.set("TOLLGATE_LOG", "info,sqlx=warn,tollgate::issuers=debug");
    // Shorter than the jump, so that by the wrong clock all tokens have expired.
    origin.set("TOLLGATE_TOKEN_LIFETIME", "600");
    origin.start(&reqwest::Client::new()).await?;
    let created = origin.cli(&["client", "create", "--json", "--name", "clock"])?;
    let client = TestClient::from_cli_output(&origin.url, &created)?;
    Ok((origin, client))
}

/// Status of the clock in `/health`, and the HTTP status of `/health/ready`.
async fn clock_status(origin: &OriginProcess) -> Result<(String, u16)> {
    let health: serde_json::Value = reqwest::get(format!("{}/health", origin.url)).await?.json().await?;
    let ready = reqwest::get(format!("{}/health/ready", origin.url)).await?.status().as_u16();
    Ok((health["clock"]["status"].as_str().context("a status of the clock")?.to_owned(), ready))
}

async fn wait_for_clock_status(origin: &OriginProcess, wanted: &str) -> Result<u16> {
    let started = Instant::now();
    loop {
        let (status, ready) = clock_status(origin).await?;
        if status == wanted {
            return Ok(ready);
        }
        ensure!(started.elapsed() < CHANGE_TIMEOUT, "the clock is {status}: {}", origin.log_tail());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn pins(origin: &OriginProcess) -> Result<[[u8; 32]; 1]> {
    let key = URL_SAFE_NO_PAD.decode(origin.cli(&["key", "snapshot"])?.trim())?;
    Ok([key.try_into().ok().context("a key of 32 bytes")?])
}

async fn snapshot(origin: &OriginProcess) -> Result<Snapshot> {
    let answer = reqwest::get(format!("{}/edge/v1/snapshot", origin.url)).await?.error_for_status()?;
    Ok(Snapshot::decode(answer.bytes().await?.to_vec(), &pins(origin)?)?)
}

async fn f3_clock_an_hour_ahead_deletes_no_revocation(case: &RegressionCase) -> Result<()> {
    let (mut origin, client) = start(case).await?;
    let token = client.token("").await?;
    client.revoke(&token).await?;
    let swept =
        |origin: &OriginProcess| Ok::<_, anyhow::Error>(origin.log()?.matches("deleted expired records").count());
    let before = swept(&origin)?;
    origin.set_clock(HOUR_SECONDS)?;
    wait_for_clock_status(&origin, "failing").await?;
    let started = Instant::now();
    while swept(&origin)? == before {
        ensure!(started.elapsed() < SWEEP_TIMEOUT, "there was no sweep: {}", origin.log_tail());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    origin.set_clock(0)?;
    wait_for_clock_status(&origin, "ok").await?;
    ensure!(client.introspect(&token).await?["active"] == false, "the revoked token is active again");
    // Checks the snapshot that a new edge would get, and the records after a restart.
    let file = "now.snapshot";
    let exported = origin.cli(&["snapshot", "export", file])?;
    let inspected = origin.cli(&["snapshot", "inspect", "--json", file])?;
    let inspected: serde_json::Value = serde_json::from_str(&inspected)?;
    ensure!(inspected["revoked"] == 1, "{exported} {inspected}");
    origin.kill();
    origin.start(&reqwest::Client::new()).await?;
    let record = origin.cli(&["revocation", "list", "--json"])?;
    ensure!(record.contains("token"), "the revocation is gone: {record}");
    case.report(format!(
        "after a sweep at one hour ahead: token inactive, {} revoked token in a new snapshot",
        inspected["revoked"]
    ));
    origin.delete().await
}

async fn o32_clock_an_hour_ahead_does_not_stop_snapshots(case: &RegressionCase) -> Result<()> {
    let (origin, client) = start(case).await?;
    let other = other_origin(case, &origin).await?;
    let first = snapshot(&origin).await?;
    origin.set_clock(HOUR_SECONDS)?;
    let ready_while_wrong = wait_for_clock_status(&origin, "failing").await?;
    ensure!(ready_while_wrong == 503, "ready answers {ready_while_wrong} with a wrong clock");
    // Publishes a change while the clock is wrong, and another one afterwards.
    let ahead = publish_route(&origin, &first, "/one").await?;
    if let Some(other) = &other {
        let (clock, ready) = clock_status(other).await?;
        ensure!((clock.as_str(), ready) == ("ok", 200), "the other origin's clock is {clock}, ready answers {ready}");
    }
    let bound = now_ms() + 60_000;
    ensure!(ahead.as_of_ms() < bound, "a snapshot is dated {} ms in the future", ahead.as_of_ms() - now_ms());
    origin.set_clock(0)?;
    let ready = wait_for_clock_status(&origin, "ok").await?;
    let after = publish_route(&origin, &ahead, "/two").await?;
    ensure!(after.config().routes().len() == 2, "both routes are in the snapshot");
    if let Some(other) = &other {
        wait_for_snapshot(other, 2).await?;
    }
    client.token("").await?;
    case.report(format!("an hour ahead: ready {ready_while_wrong}, snapshot published and dated now; right again: ready {ready}, snapshot published"));
    origin.delete().await
}

/// A second origin on the same database with the right clock. SQLite allows only one origin.
async fn other_origin(case: &RegressionCase, origin: &OriginProcess) -> Result<Option<OriginProcess>> {
    if !case.is_postgres() {
        return Ok(None);
    }
    let mut other = origin.second_origin()?;
    other.fake_clock()?;
    other.start(&reqwest::Client::new()).await?;
    Ok(Some(other))
}

/// Adds a route, and returns the snapshot that contains it.
async fn publish_route(origin: &OriginProcess, before: &Snapshot, path: &str) -> Result<Snapshot> {
    origin.cli(&["route", "add", "--path", path, "--public"])?;
    wait_for_snapshot(origin, before.config().routes().len() + 1).await
}

/// Waits until an origin serves a snapshot with this many routes.
async fn wait_for_snapshot(origin: &OriginProcess, rules: usize) -> Result<Snapshot> {
    let started = Instant::now();
    loop {
        let newest = snapshot(origin).await?;
        if newest.config().routes().len() == rules {
            return Ok(newest);
        }
        ensure!(started.elapsed() < CHANGE_TIMEOUT, "no snapshot is published: {}", origin.log_tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
