//! Edge hosts under pressure, and the limits of Spin.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tollgate_tests::client::TestClient;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::free_port;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::process::raise_open_files;
use tollgate_tests::regression_case::RegressionCase;
use tollgate_tests::tcp_server::{CountingRelay, TcpServer};

cases! {
    both {}
    once {
        E4 e4_idle_and_slow_connections_do_not_block_an_edge,
        E8 e8_spin_instances_share_the_replica,
        E9 e9_upgrades_to_other_protocols_are_ignored,
        E10 e10_idempotent_request_is_retried_on_a_new_connection,
        E12 e12_client_address_comes_from_spin_not_from_the_clients_headers,
        E13 e13_urls_with_a_path_work_in_spin,
        E14 e14_all_spin_instances_together_poll_four_times_a_second,
        E15 e15_deprecated_setting_names_work_in_every_host,
    }
}

/// Kinds of edges that `tollgate-edge` hosts.
const RUNNERS: [EdgeKind; 2] = [EdgeKind::Runner, EdgeKind::Spin];
/// Idle connections: more than a shell lets a process open at first.
const IDLE_CONNECTIONS: usize = 1_100;
/// Requests served by several Spin instances, each of which serves 128.
const SEVERAL_INSTANCES: usize = 600;
/// Longest wait for a response, on a busy machine.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// An origin with the public route `/open` and the route `/lenient`, which allows tokens of unknown
/// status; and a client.
async fn prepare(case: &RegressionCase) -> Result<(TestOrigin, TestClient)> {
    let origin = case.origin(&[]).await?;
    origin.cli(&["route", "add", "--path", "/open", "--public"])?;
    origin.cli(&["route", "add", "--path", "/lenient", "--on-stale", "allow", "--on-not-covered", "allow"])?;
    let client = TestClient::register_with_cli(&origin, "edge hosts", &[])?;
    Ok((origin, client))
}

async fn e4_idle_and_slow_connections_do_not_block_an_edge(case: &RegressionCase) -> Result<()> {
    raise_open_files()?;
    let (origin, client) = prepare(case).await?;
    let (upstream, token) = (Upstream::start()?, client.token("").await?);
    let settings = origin.edge_settings(&upstream.url).await?;
    for kind in RUNNERS {
        let edge = TestEdge::start_process(kind, &settings, 1024).await?;
        let _idle = open_connections(&edge, IDLE_CONNECTIONS, "").await?;
        let after = response_time(&client, &edge, &token).await?;
        case.report(format!(
            "{kind:?} with 1,024 files and {IDLE_CONNECTIONS} idle connections: 200 after {after:.1?}"
        ));
    }

    let edge = TestEdge::start_process(EdgeKind::Spin, &settings, 8192).await?;
    let push = "POST /_tollgate/push HTTP/1.1\r\nHost: edge\r\nContent-Length: 1000\r\n\r\nhalf";
    let pushes = open_connections(&edge, 1_010, push).await?;
    let after = response_time(&client, &edge, &token).await?;
    let statuses = statuses(pushes).await?;
    ensure!(statuses.keys().all(|status| matches!(status, 408 | 503)), "{statuses:?}");
    case.report(format!("1,010 slow pushes to Spin: 200 after {after:.1?} meanwhile, the pushes {statuses:?}"));

    slow_upstreams_and_clients(case, &origin).await
}

/// An upstream that never answers, and a client that never completes its body.
async fn slow_upstreams_and_clients(case: &RegressionCase, origin: &TestOrigin) -> Result<()> {
    let silent = TcpServer::silent().await?;
    let mut settings = origin.edge_settings(&silent.url).await?;
    settings.insert("TOLLGATE_EDGE_UPSTREAM_TIMEOUT", "1".to_owned());
    let mut edges = Vec::new();
    for kind in RUNNERS {
        edges.push(TestEdge::start(kind, &settings).await?);
    }
    for edge in &edges {
        let status = reqwest::get(format!("{}/open", edge.url)).await?.status();
        ensure!(status == 504, "{:?}: {status}", edge.kind);
        case.report(format!("{:?}, upstream that never answers: {status}", edge.kind));
    }
    let post = "POST /open HTTP/1.1\r\nHost: edge\r\nContent-Length: 1000\r\n\r\nhalf";
    let slow = open_connections(edges.first().context("the runner")?, 1, post).await?;
    let statuses = statuses(slow).await?;
    ensure!(statuses.keys().all(|status| *status == 408), "{statuses:?}");
    case.report(format!("body that never ends: {statuses:?}"));
    Ok(())
}

