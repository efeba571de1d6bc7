//! `bench`: runs benchmarks on release builds, compares them with their targets and writes
//! `bench/RESULTS.md` with its plots. Not part of the tests: figures depend on the machine and its
//! load.

mod lanes;

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    arguments::{Edge, Part, Stage},
    build,
    postgres::{Durability, Postgres},
    progress, setup, test,
    test_programs::Prepared,
    workspace::{Workspace, cargo, command},
};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// All benchmarks
    All,
    /// Token checks natively, in wasmtime, in Node and in workerd, compared with other libraries
    Token,
    /// Revocation: snapshot size, build time, lookups, delivery, revocations per second
    Revocation,
    /// Requests per second through edges, compared with nginx, Caddy and other Workers
    Edge,
    /// Tokens issued per second on SQLite and PostgreSQL; RS256 compared with oidc-provider
    Issuing,
    /// Password hashes per second compared with the argon2 crate, and a flood of sign-ins
    Accounts,
}

impl Subject {
    /// Name on the command line, in the report and of the folder of results.
    fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Token => "token",
            Self::Revocation => "revocation",
            Self::Edge => "edge",
            Self::Issuing => "issuing",
            Self::Accounts => "accounts",
        }
    }
}

/// Runs the benchmarks of `subject`: with fewer samples if `quick`; a missed target is an error if
/// `check`.
pub(crate) fn bench(workspace: &Workspace, subject: Subject, quick: bool, check: bool) -> Result<()> {
    setup::for_edges(workspace, &Edge::ALL)?;
    setup::for_npm(workspace)?;
    build(workspace, subject)?;
    let subjects = match subject {
        Subject::All => vec![Subject::Token, Subject::Revocation, Subject::Edge, Subject::Issuing, Subject::Accounts],
        one => vec![one],
    };
    for &one in &subjects {
        // Keep the figures of earlier runs out of this report.
        let parts = parts(workspace, one);
        if parts.exists() {
            fs::remove_dir_all(&parts)?;
        }
        fs::create_dir_all(&parts)?;
        match one {
            Subject::Token => token(workspace, quick)?,
            Subject::Accounts => accounts(workspace, quick)?,
            Subject::Edge => edge(workspace, quick)?,
            Subject::Issuing => issuing(workspace, quick)?,
            Subject::Revocation | Subject::All => revocation(workspace, quick)?,
        }
        report(workspace, one, quick)?;
    }
    println!("written: bench/RESULTS.md");
    if check {
        let mut targets = program(workspace, "tollgate-bench");
        targets.arg("check").args(subjects.iter().map(|&one| parts(workspace, one)));
        progress::show("targets", &mut targets)?;
    }
    Ok(())
}

/// Builds release programs, and the lanes' modules.
fn build(workspace: &Workspace, subject: Subject) -> Result<()> {
    match subject {
        Subject::Token => build::build(workspace, Part::Components)?,
        Subject::Revocation | Subject::Edge | Subject::Issuing | Subject::All => build::build(workspace, Part::All)?,
        Subject::Accounts => {}
    }
    let programs: &[&str] = match subject {
        Subject::Token => &["tollgate-bench-wasm", "tollgate-bench-issue"],
        Subject::Revocation => &["tollgate-bench-wasm", "tollgate-bench-stack"],
        Subject::Edge | Subject::Issuing => &["tollgate-bench-stack"],
        Subject::Accounts => &["tollgate-bench-accounts"],
        Subject::All => {
            &["tollgate-bench-wasm", "tollgate-bench-issue", "tollgate-bench-stack", "tollgate-bench-accounts"]
        }
    };
    // The same features for each subject, so that dependencies are compiled once.
    let mut arguments = vec!["--package", "tollgate-bench", "--features", "tollgate-bench/stack"];
    arguments.extend(programs.iter().flat_map(|name| ["--bin", name]));
    if matches!(subject, Subject::All | Subject::Accounts) {
        // The flood meets it in a process of its own. Built in the same call, because another
        // selection of packages compiles the origin a second time.
        arguments.extend(["--package", "tollgate", "--bin", "tollgate"]);
    }
    if matches!(subject, Subject::All | Subject::Edge) {
        arguments.extend(["--package", "tollgate-edge", "--bin", "tollgate-edge"]);
    }
    release(workspace, "building origin and edges for the bench (some minutes)", &arguments)?;
    let core = ["--package", "tollgate-bench", "--bin", "tollgate-bench"];
    release(workspace, "building the bench", &core)?;
    if matches!(subject, Subject::All | Subject::Token) {
        lanes::build(workspace)?;
    }
    if matches!(subject, Subject::All | Subject::Revocation) {
        let guest = [&core[..], &["--target", "wasm32-wasip2"]].concat();
        release(workspace, "building the bench for WebAssembly", &guest)?;
    }
    Ok(())
}

