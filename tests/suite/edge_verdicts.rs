//! Verdicts of an edge beyond a bearer JWT, with tokens that an origin issued: bound and opaque
//! tokens, and tokens of unknown status; and which verdicts wait for an origin that does not
//! answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tollgate_edge::{Edge, GateKind, Settings};
use tollgate_tests::certificates::{Certificate, CertificateAuthority};
use tollgate_tests::client::{Answer, TestClient};
use tollgate_tests::edge::{EdgeKind, TestEdge};
use tollgate_tests::environment::{install_tls_provider, required_env};
use tollgate_tests::http_server::HttpServer;
use tollgate_tests::jwt::{ClientKey, claims};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::tcp_server::{TcpServer, read_head};

/// Longest wait for a change, on a busy machine. No test depends on its length.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);
const CREDENTIALS: [(&str, &str); 1] = [("grant_type", "client_credentials")];

/// Status of the answer, and the name of its error.
async fn outcome(request: RequestBuilder) -> Result<String> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let body: Value = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
    Ok(body["error"].as_str().map_or_else(|| status.to_string(), |error| format!("{status} {error}")))
}

/// Settings of an edge with a staleness bound that a busy machine keeps.
async fn patient_settings(origin: &TestOrigin, upstream: &HttpServer) -> Result<BTreeMap<&'static str, String>> {
    let mut settings = origin.edge_settings(&upstream.url).await?;
    settings.insert("TOLLGATE_EDGE_MAX_STALENESS_MS", "30000".to_owned());
    Ok(settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn dpop_proof_lets_its_token_pass_once_at_every_edge() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, HttpServer::echo().await?);
    let client = TestClient::register_with_cli(&origin, "wallet", &["--scope", "read"])?;
    let (key, other_key) = (ClientKey::generate(), ClientKey::generate());
    let answer = client.request_bound_tokens(&key, &CREDENTIALS).await?.success()?;
    let token = answer.text("access_token")?;
    ensure!(claims(&token)?["cnf"]["jkt"] == key.thumbprint().as_str() && answer.text("token_type")? == "DPoP");
    let settings = patient_settings(&origin, &upstream).await?;
    let mut edges = Vec::new();
    for kind in EdgeKind::ALL {
        edges.push(TestEdge::start(kind, &settings).await?);
    }
    for edge in &edges {
        let (kind, url) = (edge.kind, format!("{}/reports/7", edge.url));
        let with = |scheme: &str, proof: &str| {
            client.http.get(&url).header("authorization", format!("{scheme} {token}")).header("dpop", proof)
        };
        let proof = key.proof_with_token("GET", &url, &token);
        let first = outcome(with("DPoP", &proof)).await?;
        ensure!(first == "200", "{kind:?}: {first}");
        // The runner has several instances, and Spin may start one for each request.
        let replays = if kind == EdgeKind::Spin { 1 } else { 12 };
        for _ in 0..replays {
            let replay = outcome(with("DPoP", &proof)).await?;
            ensure!(kind == EdgeKind::Spin || replay == "401 invalid_dpop_proof", "{kind:?}: {replay}");
        }
        if kind != EdgeKind::Spin {
            let proof = key.proof_with_token("GET", &url, &token);
            let together = futures::future::join_all((0..8).map(|_| outcome(with("DPoP", &proof)))).await;
            let found: Vec<String> = together.into_iter().collect::<Result<_>>()?;
            let passed = found.iter().filter(|found| *found == "200").count();
            ensure!(passed == 1, "{kind:?}: {passed} of 8 requests with one proof passed: {found:?}");
        }
        for (what, request, expected) in [
            ("another proof", with("DPoP", &key.proof_with_token("GET", &url, &token)), "200"),
            ("as a bearer token", client.http.get(&url).bearer_auth(&token), "401 invalid_token"),
            (
                "as a bearer token with a proof",
                with("Bearer", &key.proof_with_token("GET", &url, &token)),
                "401 invalid_token",
            ),
            ("another key", with("DPoP", &other_key.proof_with_token("GET", &url, &token)), "401 invalid_dpop_proof"),
            ("another method", with("DPoP", &key.proof_with_token("POST", &url, &token)), "401 invalid_dpop_proof"),
            (
                "another edge's URL",
                with("DPoP", &key.proof_with_token("GET", "https://api.example/reports/7", &token)),
                "401 invalid_dpop_proof",
            ),
            ("without ath", with("DPoP", &key.proof("GET", &url, json!({}))), "401 invalid_dpop_proof"),
            (
                "two proofs",
                with("DPoP", &key.proof_with_token("GET", &url, &token))
                    .header("dpop", key.proof_with_token("GET", &url, &token)),
                "401 invalid_dpop_proof",
            ),
        ] {
            let found = outcome(request).await.context(what)?;
            ensure!(found == expected, "{kind:?}, {what}: {found}");
        }
    }
    client.revoke(&token).await?;
    for edge in &edges {
        let url = format!("{}/reports/7", edge.url);
        let started = std::time::Instant::now();
        loop {
            let proof = key.proof_with_token("GET", &url, &token);
            let request = client.http.get(&url).header("authorization", format!("DPoP {token}")).header("dpop", proof);
            match outcome(request).await?.as_str() {
                "401 invalid_token" => break,
                found => ensure!(started.elapsed() < CHANGE_TIMEOUT, "{:?} still answers {found}", edge.kind),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dpop_nonce_of_the_runner_is_required_and_accepted() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, HttpServer::echo().await?);
    let client = TestClient::register_with_cli(&origin, "wallet", &[])?;
    let key = ClientKey::generate();
    let token = client.request_bound_tokens(&key, &CREDENTIALS).await?.success()?.text("access_token")?;
    let mut settings = patient_settings(&origin, &upstream).await?;
    settings.insert("TOLLGATE_EDGE_DPOP_NONCE", "true".to_owned());
    let edge = TestEdge::start(EdgeKind::Runner, &settings).await?;
    let url = format!("{}/reports/7", edge.url);
    let ath = key.proof_with_token("GET", &url, &token);
    let ath = claims(&ath)?["ath"].clone();
    let with = |claims: Value| {
        let proof = key.proof("GET", &url, claims);
        client.http.get(&url).header("authorization", format!("DPoP {token}")).header("dpop", proof)
    };
    // Each of several requests may reach another instance, and all accept the nonce of any.
    for _ in 0..8 {
        let challenge = with(json!({ "ath": ath })).send().await?;
        let nonce = challenge.headers().get("dpop-nonce").and_then(|nonce| nonce.to_str().ok()).map(str::to_owned);
        let named = challenge.headers()["www-authenticate"].to_str()?.to_owned();
        ensure!(challenge.status() == 401 && named.contains("error=\"use_dpop_nonce\""), "{named}");
        let nonce = nonce.context("a nonce")?;
        let found = outcome(with(json!({ "ath": ath, "nonce": nonce }))).await?;
        ensure!(found == "200", "{found}");
    }
    let found = outcome(with(json!({ "ath": ath, "nonce": "my-own" }))).await?;
    ensure!(found == "401 use_dpop_nonce", "{found}");
    Ok(())
}

/// An origin behind a proxy that forwards certificates, and a token that is bound to this one.
async fn certificate_bound_token(certificate: &Certificate) -> Result<(TestOrigin, TestClient, String)> {
    let settings = [("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1"), ("TOLLGATE_CLIENT_CERTIFICATE_HEADER", "Client-Cert")];
    let origin = TestOrigin::start_with(&settings).await?;
    let metadata = json!({
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"],
        "tls_client_certificate_bound_access_tokens": true,
    });
    let client = TestClient::register(&origin, "robot", metadata).await?;
    let request = client.request("/oauth/token", &CREDENTIALS).header("client-cert", forwarded(certificate));
    let token = Answer::read(request).await?.success()?.text("access_token")?;
    ensure!(claims(&token)?["cnf"]["x5t#S256"] == certificate.thumbprint().as_str());
    Ok((origin, client, token))
}

/// The certificate in the header of RFC 9440.
fn forwarded(certificate: &Certificate) -> String {
    format!(":{}:", STANDARD.encode(&certificate.certificate))
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_bound_token_passes_with_the_certificate_that_a_trusted_proxy_forwards() -> Result<()> {
    install_tls_provider();
    let (own, other) = (Certificate::self_signed("robot"), Certificate::self_signed("other"));
    let (origin, client, token) = certificate_bound_token(&own).await?;
    let upstream = HttpServer::echo().await?;
    let mut settings = patient_settings(&origin, &upstream).await?;
    settings.insert("TOLLGATE_EDGE_CLIENT_CERTIFICATE_HEADER", "X-SSL-Client-Cert".to_owned());
    let untrusting = TestEdge::start(EdgeKind::Runner, &settings).await?;
    settings.insert("TOLLGATE_EDGE_TRUSTED_PROXIES", "127.0.0.1".to_owned());
    let trusting = TestEdge::start(EdgeKind::Runner, &settings).await?;
    let escaped =
        own.certificate_pem().replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B").replace('/', "%2F");
    for (what, edge, header, expected) in [
        ("RFC 9440", &trusting, Some(forwarded(&own)), "200"),
        ("$ssl_client_escaped_cert", &trusting, Some(escaped.clone()), "200"),
        ("another certificate", &trusting, Some(forwarded(&other)), "401 invalid_token"),
        ("none", &trusting, None, "401 invalid_token"),
        ("garbage", &trusting, Some("garbage".to_owned()), "401 invalid_token"),
        ("sent by a client that is no proxy", &untrusting, Some(forwarded(&own)), "401 invalid_token"),
    ] {
        let request = client.http.get(format!("{}/reports", edge.url)).bearer_auth(&token);
        let request = header.iter().fold(request, |request, value| request.header("x-ssl-client-cert", value));
        let found = outcome(request).await?;
        ensure!(found == expected, "{what}: {found}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_bound_token_passes_with_the_certificate_of_its_tls_connection() -> Result<()> {
    install_tls_provider();
    let (own, other) = (Certificate::self_signed("robot"), Certificate::self_signed("other"));
    let (origin, client, token) = certificate_bound_token(&own).await?;
    let upstream = HttpServer::echo().await?;
    let (authority, folder) = (CertificateAuthority::new("edge"), tempfile::tempdir()?);
    authority.issue("edge", &["127.0.0.1"]).write(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut settings = patient_settings(&origin, &upstream).await?;
    settings.insert("TOLLGATE_EDGE_TLS_CERTIFICATE", path("tls.crt"));
    settings.insert("TOLLGATE_EDGE_TLS_KEY", path("tls.key"));
    settings.insert("TOLLGATE_EDGE_TLS_CLIENT_AUTH", "any".to_owned());
    let mut parsed = Settings::from_lookup(GateKind::Component, |name| settings.get(name).cloned())?;
    let folder_of_components = std::path::PathBuf::from(required_env("TOLLGATE_TEST_WASM_DIR"));
    parsed.component = Some(folder_of_components.join("tollgate_component.wasm"));
    let edge = Edge::start(parsed).await?;
    let url = format!("{}/reports", edge.url());
    let with = |certificate: Option<&Certificate>| {
        let builder = authority.client_builder();
        match certificate {
            Some(certificate) => builder.identity(certificate.identity()).build(),
            None => builder.build(),
        }
    };
    let own_http = with(Some(&own))?;
    let started = std::time::Instant::now();
    while outcome(own_http.get(&url).bearer_auth(&token)).await? != "200" {
        ensure!(started.elapsed() < CHANGE_TIMEOUT, "the token does not pass");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for (what, http) in [("another certificate", with(Some(&other))?), ("no certificate", with(None)?)] {
        let found = outcome(http.get(&url).bearer_auth(&token)).await?;
        ensure!(found == "401 invalid_token", "{what}: {found}");
    }
    client.revoke(&token).await?;
    while outcome(own_http.get(&url).bearer_auth(&token)).await? != "401 invalid_token" {
        ensure!(started.elapsed() < CHANGE_TIMEOUT, "the revocation has no effect");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A proxy in front of an origin that counts introspection questions.
async fn counting_proxy(origin: &TestOrigin) -> Result<(HttpServer, Arc<AtomicUsize>)> {
    let (url, questions) = (origin.server.url(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&questions);
    let proxy = HttpServer::start(move |head| {
        let (url, counted) = (url.clone(), Arc::clone(&counted));
        async move {
            let target = head.split(' ').nth(1)?.to_owned();
            if target.starts_with("/edge/v1/introspect?") {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            let answer = reqwest::get(format!("{url}{target}")).await.ok()?;
            Some((answer.status().as_u16(), answer.bytes().await.ok()?.to_vec()))
        }
    })
    .await?;
    Ok((proxy, questions))
}

/// Settings of a registered edge that reaches its origin through this proxy.
async fn registered_edge(
    origin: &TestOrigin,
    proxy: &HttpServer,
    upstream: &HttpServer,
) -> Result<BTreeMap<&'static str, String>> {
    let added: Value =
        serde_json::from_str(&origin.cli(&["edge", "add", "near", "--url", "http://127.0.0.1:9", "--json"])?)?;
    let mut settings = patient_settings(origin, upstream).await?;
    settings.insert("TOLLGATE_EDGE_KEY", added["key"].as_str().context("a key")?.to_owned());
    settings.insert("TOLLGATE_EDGE_ORIGIN", proxy.url.clone());
    settings.insert("TOLLGATE_EDGE_ISSUER", origin.server.issuer().to_owned());
    Ok(settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn opaque_token_is_introspected_once_and_revoked_without_another_question() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, HttpServer::echo().await?);
    let (proxy, questions) = counting_proxy(&origin).await?;
    let settings = registered_edge(&origin, &proxy, &upstream).await?;
    origin.cli(&["route", "add", "--path", "/admin", "--scope", "admin"])?;
    let metadata = json!({
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"], "scope": "read", "access_token_format": "opaque",
    });
    let client = TestClient::register(&origin, "opaque", metadata).await?;
    for kind in [EdgeKind::Runner, EdgeKind::Worker] {
        let edge = TestEdge::start(kind, &settings).await?;
        questions.store(0, Ordering::SeqCst);
        let token = client.token("read").await?;
        ensure!(token.starts_with("tga_"), "{token}");
        let url = format!("{}/reports", edge.url);
        let together = futures::future::join_all((0..20).map(|_| outcome(client.http.get(&url).bearer_auth(&token))));
        let found: Vec<String> = together.await.into_iter().collect::<Result<_>>()?;
        ensure!(found.iter().all(|found| found == "200"), "{kind:?}: {found:?}");
        for _ in 0..20 {
            let found = outcome(client.http.get(&url).bearer_auth(&token)).await?;
            ensure!(found == "200", "{kind:?}: {found}");
        }
        let scope = outcome(client.http.get(format!("{}/admin", edge.url)).bearer_auth(&token)).await?;
        ensure!(scope == "403 insufficient_scope", "{kind:?}: {scope}");
        let asked = questions.load(Ordering::SeqCst);
        ensure!(asked == 1, "{kind:?} asked {asked} times about one token");

        client.revoke(&token).await?;
        client.wait_for_status(&url, &token, 401).await?;
        let asked = questions.load(Ordering::SeqCst);
        ensure!(asked == 1, "{kind:?} asked {asked} times until the revocation took effect");

        let unknown = client.token("read").await?;
        client.revoke(&unknown).await?;
        let altered = format!("{}A", &unknown[..unknown.len() - 1]);
        let altered = if altered == unknown { format!("{}B", &unknown[..unknown.len() - 1]) } else { altered };
        for (what, token, expected) in [("revoked before", &unknown, 2), ("not of the origin's form", &altered, 2)] {
            let found = outcome(client.http.get(&url).bearer_auth(token)).await?;
            let asked = questions.load(Ordering::SeqCst);
            ensure!(
                found == "401 invalid_token" && asked == expected,
                "{kind:?}, {what}: {found}, asked {asked} times"
            );
        }
    }
    let mut without_key = settings;
    without_key.remove("TOLLGATE_EDGE_KEY");
    let edge = TestEdge::start(EdgeKind::Runner, &without_key).await?;
    let token = client.token("read").await?;
    let found = outcome(client.http.get(&edge.url).bearer_auth(&token)).await?;
    ensure!(found == "401 invalid_token", "an edge without a key: {found}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_registered_edges_introspect() -> Result<()> {
    let origin = TestOrigin::start().await?;
    let added: Value =
        serde_json::from_str(&origin.cli(&["edge", "add", "near", "--url", "http://127.0.0.1:9", "--json"])?)?;
    let text = added["key"].as_str().context("a key")?.to_owned();
    let parts: Vec<&str> = text.split(':').collect();
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(parts[2])?;
    let key = tollgate_core::EdgeKey::new(secret.as_slice().try_into()?);
    let reference = "opaque=0000000000000000000000000000000000000000000000000000000000000000";
    let nonce = "nonce=00000000000000000000000000000000";
    let now = tollgate_tests::environment::now_ms();
    let query =
        |reference: &str, at: u64| key.sign(format!("{reference}&{nonce}&edge=near&number={}&at={at}", parts[1]));
    let status = async |query: String| {
        let response = reqwest::get(origin.url(&format!("/edge/v1/introspect?{query}"))).await?;
        Ok::<_, anyhow::Error>(response.status().as_u16())
    };
    for (what, query, expected) in [
        ("a registered edge", query(reference, now), 200),
        ("an old question", query(reference, now - 61_000), 403),
        ("no proof", format!("{reference}&{nonce}&edge=near&number={}&at={now}", parts[1]), 403),
        ("no edge", format!("{reference}&{nonce}"), 403),
        ("another edge", query(reference, now).replace("edge=near", "edge=far"), 403),
        ("no token", query("sub=a", now), 400),
        ("two tokens", query(&format!("{reference}&id=tg_AAAAAQAAAAAAAAAAAAAAAAAA"), now), 400),
        ("no nonce", key.sign(format!("{reference}&edge=near&number={}&at={now}", parts[1])), 400),
    ] {
        let found = status(query).await?;
        ensure!(found == expected, "{what}: {found}");
    }
    origin.cli(&["edge", "remove", "near"])?;
    let started = std::time::Instant::now();
    while status(query(reference, tollgate_tests::environment::now_ms())).await? != 403 {
        ensure!(started.elapsed() < CHANGE_TIMEOUT, "a removed edge is still answered");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A proxy in front of an origin that can fall silent: it then accepts requests and holds them.
struct BlackHole {
    server: TcpServer,
    is_silent: Arc<AtomicBool>,
    /// Requests that were held, and of these the ones whose sender gave up.
    held: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl BlackHole {
    async fn start(origin: &TestOrigin) -> Result<Self> {
        let url = origin.server.url();
        let is_silent = Arc::new(AtomicBool::new(false));
        let (held, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let state = (Arc::clone(&is_silent), Arc::clone(&held), Arc::clone(&ended));
        let server = TcpServer::start(move |stream| serve(stream, url.clone(), state.clone())).await?;
        Ok(Self { server, is_silent, held, ended })
    }

    /// Numbers of requests that were held so far and that are not held any more.
    fn counts(&self) -> (usize, usize) {
        (self.held.load(Ordering::SeqCst), self.ended.load(Ordering::SeqCst))
    }
}

type BlackHoleState = (Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>);

async fn serve(mut stream: TcpStream, url: String, state: BlackHoleState) -> Result<()> {
    let (is_silent, held, ended) = state;
    loop {
        let head = read_head(&mut stream).await?;
        let target = head.split(' ').nth(1).context("a target")?;
        let response = match is_silent.load(Ordering::SeqCst) {
            true => None,
            false => Some(reqwest::get(format!("{url}{target}")).await?),
        };
        // The request may have waited at the origin until after the proxy fell silent.
        let Some(response) = response.filter(|_| !is_silent.load(Ordering::SeqCst)) else {
            held.fetch_add(1, Ordering::SeqCst);
            let ended_by_sender = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            ended.fetch_add(1, Ordering::SeqCst);
            return Ok(ended_by_sender.map(drop)?);
        };
        let (status, body) = (response.status().as_u16(), response.bytes().await?);
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
    }
}

/// With an origin that accepts requests and never answers, requests are answered while the edge's
/// fetch is still held: they do not wait for it. That the fetch is still held when the answer
/// arrives shows it, however slow the machine is; a fetch that ended meanwhile proves nothing, and
/// the request is sent again during the next one.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_while_the_origin_holds_the_fetch() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, HttpServer::echo().await?);
    origin.cli(&["route", "add", "--path", "/open/*", "--public"])?;
    origin.cli(&["route", "add", "--path", "/lenient", "--on-stale", "allow", "--on-not-covered", "allow"])?;
    let client = TestClient::register_with_cli(&origin, "reader", &[])?;
    let (token, revoked) = (client.token("").await?, client.token("").await?);
    client.revoke(&revoked).await?;
    let black_hole = BlackHole::start(&origin).await?;
    let mut settings = origin.edge_settings(&upstream.url).await?;
    settings.insert("TOLLGATE_EDGE_ORIGIN", black_hole.server.url.clone());
    settings.insert("TOLLGATE_EDGE_ISSUER", origin.server.issuer().to_owned());
    let edge = TestEdge::start(EdgeKind::Runner, &settings).await?;
    let strict = format!("{}/strict", edge.url);
    client.wait_for_status(&strict, &revoked, 401).await?;
    client.wait_for_status(&strict, &token, 200).await?;
    black_hole.is_silent.store(true, Ordering::SeqCst);
    // The first request that needs a fresh replica may wait for the fetch that is held.
    client.wait_for_status(&strict, &token, 503).await?;
    for (path, token, expected) in [
        ("/_tollgate/health", None, "503"),
        ("/_tollgate/nothing", None, "404 not_found"),
        ("/open/1", None, "200"),
        ("/open/1", Some("garbage"), "200"),
        ("/strict", None, "401"),
        ("/strict", Some("garbage"), "401 invalid_token"),
        ("/strict", Some(revoked.as_str()), "401 invalid_token"),
        ("/lenient", Some(token.as_str()), "200"),
        ("/lenient", Some(revoked.as_str()), "401 invalid_token"),
        ("/strict/..%2f", Some(token.as_str()), "400 invalid_request"),
        ("/strict", Some(token.as_str()), "503 temporarily_unavailable"),
    ] {
        let started = std::time::Instant::now();
        loop {
            ensure!(started.elapsed() < CHANGE_TIMEOUT, "{path} {token:?}: no fetch was held during a whole request");
            let before = black_hole.counts();
            if before.0 != before.1 + 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            let request = client.http.get(format!("{}{path}", edge.url));
            let request = token.iter().fold(request, |request, token| request.bearer_auth(token));
            let found = outcome(request).await?;
            ensure!(found == expected, "{path} {token:?}: {found}");
            if black_hole.counts() == before {
                break;
            }
        }
    }
    black_hole.is_silent.store(false, Ordering::SeqCst);
    client.wait_for_status(&strict, &token, 200).await?;
    Ok(())
}
