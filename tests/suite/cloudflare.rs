//! The Worker as it runs at Cloudflare: behind a service binding, with hubs, a directory and KV;
//! and what a deployment uploads.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tollgate_core::{
    ConfigDigest, DeltaParts, EdgeKey, HashChain, Nonce, RevocationId, SnapshotParts, SnapshotSigner, build_deltas,
    build_snapshot,
};
use tollgate_tests::client::TestClient;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::{free_port, install_tls_provider, now_ms, required_env};
use tollgate_tests::http_server::HttpServer;
use tollgate_tests::jwt::ClientKey;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::worker::{OTHER_ISOLATE, WorkerDeployment};

/// Longest wait for the directory to write to KV, on a busy machine.
const KV_TIMEOUT: Duration = Duration::from_secs(60);
const IN_GERMANY: &str = r#"{"continent":"EU","country":"DE","longitude":"13.4"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn worker_serves_another_worker_by_a_service_binding() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let client = TestClient::register_with_cli(&origin, "bound", &[])?;
    let token = client.token("").await?;
    let deployment = WorkerDeployment::new(&origin.edge_settings(&upstream.url).await?)?;
    let worker = deployment.start()?;
    let health = worker.wait_for_health(200, Some(IN_GERMANY)).await?;
    assert_eq!(health.headers()["tollgate-hub"], "weur-0", "the hub is near the isolate's clients");
    assert_eq!(client.status(&worker.url, &token).await?, 200);
    client.revoke(&token).await?;
    client.wait_for_status(&worker.url, &token, 401).await?;
    assert_eq!(deployment.count_objects()?, 2, "one hub and the directory");
    Ok(())
}

