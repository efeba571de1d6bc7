//! `tollgate bench`: counts are consistent with what the origin counted, for each scenario and both
//! loops. No test asserts a speed.

use std::fs;
use std::process::{Command, Output};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tollgate_tests::environment::programs_dir;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::users::PASSWORD;

/// An origin without rate limits, with a client and a user, and the client's secret.
async fn start() -> Result<(TestOrigin, String)> {
    let settings = [("TOLLGATE_LIMITS", "off"), ("TOLLGATE_METRICS_PUBLIC", "true")];
    let origin = TestOrigin::start_with(&settings).await?;
    let grants = ["client_credentials", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"];
    let secret = origin.client("bench", &json!({ "grant_types": grants, "scope": "read" }))?;
    origin.user("ada", PASSWORD, &json!({}))?;
    Ok((origin, secret.context("a client secret")?))
}

fn bench(origin: &TestOrigin, secret: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(programs_dir().join("tollgate"));
    command.args(["bench", "--target", &origin.server.url(), "--client", "bench", "--json", "--quiet"]);
    command.env("TOLLGATE_BENCH_CLIENT_SECRET", secret).env("TOLLGATE_BENCH_PASSWORD", PASSWORD);
    Ok(command.args(arguments).output()?)
}

/// A measurement without warm-up, which must have a result.
fn report(origin: &TestOrigin, secret: &str, arguments: &[&str]) -> Result<Value> {
    let output = bench(origin, secret, &[&["--warm-up", "0"], arguments].concat())?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).with_context(|| format!("no report: {text}"))
}

/// Value of a metric of the origin by its name and labels, 0 if it has none yet.
async fn metric(origin: &TestOrigin, name: &str) -> Result<u64> {
    let text = origin.http.get(origin.url("/metrics")).send().await?.text().await?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().split(' ').next());
    Ok(value.map_or(Ok(0.0), str::parse::<f64>)? as u64)
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_loop_sends_as_many_requests_as_asked_and_the_origin_counts_them() -> Result<()> {
    let (origin, secret) = start().await?;
    let issued = r#"tollgate_tokens_issued_total{grant_type="client_credentials"}"#;
    let folder = tempfile::tempdir()?;
    let plot = folder.path().join("latency.svg");
    let plot_file = plot.to_str().context("a path in UTF-8")?;
    let arguments = ["--requests", "200", "--connections", "4", "--plot", plot_file];
    let measured = report(&origin, &secret, &arguments)?;
    assert_eq!((&measured["requests"], &measured["succeeded"]), (&200.into(), &200.into()), "{measured}");
    assert_eq!((&measured["failed"], &measured["errors"]), (&0.into(), &json!({})));
    assert_eq!((&measured["loop"], &measured["scenario"]), (&"closed".into(), &"client-credentials".into()));
    assert_eq!(metric(&origin, issued).await?, 200);
    let latency = |name: &str| measured["latency_ms"][name].as_f64().context("a latency");
    assert!(latency("min")? <= latency("p50")? && latency("p50")? <= latency("p99")?, "{measured}");
    assert!(latency("p99")? <= latency("max")?, "{measured}");
    let last = measured["distribution"].as_array().and_then(|points| points.last()).context("a distribution")?;
    assert_eq!(last["percentile"], 100.0);
    assert!(fs::read_to_string(plot)?.starts_with("<svg "));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_scenario_succeeds() -> Result<()> {
    let (origin, secret) = start().await?;
    for (scenario, requests, counted, metric_before) in [
        ("introspection", 50, r#"tollgate_introspections_total{active="true"}"#, 0),
        ("refresh", 20, r#"tollgate_tokens_issued_total{grant_type="refresh_token"}"#, 0),
        // The preparation of `refresh` connects a device for each of its connections.
        ("device", 6, r#"tollgate_tokens_issued_total{grant_type="urn:ietf:params:oauth:grant-type:device_code"}"#, 2),
        ("sign-in", 4, r#"tollgate_http_requests_total{route="/login",status="3xx"}"#, 2),
    ] {
        let count = requests.to_string();
        let arguments = ["--scenario", scenario, "--user", "ada", "--connections", "2", "--requests", &count];
        let measured = report(&origin, &secret, &arguments)?;
        assert_eq!((&measured["requests"], &measured["succeeded"]), (&requests.into(), &requests.into()), "{measured}");
        assert_eq!(metric(&origin, counted).await?, requests + metric_before, "{scenario}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn open_loop_sends_what_is_due() -> Result<()> {
    let (origin, secret) = start().await?;
    let arguments = ["--rate", "50", "--duration", "2", "--connections", "8"];
    let measured = report(&origin, &secret, &arguments)?;
    assert_eq!((&measured["requests"], &measured["loop"]), (&100.into(), &"open".into()), "{measured}");
    let count = |name: &str| measured[name].as_u64().context("a count");
    assert_eq!(count("succeeded")? + count("failed")?, 100);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_by_kind() -> Result<()> {
    let (origin, _) = start().await?;
    let measured = report(&origin, "not the secret of this client", &["--requests", "10", "--connections", "2"])?;
    assert_eq!((&measured["failed"], &measured["succeeded"]), (&10.into(), &0.into()), "{measured}");
    assert_eq!(measured["errors"], json!({ "401 invalid_client": 10 }));
    let output = bench(&origin, "not the secret of this client", &["--requests", "1", "--warm-up", "0"])?;
    assert_eq!(output.status.code(), Some(1), "nothing succeeded");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_without_credentials() -> Result<()> {
    let (origin, _) = start().await?;
    let run = |arguments: &[&str]| -> Result<String> {
        let mut command = Command::new(programs_dir().join("tollgate"));
        command.args(["bench", "--target", &origin.server.url()]).args(arguments);
        let output = command.output()?;
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
        Ok(String::from_utf8(output.stderr)?)
    };
    assert!(run(&[])?.contains("--client"));
    assert!(run(&["--client", "bench"])?.contains("TOLLGATE_BENCH_CLIENT_SECRET"));
    let missing_user = ["--client", "bench", "--client-secret-file", "/dev/null", "--scenario", "sign-in"];
    assert!(run(&missing_user)?.contains("--user"));
    assert_eq!(metric(&origin, r#"tollgate_http_requests_total{route="/oauth/token""#).await?, 0);
    Ok(())
}
