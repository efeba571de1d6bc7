//! `examples`: everything that `dev` runs, and the example clients with it, registered, serving, and with somebody to sign in as.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    build::{self, Part},
    process::{self, Process},
    progress, road, setup,
    stack::{self, Edge, Ports, Stack},
    workspace::{Workspace, command, find_in_path},
};

const PORTS: Ports = Ports { origin: 8080, upstream: 5000 };
const EDGE_PORT: u16 = 8787;
const WEB_PORT: u16 = 3000;
const PAGE_PORT: u16 = 3001;
const UP_LIMIT: Duration = Duration::from_secs(60);

/// Starts all of it on the usual ports, with a database of this run alone, and keeps it running until Ctrl-C.
pub(crate) fn examples(workspace: &Workspace) -> Result<()> {
    let start = Instant::now();
    for port in [PORTS.origin, PORTS.upstream, EDGE_PORT, WEB_PORT, PAGE_PORT] {
        stack::local(port)?; // said now, not after minutes of building
    }
    setup::for_edges(workspace, &[Edge::Runner])?;
    setup::for_npm(workspace)?;
    build::build(workspace, Part::Native)?;
    build::edges(workspace, &[Edge::Runner])?;
    let state = workspace.root.join(".tollgate/examples");
    if state.exists() {
        fs::remove_dir_all(&state)?;
    }
    let mut stack = Stack::start(workspace, &state, &PORTS)?;
    let edge = stack.start_edge(Edge::Runner, EDGE_PORT)?;
    let mut clients = Clients::start(workspace, &stack, &state, &edge)?;
    let demo: Value = serde_json::from_str(&stack.tollgate(&["user", "create", "demo", "--admin", "--json"])?)?;
    let password = demo["password"].as_str().context("`tollgate user create --json` printed no password")?;
    let origin = &stack.road.origin;
    println!(
        "serving after {}\n\n\
         a server-side client   {web}\n\
         a single-page client   {page}\n\
         a command-line client  python3 origin/examples/device-login.py device\n\
         sessions, console      {origin}/account/sessions  {origin}/admin\n\n\
         sign in as demo, password {password}\n\n\
         Ctrl-C stops everything, and the next start begins anew.",
        progress::seconds(start),
        web = clients.web,
        page = clients.page,
    );
    while !process::stopping() {
        stack.check_alive()?;
        clients.check_alive()?;
        let _ = process::pause(); // the loop's own condition sees the interruption
    }
    println!("\nstopping …");
    Ok(())
}

/// The example clients that serve pages of their own.
struct Clients {
    /// Where the server-side one answers.
    web: String,
    /// Where the single page is.
    page: String,
    running: [Process; 2],
}

impl Clients {
    /// Registers all example clients and starts those that serve.
    fn start(workspace: &Workspace, stack: &Stack<'_>, state: &Path, edge: &str) -> Result<Self> {
        let (web, page) = (stack::local(WEB_PORT)?, stack::local(PAGE_PORT)?);
        let secret = register(stack)?;

        let folder = copied(workspace, "origin/examples/web-client", state)?;
        let mut node = command(workspace.npm_bin().join("node"));
        node.arg("server.mjs").current_dir(folder).envs([
            ("CLIENT_ID", "web"),
            ("CLIENT_SECRET", &secret),
            ("ISSUER", &stack.road.origin),
            ("PORT", &WEB_PORT.to_string()),
            ("API", &format!("{edge}{}", road::PATH)),
        ]);
        let server = serving("the server-side client", &mut node, state, &web)?;

        let folder = copied(workspace, "origin/examples/single-page", state)?;
        let config =
            json!({ "issuer": stack.road.origin, "client_id": "single-page", "scope": "openid profile email" });
        fs::write(folder.join("config.json"), config.to_string())?;
        let python = find_in_path("python3").context("python3 is missing: it serves the single page's files")?;
        let mut python = command(python);
        python.args(["-m", "http.server", "--bind", "127.0.0.1", &PAGE_PORT.to_string()]).current_dir(folder);
        let files = serving("the single-page client", &mut python, state, &page)?;
        Ok(Self { web, page, running: [server, files] })
    }

    fn check_alive(&mut self) -> Result<()> {
        self.running.iter_mut().try_for_each(Process::check_alive)
    }
}

/// Registers the three clients; the secret of the one that has one. A loopback address is meant at any port (RFC 8252 §7.3).
fn register(stack: &Stack<'_>) -> Result<String> {
    let web =
        ["--redirect-uri", "http://127.0.0.1:3000/callback", "--post-logout-redirect-uri", "http://127.0.0.1:3000/"];
    let page = ["--redirect-uri", "http://127.0.0.1:3001/", "--post-logout-redirect-uri", "http://127.0.0.1:3001/"];
    let (own, report) = ("openid profile email", format!("openid profile email {}", road::SCOPE));
    let create = |id: &str, name: &str, rest: &[&str]| {
        stack.tollgate(&[&["client", "create", "--json", "--id", id, "--name", name], rest].concat())
    };
    let words = format!("{}=Read your reports", road::SCOPE);
    stack.tollgate(&["resource", "create", &stack.road.origin, "--name", "Reports", "--scope", &words])?;
    create("single-page", "Single page", &[&page[..], &["--public", "--scope", own]].concat())?;
    create("device", "A terminal", &["--public", "--grant", "device_code", "--scope", "openid profile"])?;
    let web: Value = serde_json::from_str(&create("web", "Reports", &[&web[..], &["--scope", &report]].concat())?)?;
    web["client_secret"].as_str().map(str::to_owned).context("the new client has no secret")
}

/// A copy of a folder's files with the packages from npm beside it: the checkout stays as it is.
pub(crate) fn copied(workspace: &Workspace, folder: &str, state: &Path) -> Result<PathBuf> {
    let (from, to) = (workspace.root.join(folder), state.join(folder));
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(&from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    symlink(workspace.npm_modules(), to.join("node_modules"))?;
    Ok(to)
}

fn serving(name: &str, command: &mut Command, state: &Path, url: &str) -> Result<Process> {
    let start = Instant::now();
    let log = state.join("logs").join(format!("{}.log", name.replace(' ', "-")));
    let mut process = Process::logged(name, command, &log)?;
    road::wait_healthy(&mut process, url, UP_LIMIT)?;
    println!("{name}: up in {}", progress::seconds(start));
    Ok(process)
}
