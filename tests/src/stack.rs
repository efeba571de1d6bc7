//! The real parts, started for a test and stopped with it: origin, upstream, edges, and PostgreSQL databases.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;
use tollgate::Server;
use tollgate::domain::Audience;
use tollgate_edge::{Edge, GateKind};

use crate::leaks::Watch;
use crate::mint::Mint;

/// How long a part may take to come up on a busy machine before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// The audience of every test's tokens.
pub const AUDIENCE: &str = "https://api.example";

/// Unix seconds.
pub fn now() -> u64 {
    now_ms() / 1000
}

/// Unix milliseconds.
#[expect(clippy::disallowed_methods, reason = "the clock of the tests")]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970");
    u64::try_from(since.as_millis()).expect("a clock before the year 584,554,531")
}

/// A setting that `cargo xtask test` gives to the tests.
pub fn given(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests by `cargo xtask test`"))
}

/// An origin that answers, on SQLite in a folder of its own.
pub struct Origin {
    /// The running server.
    pub server: Server,
    /// The settings by name, for the command line on the same database.
    pub settings: Vec<(&'static str, String)>,
    folder: TempDir,
    _watch: Watch,
}

impl Origin {
    /// Starts an origin without clients, routes or revocations.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts an origin that is set up further by these settings.
    pub async fn start_with(more: &[(&'static str, &str)]) -> Result<Self> {
        install_tls();
        let watch = Watch::begin();
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let mut settings = vec![
            ("TOLLGATE_LISTEN", format!("127.0.0.1:{port}")),
            ("TOLLGATE_PUBLIC_URL", format!("http://127.0.0.1:{port}")),
            ("TOLLGATE_DATABASE_URL", format!("sqlite://{}", folder.path().join("origin.db").display())),
            ("TOLLGATE_MASTER_KEY_FILE", folder.path().join("master.key").display().to_string()),
            ("TOLLGATE_AUDIENCE", AUDIENCE.to_owned()),
        ];
        settings.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let server = Server::start(tollgate::Settings::from_pairs(settings.clone())?).await?;
        Ok(Self { server, settings, folder, _watch: watch })
    }

    /// Runs a verb of the `tollgate` command line on this origin's database; what it printed.
    pub fn cli(&self, arguments: &[&str]) -> Result<String> {
        self.cli_with(arguments, "")
    }

    /// The same, with this on its standard input.
    pub fn cli_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(bin().join("tollgate"));
        command.args(arguments).envs(self.settings.clone()).current_dir(self.folder.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        // A verb that reads nothing may have ended already.
        let _ = child.stdin.take().context("standard input")?.write_all(input.as_bytes());
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("tollgate {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Registers a client of this id with RFC 7591 metadata; its secret, if it has one.
    pub fn client(&self, id: &str, metadata: &Value) -> Result<Option<String>> {
        let created =
            self.cli(&["client", "create", "--json", "--id", id, "--name", id, "--metadata", &metadata.to_string()])?;
        let created: Value = serde_json::from_str(&created)?;
        Ok(created["client_secret"].as_str().map(str::to_owned))
    }

    /// Makes a user who can sign in. `claims`: such as `name` and `email`.
    pub fn user(&self, name: &str, password: &str, claims: &Value) -> Result<()> {
        let claims = claims.to_string();
        self.cli_with(&["user", "create", name, "--password-stdin", "--claims", &claims], password).map(drop)
    }

    /// A mint with this origin's own keys.
    pub async fn mint(&self) -> Result<Mint> {
        let settings = tollgate::Settings::from_pairs(self.settings.clone())?;
        let keys = tollgate::open_keys(self.server.store(), &settings).await?;
        Ok(Mint::new(keys, self.server.issuer(), AUDIENCE.parse::<Audience>()?))
    }

    /// The settings of an edge of this origin.
    pub async fn edge_settings(&self, upstream: &str) -> Result<BTreeMap<&'static str, String>> {
        let settings = tollgate::Settings::from_pairs(self.settings.clone())?;
        let keys = tollgate::open_keys(self.server.store(), &settings).await?;
        Ok(BTreeMap::from([
            ("TOLLGATE_EDGE_LISTEN", "127.0.0.1:0".to_owned()),
            ("TOLLGATE_EDGE_ORIGIN", self.server.url()),
            ("TOLLGATE_EDGE_UPSTREAM", upstream.to_owned()),
            ("TOLLGATE_EDGE_SNAPSHOT_KEY", URL_SAFE_NO_PAD.encode(keys.snapshot_signer().public_key())),
            ("TOLLGATE_EDGE_SECRET_KEYS", self.mint().await?.secret_jwks()),
        ]))
    }
}

/// A program in a process group of its own, ended with all its children when dropped.
pub struct Program(Child);

impl Program {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let child = command.process_group(0).stdin(Stdio::null()).spawn();
        Ok(Self(child.with_context(|| format!("cannot start {}", command.get_program().display()))?))
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) -> Result<()> {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        Ok(kill_process(pid, Signal::TERM)?)
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// What it says, if that was piped and nobody took it yet.
    pub(crate) fn output(&mut self) -> Result<ChildStdout> {
        self.0.stdout.take().context("its output is piped")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // It may have ended already, and then there is nobody to kill.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// The API behind the edges: it answers with what it was asked, and by whom.
pub struct Upstream {
    /// Where it answers.
    pub url: String,
    _program: Program,
}

impl Upstream {
    /// Starts the example API.
    pub fn start() -> Result<Self> {
        let mut command = Command::new(bin().join("examples/protected-api"));
        let mut program = Program::start(command.arg("127.0.0.1:0").stdout(Stdio::piped()))?;
        let mut line = String::new();
        BufReader::new(program.output()?).read_line(&mut line)?;
        let url = line.trim().rsplit(' ').next().filter(|url| url.starts_with("http://"));
        Ok(Self { url: url.with_context(|| format!("the upstream said {line:?}"))?.to_owned(), _program: program })
    }
}

/// A kind of edge that serves HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `tollgate-edge` with the WIT component.
    Runner,
    /// The Spin component, hosted by `tollgate-edge`.
    Spin,
    /// The Worker in workerd, under `wrangler dev`.
    Worker,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Runner, Self::Spin, Self::Worker];
}

/// An edge that serves.
pub struct TestEdge {
    /// Where it answers.
    pub url: String,
    /// What it is.
    pub kind: Kind,
    _running: Running,
}

enum Running {
    InProcess(#[expect(dead_code, reason = "serves until it is dropped")] Edge),
    Program(
        #[expect(dead_code, reason = "serves until it is dropped")] Program,
        #[expect(dead_code, reason = "its state")] TempDir,
    ),
}

impl TestEdge {
    /// Starts an edge with these settings and waits until it can decide.
    pub async fn start(kind: Kind, settings: &BTreeMap<&'static str, String>) -> Result<Self> {
        let edge = Self::start_blind(kind, settings).await?;
        edge.ready().await?;
        Ok(edge)
    }

    async fn ready(&self) -> Result<()> {
        let health = format!("{}/_tollgate/health", self.url);
        let started = Instant::now();
        while !reqwest::get(&health).await.is_ok_and(|answer| answer.status() == 200) {
            if started.elapsed() > PATIENCE {
                bail!("the {:?} is not ready after {PATIENCE:?}", self.kind);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Starts an edge whose origin may not be there.
    pub async fn start_blind(kind: Kind, settings: &BTreeMap<&'static str, String>) -> Result<Self> {
        install_tls();
        match kind {
            Kind::Runner => Self::in_process(kind, GateKind::Component, settings).await,
            Kind::Spin => Self::in_process(kind, GateKind::Spin, settings).await,
            Kind::Worker => Self::worker(settings),
        }
    }

    /// Starts `tollgate-edge` as a process of its own that may open so many files, and waits until it can decide.
    pub async fn program(kind: Kind, settings: &BTreeMap<&'static str, String>, files: u32) -> Result<Self> {
        install_tls();
        let (gate, component) = match kind {
            Kind::Spin => ("spin", "tollgate_spin.wasm"),
            _ => ("component", "tollgate_component.wasm"),
        };
        let (port, folder) = (free_port()?, tempfile::tempdir()?);
        let mut command = Command::new("sh");
        command.args(["-c", r#"ulimit -n "$1" && exec "$2" --gate "$3""#, "sh", &files.to_string()]);
        command.arg(bin().join("tollgate-edge")).arg(gate).envs(settings).current_dir(folder.path());
        command.env("TOLLGATE_EDGE_LISTEN", format!("127.0.0.1:{port}"));
        command.env("TOLLGATE_EDGE_COMPONENT", PathBuf::from(given("TOLLGATE_TEST_WASM_DIR")).join(component));
        let running = Running::Program(Program::start(&mut command)?, folder);
        let edge = Self { url: format!("http://127.0.0.1:{port}"), kind, _running: running };
        edge.ready().await?;
        Ok(edge)
    }

    async fn in_process(kind: Kind, gate: GateKind, settings: &BTreeMap<&'static str, String>) -> Result<Self> {
        let file = match gate {
            GateKind::Component => "tollgate_component.wasm",
            GateKind::Spin => "tollgate_spin.wasm",
        };
        let component = PathBuf::from(given("TOLLGATE_TEST_WASM_DIR")).join(file);
        let mut settings = tollgate_edge::Settings::from_lookup(gate, |name| settings.get(name).cloned())?;
        settings.component = Some(component);
        let edge = Edge::start(settings).await?;
        Ok(Self { url: edge.url(), kind, _running: Running::InProcess(edge) })
    }

    fn worker(settings: &BTreeMap<&'static str, String>) -> Result<Self> {
        let (port, state) = (free_port()?, tempfile::tempdir()?);
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut wrangler = wrangler(port, state.path());
        for (name, value) in settings {
            wrangler.args(["--var", &format!("{name}:{value}")]);
        }
        let program = Program::start(wrangler.current_dir(root).stdout(Stdio::null()))?;
        Ok(Self {
            url: format!("http://127.0.0.1:{port}"),
            kind: Kind::Worker,
            _running: Running::Program(program, state),
        })
    }
}

/// `wrangler dev` on this port, with what it keeps in this folder: it asks nobody and calls nobody.
pub(crate) fn wrangler(port: u16, state: &Path) -> Command {
    let mut wrangler = Command::new(given("TOLLGATE_TEST_NODE"));
    wrangler.arg(given("TOLLGATE_TEST_WRANGLER")).args(["dev", "--local", "--ip=127.0.0.1", "--inspector-port=0"]);
    wrangler.args(["--show-interactive-dev-session=false", "--log-level=error"]).arg(format!("--port={port}"));
    wrangler.arg("--persist-to").arg(state.join("state"));
    wrangler.env("CI", "true").env("WRANGLER_SEND_METRICS", "false").env("CLOUDFLARE_CF_FETCH_ENABLED", "false");
    wrangler.env("WRANGLER_LOG_PATH", state.join("logs"));
    wrangler
}

/// The folder of the programs.
pub fn bin() -> PathBuf {
    PathBuf::from(given("TOLLGATE_TEST_BIN_DIR"))
}

/// A port that nobody uses now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// ring does TLS, as in the programs; a second installation is as good as the first.
pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
