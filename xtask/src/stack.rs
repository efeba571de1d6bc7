//! A running origin, protected API and edges, connected with one another.

use std::{
    env, fs,
    io::Write,
    net::TcpListener,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    arguments::Edge,
    demo_client::{self, DemoClient, SCOPE},
    postgres::free_port,
    process::Process,
    progress, setup,
    workspace::{Workspace, command},
};

/// Covers [`demo_client::PATH`].
const ROUTE: &str = "/reports/*";
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Ports on 127.0.0.1.
pub(crate) struct Ports {
    pub(crate) origin: u16,
    pub(crate) upstream: u16,
}

impl Ports {
    pub(crate) fn free() -> Result<Self> {
        Ok(Self { origin: free_port()?, upstream: free_port()? })
    }
}

/// The running processes. Dropping it stops them, edges first.
pub(crate) struct Stack<'a> {
    workspace: &'a Workspace,
    edges: Vec<Process>,
    upstream: Process,
    origin: Process,
    state: PathBuf,
    upstream_url: String,
    snapshot_key: String,
    pub(crate) client: DemoClient,
}

impl<'a> Stack<'a> {
    /// Starts the protected API and the origin on SQLite, and registers a client and a route. State
    /// and logs go to the folder `state`.
    pub(crate) fn start(workspace: &'a Workspace, state: &Path, ports: &Ports) -> Result<Self> {
        fs::create_dir_all(state)?;
        let (origin_url, upstream_url) = (local(ports.origin)?, local(ports.upstream)?);
        let tollgate = Tollgate { workspace, state, port: ports.origin, url: &origin_url };

        let mut upstream = command(workspace.bin().join("examples/protected-api"));
        let upstream = upstream.arg(format!("127.0.0.1:{}", ports.upstream));
        let mut upstream = start("the protected API", upstream, state, "upstream")?;
        wait_ready(&mut upstream, &format!("{upstream_url}/health"))?;

        let mut origin = start("the origin", &mut tollgate.command(&["serve"]), state, "origin")?;
        wait_ready(&mut origin, &format!("{origin_url}/health"))?;

        let (client_id, client_secret) = tollgate.client()?;
        tollgate.route()?;
        let snapshot_key = tollgate.run(&["key", "snapshot"])?.trim().to_owned();
        let client = DemoClient::new(&origin_url, &client_id, &client_secret);
        Ok(Self {
            workspace,
            edges: Vec::new(),
            upstream,
            origin,
            state: state.to_owned(),
            upstream_url,
            snapshot_key,
            client,
        })
    }

    /// Starts an edge, waits until it is ready and returns its URL.
    pub(crate) fn start_edge(&mut self, edge: Edge, port: u16) -> Result<String> {
        let url = local(port)?;
        let mut command = match edge {
            Edge::Runner => self.runner(port, "component", "tollgate_component.wasm"),
            Edge::Spin => self.runner(port, "spin", "tollgate_spin.wasm"),
            Edge::Worker => self.worker(port)?,
        };
        let mut process =
            start(&format!("the edge ({})", edge.name()), &mut command, &self.state, &format!("edge-{}", edge.name()))?;
        wait_ready(&mut process, &format!("{url}/_tollgate/health"))?;
        self.edges.push(process);
        Ok(url)
    }

    /// Runs a `tollgate` command on the origin's database and returns its output.
    pub(crate) fn tollgate(&self, arguments: &[&str]) -> Result<String> {
        Tollgate { workspace: self.workspace, state: &self.state, port: 0, url: &self.client.origin }.run(arguments)
    }