/// Opens connections that each send these bytes and then nothing.
async fn open_connections(edge: &TestEdge, count: usize, bytes: &str) -> Result<Vec<TcpStream>> {
    let address = edge.url.strip_prefix("http://").context("an http address")?;
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await?;
        // The later read shows if the connection is closed already.
        let _ = stream.write_all(bytes.as_bytes()).await;
        streams.push(stream);
    }
    Ok(streams)
}

/// Response time of a valid request; an error if it does not get 200 in time.
async fn response_time(client: &TestClient, edge: &TestEdge, token: &str) -> Result<Duration> {
    let began = Instant::now();
    let status = tokio::time::timeout(RESPONSE_TIMEOUT, client.status(&edge.url, token)).await??;
    ensure!(status == 200, "{:?} answered {status}", edge.kind);
    Ok(began.elapsed())
}

/// Statuses of the connections' responses; waits until all connections end.
async fn statuses(streams: Vec<TcpStream>) -> Result<BTreeMap<u16, usize>> {
    let mut reading = JoinSet::new();
    for mut stream in streams {
        reading.spawn(async move {
            let mut answer = Vec::new();
            // A connection reset after the response counts like an end of the stream.
            let _ = tokio::time::timeout(3 * RESPONSE_TIMEOUT, stream.read_to_end(&mut answer)).await?;
            let status = answer.get(9..12).context("a status line")?;
            anyhow::Ok(std::str::from_utf8(status)?.parse::<u16>()?)
        });
    }
    let mut statuses = BTreeMap::new();
    while let Some(status) = reading.join_next().await {
        *statuses.entry(status??).or_default() += 1;
    }
    Ok(statuses)
}

async fn e8_spin_instances_share_the_replica(case: &RegressionCase) -> Result<()> {
    let (origin, client) = prepare(case).await?;
    let (upstream, relay) = (Upstream::start()?, CountingRelay::to(&origin.server.url()).await?);
    let (revoked, good) = (client.token("").await?, client.token("").await?);
    let mut settings = origin.edge_settings(&upstream.url).await?;
    settings.insert("TOLLGATE_EDGE_ISSUER", origin.server.url());
    settings.insert("TOLLGATE_EDGE_ORIGIN", relay.url.clone());
    // Long enough that a slow machine does not turn a short outage into a long one.
    let mut patient = settings.clone();
    patient.insert("TOLLGATE_EDGE_MAX_STALENESS_MS", "20000".to_owned());
    let edge = TestEdge::start(EdgeKind::Spin, &patient).await?;
    client.wait_for_status(&edge.url, &good, 200).await?;
    relay.cut(true);
    let (outage, mut statuses) = (Instant::now(), BTreeMap::new());
    while outage.elapsed() < Duration::from_millis(600) || statuses.values().sum::<usize>() < SEVERAL_INSTANCES {
        *statuses.entry(client.status(&edge.url, &good).await?).or_insert(0_usize) += 1;
    }
    relay.cut(false);
    ensure!(statuses.keys().all(|status| *status == 200), "in a short outage: {statuses:?}");
    case.report(format!("outage of {:.1?}: {statuses:?}", outage.elapsed()));

    let edge = TestEdge::start(EdgeKind::Spin, &settings).await?;
    client.revoke(&revoked).await?;
    client.wait_for_status(&edge.url, &revoked, 401).await?;
    client.wait_for_status(&edge.url, &good, 200).await?;
    relay.cut(true);
    client.wait_for_status(&edge.url, &good, 503).await?;
    // Each request now starts a new instance: idle ones have ended.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let lenient = format!("{}/lenient", edge.url);
    let mut answers = BTreeMap::new();
    for _ in 0..SEVERAL_INSTANCES / 2 {
        let both = (client.status(&lenient, &good).await?, client.status(&lenient, &revoked).await?);
        *answers.entry(both).or_insert(0_usize) += 1;
    }
    ensure!(answers.keys().all(|both| *both == (200, 401)), "{answers:?}");
    ensure!(client.status(&edge.url, &good).await? == 503, "the strict route refuses");
    case.report(format!("origin gone, on_stale: allow, good and revoked at new instances: {answers:?}; strict: 503"));
    Ok(())
}

