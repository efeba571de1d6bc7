//! Fly.io: the files parse, name what exists, and know no other keys than Fly's.

use anyhow::{Context as _, Result, ensure};
use toml::{Table, Value};

use super::{check_setting, deploy, read};

/// Keys of Fly's reference that these files may have, with the tables' names before them.
const KNOWN_KEYS: [&str; 35] = [
    "app",
    "primary_region",
    "kill_signal",
    "kill_timeout",
    "build",
    "build.dockerfile",
    "build.build-target",
    "env",
    "http_service",
    "http_service.internal_port",
    "http_service.force_https",
    "http_service.auto_stop_machines",
    "http_service.auto_start_machines",
    "http_service.min_machines_running",
    "http_service.concurrency",
    "http_service.concurrency.type",
    "http_service.concurrency.soft_limit",
    "http_service.concurrency.hard_limit",
    "http_service.checks",
    "http_service.checks.method",
    "http_service.checks.path",
    "http_service.checks.interval",
    "http_service.checks.timeout",
    "http_service.checks.grace_period",
    "metrics",
    "metrics.port",
    "metrics.path",
    "deploy",
    "deploy.strategy",
    "vm",
    "vm.size",
    "vm.memory",
    "mounts",
    "mounts.source",
    "mounts.destination",
];

#[test]
fn fly_configurations_name_known_keys_settings_and_images() -> Result<()> {
    for (file, target, port, health) in
        [("origin.toml", "origin", 8080, "/health/ready"), ("edge.toml", "edge", 8787, "/_tollgate/health")]
    {
        let configuration: Table = read(&deploy("fly").join(file))?.parse().context(file)?;
        check_keys(&configuration, "").context(file)?;
        let at = |path: &[&str]| {
            path.iter().try_fold(&Value::Table(configuration.clone()), |value, key| value.get(key)).cloned()
        };
        assert_eq!(at(&["http_service", "internal_port"]), Some(Value::Integer(port)), "{file}");
        assert_eq!(at(&["http_service", "force_https"]), Some(Value::Boolean(true)), "{file}");
        assert_eq!(at(&["build", "build-target"]), Some(Value::String(target.to_owned())), "{file}");
        let checks = at(&["http_service", "checks"]).context("checks")?;
        assert_eq!(checks[0]["path"].as_str(), Some(health), "{file}");
        let dockerfile = at(&["build", "dockerfile"]).context("a Dockerfile")?;
        let dockerfile = deploy("fly").join(dockerfile.as_str().context("a path")?);
        ensure!(read(&dockerfile)?.contains(&format!(" AS {target}\n")), "{file}: the image has no stage {target}");
        for name in at(&["env"]).context("settings")?.as_table().context("a table")?.keys() {
            check_setting(name).context(file)?;
        }
    }
    Ok(())
}

/// Fails at a key that Fly does not know. Settings of the program have any name.
fn check_keys(table: &Table, prefix: &str) -> Result<()> {
    for (key, value) in table {
        let path = format!("{prefix}{key}");
        ensure!(KNOWN_KEYS.contains(&&*path), "unknown key {path}");
        let prefix = format!("{path}.");
        match value {
            Value::Table(_) if path == "env" => {}
            Value::Table(table) => check_keys(table, &prefix)?,
            Value::Array(tables) => {
                for table in tables.iter().filter_map(Value::as_table) {
                    check_keys(table, &prefix)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
