//! Clocks as they are: an origin's is an hour ahead for a while.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tollgate_core::Snapshot;
use tollgate_tests::environment::{install_tls_provider, now_ms};
use tollgate_tests::origin_process::OriginProcess;
use tollgate_tests::regression_case::RegressionCase;
use tollgate_tests::service_client::ServiceClient;

cases! {
    both {
        F3 f3_a_clock_an_hour_ahead_deletes_no_revocation,
        O32 o32_a_clock_an_hour_ahead_stops_no_snapshot,
    }
    once {}
}

const HOUR: i64 = 3600;
/// How long something that must come may take on a busy machine before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Expired records are swept once a minute.
const SWEEP_WAIT: Duration = Duration::from_secs(120);

/// An origin with a clock of its own, which runs, and a client of it.
async fn begin(case: &RegressionCase) -> Result<(OriginProcess, ServiceClient)> {
    install_tls_provider();
    let mut origin = case.origin_process()?;
    origin.fake_clock()?;
    origin.set("TOLLGATE_LOG", "info,sqlx=warn,tollgate::issuers=debug");
    // Shorter than the jump: to the wrong clock all tokens are long gone.
    origin.set("TOLLGATE_TOKEN_LIFETIME", "600");
    origin.start(&reqwest::Client::new()).await?;
    let created = origin.cli(&["client", "create", "--json", "--name", "clock"])?;
    let client = ServiceClient::from_cli_output(&origin.url, &created)?;
    Ok((origin, client))
}

/// What `/health` says of the clock, and the status of `/health/ready`.
async fn clock_status(origin: &OriginProcess) -> Result<(String, u16)> {
    let health: serde_json::Value = reqwest::get(format!("{}/health", origin.url)).await?.json().await?;
    let ready = reqwest::get(format!("{}/health/ready", origin.url)).await?.status().as_u16();
    Ok((health["clock"]["status"].as_str().context("a status of the clock")?.to_owned(), ready))
}

async fn clock_is(origin: &OriginProcess, wanted: &str) -> Result<u16> {
    let started = Instant::now();
    loop {
        let (status, ready) = clock_status(origin).await?;
        if status == wanted {
            return Ok(ready);
        }
        ensure!(started.elapsed() < PATIENCE, "the clock is {status}: {}", origin.log_tail());
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

async fn f3_a_clock_an_hour_ahead_deletes_no_revocation(case: &RegressionCase) -> Result<()> {
    let (mut origin, client) = begin(case).await?;
    let token = client.token("").await?;
    client.revoke(&token).await?;
    let swept = |origin: &OriginProcess| Ok::<_, anyhow::Error>(origin.log()?.matches("forgot what expired").count());
    let before = swept(&origin)?;
    origin.set_clock(HOUR)?;
    clock_is(&origin, "failing").await?;
    let started = Instant::now();
    while swept(&origin)? == before {
        ensure!(started.elapsed() < SWEEP_WAIT, "there was no sweep: {}", origin.log_tail());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    origin.set_clock(0)?;
    clock_is(&origin, "ok").await?;
    ensure!(client.introspect(&token).await?["active"] == false, "the revoked token is active again");
    // What an edge would get that starts now, built anew; and what is on record after a restart.
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
        "after a sweep at one hour ahead: token inactive, {} revoked token in a snapshot that is built now",
        inspected["revoked"]
    ));
    origin.delete().await
}

async fn o32_a_clock_an_hour_ahead_stops_no_snapshot(case: &RegressionCase) -> Result<()> {
    let (origin, client) = begin(case).await?;
    let other = other_origin(case, &origin).await?;
    let first = snapshot(&origin).await?;
    origin.set_clock(HOUR)?;
    let ready_while_wrong = clock_is(&origin, "failing").await?;
    ensure!(ready_while_wrong == 503, "ready answers {ready_while_wrong} with a wrong clock");
    // A change that is published while the clock is wrong, and one after.
    let ahead = published(&origin, &first, "/one").await?;
    if let Some(other) = &other {
        let (clock, ready) = clock_status(other).await?;
        ensure!((clock.as_str(), ready) == ("ok", 200), "the other origin's clock is {clock}, ready answers {ready}");
    }
    let bound = now_ms() + 60_000;
    ensure!(ahead.as_of_ms() < bound, "a snapshot is dated {} ms in the future", ahead.as_of_ms() - now_ms());
    origin.set_clock(0)?;
    let ready = clock_is(&origin, "ok").await?;
    let after = published(&origin, &ahead, "/two").await?;
    ensure!(after.config().routes().len() == 2, "both rules are in");
    if let Some(other) = &other {
        published_at(other, 2).await?;
    }
    client.token("").await?;
    case.report(format!("an hour ahead: ready {ready_while_wrong}, snapshot published and dated now; right again: ready {ready}, snapshot published"));
    origin.delete().await
}

/// Another origin on the same database, whose clock is right; SQLite has room for one.
async fn other_origin(case: &RegressionCase, origin: &OriginProcess) -> Result<Option<OriginProcess>> {
    if !case.is_postgres() {
        return Ok(None);
    }
    let mut other = origin.second_origin()?;
    other.fake_clock()?;
    other.start(&reqwest::Client::new()).await?;
    Ok(Some(other))
}

/// The snapshot that a new rule makes.
async fn published(origin: &OriginProcess, before: &Snapshot, path: &str) -> Result<Snapshot> {
    origin.cli(&["route", "add", "--path", path, "--public"])?;
    published_at(origin, before.config().routes().len() + 1).await
}

/// Waits until an origin serves a snapshot with this many rules.
async fn published_at(origin: &OriginProcess, rules: usize) -> Result<Snapshot> {
    let started = Instant::now();
    loop {
        let newest = snapshot(origin).await?;
        if newest.config().routes().len() == rules {
            return Ok(newest);
        }
        ensure!(started.elapsed() < PATIENCE, "no snapshot is published: {}", origin.log_tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
