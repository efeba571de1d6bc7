//! Many edges at one origin: what they cost it, and which of them it answers.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tollgate_core::{Deltas, EdgeKey, Nonce, Snapshot};
use tollgate_edge::{Edge, RelaySettings};
use tollgate_tests::client::TestClient;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::{install_tls_provider, now_ms};
use tollgate_tests::origin::TestOrigin;

/// Bound of everything that the tests wait for.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Polls of the first test; `TOLLGATE_TEST_POLLERS` sets another number. Each takes two file
/// descriptors.
const POLLERS: u64 = 1000;

/// An edge of the fleet: one registration for all of them.
struct RegisteredEdge {
    name: String,
    number: u64,
    key: EdgeKey,
}

impl RegisteredEdge {
    /// Registers an edge at which no push arrives.
    fn add(origin: &TestOrigin, name: &str) -> Result<Self> {
        use base64::Engine as _;
        let added = origin.cli(&["edge", "add", name, "--url", "http://127.0.0.1:9", "--json"])?;
        let added: Value = serde_json::from_str(&added)?;
        let key = added["key"].as_str().context("a key")?;
        let mut parts = key.split(':').skip(1);
        let number = parts.next().context("a number")?.parse()?;
        let secret = parts.next().context("a secret")?;
        let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(secret)?;
        let secret: [u8; 32] = secret.try_into().ok().context("a secret of 32 bytes")?;
        Ok(Self { name: name.to_owned(), number, key: EdgeKey::new(&secret) })
    }

    fn sign(&self, query: &str) -> Result<String> {
        let query = format!("{query}&edge={}&number={}&at={}", self.name, self.number, now_ms());
        Ok(self.key.sign(query))
    }
}

fn snapshot_key(origin: &TestOrigin) -> Result<[u8; 32]> {
    use base64::Engine as _;
    let key = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(origin.cli(&["key", "snapshot"])?.trim())?;
    key.try_into().ok().context("a key of 32 bytes")
}

fn nonce(n: u64) -> Nonce {
    Nonce::from_bytes((u128::from(n) << 64 | 7).to_be_bytes())
}

/// The value of a metric without labels.
async fn metric(origin: &TestOrigin, name: &str) -> Result<u64> {
    let text = reqwest::get(origin.url("/metrics")).await?.text().await?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.with_context(|| format!("no {name} in {text}"))
}

/// Work of the feed so far: answers, signatures and reads of the database.
async fn work(origin: &TestOrigin) -> Result<[u64; 3]> {
    let names = ["tollgate_feed_answers_total", "tollgate_feed_signatures_total", "tollgate_feed_reads_total"];
    let [answers, signatures, reads] = names.map(|name| metric(origin, name));
    Ok([answers.await?, signatures.await?, reads.await?])
}

async fn get(url: String) -> Result<(u16, Vec<u8>)> {
    // A client costs more than a request.
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(reqwest::Client::new);
    let answer = CLIENT.get(url).send().await?;
    Ok((answer.status().as_u16(), answer.bytes().await?.to_vec()))
}

