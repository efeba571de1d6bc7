//! The dashboards, recording rules and alerts of `deploy/`: tools of Prometheus accept them, a real
//! origin has every metric that they name, and operators find every alert in the runbook.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tollgate_tests::database::TestDatabase;
use tollgate_tests::environment::free_port;
use tollgate_tests::origin_process::OriginProcess;
use tollgate_tests::prometheus::{PrometheusServer, deploy_folder, promtool};
use tollgate_tests::redis_server::RedisServer;

const RULES: [&str; 2] = ["prometheus/tollgate.rules.yml", "prometheus/tollgate.alerts.yml"];

#[test]
fn promtool_accepts_the_rules_and_each_alert_passes_its_unit_test() -> Result<()> {
    let checked = promtool(&["check", "rules", RULES[0], RULES[1]], "")?;
    ensure!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let tested = promtool(&["test", "rules", "prometheus/tollgate.tests.yml"], "")?;
    ensure!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stdout));
    Ok(())
}

#[test]
fn every_alert_has_a_unit_test_and_a_line_in_the_runbook() -> Result<()> {
    let alerts = fs::read_to_string(deploy_folder().join(RULES[1]))?;
    let tests = fs::read_to_string(deploy_folder().join("prometheus/tollgate.tests.yml"))?;
    let runbook = fs::read_to_string(deploy_folder().join("../docs/operate.md"))?;
    let names: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    ensure!(names.len() > 10, "{names:?}");
    for name in names {
        ensure!(tests.matches(&format!("alertname: {name}")).count() >= 2, "{name} has no unit test");
        ensure!(runbook.contains(&format!("| `{name}` |")), "docs/operate.md does not explain {name}");
    }
    Ok(())
}

/// Expressions of all panels of all dashboards, with the variables that Grafana replaces.
fn dashboard_expressions() -> Result<Vec<String>> {
    let mut expressions = Vec::new();
    for file in fs::read_dir(deploy_folder().join("grafana"))? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let dashboard: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
            let panels = dashboard["panels"].as_array().context("panels")?;
            let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
            expressions.extend(targets.filter_map(|target| target["expr"].as_str()).map(str::to_owned));
        }
    }
    ensure!(expressions.len() > 50, "only {} expressions", expressions.len());
    Ok(expressions)
}

fn without_variables(expression: &str) -> String {
    let replaced = expression.replace("$__rate_interval", "1m");
    ["$job", "$instance", "$edge"].iter().fold(replaced, |text, variable| text.replace(variable, ".*"))
}

/// Metrics of an origin or its process that an expression names, without the suffixes of a
/// histogram's samples.
fn metrics_named(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '_' | ':'));
    let own = words.filter(|word| word.starts_with("tollgate_") || word.starts_with("process_"));
    let suffixes = ["_bucket", "_count", "_sum"];
    let base = |word: &str| suffixes.iter().find_map(|suffix| word.strip_suffix(suffix)).unwrap_or(word).to_owned();
    own.map(base).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_scrapes_an_origin_and_evaluates_rules_and_dashboards() -> Result<()> {
    let redis = RedisServer::start()?;
    let mut origin = OriginProcess::new(TestDatabase::Sqlite)?;
    let address = format!("127.0.0.1:{}", free_port()?);
    origin.set("TOLLGATE_METRICS_LISTEN", &address);
    origin.set("TOLLGATE_REDIS_URL", &redis.url());
    let http = reqwest::Client::new();
    origin.start(&http).await?;
    assert_eq!(http.get(format!("{}/oauth/userinfo", origin.url)).send().await?.status(), 401);

    let text = http.get(format!("http://{address}/metrics")).send().await?.text().await?;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let served: BTreeSet<&str> = types.collect();
    let prometheus = PrometheusServer::start(&address).await?;
    let evaluated = async || {
        let rules = prometheus.api("rules", &[]).await?;
        let groups = rules["groups"].as_array().context("groups")?.iter();
        let rules: Vec<Value> =
            groups.flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect();
        Ok::<_, anyhow::Error>(rules)
    };
    prometheus.wait_until(async || Ok(evaluated().await?.iter().all(|rule| rule["health"] == "ok"))).await?;
    let rules = evaluated().await?;
    ensure!(rules.len() > 20, "{} rules", rules.len());
    let expressions: Vec<String> = rules
        .iter()
        .filter_map(|rule| rule["query"].as_str())
        .map(str::to_owned)
        .chain(dashboard_expressions()?)
        .collect();
    for expression in &expressions {
        for name in metrics_named(expression) {
            ensure!(served.contains(name.as_str()), "the origin has no metric {name}: {expression}");
        }
        prometheus.query(&without_variables(expression)).await?;
    }

    prometheus.wait_until(async || Ok(prometheus.query("up == 1").await?.len() == 1)).await?;
    let targets = prometheus.api("targets", &[]).await?;
    assert_eq!(targets["activeTargets"][0]["lastError"], "", "{targets}");
    let exemplars = async || {
        let query = "tollgate_http_request_duration_seconds_bucket";
        prometheus.api("query_exemplars", &[("query", query), ("start", "0"), ("end", "9999999999")]).await
    };
    prometheus.wait_until(async || Ok(exemplars().await?.as_array().is_some_and(|all| !all.is_empty()))).await?;
    let exemplars = exemplars().await?;
    let trace = exemplars[0]["exemplars"][0]["labels"]["trace_id"].as_str().context("a trace")?;
    ensure!(trace.len() == 32, "{trace}");
    let alerts = prometheus.query("ALERTS{alertstate=\"firing\"}").await?;
    ensure!(alerts.is_empty(), "{alerts:?}");
    Ok(())
}