async fn e9_upgrades_to_other_protocols_are_ignored(case: &RegressionCase) -> Result<()> {
    let (origin, _client) = prepare(case).await?;
    let echo = TcpServer::echo().await?;
    let settings = origin.edge_settings(&echo.url).await?;
    for kind in EdgeKind::ALL {
        let edge = TestEdge::start(kind, &settings).await?;
        for protocol in ["TLS/1.2", "h2c", "TLS/1.2, h2c"] {
            let answer = upgrade(&edge, protocol).await?;
            ensure!(answer.starts_with("HTTP/1.1 200 "), "{kind:?}: {answer}");
            let (_, seen) = answer.split_once("\r\n\r\n").context("a body")?;
            let seen = seen.to_lowercase();
            ensure!(!seen.contains("upgrade:") && !seen.contains("http2-settings:"), "{kind:?}: {seen}");
        }
        case.report(format!("{kind:?}: 200, the upstream sees no upgrade"));
    }
    let edge = TestEdge::start(EdgeKind::Runner, &settings).await?;
    let answer = upgrade(&edge, "h2c, WebSocket").await?.to_lowercase();
    ensure!(answer.starts_with("http/1.1 200 ") && answer.contains("upgrade: websocket"), "{answer}");
    ensure!(!answer.contains("h2c") && !answer.contains("http2-settings"), "{answer}");
    case.report("Runner: of h2c and WebSocket, the upstream sees WebSocket");
    Ok(())
}

/// Response to a request with this `Upgrade` header.
async fn upgrade(edge: &TestEdge, protocol: &str) -> Result<String> {
    let request = format!(
        "GET /open HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: {protocol}\r\n\
         HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
    );
    let mut stream = open_connections(edge, 1, &request).await?.pop().context("a connection")?;
    let mut answer = String::new();
    tokio::time::timeout(RESPONSE_TIMEOUT, stream.read_to_string(&mut answer)).await??;
    Ok(answer)
}

async fn e10_idempotent_request_is_retried_on_a_new_connection(case: &RegressionCase) -> Result<()> {
    let (origin, client) = prepare(case).await?;
    for kind in RUNNERS {
        let requests = Arc::new(AtomicUsize::new(0));
        let upstream = TcpServer::closing(Arc::clone(&requests)).await?;
        let edge = TestEdge::start(kind, &origin.edge_settings(&upstream.url).await?).await?;
        let (open, http) = (format!("{}/open", edge.url), &client.http);
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(http.get(&open).send().await?.status().as_u16());
        }
        ensure!(statuses == [200; 3], "{kind:?}: {statuses:?}");
        let before = requests.load(Ordering::SeqCst);
        let post = http.post(&open).body("once").send().await?.status();
        let seen = requests.load(Ordering::SeqCst) - before;
        ensure!(post == 502 && seen == 1, "{kind:?}: a POST must not be repeated: {post}, {seen} times");
        case.report(format!("{kind:?}: 3 GETs {statuses:?} in {before} requests, a POST {post} in {seen}"));
    }
    Ok(())
}

async fn e12_client_address_comes_from_spin_not_from_the_clients_headers(case: &RegressionCase) -> Result<()> {
    let (origin, client) = prepare(case).await?;
    let echo = TcpServer::echo().await?;
    let edge = TestEdge::start(EdgeKind::Spin, &origin.edge_settings(&echo.url).await?).await?;
    let request = client.http.get(format!("{}/open", edge.url));
    let forged = request.header("Spin-Client-Addr", "203.0.113.7:1").header("Spin-Full-Url", "https://bank.example/");
    let seen = forged.send().await?.text().await?.to_lowercase();
    let line = |name: &str| seen.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let (address, proto) = (line("x-forwarded-for:"), line("x-forwarded-proto:"));
    ensure!(address == Some("127.0.0.1") && proto == Some("http"), "{seen}");
    ensure!(!seen.contains("203.0.113.7") && !seen.contains("bank.example") && !seen.contains("spin-"), "{seen}");
    case.report(format!("the upstream sees {address:?}, {proto:?}"));
    Ok(())
}