/// The directory admits each push once, for all isolates; the others check the proof.
#[tokio::test(flavor = "multi_thread")]
async fn push_needs_the_proof_of_the_edges_key_and_a_recorded_one_is_worth_nothing() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let client = TestClient::register_with_cli(&origin, "push", &[])?;
    for (number, kind) in EdgeKind::ALL.into_iter().enumerate() {
        // The origin's own pushes do not arrive: this URL does not answer.
        let added = origin.cli(&["edge", "add", &format!("edge-{number}"), "--url", "http://127.0.0.1:9", "--json"])?;
        let key = serde_json::from_str::<Value>(&added)?["key"].as_str().context("a key")?.to_owned();
        let mut settings = origin.edge_settings(&upstream.url).await?;
        settings.insert("TOLLGATE_EDGE_KEY", key.clone());
        // Worker and Spin learn of the revocation only by a push.
        settings.insert("TOLLGATE_EDGE_REFRESH_AFTER_MS", "3000000".to_owned());
        settings.insert("TOLLGATE_EDGE_MAX_STALENESS_MS", "3600000".to_owned());
        let edge = TestEdge::start(kind, &settings).await?;
        let token = client.token("").await?;
        ensure!(client.status(&edge.url, &token).await? == 200, "{kind:?} accepts the token");
        let before = number as u64;
        client.revoke(&token).await?;
        let deltas = format!("{}/edge/v1/deltas?after={before}&wait=0", origin.server.url());
        let message = reqwest::get(deltas).await?.bytes().await?.to_vec();
        let secret = URL_SAFE_NO_PAD.decode(key.rsplit(':').next().context("a secret")?)?;
        let key = EdgeKey::new(&secret.try_into().map_err(|_| anyhow::anyhow!("32 bytes"))?);
        let (http, url) = (reqwest::Client::new(), format!("{}/_tollgate/push", edge.url));
        let push = async |proof: Option<&str>, body: Vec<u8>| -> Result<(u16, Value)> {
            let request =
                proof.into_iter().fold(http.post(&url), |request, proof| request.header("tollgate-push", proof));
            let response = request.body(body).send().await?;
            Ok((response.status().as_u16(), response.json().await?))
        };
        let forged = EdgeKey::new(&[7; 32]).sign_push(now_ms());
        ensure!(push(None, message.clone()).await?.0 == 403, "{kind:?}: no proof");
        ensure!(push(Some(&forged), message.clone()).await?.0 == 403, "{kind:?}: the proof of another key");
        ensure!(push(Some(&key.sign_push(now_ms() - 61_000)), message.clone()).await?.0 == 403, "{kind:?}: an old one");
        // A runner always has a long poll at the origin, and knows already.
        let is_known = kind == EdgeKind::Runner || client.status(&edge.url, &token).await? == 200;
        ensure!(is_known, "{kind:?} has applied none of them");

        let recorded = key.sign_push(now_ms());
        let applied = push(Some(&recorded), message.clone()).await?;
        ensure!(applied == (200, json!({ "sequence": before + 1 })), "{kind:?}: {applied:?}");
        client.wait_for_status(&edge.url, &token, 401).await?;
        if kind == EdgeKind::Worker {
            ensure!(push(Some(&recorded), message.clone()).await?.0 == 403, "a recorded push");
        }
        let again = push(Some(&key.sign_push(now_ms() + 1)), message.clone()).await?;
        ensure!(again == (200, json!({ "sequence": before + 1 })), "{kind:?}: a repeated push: {again:?}");
        let garbage = push(Some(&key.sign_push(now_ms() + 2)), b"TGDL".to_vec()).await?;
        ensure!(garbage.0 == 400, "{kind:?}: {garbage:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pushed_revocation_reaches_isolates_through_directory_and_hub() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let client = TestClient::register_with_cli(&origin, "pushed", &[])?;
    let port = free_port()?;
    let added = origin.cli(&["edge", "add", "near", "--url", &format!("http://127.0.0.1:{port}"), "--json"])?;
    let key = serde_json::from_str::<Value>(&added)?["key"].as_str().context("a key")?.to_owned();
    let mut settings = origin.edge_settings(&upstream.url).await?;
    settings.insert("TOLLGATE_EDGE_KEY", key);
    // The Worker polls so rarely that it learns of revocations only by pushes.
    settings.insert("TOLLGATE_EDGE_REFRESH_AFTER_MS", "3000000".to_owned());
    settings.insert("TOLLGATE_EDGE_MAX_STALENESS_MS", "3600000".to_owned());
    let deployment = WorkerDeployment::new(&settings)?;
    let worker = deployment.start_at(port)?;
    worker.wait_for_health(200, None).await?;
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let token = client.token("").await?;
        assert_eq!(client.status(&worker.url, &token).await?, 200);
        let revoked = Instant::now();
        client.revoke(&token).await?;
        client.wait_for_status(&worker.url, &token, 401).await?;
        slowest = slowest.max(revoked.elapsed());
    }
    println!("20 revocations were refused by the Worker {slowest:?} after they were sent, at the latest");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn isolates_count_requests_and_proofs_together_by_their_hubs() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, HttpServer::echo().await?);
    origin.cli(&["route", "add", "--path", "/limited", "--rate-limit", "4/3600/client"])?;
    let client = TestClient::register_with_cli(&origin, "two isolates", &["--scope", "read"])?;
    let deployment = WorkerDeployment::new(&origin.edge_settings(&upstream.url).await?)?;
    let worker = deployment.start()?;
    worker.wait_for_health(200, None).await?;
    let send = async |path: &str, headers: &[(&str, &str)], is_other: bool| -> Result<u16> {
        let mut request = client.http.get(format!("{}{path}", worker.url));
        for (name, value) in headers.iter().copied().chain(is_other.then_some((OTHER_ISOLATE, "yes"))) {
            request = request.header(name, value);
        }
        Ok(request.send().await?.status().as_u16())
    };
    let bearer = format!("Bearer {}", client.token("read").await?);
    let started = Instant::now();
    while send("/free", &[("authorization", &bearer)], true).await? != 200 {
        ensure!(started.elapsed() < KV_TIMEOUT, "the other isolate is not ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut statuses = Vec::new();
    for request in 0..6 {
        statuses.push(send("/limited", &[("authorization", &bearer)], request % 2 == 1).await?);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429], "the limit is for both isolates together");

    let key = ClientKey::generate();
    let answer = client.request_bound_tokens(&key, &[("grant_type", "client_credentials")]).await?.success()?;
    let token = answer.text("access_token")?;
    let bound = format!("DPoP {token}");
    for (first, second) in [(false, true), (true, false)] {
        let proof = key.proof_with_token("GET", &format!("{}/free", worker.url), &token);
        let headers = [("authorization", bound.as_str()), ("dpop", proof.as_str())];
        assert_eq!(send("/free", &headers, first).await?, 200, "the first use of a proof");
        assert_eq!(send("/free", &headers, second).await?, 401, "its replay at the other isolate");
    }
    Ok(())
}

/// An origin whose snapshot lists many revoked tokens. It answers what edges fetch.
struct LargeOrigin {
    server: HttpServer,
    snapshot_key: String,
    snapshot_bytes: usize,
    /// Whether it has fallen silent.
    is_silent: Arc<Mutex<bool>>,
}

const ISSUER: &str = "https://auth.example";
const SEQUENCE: u64 = 1_400_000;
const CONFIG: &[u8] = br#"{"audience":"https://api.example","jwks":{"keys":[]},"routes":[]}"#;

