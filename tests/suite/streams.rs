//! Open streams: each ends when its token is revoked or expires, unless its route says that it
//! continues.

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tollgate_model::TokenAlg;
use tollgate_tests::client::TestClient;
use tollgate_tests::edge::{EdgeKind, TestEdge};
use tollgate_tests::environment::{free_port, install_tls_provider, now};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::streams::{StreamEnd, StreamKind, StreamUpstream, TestStream};
use tollgate_tests::tcp_server::{TcpServer, read_head};

/// The streams that each kind of edge passes on.
const SUPPORTED: [(EdgeKind, StreamKind); 6] = [
    (EdgeKind::Runner, StreamKind::WebSocket),
    (EdgeKind::Runner, StreamKind::Events),
    (EdgeKind::Worker, StreamKind::WebSocket),
    (EdgeKind::Worker, StreamKind::Events),
    (EdgeKind::Spin, StreamKind::Events),
    (EdgeKind::Runner, StreamKind::Grpc),
];

/// An edge before an upstream of streams.
struct Fixture {
    client: TestClient,
    upstream: StreamUpstream,
    edge: TestEdge,
    kind: StreamKind,
}

/// Staleness bound of edges whose origin can be reached: on a busy machine, no stream ends because
/// an answer of the origin is late.
const LONG_STALENESS_MS: u64 = 300_000;

impl Fixture {
    async fn start(origin: &TestOrigin, edge: EdgeKind, kind: StreamKind, max_staleness_ms: u64) -> Result<Self> {
        let client = TestClient::register_with_cli(origin, "streams", &[])?;
        let upstream = StreamUpstream::start(kind).await?;
        let mut settings = origin.edge_settings(&upstream.url).await?;
        settings.insert("TOLLGATE_EDGE_LEEWAY_SECONDS", "0".to_owned());
        settings.insert("TOLLGATE_EDGE_MAX_STALENESS_MS", max_staleness_ms.to_string());
        let edge = TestEdge::start(edge, &settings).await?;
        Ok(Self { client, upstream, edge, kind })
    }