/// Polls again and again until there are changes, each time with another nonce, and returns how
/// often the origin answered.
async fn poll_until_changed(url: impl Fn(Nonce) -> Result<String>, first: u64, pin: [u8; 32]) -> Result<u64> {
    for round in 0.. {
        let nonce = nonce(first + (round << 32));
        let (status, body) = get(url(nonce)?).await?;
        ensure!(status == 200, "{status} for poll {first}");
        let deltas = Deltas::decode(&body, &[pin])?;
        ensure!(deltas.answers(nonce) && !deltas.answers(self::nonce(u64::MAX)), "poll {first} has another nonce");
        if !deltas.entries().is_empty() {
            return Ok(round + 1);
        }
    }
    Ok(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_signature_answers_all_waiting_edges_and_tokens_are_issued_meanwhile() -> Result<()> {
    install_tls_provider();
    let pollers = std::env::var("TOLLGATE_TEST_POLLERS").ok().map_or(Ok(POLLERS), |count| count.parse())?;
    let connections = (4 * pollers).to_string();
    let settings = [("TOLLGATE_MAX_CONNECTIONS", connections.as_str()), ("TOLLGATE_METRICS_PUBLIC", "true")];
    let origin = TestOrigin::start_with(&settings).await?;
    let client = TestClient::register_with_cli(&origin, "fleet", &[])?;
    let (token, edge) = (client.token("").await?, RegisteredEdge::add(&origin, "fleet")?);
    let (pin, edge, base) = (snapshot_key(&origin)?, Arc::new(edge), origin.url("/edge/v1/deltas"));
    let polls: Vec<JoinHandle<Result<u64>>> = (0..pollers)
        .map(|n| {
            let (edge, base) = (Arc::clone(&edge), base.clone());
            let url = move |nonce| {
                let query = edge.sign(&format!("after=0&wait=30&nonce={nonce}&version=3"))?;
                Ok(format!("{base}?{query}"))
            };
            tokio::spawn(poll_until_changed(url, n, pin))
        })
        .collect();
    // A few may just have been answered by a heartbeat, and poll again.
    wait_for(async || Ok(metric(&origin, "tollgate_long_polls").await? >= pollers - pollers / 10)).await?;

    let (before, began) = (work(&origin).await?, Instant::now());
    client.revoke(&token).await?;
    let (revoked_at, requests) = (Instant::now(), async { join_all((0..50).map(|_| client.token(""))).await });
    let (answered, tokens) = tokio::join!(timeout(TIMEOUT, join_all(polls)), requests);
    let took = revoked_at.elapsed();
    for poll in answered.context("all polls are answered")? {
        poll??;
    }
    for token in tokens {
        token?;
    }
    let after = work(&origin).await?;
    let [answers, signatures, reads] = [0, 1, 2].map(|index| after[index] - before[index]);
    println!(
        "{answers} answers by {signatures} signatures and {reads} reads, {} ms after the revocation",
        took.as_millis()
    );
    // The pusher signs, too, and so do heartbeats where the machine is slow: at most every 25 ms.
    let most = 64 + 40 * began.elapsed().as_secs();
    assert!(answers >= pollers && signatures <= most && reads <= most, "more than {most}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_of_many_edges_are_signed_together() -> Result<()> {
    install_tls_provider();
    let settings = [("TOLLGATE_MAX_CONNECTIONS", "2000"), ("TOLLGATE_METRICS_PUBLIC", "true")];
    let origin = TestOrigin::start_with(&settings).await?;
    let (edge, pins) = (RegisteredEdge::add(&origin, "fleet")?, [snapshot_key(&origin)?]);
    let before = work(&origin).await?;
    let polls = (0..300).map(|n| {
        let query = edge.sign(&format!("after=0&wait=5&nonce={}&version=3", nonce(n)))?;
        Ok(tokio::spawn(get(origin.url(&format!("/edge/v1/deltas?{query}")))))
    });
    let polls = polls.collect::<Result<Vec<_>>>()?;
    let mut signed = BTreeSet::new();
    for (n, poll) in (0..).zip(polls) {
        let (_, body) = timeout(TIMEOUT, poll).await??.with_context(|| format!("poll {n}"))?;
        let deltas = Deltas::decode(&body, &pins)?;
        assert!(deltas.entries().is_empty() && deltas.answers(nonce(n)));
        signed.insert(deltas.nonce().map(|nonce| nonce.to_string()));
    }
    let after = work(&origin).await?;
    let [answers, signatures, _] = [0, 1, 2].map(|index| after[index] - before[index]);
    println!("{answers} heartbeats, {} different messages, {signatures} signatures", signed.len());
    assert_eq!(answers, 300);
    assert!(signed.len() as u64 <= signatures, "a message is signed once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_of_every_version_are_answered_in_their_own_form() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let pins = [snapshot_key(&origin)?];
    let client = TestClient::register_with_cli(&origin, "old", &[])?;
    let token = client.token("").await?;
    let query = |n: u64, more: &str| origin.url(&format!("/edge/v1/deltas?after=0&wait=30&nonce={}{more}", nonce(n)));
    let urls =
        [query(0, ""), query(1, "&version=2"), query(2, "&version=3"), origin.url("/edge/v1/deltas?after=0&wait=30")];
    let polls: Vec<_> = urls.into_iter().map(|url| tokio::spawn(get(url))).collect();
    sleep(Duration::from_millis(50)).await;
    client.revoke(&token).await?;
    let mut versions = Vec::new();
    for (n, poll) in (0..).zip(polls) {
        let (_, body) = timeout(TIMEOUT, poll).await???;
        let deltas = Deltas::decode(&body, &pins)?;
        assert_eq!((deltas.entries().len(), deltas.answers(nonce(n))), (1, n < 3), "poll {n}");
        versions.push(body[4]);
    }
    assert_eq!(versions, [2, 2, 3, 1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_route_reaches_edges_with_deltas() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let pins = [snapshot_key(&origin)?];
    let (_, snapshot) = get(origin.url("/edge/v1/snapshot")).await?;
    let snapshot = Snapshot::decode(snapshot, &pins)?;
    let ask = |config: String, wait: u8| {
        get(origin.url(&format!("/edge/v1/deltas?after=0&wait={wait}&nonce={}&version=3&config={config}", nonce(0))))
    };
    let held = snapshot.config_digest();
    let waiting = tokio::spawn(ask(held.to_string(), 30));
    sleep(Duration::from_millis(50)).await;
    origin.cli(&["route", "add", "--path", "/open", "--public"])?;
    let (_, body) = timeout(TIMEOUT, waiting).await???;
    let deltas = Deltas::decode(&body, &pins)?;
    let (config, digest) = deltas.config().context("the new configuration")?;
    assert_eq!((config.routes().len(), digest == held), (snapshot.config().routes().len() + 1, false));
    assert!(deltas.published().is_some(), "it announces the snapshot");

    let (_, body) = ask(held.to_string(), 30).await?;
    assert!(Deltas::decode(&body, &pins)?.config().is_some(), "an edge with the old one is answered at once");
    let (_, body) = ask(digest.to_string(), 0).await?;
    assert!(Deltas::decode(&body, &pins)?.config().is_none(), "the edge has it");
    let (status, _) = ask("00".to_owned(), 0).await?;
    assert_eq!(status, 400);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_for_registered_edges_only_refuses_all_others() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start_with(&[("TOLLGATE_REGISTERED_EDGES_ONLY", "true")]).await?;
    let query = format!("after=0&wait=0&nonce={}&version=3", nonce(0));
    let status =
        async |query: &str| Ok::<_, anyhow::Error>(get(origin.url(&format!("/edge/v1/deltas?{query}"))).await?.0);
    assert_eq!(status(&query).await?, 403);
    let edge = RegisteredEdge::add(&origin, "near")?;
    let signed = edge.sign(&query)?;
    wait_for(async || Ok(status(&edge.sign(&query)?).await? == 200)).await?;
    assert_eq!(status(&signed.replace("after=0", "after=1")).await?, 403, "another query");
    origin.cli(&["edge", "remove", "near"])?;
    wait_for(async || Ok(status(&edge.sign(&query)?).await? == 403)).await?;
    Ok(())
}

/// Starts a relay of the origin, or of another relay, at `url`.
async fn start_relay(origin: &TestOrigin, url: &str) -> Result<Edge> {
    let key = origin.cli(&["key", "snapshot"])?;
    let settings = RelaySettings::from_lookup(|name| match name {
        "TOLLGATE_EDGE_LISTEN" => Some("127.0.0.1:0".to_owned()),
        "TOLLGATE_EDGE_ORIGIN" => Some(url.to_owned()),
        "TOLLGATE_EDGE_SNAPSHOT_KEY" => Some(key.trim().to_owned()),
        _ => None,
    })?;
    Ok(Edge::start_relay(settings).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_of_relays_answers_a_fleet_by_few_questions_to_the_origin() -> Result<()> {
    const EDGES: u64 = 200;
    install_tls_provider();
    let origin = TestOrigin::start_with(&[("TOLLGATE_METRICS_PUBLIC", "true")]).await?;
    let pins = [snapshot_key(&origin)?];
    let client = TestClient::register_with_cli(&origin, "tree", &[])?;
    let token = client.token("").await?;
    let near_origin = start_relay(&origin, &origin.server.url()).await?;
    let near_edges = start_relay(&origin, &near_origin.url()).await?;
    let url = |path: &str| format!("{}{path}", near_edges.url());
    assert_eq!(get(url("/edge/v1/snapshot")).await?, get(origin.url("/edge/v1/snapshot")).await?);

    let before = work(&origin).await?;
    let polls: Vec<_> = (0..EDGES)
        .map(|n| tokio::spawn(get(url(&format!("/edge/v1/deltas?after=0&wait=30&nonce={}&version=3", nonce(n))))))
        .collect();
    wait_for(async || {
        let health: Value = serde_json::from_slice(&get(url("/_tollgate/health")).await?.1)?;
        Ok(health["waiting"] == EDGES)
    })
    .await?;
    client.revoke(&token).await?;
    for (n, poll) in (0..).zip(polls) {
        let (status, body) = timeout(TIMEOUT, poll).await???;
        ensure!(status == 200, "{status} for poll {n}");
        let deltas = Deltas::decode(&body, &pins)?;
        assert_eq!((deltas.entries().len(), deltas.answers(nonce(n)), deltas.answers(nonce(n + 1))), (1, true, false));
    }
    let answers = work(&origin).await?[0] - before[0];
    println!("{EDGES} edges behind two relays: {answers} questions to the origin");
    assert!(answers < EDGES / 2);

    for (query, status) in [("after=9", 409), ("after=0&version=2", 400), ("after=0&version=3&nonce=1", 400)] {
        let whole = format!("/edge/v1/deltas?nonce={}&version=3&wait=0&{query}", nonce(0));
        let query = if status == 409 { whole } else { format!("/edge/v1/deltas?{query}") };
        assert_eq!(get(url(&query)).await?.0, status, "{query}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_behind_a_relay_is_fresh_and_refuses_revoked_tokens() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let client = TestClient::register_with_cli(&origin, "behind", &[])?;
    let token = client.token("").await?;
    let relay = start_relay(&origin, &origin.server.url()).await?;
    for kind in EdgeKind::ALL {
        let mut settings = origin.edge_settings(&upstream.url).await?;
        settings.insert("TOLLGATE_EDGE_ORIGIN", relay.url());
        settings.insert("TOLLGATE_EDGE_ISSUER", origin.server.issuer().to_owned());
        let edge = TestEdge::start(kind, &settings).await?;
        let token = client.token("").await?;
        assert_eq!(client.status(&edge.url, &token).await?, 200, "{kind:?}");
        client.revoke(&token).await?;
        let took = client.wait_for_status(&edge.url, &token, 401).await?;
        println!("{kind:?} behind a relay refuses after {} ms", took.as_millis());
    }
    assert_eq!(client.status(&relay.url(), &token).await?, 404, "a relay forwards nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_snapshot_may_come_from_another_place() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let client = TestClient::register_with_cli(&origin, "cdn", &[])?;
    let relay = start_relay(&origin, &origin.server.url()).await?;
    for place in [format!("{}/edge/v1/snapshot", relay.url()), format!("{}/nothing", relay.url())] {
        let mut settings = origin.edge_settings(&upstream.url).await?;
        settings.insert("TOLLGATE_EDGE_SNAPSHOT_URL", place.clone());
        let edge = TestEdge::start(EdgeKind::Runner, &settings).await?;
        let token = client.token("").await?;
        assert_eq!(client.status(&edge.url, &token).await?, 200, "{place}");
    }
    Ok(())
}

/// Waits until a change of registrations has reached the origin.
async fn wait_for(mut is_reached: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_reached().await? {
        ensure!(began.elapsed() < TIMEOUT, "the change does not arrive");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
