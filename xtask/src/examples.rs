//! `examples`: runs what `dev` runs, and the example clients, with a user to sign in as.

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
    arguments::Edge,
    build, demo_client,
    process::{self, Process},
    progress, setup,
    stack::{self, Ports, Stack},
    workspace::{Workspace, command, find_in_path},
};

const PORTS: Ports = Ports { origin: 8080, upstream: 5000 };
const EDGE_PORT: u16 = 8787;
const WEB_PORT: u16 = 3000;
const PAGE_PORT: u16 = 3001;
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs until Ctrl-C, with a new database.
pub(crate) fn examples(workspace: &Workspace) -> Result<()> {
    let start = Instant::now();
    for port in [PORTS.origin, PORTS.upstream, EDGE_PORT, WEB_PORT, PAGE_PORT] {
        stack::local(port)?; // fails now, not after minutes of building
    }
    setup::for_edges(workspace, &[Edge::Runner])?;
    setup::for_npm(workspace)?;
    build::stack(workspace, &[Edge::Runner])?;
    let state = workspace.root.join(".tollgate/examples");
    if state.exists() {
        fs::remove_dir_all(&state)?;
    }
    let mut stack = Stack::start(workspace, &state, &PORTS)?;
    let edge = stack.start_edge(Edge::Runner, EDGE_PORT)?;
    let mut clients = Clients::start(workspace, &stack, &state, &edge)?;
    let demo: Value = serde_json::from_str(&stack.tollgate(&["user", "create", "demo", "--admin", "--json"])?)?;
    let password = demo["password"].as_str().context("`tollgate user create --json` printed no password")?;
    let origin = &stack.client.origin;
    progress::summary(start);
    println!(
        "\nserving after {}\n\n\
         a server-side client   {web}\n\
         a single-page client   {page}\n\
         a command-line client  python3 origin/tollgate/examples/device-login.py device\n\
         sessions, console      {origin}/account/sessions  {origin}/admin\n\n\
         sign in as demo, password {password}\n\n\
         Ctrl-C stops everything. The next start deletes the database.",
        progress::seconds(start),
        web = clients.web,
        page = clients.page,
    );
    while !process::is_stopping() {
        stack.check_alive()?;
        clients.check_alive()?;
        let _ = process::poll_delay(); // the loop's condition sees Ctrl-C
    }
    println!("\nstopping …");
    Ok(())
}

/// Running example clients.
struct Clients {
    /// URL of the server-side client.
    web: String,
    /// URL of the single-page client.
    page: String,
    running: [Process; 2],
}

impl Clients {
    /// Registers all example clients and starts those with pages.
    fn start(workspace: &Workspace, stack: &Stack<'_>, state: &Path, edge: &str) -> Result<Self> {
        let (web, page) = (stack::local(WEB_PORT)?, stack::local(PAGE_PORT)?);
        let secret = register(stack)?;

        let folder = copy_folder(workspace, "origin/tollgate/examples/web-client", state)?;
        let mut node = command(workspace.npm_bin().join("node"));
        node.arg("server.mjs").current_dir(folder).envs([
            ("CLIENT_ID", "web"),
            ("CLIENT_SECRET", &secret),
            ("ISSUER", &stack.client.origin),
            ("PORT", &WEB_PORT.to_string()),
            ("API", &format!("{edge}{}", demo_client::PATH)),
        ]);
        let server = serve("the server-side client", &mut node, state, &web)?;

        let folder = copy_folder(workspace, "origin/tollgate/examples/single-page", state)?;
        let config =
            json!({ "issuer": stack.client.origin, "client_id": "single-page", "scope": "openid profile email" });
        fs::write(folder.join("config.json"), config.to_string())?;
        let python = find_in_path("python3").context("python3 is missing, which serves the single-page client")?;
        let mut python = command(python);
        python.args(["-m", "http.server", "--bind", "127.0.0.1", &PAGE_PORT.to_string()]).current_dir(folder);
        let files = serve("the single-page client", &mut python, state, &page)?;
        Ok(Self { web, page, running: [server, files] })
    }

    fn check_alive(&mut self) -> Result<()> {
        self.running.iter_mut().try_for_each(Process::check_alive)
    }
}

/// Registers the three clients and returns the secret of the confidential one. A loopback redirect
/// URI matches any port (RFC 8252 §7.3).
fn register(stack: &Stack<'_>) -> Result<String> {
    let web =
        ["--redirect-uri", "http://127.0.0.1:3000/callback", "--post-logout-redirect-uri", "http://127.0.0.1:3000/"];
    let page = ["--redirect-uri", "http://127.0.0.1:3001/", "--post-logout-redirect-uri", "http://127.0.0.1:3001/"];
    let (user_scope, report_scope) = ("openid profile email", format!("openid profile email {}", demo_client::SCOPE));
    let create = |id: &str, name: &str, rest: &[&str]| {
        stack.tollgate(&[&["client", "create", "--json", "--id", id, "--name", name], rest].concat())
    };
    let description = format!("{}=Read your reports", demo_client::SCOPE);
    stack.tollgate(&["resource", "create", &stack.client.origin, "--name", "Reports", "--scope", &description])?;
    create("single-page", "Single page", &[&page[..], &["--public", "--scope", user_scope]].concat())?;
    create("device", "A terminal", &["--public", "--grant", "device_code", "--scope", "openid profile"])?;
    let web: Value =
        serde_json::from_str(&create("web", "Reports", &[&web[..], &["--scope", &report_scope]].concat())?)?;
    web["client_secret"].as_str().map(str::to_owned).context("the new client has no secret")
}

/// Copies a folder's files into `state` and links the npm packages there, so that the checkout
/// stays unchanged.
pub(crate) fn copy_folder(workspace: &Workspace, folder: &str, state: &Path) -> Result<PathBuf> {
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

fn serve(name: &str, command: &mut Command, state: &Path, url: &str) -> Result<Process> {
    let start = Instant::now();
    let log = state.join("logs").join(format!("{}.log", name.replace(' ', "-")));
    let mut process = Process::logged(name, command, &log)?;
    demo_client::wait_healthy(&mut process, url, START_TIMEOUT)?;
    println!("{name}: ready in {}", progress::seconds(start));
    Ok(process)
}
