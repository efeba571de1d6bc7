//! Delivery of revocations to edges: by pull, by push, and while the origin is unreachable.

use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::header::{ETAG, IF_NONE_MATCH};
use serde_json::Value;
use tollgate_core::{Deltas, Snapshot};
use tollgate_tests::client::TestClient;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::{free_port, install_tls_provider};
use tollgate_tests::origin::TestOrigin;

/// Public key that signs an origin's messages to edges.
fn snapshot_key(origin: &TestOrigin) -> Result<[u8; 32]> {
    use base64::Engine as _;
    let key = origin.cli(&["key", "snapshot"])?;
    let key = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(key.trim())?;
    key.try_into().ok().context("a key of 32 bytes")
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_is_revalidated_by_its_etag() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let url = format!("{}/edge/v1/snapshot", origin.server.url());
    let first = reqwest::get(&url).await?;
    let etag = first.headers().get(ETAG).context("an ETag")?.clone();
    let snapshot = Snapshot::decode(first.bytes().await?.to_vec(), &[snapshot_key(&origin)?])?;
    assert_eq!(
        (snapshot.issuer(), snapshot.sequence(), snapshot.config().keys().len()),
        (origin.server.issuer(), 0, 3)
    );

    let http = reqwest::Client::new();
    let again = http.get(&url).header(IF_NONE_MATCH, etag.clone()).send().await?;
    assert_eq!((again.status().as_u16(), again.bytes().await?.len()), (304, 0));

    origin.cli(&["route", "add", "--path", "/open", "--public"])?;
    let changed = http.get(&url).header(IF_NONE_MATCH, etag).send().await?;
    assert_eq!(changed.status(), 200, "a new route changes the snapshot");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn long_poll_returns_when_a_revocation_arrives() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let client = TestClient::register_with_cli(&origin, "poll", &[])?;
    let token = client.token("").await?;
    let pins = [snapshot_key(&origin)?];
    let deltas = |after: u64, wait: &str| format!("{}/edge/v1/deltas?after={after}&wait={wait}", origin.server.url());

    let heartbeat = reqwest::get(deltas(0, "0.05")).await?.bytes().await?;
    let heartbeat = Deltas::decode(&heartbeat, &pins)?;
    assert_eq!((heartbeat.entries().len(), heartbeat.head()), (0, 0));

    let waiting = tokio::spawn(reqwest::get(deltas(0, "30")));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished(), "nothing happened yet");
    client.revoke(&token).await?;
    let woken = tokio::time::timeout(Duration::from_secs(20), waiting).await.context("the long poll returns")???;
    let woken = Deltas::decode(&woken.bytes().await?, &pins)?;
    assert_eq!((woken.entries().len(), woken.head()), (1, 1));

    client.revoke(&token).await?;
    let again = Deltas::decode(&reqwest::get(deltas(1, "0")).await?.bytes().await?, &pins)?;
    assert_eq!((again.entries().len(), again.head()), (0, 1), "revoking twice changes nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_delta_requests_get_a_problem_document() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    for (query, status) in [
        ("after=1", 409),
        ("after=x", 400),
        ("after=-1", 400),
        ("", 400),
        ("after=0&wait=31", 400),
        ("after=0&wait=-1", 400),
    ] {
        let answer = reqwest::get(format!("{}/edge/v1/deltas?{query}", origin.server.url())).await?;
        assert_eq!(answer.status().as_u16(), status, "{query}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{query}");
        assert_eq!(answer.json::<Value>().await?["status"], status, "{query}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_without_a_snapshot_refuses_every_request() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let client = TestClient::register_with_cli(&origin, "early", &[])?;
    let token = client.token("").await?;
    let mut settings = origin.edge_settings(&upstream.url).await?;
    settings.insert("TOLLGATE_EDGE_ORIGIN", format!("http://127.0.0.1:{}", free_port()?));
    for kind in EdgeKind::ALL {
        let edge = TestEdge::start_without_waiting(kind, &settings).await?;
        if kind == EdgeKind::Worker {
            wait_until_listening(&edge.url).await?;
        }
        assert_eq!(client.status(&edge.url, &token).await?, 503, "{kind:?}");
        let health = reqwest::get(format!("{}/_tollgate/health", edge.url)).await?;
        assert_eq!(health.status(), 503, "{kind:?}");
        let health: Value = health.json().await?;
        assert_eq!(health["status"], "no_snapshot", "{kind:?}");
        let why = health["last_error"]["error"].as_str().with_context(|| format!("{kind:?} says why: {health}"))?;
        assert!(why.contains("cannot be reached"), "{kind:?}: {why}");
        assert!(!why.contains("/edge/v1/"), "{kind:?}: the address may have the edge's proof: {why}");
    }
    Ok(())
}

async fn wait_until_listening(url: &str) -> Result<()> {
    for _ in 0..3000 {
        if reqwest::get(url).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("{url} does not answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_without_its_origin_refuses_unless_the_route_is_lenient() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    // The edge's replica cannot cover tokens as young as these without a sync.
    origin.cli(&["route", "add", "--path", "/lenient", "--on-stale", "allow", "--on-not-covered", "allow"])?;
    let client = TestClient::register_with_cli(&origin, "cut off", &[])?;
    let (revoked, good) = (client.token("").await?, client.token("").await?);
    let settings = origin.edge_settings(&upstream.url).await?;
    let edges =
        [TestEdge::start(EdgeKind::Runner, &settings).await?, TestEdge::start(EdgeKind::Spin, &settings).await?];
    client.revoke(&revoked).await?;
    for edge in &edges {
        client.wait_for_status(&edge.url, &revoked, 401).await?;
        assert_eq!(client.status(&edge.url, &good).await?, 200);
    }
    origin.server.shutdown().await;
    for edge in &edges {
        client.wait_for_status(&edge.url, &good, 503).await?;
        let lenient = format!("{}/lenient", edge.url);
        let (of_revoked, of_good) = (client.status(&lenient, &revoked).await?, client.status(&lenient, &good).await?);
        assert_eq!(
            (of_revoked, of_good),
            (401, 200),
            "{:?}: a known revocation holds, and the lenient route accepts the other token",
            edge.kind
        );
        let health: Value = reqwest::get(format!("{}/_tollgate/health", edge.url)).await?.json().await?;
        assert_eq!(health["status"], "stale", "{:?}", edge.kind);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_edge_receives_pushes_and_acknowledges() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) =
        (TestOrigin::start_with(&[("TOLLGATE_METRICS_PUBLIC", "true")]).await?, Upstream::start()?);
    let client = TestClient::register_with_cli(&origin, "push", &[])?;
    let token = client.token("").await?;
    let mut settings = origin.edge_settings(&upstream.url).await?;
    // This edge polls so rarely that it learns of the revocation only by push.
    settings.insert("TOLLGATE_EDGE_REFRESH_AFTER_MS", "3000000".to_owned());
    settings.insert("TOLLGATE_EDGE_MAX_STALENESS_MS", "3600000".to_owned());
    let edge = TestEdge::start(EdgeKind::Runner, &settings).await?;
    origin.cli(&["edge", "add", "near", "--url", &edge.url])?;
    assert_eq!(client.status(&edge.url, &token).await?, 200);
    client.revoke(&token).await?;
    client.wait_for_status(&edge.url, &token, 401).await?;

    for _ in 0..1000 {
        let edges: Value = serde_json::from_str(&origin.cli(&["edge", "list", "--json"])?)?;
        if edges[0]["acknowledged_sequence"] == 1 {
            let metrics = reqwest::get(format!("{}/metrics", origin.server.url())).await?.text().await?;
            assert!(metrics.contains("tollgate_edge_lag{edge=\"near\"} 0\n"), "{metrics}");
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("the edge did not acknowledge the revocation: {}", origin.cli(&["edge", "list", "--json"])?)
}