fn token(workspace: &Workspace, quick: bool) -> Result<()> {
    let parts = parts(workspace, Subject::Token);
    progress::show("tokens and a snapshot", program(workspace, "tollgate-bench").arg("kit").arg(&parts))?;
    lanes::start(workspace, &parts)?;
    let mut race = program(workspace, "tollgate-bench");
    race.arg("token").arg(&parts).arg(plots(workspace)).arg(workspace.wasm().join("tollgate_component.wasm"));
    progress::show("token checks", race.args(quick.then_some("--quick")))
}

fn revocation(workspace: &Workspace, quick: bool) -> Result<()> {
    let (parts, plots) = (parts(workspace, Subject::Revocation), plots(workspace));
    let quick = quick.then_some("--quick");
    let mut core = program(workspace, "tollgate-bench");
    progress::show("snapshot sizes and lookups", core.arg("revocation").arg(&parts).arg(&plots).args(quick))?;
    let mut wasm = program(workspace, "tollgate-bench-wasm");
    progress::show("lookups in WebAssembly", wasm.arg(&parts).arg(workspace.wasm()).args(quick))?;
    let mut stack = program(workspace, "tollgate-bench-stack");
    stack.arg("revocation").arg(&parts).arg(&plots).args(quick);
    progress::show("delivery and throughput", test::with_programs(workspace, &mut stack)?)
}

fn edge(workspace: &Workspace, quick: bool) -> Result<()> {
    let peers = Prepared::new(workspace, &[Stage::Deploy], &[])?;
    let mut stack = program(workspace, "tollgate-bench-stack");
    stack.arg("edge").arg(parts(workspace, Subject::Edge)).arg(plots(workspace)).args(quick.then_some("--quick"));
    let stack = test::with_programs(workspace, stack.envs(peers.variables(workspace)))?;
    progress::show("requests through edges", stack.env("TOLLGATE_TEST_BIN_DIR", release_folder(workspace)))
}

fn issuing(workspace: &Workspace, quick: bool) -> Result<()> {
    let mut stack = program(workspace, "tollgate-bench-stack");
    stack.arg("issuing").arg(parts(workspace, Subject::Issuing)).arg(plots(workspace)).args(quick.then_some("--quick"));
    let postgres = Postgres::start(Durability::Fsync)?;
    progress::show("tokens per second", test::environment(workspace, &mut stack, &postgres)?)
}

fn accounts(workspace: &Workspace, quick: bool) -> Result<()> {
    let mut accounts = program(workspace, "tollgate-bench-accounts");
    accounts.arg(parts(workspace, Subject::Accounts)).args(quick.then_some("--quick"));
    let accounts = test::with_programs(workspace, &mut accounts)?;
    progress::show("hashes and a flood", accounts.env("TOLLGATE_TEST_BIN_DIR", release_folder(workspace)))
}

/// Replaces the section of `subject` in the results page.
fn report(workspace: &Workspace, subject: Subject, quick: bool) -> Result<()> {
    let page = workspace.root.join("bench/RESULTS.md");
    let command_line = format!("cargo xtask bench {}{}", subject.name(), if quick { " --quick" } else { "" });
    let mut report = program(workspace, "tollgate-bench");
    report.args(["report", subject.name()]).arg(parts(workspace, subject)).arg(&page).args([command_line, today()?]);
    progress::run("writing the report", &workspace.cache.join("logs"), "bench-report", &mut report)
}

/// Folder in which the programs leave their figures.
fn parts(workspace: &Workspace, subject: Subject) -> PathBuf {
    workspace.target.join("bench-parts").join(subject.name())
}

fn plots(workspace: &Workspace) -> PathBuf {
    workspace.root.join("bench/plots")
}

fn release(workspace: &Workspace, what: &str, arguments: &[&str]) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release"]).args(arguments).current_dir(&workspace.root);
    run(workspace, what, &mut build)
}

fn run(workspace: &Workspace, what: &str, command: &mut Command) -> Result<()> {
    progress::run(what, &workspace.cache.join("logs"), "build-bench", command)
}

fn program(workspace: &Workspace, name: &str) -> Command {
    let mut program = command(release_folder(workspace).join(name));
    program.current_dir(&workspace.root);
    program
}

fn release_folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("release")
}

/// Today's date in UTC.
fn today() -> Result<String> {
    let output = command("date").args(["-u", "+%Y-%m-%d"]).output().context("cannot run date")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
