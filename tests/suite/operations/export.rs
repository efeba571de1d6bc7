//! Traces, metrics and logs by OTLP.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::database::TestDatabase;
use tollgate_tests::origin_process::OriginProcess;
use tollgate_tests::otlp_collector::{OtlpCollector, attribute, hex, number, text, value, values};

/// The example of W3C Trace Context §3.2.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
/// Longest wait for a message, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

async fn start(collector: &OtlpCollector, signals: &str) -> Result<(OriginProcess, reqwest::Client)> {
    let mut origin = OriginProcess::new(TestDatabase::Sqlite)?;
    origin.set("TOLLGATE_OTLP_ENDPOINT", &collector.endpoint);
    origin.set("TOLLGATE_OTLP_SIGNALS", signals);
    origin.set("TOLLGATE_OTLP_INTERVAL", "1");
    let http = reqwest::Client::new();
    origin.start(&http).await?;
    Ok((origin, http))
}

async fn stop(mut origin: OriginProcess) -> Result<()> {
    origin.terminate()?;
    assert_eq!(origin.wait_for_exit().await?, Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_exported_as_spans_with_their_parts_as_children() -> Result<()> {
    let collector = OtlpCollector::start().await?;
    let (origin, http) = start(&collector, "traces").await?;
    let request = http.get(format!("{}/oauth/userinfo", origin.url));
    let response = request.header("traceparent", format!("00-{TRACE}-{PARENT}-01")).send().await?;
    assert_eq!(response.status(), 401);
    let request_id = response.headers()["x-request-id"].to_str()?.to_owned();
    let browser = Browser::new(&origin.url)?;
    let page = browser.visit(&format!("{}/login", origin.url), &Person::new("nobody", "wrong")).await?;
    assert_eq!(page.status, 403, "{}", page.body);
    stop(origin).await?;

    let spans = collector.items("traces");
    for message in collector.messages("traces") {
        assert_eq!(text(&message, &[1, 1, 1, 2, 1]), "tollgate", "the service's name");
    }
    let of_trace = |span: &&Vec<u8>| value(span, &[1]).is_some_and(|trace| hex(&trace) == TRACE);
    let span = spans.iter().find(of_trace).with_context(|| format!("none of {} spans is of the trace", spans.len()))?;
    assert_eq!(hex(&value(span, &[4]).context("a parent")?), PARENT);
    assert_eq!((text(span, &[5]).as_str(), number(span, &[6])), ("GET /oauth/userinfo", Some(2)));
    assert_eq!(attribute(span, 9, "tollgate.request_id"), Some(request_id));
    let (start, end) = (number(span, &[7]), number(span, &[8]));
    ensure!(start > Some(1_700_000_000_000_000_000) && start <= end, "{start:?} {end:?}");

    let sign_in = spans.iter().find(|span| text(span, &[5]) == "POST /login").context("the sign-in")?;
    let (id, trace) = (value(sign_in, &[2]), value(sign_in, &[1]));
    let children: Vec<&Vec<u8>> = spans.iter().filter(|span| value(span, &[4]) == id && id.is_some()).collect();
    ensure!(children.iter().all(|child| value(child, &[1]) == trace), "children are of the same trace");
    let named = |start: &str| children.iter().find(|child| text(child, &[5]).starts_with(start)).copied();
    for part in ["hashing: ", "database: tollgate_storage::"] {
        let child = named(part).with_context(|| format!("no span of {part}"))?;
        ensure!(number(child, &[7]) >= number(sign_in, &[7]), "{part} begins within the request");
        ensure!(number(child, &[7]) <= number(child, &[8]), "{part} ends after it begins");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_logs_are_exported() -> Result<()> {
    let collector = OtlpCollector::start().await?;
    let (origin, http) = start(&collector, "traces, metrics,logs").await?;
    let request = http.post(format!("{}/oauth/token", origin.url)).basic_auth("nobody", Some("wrong"));
    let request = request.header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
    let response = request.form(&[("grant_type", "client_credentials")]).send().await?;
    assert_eq!(response.status(), 401);
    let request_id = response.headers()["x-request-id"].to_str()?.to_owned();

    // ResourceMetrics.scope_metrics.metrics; a sum's data points have the field 7, attributes 7.
    let refusals = || {
        let metrics = collector.items("metrics");
        let metric = metrics.iter().rfind(|metric| text(metric, &[1]) == "tollgate_refusals_total");
        metric.map(|metric| values(metric, &[7, 1])).unwrap_or_default()
    };
    let started = Instant::now();
    while refusals().is_empty() {
        ensure!(started.elapsed() < TIMEOUT, "no refusal was exported");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refusals = refusals();
    assert_eq!(attribute(&refusals[0], 7, "reason").as_deref(), Some("invalid_client"));
    assert_eq!(number(&refusals[0], &[4]).map(f64::from_bits), Some(1.0));
    ensure!(number(&refusals[0], &[2]) <= number(&refusals[0], &[3]), "since the start until now");
    let metrics = collector.items("metrics");
    let durations = metrics.iter().rfind(|metric| text(metric, &[1]) == "tollgate_http_request_duration_seconds");
    let points = values(durations.context("a histogram")?, &[9, 1]);
    let token = points.iter().find(|point| attribute(point, 9, "route").as_deref() == Some("/oauth/token"));
    let token = token.context("the route")?;
    let counts = value(token, &[6]).context("counts of buckets")?;
    let bounds = value(token, &[7]).context("bounds")?;
    assert_eq!((counts.len(), bounds.len()), (15 * 8, 14 * 8));
    assert_eq!(number(token, &[4]), Some(1));
    assert_eq!(value(token, &[8, 5]).map(|trace| hex(&trace)).as_deref(), Some(TRACE), "an exemplar");
    let issuer = collector
        .messages("metrics")
        .first()
        .and_then(|message| value(message, &[1, 1]).and_then(|resource| attribute(&resource, 1, "tollgate.issuer")));
    assert_eq!(issuer.as_deref(), Some(origin.url.as_str()));

    stop(origin).await?;
    let logs = collector.items("logs");
    let record = logs.iter().find(|record| text(record, &[5, 1]) == "authentication failed");
    let record = record.with_context(|| format!("not among {} records", logs.len()))?;
    assert_eq!((number(record, &[2]), text(record, &[3]).as_str()), (Some(13), "WARN"));
    assert_eq!(attribute(record, 6, "address").as_deref(), Some("127.0.0.1"));
    assert_eq!(attribute(record, 6, "request_id"), Some(request_id));
    assert_eq!(value(record, &[9]).map(|trace| hex(&trace)).as_deref(), Some(TRACE));
    Ok(())
}
