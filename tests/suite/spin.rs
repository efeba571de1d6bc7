//! The Spin component in short-lived instances, and as middleware.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tollgate_tests::client::TestClient;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::{install_tls_provider, required_env};
use tollgate_tests::http_server::HttpServer;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::origin_proxy::{ProxyMode, ReplayProxy};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

/// Longer than an idle instance lives.
const INSTANCE_LIFETIME: Duration = Duration::from_millis(2_500);

/// The instance that fetched a new snapshot could not fetch the deltas after it, and ended.
#[tokio::test(flavor = "multi_thread")]
async fn new_instances_are_as_fresh_as_the_last_although_a_sync_was_interrupted() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    origin.cli(&["route", "add", "--path", "/lenient", "--on-stale", "allow", "--on-not-covered", "allow"])?;
    let client = TestClient::register_with_cli(&origin, "cut off", &[])?;
    let (revoked, good) = (client.token("").await?, client.token("").await?);
    let proxy = ReplayProxy::start(&origin.server.url()).await?;
    let mut settings = origin.edge_settings(&upstream.url).await?;
    settings.insert("TOLLGATE_EDGE_ORIGIN", proxy.server.url.clone());
    settings.insert("TOLLGATE_EDGE_ISSUER", origin.server.issuer().to_owned());
    let edge = TestEdge::start(EdgeKind::Spin, &settings).await?;
    client.revoke(&revoked).await?;
    client.wait_for_status(&edge.url, &revoked, 401).await?;

    proxy.set(ProxyMode::SilentAfterSnapshot);
    origin.cli(&["route", "add", "--path", "/new", "--public"])?;
    client.wait_for_status(&edge.url, &good, 503).await?;
    tokio::time::sleep(INSTANCE_LIFETIME).await;
    let lenient = format!("{}/lenient", edge.url);
    for _ in 0..3 {
        let statuses =
            [(&lenient, &good), (&lenient, &revoked), (&edge.url, &good)].map(|(url, token)| client.status(url, token));
        let statuses = futures::future::try_join_all(statuses).await?;
        assert_eq!(statuses, [200, 401, 503], "lenient, known as revoked, strict");
        tokio::time::sleep(INSTANCE_LIFETIME).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_instances_together_ask_the_origin_four_times_a_second() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, HttpServer::echo().await?);
    let client = TestClient::register_with_cli(&origin, "busy", &[])?;
    let token = client.token("").await?;
    let proxy = ReplayProxy::start(&origin.server.url()).await?;
    let mut settings = origin.edge_settings(&upstream.url).await?;
    settings.insert("TOLLGATE_EDGE_ORIGIN", proxy.server.url.clone());
    settings.insert("TOLLGATE_EDGE_ISSUER", origin.server.issuer().to_owned());
    let edge = TestEdge::start(EdgeKind::Spin, &settings).await?;
    let (started, before) = (Instant::now(), proxy.requests());
    let mut answered = 0;
    while started.elapsed() < Duration::from_secs(3) {
        // More at a time than four instances answer.
        let statuses = futures::future::try_join_all((0..64).map(|_| client.status(&edge.url, &token))).await?;
        ensure!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        answered += statuses.len();
    }
    let (asked, elapsed) = (proxy.requests() - before, started.elapsed());
    println!("{answered} requests in {elapsed:?}: {asked} questions to the origin");
    let most = usize::try_from(elapsed.as_millis() / 250)? + 4;
    assert!(asked <= most, "{asked} questions in {elapsed:?}");
    Ok(())
}

#[test]
fn middleware_has_the_interfaces_by_which_spin_chains_it() -> Result<()> {
    let engine = Engine::new(Config::new().wasm_component_model_async(true))
        .map_err(|error| anyhow::anyhow!("no engine: {error:#}"))?;
    let handler = |file: &str| -> Result<[bool; 2]> {
        let path = Path::new(&required_env("TOLLGATE_TEST_WASM_DIR")).join(file);
        let component = Component::from_file(&engine, path).map_err(|error| anyhow::anyhow!("{file}: {error:#}"))?;
        let component = component.component_type();
        let is_handler = |name: &str| name.starts_with("wasi:http/handler@0.3");
        Ok([
            component.imports(&engine).any(|(name, _)| is_handler(name)),
            component.exports(&engine).any(|(name, _)| is_handler(name)),
        ])
    };
    assert_eq!(handler("tollgate_spin_middleware.wasm")?, [true, true], "it hands requests on");
    assert_eq!(handler("tollgate_spin.wasm")?, [false, true], "it needs no other component");
    Ok(())
}
