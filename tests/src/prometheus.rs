//! Prometheus and its `promtool`, from Debian's package, which `cargo xtask setup` installs.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::environment::free_port;
use crate::process::ChildProcess;

/// Longest wait for Prometheus to start or to scrape, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Folder with what operators deploy.
pub fn deploy_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// Runs `promtool` with this standard input.
pub fn promtool(arguments: &[&str], input: &str) -> Result<Output> {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(deploy_folder()).stdin(Stdio::piped());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.context("no promtool: run `cargo xtask setup`, or install Debian's package prometheus")?;
    // A command that reads no input may have exited already.
    let _ = child.stdin.take().context("standard input")?.write_all(input.as_bytes());
    Ok(child.wait_with_output()?)
}

/// The samples of a text of metrics: values by name and labels, as written.
pub fn samples(text: &str) -> Result<BTreeMap<String, f64>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| -> Result<(String, f64)> {
        // In OpenMetrics, an exemplar may follow.
        let line = line.split(" # ").next().unwrap_or(line);
        let (name, value) = line.rsplit_once(' ').with_context(|| format!("no value in {line}"))?;
        Ok((name.to_owned(), value.parse().with_context(|| line.to_owned())?))
    };
    lines.map(sample).collect()
}

/// A Prometheus server that scrapes one origin every second, with the rules of `deploy/prometheus`.
pub struct PrometheusServer {
    url: String,
    http: reqwest::Client,
    _program: ChildProcess,
    _folder: TempDir,
}

impl PrometheusServer {
    /// Starts a server that scrapes `/metrics` at an address, and waits for the first scrape.
    pub async fn start(target: &str) -> Result<Self> {
        let (folder, address) = (tempfile::tempdir()?, format!("127.0.0.1:{}", free_port()?));
        let rules = deploy_folder().canonicalize()?.join("prometheus");
        let configuration = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: ['{rules}/tollgate.rules.yml', '{rules}/tollgate.alerts.yml']\n\
             scrape_configs: [{{ job_name: tollgate, static_configs: [{{ targets: ['{target}'] }}] }}]\n",
            rules = rules.display()
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, configuration)?;
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--enable-feature=exemplar-storage");
        command.arg("--log.level=error").stdout(Stdio::null());
        let server = Self {
            url: format!("http://{address}"),
            http: reqwest::Client::new(),
            _program: ChildProcess::start(&mut command)?,
            _folder: folder,
        };
        server.wait_until(async || Ok(server.query("up").await.is_ok_and(|up| !up.is_empty()))).await?;
        Ok(server)
    }

    /// Waits until the condition holds.
    pub async fn wait_until(&self, condition: impl AsyncFn() -> Result<bool>) -> Result<()> {
        let started = Instant::now();
        while !condition().await? {
            if started.elapsed() > TIMEOUT {
                bail!("Prometheus has not scraped or evaluated what was expected in {TIMEOUT:?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Data of an endpoint of Prometheus' API.
    pub async fn api(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let response = self.http.get(format!("{}/api/v1/{path}", self.url)).query(query).send().await?;
        let mut body: Value = response.json().await?;
        ensure!(body["status"] == "success", "{path} {query:?}: {body}");
        Ok(body["data"].take())
    }

    /// Result of an instant query.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let mut data = self.api("query", &[("query", expression)]).await?;
        match data["result"].take() {
            Value::Array(result) => Ok(result),
            other => bail!("{expression}: {other}"),
        }
    }
}
