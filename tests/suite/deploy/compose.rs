//! deploy/compose.yaml as Compose's own loader reads it; and its origins and edge, started with the
//! settings and secrets that it gives them, on a real PostgreSQL and Redis.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tollgate_tests::database::TestDatabase;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::{install_tls_provider, required_env};
use tollgate_tests::origin_process::OriginProcess;
use tollgate_tests::redis_server::RedisServer;

use super::{check_setting, deploy, dockerfile, output};

/// Longest wait for a revocation to arrive, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Settings that the file gives to each origin, and to the edge.
const ORIGIN_SETTINGS: [&str; 6] = [
    "TOLLGATE_PUBLIC_URL",
    "TOLLGATE_DATABASE_URL_FILE",
    "TOLLGATE_MASTER_KEY_FILE",
    "TOLLGATE_REDIS_URL",
    "TOLLGATE_TRUSTED_PROXIES",
    "TOLLGATE_SHUTDOWN_DRAIN",
];
const EDGE_SETTINGS: [&str; 6] = [
    "TOLLGATE_EDGE_ORIGIN",
    "TOLLGATE_EDGE_ALLOW_HTTP_ORIGIN",
    "TOLLGATE_EDGE_ISSUER",
    "TOLLGATE_EDGE_UPSTREAM",
    "TOLLGATE_EDGE_SNAPSHOT_KEY_FILE",
    "TOLLGATE_EDGE_TRUSTED_PROXIES",
];

/// The project, with anchors, variables and paths resolved.
fn project() -> Result<Value> {
    let json = output(Command::new(required_env("TOLLGATE_TEST_COMPOSE")).arg(deploy("compose.yaml")))?;
    Ok(serde_json::from_str(&json)?)
}

fn services(project: &Value) -> Result<&serde_json::Map<String, Value>> {
    project["services"].as_object().context("services")
}

#[test]
fn every_container_is_hardened_and_bounded() -> Result<()> {
    let project = project()?;
    let services = services(&project)?;
    assert_eq!(services.len(), 9, "{:?}", services.keys());
    for (name, service) in services {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert_eq!(service["security_opt"], serde_json::json!(["no-new-privileges:true"]), "{name}");
        let limits = &service["deploy"]["resources"]["limits"];
        ensure!(limits["memory"].is_string() && limits["pids"].is_u64(), "{name}: {limits}");
        let image = service["image"].as_str().context("an image")?;
        let tag = image.rsplit_once(':').with_context(|| format!("{image} has no tag"))?.1;
        ensure!(tag != "latest", "{image}");
    }
    Ok(())
}

#[test]
fn containers_wait_for_what_has_a_health_check() -> Result<()> {
    let project = project()?;
    let services = services(&project)?;
    let mut waits = 0;
    for (name, service) in services {
        for (other, dependency) in service["depends_on"].as_object().into_iter().flatten() {
            let other = &services[other];
            let built = other["build"]["target"].as_str().map(dockerfile::image).transpose()?;
            let is_checked =
                other["healthcheck"].is_object() || built.is_some_and(|image| !image.health_check.is_empty());
            let condition = if is_checked { "service_healthy" } else { "service_started" };
            assert_eq!(dependency["condition"], condition, "{name}");
            waits += 1;
        }
    }
    ensure!(waits >= 8, "{waits} dependencies");
    Ok(())
}

#[test]
fn files_of_containers_exist_and_their_settings_are_documented() -> Result<()> {
    let project = project()?;
    for (name, service) in services(&project)? {
        for volume in service["volumes"].as_array().into_iter().flatten().filter(|volume| volume["type"] == "bind") {
            let source = volume["source"].as_str().context("a path")?;
            ensure!(Path::new(source).exists(), "{name}: {source} does not exist");
            assert_eq!(volume["read_only"], true, "{name}: {source}");
        }
        let variables = service["environment"].as_object().into_iter().flatten();
        for (variable, value) in variables {
            if variable.starts_with("TOLLGATE_") {
                check_setting(variable).with_context(|| name.clone())?;
            }
            let secret = value.as_str().and_then(|value| value.strip_prefix("/run/secrets/"));
            let mounted = service["secrets"].as_array().into_iter().flatten();
            let mut names = mounted.filter_map(|mounted| mounted["source"].as_str());
            ensure!(secret.is_none_or(|secret| names.any(|name| name == secret)), "{name} lacks {value}");
        }
    }
    Ok(())
}

/// Runs the script that creates the secrets, with its folder in `folder`.
fn create_secrets(folder: &Path) -> Result<String> {
    let script = folder.join("secrets");
    fs::copy(deploy("compose/secrets"), &script)?;
    output(Command::new("sh").arg(&script))
}

