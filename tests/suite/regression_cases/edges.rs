//! Edges: ambiguous requests, waiting for the origin, freshness, memory, edge authentication, and
//! client addresses.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::Value;
use tollgate_core::{
    ConfigDigest, Delta, DeltaParts, HashChain, MAX_DELTAS, Nonce, RevocationId, RevocationKind, RevokedBefore,
    SnapshotParts, SnapshotSigner, build_deltas, build_snapshot,
};
use tollgate_edge::{Connection, Decision, Program, Question, Request, Validator};
use tollgate_tests::client::TestClient;
use tollgate_tests::edge::{EdgeKind, TestEdge};
use tollgate_tests::environment::{now_ms, required_env};
use tollgate_tests::http_server::HttpServer;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::origin_proxy::{ProxyMode, ReplayProxy};
use tollgate_tests::regression_case::RegressionCase;

cases! {
    both {
        E1 e1_method_that_differs_from_a_rule_only_by_case_is_refused,
        E6 e6_only_the_edge_itself_reports_its_progress,
        E11 e11_path_that_two_servers_read_differently_is_refused,
    }
    once {
        E2 e2_only_requests_that_need_the_origin_wait_for_it,
        E3 e3_changes_contained_in_a_snapshot_leave_the_edges_memory,
        E5 e5_replayed_response_makes_no_edge_fresh,
        E7 e7_client_cannot_forge_its_address,
    }
}

/// Longest wait for a change, on a busy machine. No test depends on its length.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);
/// Upper bound for a request that does not wait. One that waits for a silent origin takes 1.5 to 2
/// seconds.
const NO_WAIT_LIMIT: Duration = Duration::from_millis(1200);

/// Kinds of edges that a case runs at: all, except in the second run on another database.
fn kinds(case: &RegressionCase) -> &'static [EdgeKind] {
    if case.is_postgres() { &[EdgeKind::Runner] } else { &EdgeKind::ALL }
}

/// Response of an edge or the origin.
struct TimedResponse {
    status: u16,
    body: String,
    took: Duration,
}

