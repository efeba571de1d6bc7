//! Sets up the browser tests: an origin, an API behind an edge, the example clients, and users. The
//! flows themselves are in `tests/browser`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client_script::copy_with_node_modules;
use crate::edge::{EdgeKind, TestEdge, Upstream};
use crate::environment::{free_port, programs_dir, required_env};
use crate::origin::{AUDIENCE, TestOrigin};
use crate::process::ChildProcess;
use crate::users::PASSWORD;

/// Longest wait for an example client to start, on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Concurrent CLI commands: each waits for the disk more than it computes.
const MAX_CONCURRENT_COMMANDS: usize = 4;

/// The running parts of the browser tests.
pub struct BrowserFlows {
    /// The origin.
    pub origin: TestOrigin,
    settings: Value,
    _parts: (Upstream, TestEdge, Example, Example),
}

/// A running example program of `origin/tollgate/examples`.
struct Example {
    url: String,
    _program: ChildProcess,
    _folder: TempDir,
}

impl BrowserFlows {
    /// Starts everything. Each of `people` becomes a user; names that begin with `console` become
    /// administrators.
    pub async fn start(people: &[String]) -> Result<Self> {
        let origin = TestOrigin::start_with(&[("TOLLGATE_SIGN_UP", "true")]).await?;
        let upstream = Upstream::start()?;
        origin.cli(&["route", "add", "--path", "/reports/*", "--scope", "reports:read"])?;
        let words = "reports:read=Read your reports";
        origin.cli(&["resource", "create", AUDIENCE, "--name", "Harbour reports", "--scope", words])?;
        let edge = TestEdge::start(EdgeKind::Runner, &origin.edge_settings(&upstream.url).await?).await?;
        origin.cli(&["edge", "add", "harbour", "--url", &edge.url])?;
        let web = web_client(&origin, &edge)?;
        let single_page = single_page(&origin).await?;
        create(&origin, "device", "A terminal", &["--public", "--grant", "device_code", "--scope", "openid profile"])?;
        let cli = ["--public", "--grant", "device_code", "--grant", "refresh_token", "--scope", "openid reports:read"];
        create(&origin, "tollgate-cli", "tollgate", &cli)?;
        let issuer = origin.server.issuer().to_owned();
        let example = examples().join("device-login.py");
        let settings = json!({
            "issuer": issuer,
            "edge": edge.url,
            "web": web.url,
            "singlePage": single_page.url,
            "deviceExample": [required_env("TOLLGATE_TEST_PYTHON"), example, "device", issuer],
            "tollgate": programs_dir().join("tollgate"),
            "people": register(&origin, people)?,
        });
        Ok(Self { origin, settings, _parts: (upstream, edge, web, single_page) })
    }

    /// Runs the flows in `tests/browser` and returns the steps that succeeded.
    pub fn run(&self) -> Result<Vec<String>> {
        let folder = copy_with_node_modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("browser"))?;
        let mut node = Command::new(required_env("TOLLGATE_TEST_NODE"));
        node.arg(folder.path().join("flows.mjs")).env("TOLLGATE_TEST_FLOW_SETTINGS", self.settings.to_string());
        node.env("HOME", folder.path()).current_dir(folder.path()).envs(self.origin.settings.clone());
        let output = node.stdin(Stdio::null()).output()?;
        let mut steps = Vec::new();
        for line in String::from_utf8(output.stdout)?.lines() {
            let said: Value = serde_json::from_str(line).with_context(|| format!("a flow printed {line:?}"))?;
            steps.push(said["step"].as_str().with_context(|| line.to_owned())?.to_owned());
        }
        let complaints = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} flows succeeded, others failed:\n{complaints}", steps.len());
        Ok(steps)
    }
}

/// Registers a client as docs/examples.md shows. A loopback redirect URI matches any port (RFC 8252
/// §7.3).
fn create(origin: &TestOrigin, id: &str, name: &str, options: &[&str]) -> Result<Value> {
    let created = origin.cli(&[&["client", "create", "--json", "--id", id, "--name", name], options].concat())?;
    Ok(serde_json::from_str(&created)?)
}