    /// Fails if a process has ended.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        [&mut self.origin, &mut self.upstream].into_iter().chain(&mut self.edges).try_for_each(Process::check_alive)
    }

    fn runner(&self, port: u16, gate: &str, component: &str) -> Command {
        let mut runner = without_settings(command(self.workspace.bin().join("tollgate-edge")));
        runner.args(["serve", "--gate", gate]).current_dir(&self.state);
        runner.env("TOLLGATE_EDGE_COMPONENT", self.workspace.wasm().join(component));
        runner.env("TOLLGATE_EDGE_LISTEN", format!("127.0.0.1:{port}")).envs(self.settings());
        runner
    }

    /// `wrangler dev` with its files in the state folder and without calls to Cloudflare.
    fn worker(&self, port: u16) -> Result<Command> {
        let mut wrangler = without_settings(command(self.workspace.npm_bin().join("wrangler")));
        wrangler.args([
            "dev",
            "--local",
            "--ip=127.0.0.1",
            "--inspector-port=0",
            "--show-interactive-dev-session=false",
        ]);
        wrangler.arg(format!("--port={port}")).arg("--persist-to").arg(self.state.join("worker"));
        for (name, value) in self.settings() {
            wrangler.args(["--var", &format!("{name}:{value}")]);
        }
        wrangler.env("CI", "true"); // asks no questions
        wrangler.env("XTASK_WORKER_BUILT", "1").env("WRANGLER_LOG_PATH", self.state.join("wrangler"));
        wrangler.env("CLOUDFLARE_CF_FETCH_ENABLED", "false").current_dir(&self.workspace.root);
        setup::with_tools(self.workspace, &mut wrangler)?;
        Ok(wrangler)
    }

    fn settings(&self) -> [(&'static str, &str); 3] {
        [
            ("TOLLGATE_EDGE_ORIGIN", &self.client.origin),
            ("TOLLGATE_EDGE_UPSTREAM", &self.upstream_url),
            ("TOLLGATE_EDGE_SNAPSHOT_KEY", &self.snapshot_key),
        ]
    }
}

/// The `tollgate` program with the settings of a stack.
struct Tollgate<'a> {
    workspace: &'a Workspace,
    state: &'a Path,
    port: u16,
    url: &'a str,
}

impl Tollgate<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut tollgate = without_settings(command(self.workspace.bin().join("tollgate")));
        tollgate.env("TOLLGATE_LISTEN", format!("127.0.0.1:{}", self.port)).env("TOLLGATE_PUBLIC_URL", self.url);
        tollgate.env("TOLLGATE_DATABASE_URL", "sqlite://tollgate.db").current_dir(self.state).args(arguments);
        tollgate
    }

    /// Runs a command and returns its output.
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output().context("cannot run tollgate")?;
        if !output.status.success() {
            bail!("`tollgate {}` failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// ID and secret of the demo client, which is created at the first start on this state.
    fn client(&self) -> Result<(String, String)> {
        let path = self.state.join("client.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(_) => {
                let created = self.run(&["client", "create", "--json", "--name", "demo", "--scope", SCOPE])?;
                let mut file =
                    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
                file.write_all(created.as_bytes())?;
                created
            }
        };
        let client: Value = serde_json::from_str(&text).context("`tollgate client create --json` printed no JSON")?;
        let field = |name: &str| {
            client[name].as_str().map(str::to_owned).with_context(|| format!("the new client has no {name}"))
        };
        Ok((field("client_id")?, field("client_secret")?))
    }

    /// Adds the route of the demo's API, unless an earlier start on this state has.
    fn route(&self) -> Result<()> {
        if !self.run(&["route", "list", "--json"])?.contains(ROUTE) {
            self.run(&["route", "add", "--path", ROUTE, "--scope", SCOPE])?;
        }
        Ok(())
    }
}

/// Removes the caller's Tollgate settings.
pub(crate) fn without_settings(mut command: Command) -> Command {
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("TOLLGATE_") {
            command.env_remove(name);
        }
    }
    command
}

/// The URL of a port; fails if the port is in use.
pub(crate) fn local(port: u16) -> Result<String> {
    TcpListener::bind(("127.0.0.1", port)).with_context(|| {
        format!("port {port} is in use: stop what listens there (find it with `ss -ltnp 'sport = :{port}'`)")
    })?;
    Ok(format!("http://127.0.0.1:{port}"))
}

fn start(name: &str, command: &mut Command, state: &Path, log: &str) -> Result<Process> {
    Process::logged(name, command, &state.join("logs").join(format!("{log}.log")))
}

fn wait_ready(process: &mut Process, health: &str) -> Result<()> {
    let start = Instant::now();
    demo_client::wait_healthy(process, health, START_TIMEOUT)?;
    println!("{}: ready in {}", process.name, progress::seconds(start));
    progress::record(&format!("starting {}", process.name), start.elapsed());
    Ok(())
}
