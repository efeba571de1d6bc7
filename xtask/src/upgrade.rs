//! The program of an older commit, for tests in which both run on one database.

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    progress,
    workspace::{Workspace, cargo, command},
};

/// A program that was built before, instead of a commit.
const PROGRAM: &str = "TOLLGATE_TEST_PREVIOUS_PROGRAM";
/// The commit or tag to build.
const COMMIT: &str = "TOLLGATE_UPGRADE_FROM";

/// Builds `tollgate` of the commit that `TOLLGATE_UPGRADE_FROM` names, by default of the newest
/// release, and returns the tests' variable. It takes as long as a first build.
pub(crate) fn previous_program(workspace: &Workspace) -> Result<Vec<(&'static str, PathBuf)>> {
    if let Some(program) = env::var_os(PROGRAM) {
        return Ok(vec![(PROGRAM, program.into())]);
    }
    let commit = match env::var(COMMIT) {
        Ok(commit) => commit,
        Err(_) => newest_release(workspace)?,
    };
    let folder = workspace.cache.join("upgrade");
    let checkout = folder.join("checkout");
    if !checkout.exists() {
        fs::create_dir_all(&folder)?;
        git(command("git").args(["clone", "--quiet"]).args([&workspace.root, &checkout]))?;
    }
    git(command("git").arg("-C").arg(&checkout).args(["fetch", "--quiet", "--tags", "origin"]))?;
    git(command("git").arg("-C").arg(&checkout).args(["checkout", "--quiet", "--detach", &commit]))?;
    let mut build = cargo();
    build.args(["build", "--locked", "--package", "tollgate", "--bin", "tollgate", "--target-dir"]);
    build.arg(folder.join("target")).current_dir(&checkout);
    progress::run(&format!("tollgate of {commit}"), &folder, "build", &mut build)?;
    Ok(vec![(PROGRAM, folder.join("target/debug/tollgate"))])
}

fn newest_release(workspace: &Workspace) -> Result<String> {
    let mut describe = command("git");
    describe.arg("-C").arg(&workspace.root).args(["describe", "--tags", "--abbrev=0", "--match", "v*"]);
    let output = describe.output().context("git")?;
    if !output.status.success() {
        bail!("nothing is released yet: name a commit with {COMMIT}, or a program with {PROGRAM}");
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn git(git: &mut std::process::Command) -> Result<()> {
    ensure!(git.status()?.success(), "{git:?} failed");
    Ok(())
}