/// Registers the server-side client and starts it.
fn web_client(origin: &TestOrigin, edge: &TestEdge) -> Result<Example> {
    let port = free_port()?;
    let home = format!("http://127.0.0.1:{port}");
    let scope = "openid profile email reports:read";
    let redirect = ["--redirect-uri", "http://127.0.0.1:3000/callback"];
    let after = ["--post-logout-redirect-uri", "http://127.0.0.1:3000/"];
    let created = create(origin, "web", "Reports", &[&redirect[..], &after, &["--scope", scope]].concat())?;
    let secret = created["client_secret"].as_str().context("a secret")?;
    let folder = copy_with_node_modules(&examples().join("web-client"))?;
    let mut node = Command::new(required_env("TOLLGATE_TEST_NODE"));
    node.arg("server.mjs").current_dir(folder.path()).envs([
        ("CLIENT_ID", "web"),
        ("CLIENT_SECRET", secret),
        ("ISSUER", origin.server.issuer()),
        ("PORT", &port.to_string()),
        ("SCOPE", scope),
        ("API", &format!("{}/reports/1", edge.url)),
    ]);
    let mut program = ChildProcess::start(node.stdout(Stdio::piped()))?;
    let mut line = String::new();
    BufReader::new(program.output()?).read_line(&mut line)?;
    ensure!(line.contains(&home), "the web client printed {line:?}");
    Ok(Example { url: home, _program: program, _folder: folder })
}

/// Registers the single-page client and serves its files.
async fn single_page(origin: &TestOrigin) -> Result<Example> {
    let port = free_port()?;
    let home = format!("http://127.0.0.1:{port}");
    let scope = "openid profile email";
    // CORS allows only the origin of a registered redirect URI.
    let own = format!("{home}/");
    let redirect = ["--redirect-uri", &own];
    let after = ["--post-logout-redirect-uri", &own];
    create(origin, "single-page", "Single page", &[&redirect[..], &after, &["--public", "--scope", scope]].concat())?;
    let folder = copy_with_node_modules(&examples().join("single-page"))?;
    let config = json!({ "issuer": origin.server.issuer(), "client_id": "single-page", "scope": scope });
    std::fs::write(folder.path().join("config.json"), config.to_string())?;
    let mut python = Command::new(required_env("TOLLGATE_TEST_PYTHON"));
    python.args(["-m", "http.server", &port.to_string(), "--bind", "127.0.0.1", "--directory"]).arg(folder.path());
    let program = ChildProcess::start(python.stdout(Stdio::null()).stderr(Stdio::null()))?;
    let started = Instant::now();
    while !reqwest::get(&home).await.is_ok_and(|answer| answer.status() == 200) {
        if started.elapsed() > START_TIMEOUT {
            bail!("the single page is not served after {START_TIMEOUT:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(Example { url: home, _program: program, _folder: folder })
}

/// Creates the users, and returns the credentials of each.
fn register(origin: &TestOrigin, people: &[String]) -> Result<BTreeMap<String, Value>> {
    let register = |name: &String| {
        let mut create = vec!["user", "create", name, "--password-stdin", "--full-name", name];
        create.extend(name.starts_with("console").then_some("--admin"));
        origin.cli_with(&create, PASSWORD).map(drop)
    };
    for some in people.chunks(MAX_CONCURRENT_COMMANDS) {
        thread::scope(|scope| {
            let making: Vec<_> = some.iter().map(|name| scope.spawn(move || register(name))).collect();
            making.into_iter().try_for_each(|made| made.join().expect("a thread that creates a user"))
        })?;
    }
    let sign_in = |name: &String| (name.clone(), json!({ "username": name, "password": PASSWORD }));
    Ok(people.iter().map(sign_in).collect())
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../origin/tollgate/examples")
}
