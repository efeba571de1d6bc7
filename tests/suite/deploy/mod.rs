//! What lies in `deploy`: parsed and checked by the programs that read it, and run where a machine
//! without a container engine can. `cargo xtask test deploy` prepares the programs, and says what a
//! machine lacks.

mod compose;
mod dockerfile;
mod documentation;
mod fly;
mod haproxy;
mod helm;
mod images;
mod kubernetes;
mod monitoring;
mod proxies;
mod versions;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tollgate_tests::environment::required_env;
use tollgate_tests::prometheus::deploy_folder;

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file or folder in `deploy`.
fn deploy(path: &str) -> PathBuf {
    deploy_folder().join(path)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// A program that pip installed for these tests.
fn installed(program: &str) -> Command {
    Command::new(Path::new(&required_env("TOLLGATE_TEST_DEPLOY_PROGRAMS")).join(program))
}

/// Runs a program that must succeed, and returns its standard output.
fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| command.get_program().display().to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

/// The documents of a YAML file, or of YAML text on standard input if `file` is `-`.
fn parse_yaml(file: &Path) -> Result<Vec<Value>> {
    const PROGRAM: &str =
        "import json, sys, yaml; json.dump([d for d in yaml.safe_load_all(open(sys.argv[1])) if d], sys.stdout)";
    let json = output(installed("python").args(["-c", PROGRAM]).arg(file))?;
    serde_json::from_str(&json).with_context(|| file.display().to_string())
}

/// Fails unless docs/settings.md documents this name, which a misspelt setting would not be.
fn check_setting(name: &str) -> Result<()> {
    let page = read(&root().join("docs/settings.md"))?;
    ensure!(page.contains(&format!("`{name}`")), "docs/settings.md does not document {name}");
    Ok(())
}
