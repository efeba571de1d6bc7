//! Edges of each kind and the upstream behind them, stopped when dropped.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tollgate_edge::{Edge, GateKind};

use crate::environment::{free_port, install_tls_provider, programs_dir, required_env};
use crate::process::ChildProcess;

/// Longest wait for an edge to become ready, on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The API behind the edges: answers with the request and identity that it received.
pub struct Upstream {
    /// Base URL.
    pub url: String,
    _program: ChildProcess,
}

impl Upstream {
    /// Starts the example API `protected-api`.
    pub fn start() -> Result<Self> {
        let mut command = Command::new(programs_dir().join("examples/protected-api"));
        let mut program = ChildProcess::start(command.arg("127.0.0.1:0").stdout(Stdio::piped()))?;
        let mut line = String::new();
        BufReader::new(program.output()?).read_line(&mut line)?;
        let url = line.trim().rsplit(' ').next().filter(|url| url.starts_with("http://"));
        Ok(Self { url: url.with_context(|| format!("the upstream printed {line:?}"))?.to_owned(), _program: program })
    }
}

/// The kinds of edges that serve HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgeKind {
    /// `tollgate-edge` running the WIT component.
    Runner,
    /// `tollgate-edge` hosting the Spin component.
    Spin,
    /// The Worker in workerd, under `wrangler dev`.
    Worker,
}

impl EdgeKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Runner, Self::Spin, Self::Worker];
}

/// A running edge.
pub struct TestEdge {
    /// Base URL.
    pub url: String,
    pub kind: EdgeKind,
    running: Running,
}

enum Running {
    InProcess(#[expect(dead_code, reason = "serves until dropped")] Edge),
    Program(ChildProcess, #[expect(dead_code, reason = "its state")] TempDir),
}

impl TestEdge {
    /// Starts an edge and waits until it is ready.
    pub async fn start(kind: EdgeKind, settings: &BTreeMap<&'static str, String>) -> Result<Self> {
        let edge = Self::start_without_waiting(kind, settings).await?;
        edge.wait_until_ready().await?;
        Ok(edge)
    }

    /// Resident memory of an edge that has a process of its own, in bytes.
    pub fn resident_memory(&self) -> Result<u64> {
        match &self.running {
            Running::Program(process, _) => process.resident_memory(),
            Running::InProcess(_) => bail!("the edge has no process of its own"),
        }
    }

    /// Sends SIGTERM to an edge that has a process of its own.
    pub fn terminate(&self) -> Result<()> {
        match &self.running {
            Running::Program(process, _) => process.terminate(),
            Running::InProcess(_) => bail!("the edge has no process of its own"),
        }
    }

    /// The highest resident memory during `work` of an edge that has a process of its own, and the
    /// one before, in bytes.
    pub async fn peak_memory_during(&self, work: impl Future<Output = Result<()>>) -> Result<(u64, u64)> {
        let Running::Program(process, _) = &self.running else { bail!("the edge has no process of its own") };
        process.reset_peak_memory()?;
        let before = process.peak_memory()?;
        work.await?;
        Ok((before, process.peak_memory()?))
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let health = format!("{}/_tollgate/health", self.url);
        let started = Instant::now();
        while !reqwest::get(&health).await.is_ok_and(|answer| answer.status() == 200) {
            if started.elapsed() > READY_TIMEOUT {
                bail!("the {:?} is not ready after {READY_TIMEOUT:?}", self.kind);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Starts an edge without waiting: its origin may be down.
    pub async fn start_without_waiting(kind: EdgeKind, settings: &BTreeMap<&'static str, String>) -> Result<Self> {
        install_tls_provider();
        match kind {
            EdgeKind::Runner => Self::in_process(kind, GateKind::Component, settings).await,
            EdgeKind::Spin => Self::in_process(kind, GateKind::Spin, settings).await,
            EdgeKind::Worker => Self::worker(settings),
        }
    }

    /// Starts `tollgate-edge` as a child process with this limit of open files, and waits until it
    /// is ready.
    pub async fn start_process(kind: EdgeKind, settings: &BTreeMap<&'static str, String>, files: u32) -> Result<Self> {
        install_tls_provider();
        let (gate, component) = match kind {
            EdgeKind::Spin => ("spin", "tollgate_spin.wasm"),
            _ => ("component", "tollgate_component.wasm"),
        };
        let (port, folder) = (free_port()?, tempfile::tempdir()?);
        let mut command = Command::new("sh");
        command.args(["-c", r#"ulimit -n "$1" && exec "$2" --gate "$3""#, "sh", &files.to_string()]);
        command.arg(programs_dir().join("tollgate-edge")).arg(gate).envs(settings).current_dir(folder.path());
        command.env("TOLLGATE_EDGE_LISTEN", format!("127.0.0.1:{port}"));
        command.env("TOLLGATE_EDGE_COMPONENT", PathBuf::from(required_env("TOLLGATE_TEST_WASM_DIR")).join(component));
        let running = Running::Program(ChildProcess::start(&mut command)?, folder);
        let edge = Self { url: format!("http://127.0.0.1:{port}"), kind, running };
        edge.wait_until_ready().await?;
        Ok(edge)
    }

    async fn in_process(kind: EdgeKind, gate: GateKind, settings: &BTreeMap<&'static str, String>) -> Result<Self> {
        let file = match gate {
            GateKind::Component => "tollgate_component.wasm",
            GateKind::Spin => "tollgate_spin.wasm",
        };
        let component = PathBuf::from(required_env("TOLLGATE_TEST_WASM_DIR")).join(file);
        let mut settings = tollgate_edge::Settings::from_lookup(gate, |name| settings.get(name).cloned())?;
        settings.component = Some(component);
        let edge = Edge::start(settings).await?;
        Ok(Self { url: edge.url(), kind, running: Running::InProcess(edge) })
    }

    fn worker(settings: &BTreeMap<&'static str, String>) -> Result<Self> {
        let (port, state) = (free_port()?, tempfile::tempdir()?);
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut wrangler = wrangler(port, state.path());
        for (name, value) in settings {
            wrangler.args(["--var", &format!("{name}:{value}")]);
        }
        let program = ChildProcess::start(wrangler.current_dir(root).stdout(Stdio::null()))?;
        Ok(Self {
            url: format!("http://127.0.0.1:{port}"),
            kind: EdgeKind::Worker,
            running: Running::Program(program, state),
        })
    }
}

/// `wrangler dev` on this port with its state in this folder. It neither prompts nor sends metrics.
pub fn wrangler(port: u16, state: &Path) -> Command {
    let mut wrangler = Command::new(required_env("TOLLGATE_TEST_NODE"));
    wrangler.arg(required_env("TOLLGATE_TEST_WRANGLER")).args([
        "dev",
        "--local",
        "--ip=127.0.0.1",
        "--inspector-port=0",
    ]);
    wrangler.args(["--show-interactive-dev-session=false", "--log-level=error"]).arg(format!("--port={port}"));
    wrangler.arg("--persist-to").arg(state.join("state"));
    wrangler.env("CI", "true").env("WRANGLER_SEND_METRICS", "false").env("CLOUDFLARE_CF_FETCH_ENABLED", "false");
    wrangler.env("WRANGLER_LOG_PATH", state.join("logs"));
    wrangler
}