async fn e13_urls_with_a_path_work_in_spin(case: &RegressionCase) -> Result<()> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    let issuer = format!("http://{listen}/shop");
    let origin = case.origin(&[("TOLLGATE_LISTEN", listen.as_str()), ("TOLLGATE_PUBLIC_URL", issuer.as_str())]).await?;
    origin.cli(&["route", "add", "--path", "/open", "--public"])?;
    let echo = TcpServer::echo().await?;
    for kind in RUNNERS {
        let mut settings = origin.edge_settings(&format!("{}/v1", echo.url)).await?;
        settings.insert("TOLLGATE_EDGE_ORIGIN", issuer.clone());
        let edge = TestEdge::start(kind, &settings).await?;
        let seen = reqwest::get(format!("{}/open", edge.url)).await?.text().await?;
        ensure!(seen.starts_with("GET /v1/open "), "{kind:?}: {seen}");
        case.report(format!("{kind:?}, origin {issuer}, upstream with /v1: {:?}", seen.lines().next()));
    }
    Ok(())
}

async fn e14_all_spin_instances_together_poll_four_times_a_second(case: &RegressionCase) -> Result<()> {
    let (origin, client) = prepare(case).await?;
    let (upstream, relay) = (TcpServer::echo().await?, CountingRelay::to(&origin.server.url()).await?);
    let mut settings = origin.edge_settings(&upstream.url).await?;
    settings.insert("TOLLGATE_EDGE_ISSUER", origin.server.url());
    settings.insert("TOLLGATE_EDGE_ORIGIN", relay.url.clone());
    let edge = TestEdge::start(EdgeKind::Spin, &settings).await?;
    let token = client.token("").await?;
    client.wait_for_status(&edge.url, &token, 200).await?;
    let (began, before) = (Instant::now(), relay.requests());
    let mut load = JoinSet::new();
    for _ in 0..64 {
        let (request, until) = (client.http.get(&edge.url).bearer_auth(&token), began + Duration::from_secs(5));
        load.spawn(async move {
            let mut statuses = BTreeMap::new();
            while Instant::now() < until {
                let status = request.try_clone().context("no body")?.send().await?.status().as_u16();
                *statuses.entry(status).or_insert(0_usize) += 1;
            }
            anyhow::Ok(statuses)
        });
    }
    let mut statuses = BTreeMap::new();
    while let Some(of_one) = load.join_next().await {
        for (status, count) in of_one?? {
            *statuses.entry(status).or_insert(0_usize) += count;
        }
    }
    let (seconds, asked) = (began.elapsed().as_secs_f64(), relay.requests() - before);
    let rate = statuses.values().sum::<usize>() as f64 / seconds;
    // Adds those in progress at either end.
    ensure!(asked as f64 <= 4.0 * seconds + 2.0, "{asked} questions in {seconds:.1} s");
    ensure!(statuses.keys().all(|status| *status == 200), "{statuses:?}");
    case.report(format!("64 connections, {rate:.0} requests a second: {asked} polls in {seconds:.1} s; {statuses:?}"));
    Ok(())
}

async fn e15_deprecated_setting_names_work_in_every_host(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let mut settings = origin.edge_settings("http://127.0.0.1:1").await?;
    settings.insert("TOLLGATE_EDGE_SOFT_MS", "200".to_owned());
    settings.insert("TOLLGATE_EDGE_HARD_MS", "43210".to_owned());
    for kind in EdgeKind::ALL {
        let edge = TestEdge::start(kind, &settings).await?;
        let health: Value = reqwest::get(format!("{}/_tollgate/health", edge.url)).await?.json().await?;
        ensure!(health["hard_ms"] == 43210, "{kind:?}: {health}");
        case.report(format!("{kind:?}: staleness bound of {} ms", health["hard_ms"]));
    }
    Ok(())
}

#[test]
fn spin_toml_passes_on_every_setting() -> Result<()> {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../edge/spin/spin.toml"))?;
    for (name, _) in tollgate_gate::SETTINGS.iter().copied().chain(tollgate_gate::DEPRECATED_SETTINGS) {
        let name = name.to_lowercase();
        ensure!(manifest.contains(&format!("\n{name} = {{ ")), "spin.toml declares no variable {name}");
        ensure!(manifest.contains(&format!("\n{name} = \"{{{{ {name} }}}}\"")), "spin.toml does not pass on {name}");
    }
    Ok(())
}
