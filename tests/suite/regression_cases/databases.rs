//! Database failures: disk full, read-only, silent, down, and settings that lose commits.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tollgate_tests::client::TestClient;
use tollgate_tests::database::TestDatabase;
use tollgate_tests::database_proxy::DatabaseProxy;
use tollgate_tests::environment::install_tls_provider;
use tollgate_tests::origin_process::OriginProcess;
use tollgate_tests::postgres_server::PostgresServer;
use tollgate_tests::regression_case::RegressionCase;
use tollgate_tests::small_disk::SmallDisk;

cases! {
    both {}
    once {
        O23 o23_writes_resume_after_a_read_only_primary,
        F1 f1_writes_resume_when_a_full_disk_has_space,
        F2 f2_silent_connections_are_replaced,
        F7 f7_start_waits_for_the_database,
        F8 f8_requests_fail_fast_while_the_database_is_down,
        F9 f9_acknowledged_commits_are_durable,
    }
}

/// Longest wait for a recovery, on a busy machine.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// Status of a path, and the response time.
async fn get(url: &str, path: &str) -> Result<(u16, Duration)> {
    let started = Instant::now();
    let answer = reqwest::get(format!("{url}{path}")).await?;
    Ok((answer.status().as_u16(), started.elapsed()))
}

/// Waits until `/health/ready` answers with this status, and returns how long that took.
async fn wait_until_ready_is(url: &str, wanted: u16) -> Result<Duration> {
    let started = Instant::now();
    while get(url, "/health/ready").await?.0 != wanted {
        ensure!(started.elapsed() < RECOVERY_TIMEOUT, "/health/ready does not answer {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(started.elapsed())
}

/// Waits until a token is issued, and returns how long that took.
async fn wait_for_writes(client: &TestClient) -> Result<Duration> {
    let started = Instant::now();
    while let Err(error) = client.token("").await {
        ensure!(started.elapsed() < RECOVERY_TIMEOUT, "no token: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(started.elapsed())
}

/// Tokens and revocations acknowledged under load.
#[derive(Default)]
struct Acknowledged {
    issued: Vec<String>,
    revoked: Vec<String>,
}

impl Acknowledged {
    /// Issues tokens and revokes every other one, until `stop` is set.
    async fn under_load(client: Arc<TestClient>, stop: Arc<AtomicBool>) -> Acknowledged {
        let mut acknowledged = Acknowledged::default();
        while !stop.load(Ordering::SeqCst) {
            let Ok(token) = client.token("").await else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            let is_to_be_revoked = acknowledged.issued.len() > acknowledged.revoked.len();
            match is_to_be_revoked {
                true if client.revoke(&token).await.is_ok() => acknowledged.revoked.push(token),
                // Unknown: a revocation that was not acknowledged may have been recorded.
                true => {}
                false => acknowledged.issued.push(token),
            }
        }
        acknowledged
    }

    /// Introspects all of them.
    async fn check(&self, client: &TestClient) -> Result<()> {
        for (tokens, is_active) in [(&self.issued, true), (&self.revoked, false)] {
            for token in tokens {
                let answer = client.introspect(token).await?;
                ensure!(answer["active"] == is_active, "an acknowledged token or revocation is lost: {answer}");
            }
        }
        Ok(())
    }
}

async fn f1_writes_resume_when_a_full_disk_has_space(case: &RegressionCase) -> Result<()> {
    let disk = SmallDisk::mount(24)?;
    let url = format!("sqlite://{}", disk.path().join("origin.db").display());
    let origin = case.origin(&[("TOLLGATE_DATABASE_URL", &url)]).await?;
    let client = Arc::new(TestClient::register_with_cli(&origin, "load", &[])?);
    let at = origin.server.url();
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> =
        (0..4).map(|_| tokio::spawn(Acknowledged::under_load(Arc::clone(&client), Arc::clone(&stop)))).collect();
    let mut longest = Duration::ZERO;
    for _ in 0..3 {
        wait_for_writes(&client).await?;
        disk.fill()?;
        wait_until_ready_is(&at, 503).await?;
        ensure!(client.token("").await.is_err(), "a token was issued on a full disk");
        ensure!(get(&at, "/health").await?.0 == 503, "/health must report that writes fail");
        disk.free()?;
        longest = longest.max(wait_for_writes(&client).await?);
        wait_until_ready_is(&at, 200).await?;
    }
    stop.store(true, Ordering::SeqCst);
    let (mut issued, mut revoked) = (0, 0);
    for worker in workers {
        let acknowledged = worker.await?;
        acknowledged.check(&client).await?;
        (issued, revoked) = (issued + acknowledged.issued.len(), revoked + acknowledged.revoked.len());
    }
    ensure!(longest < Duration::from_secs(5), "writes came back after {longest:?}");
    // Without load: readiness is probed.
    disk.fill()?;
    wait_until_ready_is(&at, 503).await?;
    disk.free()?;
    wait_until_ready_is(&at, 200).await?;
    case.report(format!(
        "full: token 503, ready 503; room: token 200 within {} ms of 3 fills, ready 200; {issued} tokens and {revoked} revocations kept",
        longest.as_millis()
    ));
    origin.server.shutdown().await;
    Ok(())
}

async fn f2_silent_connections_are_replaced(case: &RegressionCase) -> Result<()> {
    let database = TestDatabase::postgres("case_f2").await?;
    let (proxy, url) = DatabaseProxy::for_database(&database.url(Path::new(""))?).await?;
    let origin = case.origin(&[("TOLLGATE_DATABASE_URL", &url)]).await?;
    let client = TestClient::register_with_cli(&origin, "silent", &[])?;
    client.token("").await?;
    let at = origin.server.url();
    wait_until_ready_is(&at, 200).await?;
    proxy.silence_connections();
    let written = wait_for_writes(&client).await?;
    let ready = wait_until_ready_is(&at, 200).await?;
    ensure!(written < Duration::from_secs(20), "writes came back after {written:?}");
    case.report(format!(
        "token on a new connection {} ms after the old ones fell silent, ready again {} ms later",
        written.as_millis(),
        ready.as_millis()
    ));
    origin.server.shutdown().await;
    database.delete().await
}

async fn f7_start_waits_for_the_database(case: &RegressionCase) -> Result<()> {
    install_tls_provider();
    let database = TestDatabase::postgres("case_f7").await?;
    let (mut proxy, url) = DatabaseProxy::for_database(&database.url(Path::new(""))?).await?;
    proxy.stop().await;
    let mut origin = OriginProcess::new(TestDatabase::Shared(url))?;
    let refused = origin.cli(&["serve", "--no-wait"]).unwrap_or_else(|error| error.to_string());
    let address = proxy.address().to_string();
    ensure!(refused.contains(&address) && refused.contains("refused"), "--no-wait says: {refused}");
    let http = reqwest::Client::new();
    let (started, ()) = tokio::try_join!(origin.start(&http), async {
        tokio::time::sleep(Duration::from_secs(6)).await;
        proxy.restart().await
    })?;
    let log = origin.log()?;
    ensure!(log.contains("the database cannot be reached; waiting for it") && log.contains(&address), "{log}");
    case.report(format!("--no-wait: {}; else serves {} s after the start", refused.trim(), started.as_secs()));
    origin.delete().await?;
    database.delete().await
}

async fn f8_requests_fail_fast_while_the_database_is_down(case: &RegressionCase) -> Result<()> {
    let database = TestDatabase::postgres("case_f8").await?;
    let (mut proxy, url) = DatabaseProxy::for_database(&database.url(Path::new(""))?).await?;
    let origin = case.origin(&[("TOLLGATE_DATABASE_URL", &url)]).await?;
    let client = TestClient::register_with_cli(&origin, "away", &[])?;
    let token = client.token("").await?;
    let at = origin.server.url();
    proxy.stop().await;
    wait_until_ready_is(&at, 503).await?;
    let mut longest = Duration::ZERO;
    for _ in 0..10 {
        let started = Instant::now();
        ensure!(client.token("").await.is_err(), "a token was issued without a database");
        ensure!(client.post("/oauth/introspect", &[("token", &token)]).await?.status == 503, "introspection answered");
        longest = longest.max(started.elapsed());
    }
    ensure!(longest < Duration::from_secs(3), "a client waited {longest:?} for 503");
    proxy.restart().await?;
    let written = wait_for_writes(&client).await?;
    wait_until_ready_is(&at, 200).await?;
    ensure!(written < Duration::from_secs(20), "writes came back after {written:?}");
    case.report(format!(
        "503 within {} ms while away; token 200 {} ms after it came back",
        longest.as_millis(),
        written.as_millis()
    ));
    origin.server.shutdown().await;
    database.delete().await
}

async fn o23_writes_resume_after_a_read_only_primary(case: &RegressionCase) -> Result<()> {
    let server = PostgresServer::start(&["fsync=off"]).await?;
    let origin = case.origin(&[("TOLLGATE_DATABASE_URL", server.url())]).await?;
    let client = TestClient::register_with_cli(&origin, "readonly", &[])?;
    let token = client.token("").await?;
    let at = origin.server.url();
    server.execute("ALTER SYSTEM SET default_transaction_read_only = on").await?;
    server.execute("SELECT pg_reload_conf()").await?;
    let not_ready_after = wait_until_ready_is(&at, 503).await?;
    let refused = client.request_tokens(&[("grant_type", "client_credentials")]).await?.status;
    ensure!(refused == 503, "a token was answered with {refused}");
    ensure!(client.introspect(&token).await?["active"] == true, "reads are still answered");
    // As after a failover: the open connections stay with the read-only server.
    server.execute("ALTER SYSTEM RESET default_transaction_read_only").await?;
    server.execute("SELECT pg_reload_conf()").await?;
    let written = wait_for_writes(&client).await?;
    wait_until_ready_is(&at, 200).await?;
    ensure!(written < Duration::from_secs(20), "writes came back after {written:?}");
    case.report(format!(
        "ready 503 after {} ms, token 503, introspection 200; writable again: token 200 after {} ms, ready 200",
        not_ready_after.as_millis(),
        written.as_millis()
    ));
    origin.server.shutdown().await;
    Ok(())
}

async fn f9_acknowledged_commits_are_durable(case: &RegressionCase) -> Result<()> {
    install_tls_provider();
    let server =
        PostgresServer::start(&["fsync=off", "synchronous_commit=off", "log_min_duration_statement=0"]).await?;
    let mut origin = OriginProcess::new(TestDatabase::Shared(server.url().to_owned()))?;
    origin.start(&reqwest::Client::new()).await?;
    let log = origin.log()?;
    ensure!(log.contains("fsync=off"), "no warning: {log}");
    // A trigger records the setting with which tokens are written.
    server
        .execute(
            "CREATE TABLE seen_setting (value text);
             CREATE FUNCTION see_setting() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN INSERT INTO seen_setting VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
             CREATE TRIGGER see_setting AFTER INSERT ON tokens FOR EACH STATEMENT EXECUTE FUNCTION see_setting()",
        )
        .await?;
    let client =
        TestClient::from_cli_output(&origin.url, &origin.cli(&["client", "create", "--json", "--name", "sync"])?)?;
    client.token("").await?;
    let seen = server.query("SELECT string_agg(DISTINCT value, ' ') FROM seen_setting").await?;
    ensure!(seen.as_deref() == Some("on"), "tokens are written with synchronous_commit {seen:?}");
    case.report("synchronous_commit is on where the server's default is off; fsync=off is logged as a warning");
    origin.delete().await
}