#[test]
fn secrets_are_created_once_and_only_their_owner_enters_the_folder() -> Result<()> {
    let folder = tempfile::tempdir()?;
    create_secrets(folder.path())?;
    let secrets = folder.path().join("secrets.d");
    assert_eq!(fs::metadata(&secrets)?.permissions().mode() & 0o777, 0o700);
    let project = project()?;
    let names: Vec<&String> = project["secrets"].as_object().context("secrets")?.keys().collect();
    let contents = || names.iter().map(|name| fs::read(secrets.join(name))).collect::<std::io::Result<Vec<_>>>();
    let created = contents()?;
    for (name, content) in names.iter().zip(&created) {
        // The first origin prints this one.
        assert_eq!(content.is_empty(), *name == "snapshot-key", "{name}");
    }
    create_secrets(folder.path())?;
    assert_eq!(contents()?, created, "a second run keeps them");
    Ok(())
}

/// The settings of a service as a process on this machine needs them.
fn settings(
    service: &Value,
    names: &[&'static str],
    replacements: &[(&str, &str)],
) -> Result<BTreeMap<&'static str, String>> {
    let environment = service["environment"].as_object().context("an environment")?;
    let unknown: Vec<&String> = environment.keys().filter(|name| !names.contains(&name.as_str())).collect();
    ensure!(unknown.is_empty(), "this test does not know {unknown:?}");
    let value = |name: &&'static str| -> Result<(&'static str, String)> {
        let value = environment.get(*name).and_then(Value::as_str).with_context(|| format!("no {name}"))?;
        let replaced = replacements.iter().fold(value.to_owned(), |value, (old, new)| value.replace(*old, new));
        Ok((*name, replaced))
    };
    names.iter().map(value).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn origins_and_edge_work_together_with_these_settings_and_secrets() -> Result<()> {
    install_tls_provider();
    let project = project()?;
    let (folder, redis, api) = (tempfile::tempdir()?, RedisServer::start()?, Upstream::start()?);
    let database = TestDatabase::postgres("compose").await?;
    let url = database.url(folder.path())?;
    let secrets = folder.path().join("secrets.d");
    fs::create_dir(&secrets)?;
    // The script keeps it.
    fs::write(secrets.join("database-url"), format!("{url}\n"))?;
    create_secrets(folder.path())?;

    let secrets_path = format!("{}/", secrets.display());
    let redis_url = redis.url();
    let replacements = [
        ("/run/secrets/", secrets_path.as_str()),
        ("redis://redis", redis_url.as_str()),
        ("172.30.0.0/24", "127.0.0.1"),
    ];
    let http = reqwest::Client::new();
    let mut origins = Vec::new();
    for (name, database) in [("origin-1", database), ("origin-2", TestDatabase::Shared(url))] {
        let mut origin = OriginProcess::new(database)?;
        origin.set("TOLLGATE_DATABASE_URL", ""); // the secret names it
        for (name, value) in settings(&project["services"][name], &ORIGIN_SETTINGS, &replacements)? {
            origin.set(name, &value);
        }
        origin.start(&http).await?;
        origins.push(origin);
    }
    fs::write(secrets.join("snapshot-key"), origins[0].cli(&["key", "snapshot"])?)?;

    let replacements =
        [&replacements[..], &[("http://origin:8080", origins[1].url.as_str()), ("http://api:5000", api.url.as_str())]]
            .concat();
    let edge = settings(&project["services"]["edge"], &EDGE_SETTINGS, &replacements)?;
    let edge = TestEdge::start_process(EdgeKind::Runner, &edge, 1024).await?;

    let created = origins[0].cli(&["client", "create", "--json", "--id", "reader", "--name", "Reader"])?;
    let created: Value = serde_json::from_str(&created)?;
    let secret = created["client_secret"].as_str().context("a secret")?;
    let post = |origin: &OriginProcess, path: &str, form: &[(&str, &str)]| {
        http.post(format!("{}{path}", origin.url)).basic_auth("reader", Some(secret)).form(form).send()
    };
    let answer = post(&origins[0], "/oauth/token", &[("grant_type", "client_credentials")]).await?;
    let answer: Value = answer.error_for_status()?.json().await?;
    let token = answer["access_token"].as_str().with_context(|| answer.to_string())?;
    let call = || http.get(format!("{}/reports/1", edge.url)).bearer_auth(token).send();
    let body: Value = call().await?.error_for_status()?.json().await?;
    assert_eq!(body["identity"]["x-tollgate-subject"], "reader");

    post(&origins[1], "/oauth/revoke", &[("token", token)]).await?.error_for_status()?;
    let started = Instant::now();
    while call().await?.status() != 401 {
        ensure!(started.elapsed() < TIMEOUT, "the edge still accepts the revoked token");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(edge);
    let first = origins.remove(0);
    drop(origins);
    first.delete().await
}
