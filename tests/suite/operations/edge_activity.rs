//! What an edge did is seen by its operators: the same numbers at the edge, in the origin's
//! metrics, on the command line, in the admin API and in the console.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tollgate_edge::{Edge, RelaySettings};
use tollgate_model::TokenAlg;
use tollgate_tests::admin_client::AdminClient;
use tollgate_tests::browser::Browser;
use tollgate_tests::client::TestClient;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::{free_port, now, programs_dir, required_env};
use tollgate_tests::http_server::HttpServer;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::process::ChildProcess;
use tollgate_tests::prometheus::{promtool, samples};
use tollgate_tests::users::register_user;
use tollgate_tests::wait::wait_until;

/// Registers an edge that gets no pushes, and returns its key.
fn add_edge(origin: &TestOrigin, name: &str) -> Result<String> {
    let added = origin.cli(&["edge", "add", name, "--url", "http://127.0.0.1:9", "--json"])?;
    Ok(serde_json::from_str::<Value>(&added)?["key"].as_str().context("a key")?.to_owned())
}

/// What an edge reported, as the command line says it.
fn activity(origin: &TestOrigin, name: &str) -> Result<Value> {
    let edges: Vec<Value> = serde_json::from_str(&origin.cli(&["edge", "list", "--json"])?)?;
    let edge = edges.into_iter().find(|edge| edge["name"] == name).context("the edge is listed")?;
    Ok(edge["activity"].clone())
}

