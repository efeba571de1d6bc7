//! `profile`: takes all profiles of an origin under load and stores them for `go tool pprof`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use ureq::Agent;

use crate::{
    demo_client::wait_healthy,
    postgres::free_port,
    process::Process,
    progress,
    stack::without_settings,
    workspace::{TempFolder, Workspace, cargo, command, find_in_path},
};

/// Profiles, by their path below `/debug/pprof/`; those of the processor and of waits cover the
/// load only.
const PROFILES: [&str; 6] =
    ["profile?seconds=10", "heap", "allocs", "contention?seconds=5", "requests?seconds=5", "tasks"];
const LOAD_SECONDS: &str = "60";
const START_TIMEOUT: Duration = Duration::from_secs(60);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// jemalloc samples one allocation per 512 KiB, and keeps the sums since the start.
const MALLOC_CONF: &str = "prof:true,prof_active:true,prof_accum:true,lg_prof_sample:19";

/// Stores the profiles in `folder`.
pub(crate) fn profile(workspace: &Workspace, folder: &Path) -> Result<()> {
    let program = build(workspace)?;
    let state = TempFolder::new("profile")?;
    let [listen, metrics] = [free_port()?, free_port()?].map(|port| format!("127.0.0.1:{port}"));
    let origin = Origin { program: &program, state: &state.0, listen: &listen, metrics: &metrics };
    let secret = origin.register_client()?;
    let log = workspace.cache.join("logs");
    let mut serving = Process::logged("the origin", &mut origin.command(&["serve"]), &log.join("profile-origin.log"))?;
    wait_healthy(&mut serving, &format!("http://{listen}/health/ready"), START_TIMEOUT)?;

    let target = format!("http://{listen}");
    let mut load = origin.command(&["bench", "--target", &target, "--client", "load", "--duration", LOAD_SECONDS]);
    load.arg("--quiet").env("TOLLGATE_BENCH_CLIENT_SECRET", secret);
    let mut load = Process::logged("the load", &mut load, &log.join("profile-load.log"))?;
    fs::create_dir_all(folder)?;
    for profile in PROFILES {
        load.check_alive()?;
        let name = profile.split('?').next().unwrap_or(profile);
        let file = folder.join(format!("{name}.pb.gz"));
        fs::write(&file, fetch(&format!("http://{metrics}/debug/pprof/{profile}"))?)?;
        println!("written: {}", file.display());
        show_top(&program, &file)?;
    }
    Ok(())
}

/// Builds the origin with heap profiles and the lines of functions, in a target folder of its own.
/// Link-time optimisation would take longer than the load.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    let target = workspace.target.join("profiling");
    let mut build = cargo();
    build.args(["build", "--release", "--package", "tollgate", "--features", "profiling", "--target-dir"]).arg(&target);
    build.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    build.env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only").env("CARGO_PROFILE_RELEASE_STRIP", "none");
    progress::show("building the origin with profiles", build.current_dir(&workspace.root))?;
    Ok(target.join("release/tollgate"))
}

struct Origin<'a> {
    program: &'a Path,
    state: &'a Path,
    listen: &'a str,
    metrics: &'a str,
}

impl Origin<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut tollgate = without_settings(command(self.program));
        tollgate.current_dir(self.state).args(arguments).env("MALLOC_CONF", MALLOC_CONF);
        for (name, value) in [
            ("TOLLGATE_LISTEN", self.listen),
            ("TOLLGATE_PUBLIC_URL", &format!("http://{}", self.listen)),
            ("TOLLGATE_METRICS_LISTEN", self.metrics),
            ("TOLLGATE_PROFILES", "true"),
            ("TOLLGATE_DATABASE_URL", "sqlite://tollgate.db"),
            ("TOLLGATE_LIMITS", "off"),
        ] {
            tollgate.env(name, value);
        }
        tollgate
    }

    /// Registers the client of the load, and returns its secret.
    fn register_client(&self) -> Result<String> {
        let create = ["client", "create", "--json", "--id", "load", "--name", "load"];
        let output = self.command(&create).output().context("cannot run tollgate")?;
        if !output.status.success() {
            bail!("the client of the load: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let client: Value = serde_json::from_slice(&output.stdout).context("`client create` printed no JSON")?;
        Ok(client["client_secret"].as_str().context("the new client has no secret")?.to_owned())
    }
}

fn fetch(url: &str) -> Result<Vec<u8>> {
    let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(REQUEST_TIMEOUT));
    let mut response = Agent::from(config.build()).get(url).call().with_context(|| url.to_owned())?;
    let (status, body) = (response.status(), response.body_mut().read_to_vec()?);
    ensure!(status == 200, "{url}: {status} {}", String::from_utf8_lossy(&body));
    Ok(body)
}

/// Shows what `go tool pprof` finds at the top of a profile.
fn show_top(program: &Path, file: &Path) -> Result<()> {
    let Some(go) = find_in_path("go") else {
        println!("  no go in PATH: open it with `go tool pprof -top {}`", file.display());
        return Ok(());
    };
    let mut pprof = command(go);
    pprof.args(["tool", "pprof", "-top", "-nodecount=8"]).arg(program).arg(file);
    let output = pprof.output().context("cannot run go")?;
    ensure!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
