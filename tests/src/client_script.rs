//! Public OAuth clients, each in a program of its own: it does the client's part with an unmodified library, the test plays the
//! person. They talk by lines of JSON on the script's standard input and output; tests/clients/protocol.mjs says which.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::browser::{Browser, Page, Person};
use crate::environment::{programs_dir, required_env};

/// Runs a script of tests/clients, or a crate's name that tests/clients/rust knows, to its end; the steps that it says worked. `clients`: what the script is told.
pub async fn run(script: &str, clients: &Value, browser: &mut Browser, person: &Person) -> Result<Vec<String>> {
    let (mut command, _folder) = command(script)?;
    command.env("TOLLGATE_TEST_CLIENTS", clients.to_string()).kill_on_drop(true);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("standard input")?;
    let mut output = BufReader::new(child.stdout.take().context("standard output")?).lines();
    let mut errors = child.stderr.take().context("standard error")?;
    let complaints = tokio::spawn(async move {
        let mut text = String::new();
        let _ = errors.read_to_string(&mut text).await;
        text
    });
    let mut steps = Vec::new();
    while let Some(line) = output.next_line().await? {
        let said: Value = serde_json::from_str(&line).with_context(|| format!("{script} said {line:?}"))?;
        if let Some(step) = said["step"].as_str() {
            steps.push(step.to_owned());
            continue;
        }
        let what = said["ask"].as_str().with_context(|| line.clone())?;
        let end = answer(what, said["value"].as_str().unwrap_or_default(), browser, person).await?;
        let end = Value::String(end).to_string() + "\n";
        // A script that ended in between says why by its exit.
        let _ = input.write_all(end.as_bytes()).await;
    }
    let status = child.wait().await?;
    let complaints = complaints.await?;
    ensure!(status.success(), "{script} ended with {status} after {steps:?}:\n{complaints}");
    Ok(steps)
}

/// The person's part; the URL where the browser ended.
async fn answer(what: &str, value: &str, browser: &mut Browser, person: &Person) -> Result<String> {
    let page: Page = match what {
        "authorize" | "device" | "logout" => browser.visit(value, person).await?,
        _ => bail!("a script asks for {what}"),
    };
    match page.location() {
        Some(away) => Ok(away.into()),
        None if page.status == 200 => Ok(page.url.into()),
        None => bail!("{what}: {} says {}: {}", page.url, page.status, page.body),
    }
}

/// The script with what it needs to find its library. The folder holds copies, and goes when it is dropped.
fn command(script: &str) -> Result<(Command, TempDir)> {
    let folder = copy_with_node_modules(&sources())?;
    let mut command = match Path::new(script).extension().and_then(|ending| ending.to_str()) {
        Some("mjs") => Command::new(required_env("TOLLGATE_TEST_NODE")),
        Some("py") => Command::new(required_env("TOLLGATE_TEST_PYTHON")),
        // A crate: a program of tests/clients/rust.
        _ => Command::new(programs_dir().join("public-clients")),
    };
    let file = folder.path().join(script);
    command
        .arg(if file.is_file() { file } else { script.into() })
        .current_dir(folder.path())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ok((command, folder))
}

/// A copy of a folder's files, with the packages from npm beside them: Node looks for those beside a script alone.
pub fn copy_with_node_modules(sources: &Path) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    for entry in sources.read_dir()? {
        let file = entry?.path();
        if let Some(name) = file.file_name().filter(|_| file.is_file()) {
            std::fs::copy(&file, folder.path().join(name))?;
        }
    }
    std::os::unix::fs::symlink(required_env("TOLLGATE_TEST_NODE_MODULES"), folder.path().join("node_modules"))?;
    Ok(folder)
}

fn sources() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients")
}