    async fn open(&self, path: &str, token: &str) -> Result<TestStream> {
        let opened = TestStream::open(self.kind, &self.edge.url, path, token).await;
        opened.with_context(|| format!("{:?} at the {:?}", self.kind, self.edge.kind))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_ends_when_its_token_is_revoked_and_others_stay() -> Result<()> {
    install_tls_provider();
    for (edge, kind) in SUPPORTED {
        let origin = TestOrigin::start().await?;
        origin.cli(&["route", "add", "--path", kind.kept_path(), "--streams", "continue"])?;
        let fixture = Fixture::start(&origin, edge, kind, LONG_STALENESS_MS).await?;
        let (revoked, good) = (fixture.client.token("").await?, fixture.client.token("").await?);
        let mut cut = fixture.open(kind.path(), &revoked).await?;
        let mut kept = fixture.open(kind.kept_path(), &revoked).await?;
        let mut other = fixture.open(kind.path(), &good).await?;

        fixture.client.revoke(&revoked).await?;
        assert_eq!(cut.end().await?, kind.end_by_token(), "{kind:?} at the {edge:?}");
        other.exchange().await.with_context(|| format!("{kind:?} at the {edge:?}: with another token"))?;
        kept.exchange().await.with_context(|| format!("{kind:?} at the {edge:?}: on a route that continues"))?;
        assert!(fixture.open(kind.path(), &revoked).await.is_err(), "{kind:?} at the {edge:?}: opened again");
        if kind == StreamKind::WebSocket {
            assert_eq!(fixture.upstream.close_codes(), [1008], "{edge:?}: the upstream gets a close frame, too");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_ends_when_its_token_expires() -> Result<()> {
    install_tls_provider();
    for (edge, kind) in SUPPORTED {
        let origin = TestOrigin::start().await?;
        let fixture = Fixture::start(&origin, edge, kind, LONG_STALENESS_MS).await?;
        let tokens = origin.token_factory().await?;
        let sign = |expires_at| tokens.token(TokenAlg::Hs256, now()).claim("exp", expires_at).sign();
        let (mut lifetime, mut opened) = (5, None);
        // On a busy machine, the token may expire before its stream is open.
        while opened.is_none() && lifetime < 300 {
            let expires_at = now() + lifetime;
            let stream = fixture.open(kind.path(), &sign(expires_at)).await;
            opened = stream.ok().map(|stream| (stream, expires_at));
            lifetime *= 3;
        }
        let (mut stream, expires_at) = opened.with_context(|| format!("no {kind:?} at the {edge:?}"))?;
        assert_eq!(stream.end().await?, kind.end_by_token(), "{kind:?} at the {edge:?}");
        assert!(now() >= expires_at, "{kind:?} at the {edge:?}: ended too early");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_ends_while_the_origin_is_unreachable_unless_its_route_allows_it() -> Result<()> {
    install_tls_provider();
    for kind in StreamKind::ALL {
        let origin = TestOrigin::start().await?;
        let path = kind.kept_path();
        origin.cli(&["route", "add", "--path", path, "--on-stale", "allow", "--on-not-covered", "allow"])?;
        let fixture = Fixture::start(&origin, EdgeKind::Runner, kind, 3000).await?;
        let token = fixture.client.token("").await?;
        let mut strict = fixture.open(kind.path(), &token).await?;
        let mut lenient = fixture.open(path, &token).await?;
        origin.server.shutdown().await;
        assert_eq!(strict.end().await?, kind.end_while_stale(), "{kind:?}");
        lenient.exchange().await.with_context(|| format!("{kind:?} on the lenient route"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn request_that_waits_for_its_upstream_is_refused_when_its_token_is_revoked() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, TcpServer::silent().await?);
    let client = TestClient::register_with_cli(&origin, "waiting", &[])?;
    let token = client.token("").await?;
    let edge = TestEdge::start(EdgeKind::Runner, &origin.edge_settings(&upstream.url).await?).await?;
    let waiting = tokio::spawn(reqwest::Client::new().get(&edge.url).bearer_auth(&token).send());
    // The request may also be decided after the revocation, and is refused then, too.
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.revoke(&token).await?;
    let response = waiting.await??;
    assert_eq!(response.status(), 401);
    assert!(response.headers()["www-authenticate"].to_str()?.contains("invalid_token"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn open_and_ended_streams_are_counted() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, StreamUpstream::start(StreamKind::WebSocket).await?);
    let client = TestClient::register_with_cli(&origin, "counted", &[])?;
    let (revoked, good) = (client.token("").await?, client.token("").await?);
    let mut settings = origin.edge_settings(&upstream.url).await?;
    let admin = format!("127.0.0.1:{}", free_port()?);
    settings.insert("TOLLGATE_EDGE_ADMIN_LISTEN", admin.clone());
    settings.insert("TOLLGATE_EDGE_MAX_STALENESS_MS", LONG_STALENESS_MS.to_string());
    let edge = TestEdge::start(EdgeKind::Runner, &settings).await?;
    let mut cut = TestStream::open(StreamKind::WebSocket, &edge.url, "/live", &revoked).await?;
    let _open = TestStream::open(StreamKind::WebSocket, &edge.url, "/live", &good).await?;
    wait_for_metrics(&admin, &["tollgate_gate_streams_open 2", "tollgate_gate_streams_opened_total 2"]).await?;
    client.revoke(&revoked).await?;
    assert_eq!(cut.end().await?, StreamKind::WebSocket.end_by_token());
    drop(cut);
    wait_for_metrics(&admin, &["tollgate_gate_streams_open 1", "tollgate_gate_streams_cut_total 1"]).await
}

/// Waits until the edge has these metrics.
async fn wait_for_metrics(admin: &str, lines: &[&str]) -> Result<()> {
    let mut metrics = String::new();
    for _ in 0..3000 {
        metrics = reqwest::get(format!("http://{admin}/metrics")).await?.text().await?;
        if lines.iter().all(|line| metrics.lines().any(|known| known == *line)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("no {lines:?} in {metrics}")
}

#[tokio::test(flavor = "multi_thread")]
async fn web_socket_gets_a_close_frame_when_the_edge_shuts_down() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, StreamUpstream::start(StreamKind::WebSocket).await?);
    let client = TestClient::register_with_cli(&origin, "shutdown", &[])?;
    let token = client.token("").await?;
    let mut settings = origin.edge_settings(&upstream.url).await?;
    settings.insert("TOLLGATE_EDGE_MAX_STALENESS_MS", LONG_STALENESS_MS.to_string());
    let edge = TestEdge::start_process(EdgeKind::Runner, &settings, 1024).await?;
    let mut stream = TestStream::open(StreamKind::WebSocket, &edge.url, "/live", &token).await?;
    edge.terminate()?;
    assert_eq!(stream.end().await?, StreamEnd::Closed(1001));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_that_are_not_allowed_are_ignored() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, TcpServer::echo().await?);
    let client = TestClient::register_with_cli(&origin, "upgrades", &[])?;
    let token = client.token("").await?;
    let edge = TestEdge::start(EdgeKind::Runner, &origin.edge_settings(&upstream.url).await?).await?;
    for protocol in ["h2c", "TLS/1.2", "spdy/3.1"] {
        let request = reqwest::Client::new().get(&edge.url).bearer_auth(&token);
        let response = request.header("connection", "upgrade").header("upgrade", protocol).send().await?;
        assert_eq!(response.status(), 200, "{protocol}");
        let head = response.text().await?.to_ascii_lowercase();
        assert!(!head.contains("upgrade"), "{protocol}: the upstream saw {head}");
    }
    Ok(())
}

/// Bytes that pass in each direction in the test of memory, in MiB; 1 GiB with
/// `TOLLGATE_TEST_BODY_MIB=1024`.
const BODY_MIB: u64 = 64;
const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn long_bodies_pass_both_ways_in_little_memory() -> Result<()> {
    install_tls_provider();
    let mebibytes = env::var("TOLLGATE_TEST_BODY_MIB").ok().map_or(Ok(BODY_MIB), |text| text.parse())?;
    let length = mebibytes * MIB;
    let upstream = TcpServer::start(move |mut stream| async move {
        read_head(&mut stream).await?;
        receive(&mut stream, length).await?;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        send(&mut stream, length).await
    })
    .await?;
    let origin = TestOrigin::start().await?;
    let client = TestClient::register_with_cli(&origin, "bodies", &[])?;
    let token = client.token("").await?;
    let mut settings = origin.edge_settings(&upstream.url).await?;
    settings.insert("TOLLGATE_EDGE_MAX_STALENESS_MS", LONG_STALENESS_MS.to_string());
    let edge = TestEdge::start_process(EdgeKind::Runner, &settings, 1024).await?;
    let address = edge.url.strip_prefix("http://").context("an http URL")?;
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
    );
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(head.as_bytes()).await?;
        send(&mut stream, length).await?;
        let head = read_head(&mut stream).await?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
        receive(&mut stream, length).await
    };
    let (before, peak) = edge.peak_memory_during(exchange).await?;
    let grown = peak.saturating_sub(before);
    println!("{mebibytes} MiB each way: the edge's memory grew by {:.1} MiB", grown as f64 / MIB as f64);
    assert!(grown < length / 2, "the edge's memory grew by {grown} bytes for bodies of {length} bytes");
    Ok(())
}

async fn send(stream: &mut TcpStream, length: u64) -> Result<()> {
    let sent = tokio::io::copy(&mut tokio::io::repeat(b'x').take(length), stream).await?;
    assert_eq!(sent, length);
    Ok(())
}

async fn receive(stream: &mut TcpStream, length: u64) -> Result<()> {
    let received = tokio::io::copy(&mut stream.take(length), &mut tokio::io::sink()).await?;
    assert_eq!(received, length);
    Ok(())
}

/// Revocations of each kind of stream at each edge; more with `TOLLGATE_TEST_STREAM_CUTS`.
const CUTS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn every_revocation_ends_its_stream() -> Result<()> {
    install_tls_provider();
    let cuts = env::var("TOLLGATE_TEST_STREAM_CUTS").ok().map_or(Ok(CUTS), |text| text.parse())?;
    for (edge, kind) in SUPPORTED {
        let origin = TestOrigin::start().await?;
        let fixture = Fixture::start(&origin, edge, kind, LONG_STALENESS_MS).await?;
        let mut times = Vec::new();
        for _ in 0..cuts {
            let token = fixture.client.token("").await?;
            let mut stream = fixture.open(kind.path(), &token).await?;
            fixture.client.revoke(&token).await?;
            let revoked = Instant::now();
            assert_eq!(stream.end().await?, kind.end_by_token(), "{kind:?} at the {edge:?}");
            times.push(revoked.elapsed());
        }
        times.sort();
        let (median, worst) = (times[times.len() / 2], times.last().context("some")?);
        println!(
            "{kind:?} at the {edge:?}: {cuts} cut, {median:.0?} after the revocation at the median, {worst:.0?} at most"
        );
    }
    Ok(())
}