/// Waits until an edge has reported that it has got so many requests through.
async fn wait_for_passed(origin: &TestOrigin, name: &str, passed: u64) -> Result<Value> {
    let has = |activity: &Value, total: &str| activity[total].as_u64() >= Some(passed);
    wait_until("the edge's report arrives", async || {
        activity(origin, name).is_ok_and(|activity| has(&activity, "passed") && has(&activity, "upstream_responses"))
    })
    .await;
    activity(origin, name)
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_an_edge_are_the_same_everywhere_and_survive_its_restart() -> Result<()> {
    let origin = TestOrigin::start_with(&[("TOLLGATE_METRICS_PUBLIC", "true")]).await?;
    let upstream = Upstream::start()?;
    let client = TestClient::register_with_cli(&origin, "counted", &[])?;
    let (good, revoked) = (client.token("").await?, client.token("").await?);
    client.revoke(&revoked).await?;
    let expired = origin.token_factory().await?.token(TokenAlg::EdDsa, now()).shifted(-86_400).sign();
    let mut settings = origin.edge_settings(&upstream.url).await?;
    let admin_address = format!("127.0.0.1:{}", free_port()?);
    settings.insert("TOLLGATE_EDGE_ADMIN_LISTEN", admin_address.clone());
    settings.insert("TOLLGATE_EDGE_KEY", add_edge(&origin, "near")?);
    let edge = TestEdge::start(EdgeKind::Runner, &settings).await?;

    let url = format!("{}/reports", edge.url);
    // All but the last, which is counted when the others have been reported.
    for (token, status) in [(&expired, 401), (&expired, 401), (&revoked, 401), (&good, 200), (&good, 200)] {
        assert_eq!(client.status(&url, token).await?, status);
    }
    assert_eq!(origin.http.get(&url).send().await?.status(), 401);
    assert_eq!(client.status(&url, "not-a-token").await?, 401);
    wait_for_passed(&origin, "near", 2).await?;
    assert_eq!(client.status(&url, &good).await?, 200);
    let reported = wait_for_passed(&origin, "near", 3).await?;
    let reasons = json!({ "expired": 2, "missing_token": 1, "not_compact": 1, "revoked": 1 });
    assert_eq!((&reported["passed"], &reported["refused"]), (&json!(3), &json!(5)), "{reported}");
    assert_eq!(reported["refused_by_reason"], reasons, "{reported}");
    assert_eq!(reported["cache_hits"].as_u64().zip(reported["cache_misses"].as_u64()).map(|(a, b)| a + b), Some(7));
    assert_eq!((&reported["upstream_responses"], &reported["upstream_failures"]), (&json!(3), &json!(0)));

    let own = reqwest::get(format!("http://{admin_address}/metrics")).await?.text().await?;
    let checked = promtool(&["check", "metrics"], &own)?;
    ensure!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let own = samples(&own)?;
    let at_origin = samples(&reqwest::get(origin.url("/metrics")).await?.text().await?)?;
    let value = |samples: &BTreeMap<String, f64>, name: &str| samples.get(name).copied().unwrap_or(-1.0);
    assert_eq!(value(&own, "tollgate_gate_passed_total"), 3.0, "{own:?}");
    assert_eq!(value(&at_origin, "tollgate_edge_passed_total{edge=\"near\"}"), 3.0, "{at_origin:?}");
    for (reason, count) in reasons.as_object().context("reasons")? {
        let (gate, edge) = ("tollgate_gate_refused_total", "tollgate_edge_refused_total");
        let count = count.as_f64().context("a count")?;
        assert_eq!(value(&own, &format!("{gate}{{reason=\"{reason}\"}}")), count, "{own:?}");
        assert_eq!(value(&at_origin, &format!("{edge}{{edge=\"near\",reason=\"{reason}\"}}")), count, "{at_origin:?}");
    }
    assert_eq!(value(&own, "tollgate_gate_upstream_seconds_count"), 3.0);

    let api = AdminClient::register(&origin, "operator").await?;
    let edges = api.send(Method::GET, "/edges", &Value::Null).await?.body;
    assert_eq!(edges[0]["activity"]["refused_by_reason"], reasons, "{edges}");
    let (root, person) = register_user(&origin, "root").await?;
    origin.server.store().set_admin(&root, true).await?;
    let browser = Browser::new(&origin.server.url())?;
    browser.visit(&origin.url("/login"), &person).await?;
    let console = browser.open(&origin.url("/admin/edges")).await?.body;
    ensure!(console.contains("<bdi>expired 2</bdi>") && console.contains(">Refused</th>"), "{console}");

    drop(edge);
    settings.remove("TOLLGATE_EDGE_ADMIN_LISTEN");
    let edge = TestEdge::start(EdgeKind::Runner, &settings).await?;
    assert_eq!(client.status(&format!("{}/reports", edge.url), &good).await?, 200);
    let again = wait_for_passed(&origin, "near", 4).await?;
    assert_eq!((&again["passed"], &again["refused"]), (&json!(4), &json!(5)), "another run adds to the totals");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn isolates_and_instances_report_what_they_passed_and_refused() -> Result<()> {
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let client = TestClient::register_with_cli(&origin, "counted", &[])?;
    let token = client.token("").await?;
    for (kind, name) in [(EdgeKind::Spin, "spin"), (EdgeKind::Worker, "worker")] {
        let mut settings = origin.edge_settings(&upstream.url).await?;
        settings.insert("TOLLGATE_EDGE_KEY", add_edge(&origin, name)?);
        let edge = TestEdge::start(kind, &settings).await?;
        for _ in 0..3 {
            assert_eq!(client.status(&format!("{}/reports", edge.url), &token).await?, 200, "{kind:?}");
        }
        assert_eq!(origin.http.get(&edge.url).send().await?.status(), 401, "{kind:?}");
        // They ask the origin only while they get requests.
        let health = format!("{}/_tollgate/health", edge.url);
        wait_until("the edge's report arrives", async || {
            let _ = reqwest::get(&health).await;
            activity(&origin, name).is_ok_and(|activity| activity["refused"] == 1)
        })
        .await;
        let reported = activity(&origin, name)?;
        assert_eq!(
            (&reported["passed"], &reported["upstream_responses"]),
            (&json!(3), &json!(3)),
            "{kind:?} {reported}"
        );
        assert_eq!(reported["refused_by_reason"], json!({ "missing_token": 1 }), "{kind:?} {reported}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_behind_a_relay_are_seen() -> Result<()> {
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let client = TestClient::register_with_cli(&origin, "counted", &[])?;
    let token = client.token("").await?;
    let settings = origin.edge_settings(&upstream.url).await?;
    let relay = Edge::start_relay(RelaySettings::from_lookup(|name| settings.get(name).cloned())?).await?;
    let mut behind = settings.clone();
    behind.insert("TOLLGATE_EDGE_ISSUER", origin.server.issuer().to_owned());
    behind.insert("TOLLGATE_EDGE_ORIGIN", relay.url());
    behind.insert("TOLLGATE_EDGE_KEY", add_edge(&origin, "behind")?);
    let edge = TestEdge::start(EdgeKind::Runner, &behind).await?;
    for _ in 0..2 {
        assert_eq!(client.status(&format!("{}/reports", edge.url), &token).await?, 200);
    }
    let reported = wait_for_passed(&origin, "behind", 2).await?;
    assert_eq!(reported["passed"], 2, "{reported}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_logged_without_tokens_and_not_too_often() -> Result<()> {
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    origin.cli(&["route", "add", "--path", "/reports"])?;
    let client = TestClient::register_with_cli(&origin, "logged", &[])?;
    let revoked = client.token("").await?;
    client.revoke(&revoked).await?;
    let (folder, port) = (tempfile::tempdir()?, free_port()?);
    let log = folder.path().join("edge.log");
    let mut command = Command::new(programs_dir().join("tollgate-edge"));
    command.envs(origin.edge_settings(&upstream.url).await?).env("TOLLGATE_EDGE_LISTEN", format!("127.0.0.1:{port}"));
    let component = PathBuf::from(required_env("TOLLGATE_TEST_WASM_DIR")).join("tollgate_component.wasm");
    command.env("TOLLGATE_EDGE_COMPONENT", component).current_dir(folder.path()).stderr(File::create(&log)?);
    let _edge = ChildProcess::start(&mut command)?;
    let url = format!("http://127.0.0.1:{port}");
    wait_until("the edge is ready", async || {
        reqwest::get(format!("{url}/_tollgate/health")).await.is_ok_and(|health| health.status() == 200)
    })
    .await;
    let reports = format!("{url}/reports");
    let missing = origin.http.get(&reports).header("x-request-id", "req-7").send().await?;
    assert_eq!(missing.status(), 401);
    for _ in 0..100 {
        assert_eq!(client.status(&reports, &revoked).await?, 401);
    }
    let log = std::fs::read_to_string(&log)?;
    let of_reason = |reason: &str| {
        let field = format!("reason=\"{reason}\"");
        log.lines().filter(|line| line.contains("request refused") && line.contains(&field)).collect::<Vec<_>>()
    };
    let (missing, revoked_lines) = (of_reason("missing_token"), of_reason("revoked"));
    assert_eq!(missing.len(), 1, "{log}");
    ensure!(missing[0].contains("request_id=\"req-7\"") && missing[0].contains("route=\"/reports\""), "{}", missing[0]);
    ensure!((60..100).contains(&revoked_lines.len()), "{} lines", revoked_lines.len());
    ensure!(
        revoked_lines[0].contains("client_id=\"") && revoked_lines[0].contains("status=401"),
        "{}",
        revoked_lines[0]
    );
    ensure!(!log.contains(&revoked) && !log.contains(revoked.rsplit('.').next().context("a signature")?), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn times_and_new_traces_are_there_where_they_are_set() -> Result<()> {
    let (origin, upstream) = (TestOrigin::start().await?, HttpServer::echo().await?);
    let client = TestClient::register_with_cli(&origin, "traced", &[])?;
    let token = client.token("").await?;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    for kind in EdgeKind::ALL {
        for is_set in ["false", "true"] {
            let mut settings = origin.edge_settings(&upstream.url).await?;
            settings.insert("TOLLGATE_EDGE_SERVER_TIMING", is_set.to_owned());
            settings.insert("TOLLGATE_EDGE_START_TRACES", is_set.to_owned());
            let edge = TestEdge::start(kind, &settings).await?;
            for sent in [Some(parent), None] {
                let mut request = origin.http.get(format!("{}/traced", edge.url)).bearer_auth(&token);
                if let Some(parent) = sent {
                    request = request.header("traceparent", parent);
                }
                let response = request.send().await?;
                let timing = response.headers().get("server-timing").map(|timing| timing.to_str()).transpose()?;
                let has_both =
                    timing.is_some_and(|timing| timing.contains("gate;dur=") && timing.contains("upstream;dur="));
                assert_eq!(has_both, is_set == "true", "{kind:?} {timing:?}");
                let head = response.text().await?.to_ascii_lowercase();
                let passed = head.lines().find_map(|line| line.strip_prefix("traceparent: "));
                match sent {
                    Some(parent) => assert_eq!(passed, Some(parent), "{kind:?} passes it on unchanged"),
                    None => assert_eq!(passed.is_some(), is_set == "true", "{kind:?} {passed:?}"),
                }
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_reports_for_itself_only() -> Result<()> {
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let client = TestClient::register_with_cli(&origin, "counted", &[])?;
    let token = client.token("").await?;
    let (near, far) = (add_edge(&origin, "near")?, add_edge(&origin, "far")?);
    // The name and number of one edge with the secret of the other.
    let secret = far.rsplit(':').next().context("a secret")?;
    let (name_and_number, _) = near.rsplit_once(':').context("a key")?;
    let forged = format!("{name_and_number}:{secret}");
    let mut edges = Vec::new();
    for (key, requests) in [(forged, 1), (far, 2)] {
        let mut settings = origin.edge_settings(&upstream.url).await?;
        settings.insert("TOLLGATE_EDGE_KEY", key);
        let edge = TestEdge::start(EdgeKind::Runner, &settings).await?;
        for _ in 0..requests {
            assert_eq!(client.status(&format!("{}/reports", edge.url), &token).await?, 200);
        }
        edges.push(edge);
    }
    let of_far = wait_for_passed(&origin, "far", 2).await?;
    assert_eq!(of_far["passed"], 2, "{of_far}");
    assert_eq!(activity(&origin, "near")?, Value::Null, "an edge with another's secret changes nothing");
    Ok(())
}