impl LargeOrigin {
    async fn start() -> Result<Self> {
        let signer = Arc::new(SnapshotSigner::from_seed(&[7; 32]));
        let chain = HashChain::genesis(ISSUER);
        let revoked: Vec<RevocationId> =
            (0..SEQUENCE).map(|n| RevocationId::from_bytes(u128::from(n).to_be_bytes())).collect();
        let parts = SnapshotParts { others: &revoked, ..SnapshotParts::new(ISSUER, SEQUENCE, now_ms(), chain, CONFIG) };
        let snapshot = build_snapshot(&parts, &signer)?;
        let (snapshot_key, snapshot_bytes) = (URL_SAFE_NO_PAD.encode(signer.public_key()), snapshot.len());
        let is_silent = Arc::new(Mutex::new(false));
        let silence = Arc::clone(&is_silent);
        let server = HttpServer::start(move |head| {
            let (snapshot, signer, silence) = (snapshot.clone(), Arc::clone(&signer), Arc::clone(&silence));
            async move {
                if *silence.lock().unwrap_or_else(PoisonError::into_inner) {
                    return None;
                }
                let target = head.split(' ').nth(1)?;
                let Some((_, query)) = target.split_once('?') else { return Some((200, snapshot)) };
                let nonce = query.split('&').find_map(|pair| pair.strip_prefix("nonce="))?;
                let parts = DeltaParts {
                    issuer: ISSUER,
                    after: SEQUENCE,
                    head: SEQUENCE,
                    as_of_ms: now_ms(),
                    chain,
                    config: ConfigDigest::of(CONFIG),
                    epoch: 1,
                    deltas: &[],
                    nonce: Some(Nonce::from_hex(nonce)?),
                };
                Some((200, build_deltas(&parts, &signer).ok()?))
            }
        });
        Ok(Self { server: server.await?, snapshot_key, snapshot_bytes, is_silent })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_of_more_than_twenty_megabytes_passes_hub_and_kv() -> Result<()> {
    install_tls_provider();
    let origin = LargeOrigin::start().await?;
    assert!(origin.snapshot_bytes > 20_000_000, "{} bytes", origin.snapshot_bytes);
    let deployment = WorkerDeployment::new(&BTreeMap::from([
        ("TOLLGATE_EDGE_ORIGIN", origin.server.url.clone()),
        ("TOLLGATE_EDGE_ISSUER", ISSUER.to_owned()),
        ("TOLLGATE_EDGE_UPSTREAM", origin.server.url.clone()),
        ("TOLLGATE_EDGE_SNAPSHOT_KEY", origin.snapshot_key.clone()),
    ]))?;
    let worker = deployment.start()?;
    let health: Value = worker.wait_for_health(200, None).await?.json().await?;
    assert_eq!(health["snapshot_sequence"], SEQUENCE, "{health}");
    println!("an isolate is fresh with a snapshot of {} bytes from its hub", origin.snapshot_bytes);

    // The directory writes it to KV: two parts and the entry that names them.
    let started = Instant::now();
    while deployment.count_kv_values()? < 3 {
        ensure!(started.elapsed() < KV_TIMEOUT, "KV has no snapshot");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A new isolate then has it without hub and origin, and knows that it is not fresh.
    *origin.is_silent.lock().unwrap_or_else(PoisonError::into_inner) = true;
    drop(worker);
    deployment.delete_objects()?;
    let health: Value = deployment.start()?.wait_for_health(503, None).await?.json().await?;
    assert_eq!((&health["status"], &health["snapshot_sequence"]), (&json!("stale"), &json!(SEQUENCE)), "{health}");
    Ok(())
}

/// Runs `wrangler` in the project's folder, and returns what it prints.
fn wrangler(arguments: &[&str]) -> Result<String> {
    let mut wrangler = Command::new(required_env("TOLLGATE_TEST_NODE"));
    wrangler.arg(required_env("TOLLGATE_TEST_WRANGLER")).args(arguments);
    wrangler.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let logs = tempfile::tempdir()?;
    wrangler.env("CI", "true").env("WRANGLER_SEND_METRICS", "false").env("WRANGLER_LOG_PATH", logs.path());
    let output = wrangler.env("CLOUDFLARE_CF_FETCH_ENABLED", "false").stdin(Stdio::null()).output()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    Ok(printed)
}

/// The number between two texts.
fn number_between(text: &str, before: &str, after: &str) -> Result<f64> {
    let number = text.split_once(before).and_then(|(_, rest)| rest.split_once(after)).map(|(number, _)| number.trim());
    Ok(number.with_context(|| format!("{before} in {text}"))?.parse()?)
}

#[test]
fn deployment_is_small_and_says_what_it_uploads() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bundle = folder.path().join("bundle").display().to_string();
    let deployed = wrangler(&["deploy", "--dry-run", "--outdir", &bundle])?;
    let profile = folder.path().join("startup.cpuprofile").display().to_string();
    let started = wrangler(&["check", "startup", "--outfile", &profile])?;
    let (upload, gzip) =
        (number_between(&deployed, "Total Upload:", "KiB")?, number_between(&deployed, "gzip:", "KiB")?);
    let active = number_between(&started, "Active:", "ms")?;
    println!("upload {upload} KiB, compressed {gzip} KiB; start-up {active} ms of CPU time on this machine");
    assert!(gzip < 512.0, "{gzip} KiB: Cloudflare accepts 3 MiB, but each isolate loads it");
    assert!(deployed.contains("TOLLGATE_HUB"), "{deployed}");
    Ok(())
}
