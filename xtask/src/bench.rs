//! Measures in release builds, against the targets, and writes `bench/RESULTS.md` with its plots. Never part of the tests: a
//! figure depends on the machine, and on what else the machine does meanwhile.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    build::{self, Part},
    progress, setup, test,
    workspace::{Workspace, cargo, command},
};

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// Token checks, then exact revocation
    All,
    /// What a token check costs beside the bare signature check
    Token,
    /// Exact revocation: size, build, questions, delivery, revocations a second
    Revocation,
}

/// Measures `subject`. `quick`: less of what takes long, and the report says so. `check`: a missed target is an error.
pub(crate) fn bench(workspace: &Workspace, subject: Subject, quick: bool, check: bool) -> Result<()> {
    setup::for_dev(workspace)?;
    release(workspace, "building the bench", &["--bin", "tollgate-bench"])?;
    if subject != Subject::Revocation {
        progress::show("token checks", program(workspace, "tollgate-bench").arg("token"))?;
    }
    if subject != Subject::Token {
        revocation(workspace, quick)?;
        if check {
            let parts = parts(workspace);
            progress::show("targets", program(workspace, "tollgate-bench").arg("check").arg(parts))?;
        }
    }
    Ok(())
}

fn revocation(workspace: &Workspace, quick: bool) -> Result<()> {
    let (parts, page) = (parts(workspace), workspace.root.join("bench/RESULTS.md"));
    // What an earlier run measured must not stand in this one's report.
    if parts.exists() {
        fs::remove_dir_all(&parts)?;
    }
    fs::create_dir_all(&parts)?;
    release(
        workspace,
        "building the bench for WebAssembly",
        &["--bin", "tollgate-bench", "--target", "wasm32-wasip2"],
    )?;
    let plots = workspace.root.join("bench/plots");
    let quick_flag = quick.then_some("--quick");
    let mut core = program(workspace, "tollgate-bench");
    progress::show("sizes and questions", core.arg("revocation").arg(&parts).arg(&plots).args(quick_flag))?;

    build::build(workspace, Part::All)?;
    let stack = ["--features", "stack", "--bin", "tollgate-bench-wasm", "--bin", "tollgate-bench-stack"];
    release(workspace, "building origin and edges for the bench (some minutes)", &stack)?;
    let mut wasm = program(workspace, "tollgate-bench-wasm");
    progress::show("questions in WebAssembly", wasm.arg(&parts).arg(workspace.wasm()).args(quick_flag))?;
    let mut stack = program(workspace, "tollgate-bench-stack");
    stack.arg(&parts).arg(&plots).args(quick_flag);
    progress::show("delivery and throughput", test::real_parts(workspace, &mut stack)?)?;

    let said = if quick { "cargo xtask bench revocation --quick" } else { "cargo xtask bench revocation" };
    let mut report = program(workspace, "tollgate-bench");
    progress::show("report", report.arg("report").arg(&parts).arg(&page).args([said, &today()?]))?;
    println!("written: {}", shown(workspace, &page));
    Ok(())
}

/// Where the programs leave their figures.
fn parts(workspace: &Workspace) -> PathBuf {
    workspace.target.join("bench-parts")
}

fn release(workspace: &Workspace, what: &str, arguments: &[&str]) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--package", "tollgate-bench"]).args(arguments).current_dir(&workspace.root);
    progress::run(what, &workspace.cache.join("logs"), "build-bench", &mut build)
}

fn program(workspace: &Workspace, name: &str) -> Command {
    let mut program = command(workspace.target.join("release").join(name));
    program.current_dir(&workspace.root);
    program
}

/// The date in UTC, for the report.
fn today() -> Result<String> {
    let output = command("date").args(["-u", "+%Y-%m-%d"]).output().context("cannot run date")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn shown(workspace: &Workspace, path: &Path) -> String {
    path.strip_prefix(&workspace.root).unwrap_or(path).display().to_string()
}