async fn ask(method: &str, url: &str, token: Option<&str>, headers: &[(&str, &str)]) -> Result<TimedResponse> {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let mut request = client.request(Method::from_bytes(method.as_bytes())?, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let began = Instant::now();
    let answer = request.send().await?;
    let (status, took) = (answer.status().as_u16(), began.elapsed());
    Ok(TimedResponse { status, body: answer.text().await?, took })
}

/// An origin with routes for reading, deleting, administration and the public; a client that may
/// read; its token.
async fn reports(case: &RegressionCase) -> Result<(TestOrigin, TestClient, String)> {
    let origin = case.origin(&[]).await?;
    origin.cli(&["route", "add", "--path", "/r/*", "--scope", "read"])?;
    origin.cli(&["route", "add", "--path", "/r/*", "--method", "DELETE", "--scope", "admin"])?;
    origin.cli(&["route", "add", "--path", "/admin", "--scope", "admin"])?;
    origin.cli(&["route", "add", "--path", "/open/*", "--public"])?;
    let client = TestClient::register_with_cli(&origin, "reader", &["--scope", "read"])?;
    let token = client.token("read").await?;
    Ok((origin, client, token))
}

async fn e1_method_that_differs_from_a_rule_only_by_case_is_refused(case: &RegressionCase) -> Result<()> {
    let (origin, _client, token) = reports(case).await?;
    let upstream = HttpServer::echo().await?;
    let validate = format!("{}/validate", origin.server.url());
    let of = |method| [("X-Original-URI", "/r/1"), ("X-Original-Method", method)];
    for (method, expected) in [("GET", 200), ("DELETE", 403), ("delete", 400), ("Delete", 400), ("get", 200)] {
        let answer = ask("POST", &validate, Some(&token), &of(method)).await?;
        ensure!(answer.status == expected, "the origin about {method}: {} {}", answer.status, answer.body);
    }
    case.report("the origin about delete: 400");
    for kind in kinds(case) {
        let edge = TestEdge::start(*kind, &origin.edge_settings(&upstream.url).await?).await?;
        let (path, validate) = (format!("{}/r/1", edge.url), format!("{}/_tollgate/validate", edge.url));
        for (method, expected) in [("GET", 200), ("DELETE", 403), ("delete", 400), ("Delete", 400)] {
            let asked = ask("GET", &validate, Some(&token), &of(method)).await?;
            ensure!(asked.status == expected, "{kind:?} asked about {method}: {} {}", asked.status, asked.body);
            let answer = ask(method, &path, Some(&token), &[]).await?;
            // workerd does not know such methods and may refuse them by itself.
            let is_right =
                answer.status == expected || (*kind == EdgeKind::Worker && expected == 400 && answer.status >= 400);
            ensure!(is_right, "{kind:?} to {method}: {} {}", answer.status, answer.body);
            ensure!((answer.status == 200) == answer.body.starts_with("GET "), "{kind:?}: {}", answer.body);
            if method == "delete" {
                case.report(format!("{kind:?} to delete: {}, asked about it: {}", answer.status, asked.status));
            }
        }
    }
    Ok(())
}

async fn e11_path_that_two_servers_read_differently_is_refused(case: &RegressionCase) -> Result<()> {
    let (origin, _client, token) = reports(case).await?;
    let upstream = HttpServer::echo().await?;
    let validate = format!("{}/validate", origin.server.url());
    let paths = ["/admin%3Fx", "/admin%23x", "/r/%3f", "/admin%20", "/admin.", "/ADMIN", "/r/..%2fadmin"];
    for path in paths {
        let answer =
            ask("POST", &validate, Some(&token), &[("X-Original-URI", path), ("X-Original-Method", "GET")]).await?;
        ensure!(answer.status == 400, "the origin about {path}: {} {}", answer.status, answer.body);
    }
    case.report(format!("the origin about {}: 400", paths.join(" ")));
    for kind in kinds(case) {
        let edge = TestEdge::start(*kind, &origin.edge_settings(&upstream.url).await?).await?;
        for path in paths {
            let answer = ask("GET", &format!("{}{path}", edge.url), Some(&token), &[]).await?;
            ensure!(answer.status == 400, "{kind:?} to {path}: {} {}", answer.status, answer.body);
        }
        for path in ["/r/a%20b", "/r/St.%20John.", "/r/caf%C3%A9", "/r/a?b=%3F%23"] {
            let answer = ask("GET", &format!("{}{path}", edge.url), Some(&token), &[]).await?;
            ensure!(answer.status == 200, "{kind:?} to {path}: {} {}", answer.status, answer.body);
        }
        case.report(format!("{kind:?} to {}: 400", paths.join(" ")));
    }
    Ok(())
}

async fn e2_only_requests_that_need_the_origin_wait_for_it(case: &RegressionCase) -> Result<()> {
    let (origin, client, token) = reports(case).await?;
    let revoked = client.token("read").await?;
    client.revoke(&revoked).await?;
    let upstream = HttpServer::echo().await?;
    for kind in EdgeKind::ALL {
        let proxy = ReplayProxy::start(&origin.server.url()).await?;
        let mut settings = origin.edge_settings(&upstream.url).await?;
        settings.insert("TOLLGATE_EDGE_ORIGIN", proxy.server.url.clone());
        settings.insert("TOLLGATE_EDGE_ISSUER", origin.server.issuer().to_owned());
        let edge = TestEdge::start(kind, &settings).await?;
        let report = format!("{}/r/1", edge.url);
        client.wait_for_status(&report, &revoked, 401).await?;
        client.wait_for_status(&report, &token, 200).await?;

        proxy.set(ProxyMode::Silent);
        // The first request that needs the origin may wait; from then on the edge knows that the
        // origin does not answer.
        client.wait_for_status(&report, &token, 503).await?;
        let mut slowest = Duration::ZERO;
        for _ in 0..10 {
            for (path, token, expected) in [
                ("/_tollgate/health", None, 503),
                ("/_tollgate/nothing", None, 404),
                ("/open/1", None, 200),
                ("/r/1", None, 401),
                ("/r/1", Some("garbage"), 401),
                ("/r/1", Some(revoked.as_str()), 401),
                ("/r/%2f", Some(token.as_str()), 400),
            ] {
                let answer = ask("GET", &format!("{}{path}", edge.url), token, &[]).await?;
                ensure!(answer.status == expected, "{kind:?} to {path}: {} {}", answer.status, answer.body);
                ensure!(answer.took < NO_WAIT_LIMIT, "{kind:?} took {:?} for {path}", answer.took);
                slowest = slowest.max(answer.took);
            }
        }
        let fresh = futures::future::join_all((0..10).map(|_| ask("GET", &report, Some(&token), &[]))).await;
        let fresh: Vec<TimedResponse> = fresh.into_iter().collect::<Result<_>>()?;
        let waited = fresh.iter().filter(|answer| answer.took >= NO_WAIT_LIMIT).count();
        ensure!(fresh.iter().all(|answer| answer.status == 503) && waited <= 1, "{kind:?}: {waited} of 10 waited");
        case.report(format!("{kind:?} without its origin: the slowest of 70 took {slowest:?}, {waited} of 10 waited"));

        proxy.set(ProxyMode::Forward);
        client.wait_for_status(&report, &token, 200).await?;
    }
    Ok(())
}

async fn e5_replayed_response_makes_no_edge_fresh(case: &RegressionCase) -> Result<()> {
    let (origin, client, _) = reports(case).await?;
    let upstream = HttpServer::echo().await?;
    for kind in EdgeKind::ALL {
        let proxy = ReplayProxy::start(&origin.server.url()).await?;
        let mut settings = origin.edge_settings(&upstream.url).await?;
        settings.insert("TOLLGATE_EDGE_ORIGIN", proxy.server.url.clone());
        settings.insert("TOLLGATE_EDGE_ISSUER", origin.server.issuer().to_owned());
        let edge = TestEdge::start(kind, &settings).await?;
        let report = format!("{}/r/1", edge.url);
        let token = client.token("read").await?;
        client.wait_for_status(&report, &token, 200).await?;

        proxy.set(ProxyMode::Replay);
        client.revoke(&token).await?;
        client.wait_for_status(&report, &token, 503).await?;
        let began = Instant::now();
        let mut asked = 0;
        while began.elapsed() < Duration::from_secs(4) {
            let status = client.status(&report, &token).await?;
            ensure!(status == 503, "{kind:?} answers {status} on a recorded heartbeat");
            asked += 1;
        }
        let began = Instant::now();
        // Not every instance has polled, and a hub that answers is not an error.
        while kind == EdgeKind::Runner || began.elapsed() < Duration::from_secs(2) {
            let health: Value = reqwest::get(format!("{}/_tollgate/health", edge.url)).await?.json().await?;
            if health["last_error"]["error"].as_str().is_some_and(|why| why.contains("nonce")) {
                break;
            }
            ensure!(began.elapsed() < CHANGE_TIMEOUT, "{kind:?} does not say why: {health}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        case.report(format!("{kind:?} on a recorded heartbeat: {asked} times 503"));

        proxy.set(ProxyMode::Forward);
        client.wait_for_status(&report, &token, 401).await?;
    }
    Ok(())
}

async fn e6_only_the_edge_itself_reports_its_progress(case: &RegressionCase) -> Result<()> {
    let (origin, client, token) = reports(case).await?;
    let upstream = HttpServer::echo().await?;
    client.revoke(&token).await?;
    let listed = || -> Result<Value> { Ok(serde_json::from_str(&origin.cli(&["edge", "list", "--json"])?)?) };
    for (number, kind) in kinds(case).iter().enumerate() {
        let name = format!("edge-{number}");
        // This URL does not answer, so that nothing is learned by pushing.
        let added = origin.cli(&["edge", "add", &name, "--url", "http://127.0.0.1:9", "--json"])?;
        let key = serde_json::from_str::<Value>(&added)?["key"].as_str().context("a key")?.to_owned();
        let deltas = format!("{}/edge/v1/deltas?after=1&wait=0", origin.server.url());
        let registration = key.split(':').nth(1).context("a number")?;
        let lie = format!("edge={name}&number={registration}&at={}&proof={}", now_ms(), "0".repeat(64));
        for claim in [format!("edge={name}"), lie] {
            let answer = ask("GET", &format!("{deltas}&{claim}"), None, &[]).await?;
            ensure!(answer.status == 200, "a stranger gets an answer all the same: {}", answer.status);
        }
        // Heartbeats are stored once a second.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let before = listed()?[number].clone();
        ensure!(before["last_contact_ms"].is_null() && before["lag"] == 1, "a stranger spoke for the edge: {before}");

        let mut settings = origin.edge_settings(&upstream.url).await?;
        settings.insert("TOLLGATE_EDGE_KEY", key);
        let edge = TestEdge::start(*kind, &settings).await?;
        let began = Instant::now();
        let heartbeat = loop {
            // Edges that sync on demand do so on requests.
            client.status(&format!("{}/r/1", edge.url), &token).await?;
            let listed = listed()?[number].clone();
            if listed["lag"] == 0 && !listed["last_contact_ms"].is_null() {
                break listed;
            }
            ensure!(began.elapsed() < CHANGE_TIMEOUT, "{kind:?} has no heartbeat: {listed}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        case.report(format!("by a stranger: {before}; by the {kind:?} itself: {heartbeat}"));
    }
    Ok(())
}

async fn e7_client_cannot_forge_its_address(case: &RegressionCase) -> Result<()> {
    let (origin, _client, token) = reports(case).await?;
    let upstream = HttpServer::echo().await?;
    let sent = [
        ("Forwarded", "for=203.0.113.7;proto=https"),
        ("X-Real-IP", "203.0.113.7"),
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "bank.example"),
        ("X-Forwarded-Prefix", "/shop-203.0.113.7"),
        ("X_Forwarded_For", "203.0.113.7"),
        ("Client-IP", "203.0.113.7"),
        ("Connection", "X-Once"),
        ("X-Once", "203.0.113.7"),
        ("X-Kept", "yes"),
    ];
    for kind in EdgeKind::ALL {
        let mut settings = origin.edge_settings(&upstream.url).await?;
        let edge = TestEdge::start(kind, &settings).await?;
        let seen = ask("GET", &format!("{}/r/1", edge.url), Some(&token), &sent).await?;
        ensure!(seen.status == 200, "{kind:?}: {} {}", seen.status, seen.body);
        let head = seen.body.to_ascii_lowercase();
        // Spin and workerd hide `Connection`, so the gate there cannot know the headers that it
        // names.
        let head = if kind == EdgeKind::Runner { head } else { head.replace("x-once: 203.0.113.7\r\n", "") };
        for forged in ["203.0.113.7", "https", "bank.example", "x-once"] {
            ensure!(!head.contains(forged), "{kind:?} passes {forged} on: {}", seen.body);
        }
        ensure!(head.contains("x-kept: yes") && head.contains("x-forwarded-proto: http\r\n"), "{}", seen.body);
        let forwarded: Vec<&str> =
            head.lines().filter(|line| line.contains("forwarded") || line.contains("-ip")).collect();
        case.report(format!("{kind:?}: {}", forwarded.join(", ")));

        settings.insert("TOLLGATE_EDGE_TRUSTED_PROXIES", "127.0.0.0/8, ::1".to_owned());
        let edge = TestEdge::start(kind, &settings).await?;
        let seen = ask("GET", &format!("{}/r/1", edge.url), Some(&token), &sent).await?;
        let head = seen.body.to_ascii_lowercase();
        let trusted = ["forwarded: for=203.0.113.7;proto=https", "x-forwarded-proto: https", "x-real-ip: 203.0.113.7"];
        // At a Worker, Cloudflare supplies the address. Without it no address is known, and none is
        // trusted.
        let knows_peer = kind != EdgeKind::Worker || head.contains("x-forwarded-for");
        for header in trusted.into_iter().filter(|_| knows_peer) {
            ensure!(
                head.contains(header),
                "{kind:?} does not pass on what a trusted proxy says, {header}: {}",
                seen.body
            );
        }
    }
    Ok(())
}

/// Snapshots and deltas signed by the test.
struct SignedHistory {
    signer: SnapshotSigner,
    sequence: u64,
    chain: HashChain,
}

const ISSUER: &str = "https://auth.example";
const CONFIG: &[u8] = br#"{"audience":"https://api.example","jwks":{"keys":[]},"routes":[]}"#;

impl SignedHistory {
    /// Appends this many revocations, as deltas for a request with the nonce 0.
    fn revoke(&mut self, count: u64, now_ms: u64) -> Result<Vec<u8>> {
        let (after, before) = (self.sequence, self.chain);
        let delta = |sequence| {
            let id = RevocationId::for_token(ISSUER, &format!("token-{sequence}"));
            Delta {
                sequence,
                kind: RevocationKind::Token,
                id,
                revoked_before: RevokedBefore::TOKEN,
                expires_at: now_ms / 1000 + 3600,
            }
        };
        let deltas: Vec<Delta> = (after + 1..=after + count).map(delta).collect();
        self.chain = deltas.iter().fold(before, |chain, delta| chain.next(delta));
        self.sequence += count;
        let parts = DeltaParts {
            issuer: ISSUER,
            after,
            head: self.sequence,
            as_of_ms: now_ms,
            chain: before,
            config: ConfigDigest::of(CONFIG),
            epoch: 1,
            deltas: &deltas,
            nonce: Some(Nonce::from_bytes([0; Nonce::LEN])),
        };
        Ok(build_deltas(&parts, &self.signer)?)
    }

    /// A snapshot in which all revocations so far have expired.
    fn empty_snapshot(&self, now_ms: u64) -> Result<Vec<u8>> {
        Ok(build_snapshot(&SnapshotParts::new(ISSUER, self.sequence, now_ms, self.chain, CONFIG), &self.signer)?)
    }
}

async fn e3_changes_contained_in_a_snapshot_leave_the_edges_memory(case: &RegressionCase) -> Result<()> {
    let mut history =
        SignedHistory { signer: SnapshotSigner::from_seed(&[7; 32]), sequence: 0, chain: HashChain::genesis(ISSUER) };
    let pin = {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(history.signer.public_key())
    };
    let settings = BTreeMap::from([
        ("TOLLGATE_EDGE_ORIGIN", ISSUER.to_owned()),
        ("TOLLGATE_EDGE_UPSTREAM", "http://upstream.example".to_owned()),
        ("TOLLGATE_EDGE_SNAPSHOT_KEY", pin),
    ]);
    let settings: Vec<(String, String)> = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let program =
        Program::load(&PathBuf::from(required_env("TOLLGATE_TEST_WASM_DIR")).join("tollgate_component.wasm"))?;
    let trapped = |error| anyhow::anyhow!("the component trapped: {error:#}");
    let mut validator = Validator::open(&program, &settings)?;
    let at = now_ms();
    let give = |validator: &mut Validator, message: &[u8]| -> Result<u64> {
        let question = Question { asked_at_ms: at, nonce: (0, 0) };
        validator.accept(200, message, question).map_err(trapped)?.map_err(anyhow::Error::msg)?;
        let connection = Connection { is_https: false, is_from_trusted_proxy: false, client_certificate: None };
        let (method, target) = ("GET".to_owned(), "/_tollgate/health".to_owned());
        let health = Request { method, target, headers: Vec::new(), connection };
        let Decision::Answer(health) = validator.decide(&health, at, false).map_err(trapped)? else {
            anyhow::bail!("health is answered");
        };
        serde_json::from_slice::<Value>(&health.body)?["changes"].as_u64().context("changes in health")
    };
    give(&mut validator, &history.empty_snapshot(at)?)?;
    let (mut most, mut total) = (0, 0);
    for _ in 0..50 {
        total += MAX_DELTAS as u64;
        most = most.max(give(&mut validator, &history.revoke(MAX_DELTAS as u64, at)?)?);
        let left = give(&mut validator, &history.empty_snapshot(at)?)?;
        ensure!(left == 0, "{left} changes were kept although the snapshot contains them");
    }
    ensure!(most == MAX_DELTAS as u64, "{most} changes at the most");
    case.report(format!(
        "{total} revocations with a snapshot after each {MAX_DELTAS}: {most} changes in memory at most"
    ));
    Ok(())
}
