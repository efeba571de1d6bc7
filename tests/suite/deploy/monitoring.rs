//! Prometheus and Grafana of deploy/compose.yaml.

use anyhow::{Result, ensure};
use serde_json::Value;
use tollgate_tests::prometheus::promtool;

use super::{deploy, read};

#[test]
fn prometheus_accepts_its_configuration() -> Result<()> {
    let output = promtool(&["check", "config", "compose/prometheus.yml"], "")?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    ensure!(output.status.success() && text.contains("SUCCESS"), "{text}");
    Ok(())
}

/// The alerts select by the name of the job, and Compose mounts the folder of the rules.
#[test]
fn prometheus_loads_the_rules_and_scrapes_under_the_name_of_the_alerts() -> Result<()> {
    let configuration = read(&deploy("compose/prometheus.yml"))?;
    ensure!(configuration.contains("- job_name: tollgate\n"), "{configuration}");
    for entry in std::fs::read_dir(deploy("prometheus"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some((_, kind)) = name.split_once('.').filter(|(_, kind)| *kind != "tests.yml") else { continue };
        ensure!(configuration.contains(&format!("/etc/prometheus/rules/*.{kind}")), "{name} is not loaded");
    }
    Ok(())
}

/// Grafana reads every file in the folder that Compose mounts.
#[test]
fn dashboards_let_their_user_choose_the_data_source() -> Result<()> {
    let mut dashboards = 0;
    for entry in std::fs::read_dir(deploy("grafana"))? {
        let path = entry?.path();
        let dashboard: Value = serde_json::from_str(&read(&path)?)?;
        let variables = dashboard["templating"]["list"].as_array().cloned().unwrap_or_default();
        ensure!(variables.iter().any(|variable| variable["type"] == "datasource"), "{}", path.display());
        dashboards += 1;
    }
    ensure!(dashboards > 0, "no dashboard");
    Ok(())
}
