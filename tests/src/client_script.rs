//! Runs third-party OAuth clients, each in its own process: the script uses an unmodified client
//! library, the test plays the user. They exchange lines of JSON over the script's standard input
//! and output (see `tests/clients/protocol.mjs`).

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::browser::{Browser, Page, Person};
use crate::environment::{programs_dir, required_env};

/// Runs a script of `tests/clients`, or a crate that `tests/clients/rust` knows, and returns the
/// steps that it reports. `clients`: the clients' ids, secrets and URIs, passed to the script.
pub async fn run(script: &str, clients: &Value, browser: &Browser, person: &Person) -> Result<Vec<String>> {
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
        // A script that has exited reports the reason by its exit status.
        let _ = input.write_all(end.as_bytes()).await;
    }
    let status = child.wait().await?;
    let complaints = complaints.await?;
    ensure!(status.success(), "{script} ended with {status} after {steps:?}:\n{complaints}");
    Ok(steps)
}

/// Does the user's part in the browser, and returns the URL where it ended.
async fn answer(what: &str, value: &str, browser: &Browser, person: &Person) -> Result<String> {
    let page: Page = match what {
        "authorize" | "device" | "logout" => browser.visit(value, person).await?,
        _ => bail!("the script asked for an unknown action: {what}"),
    };
    match page.location() {
        Some(away) => Ok(away.into()),
        None if page.status == 200 => Ok(page.url.into()),
        None => bail!("{what}: {} says {}: {}", page.url, page.status, page.body),
    }
}

/// The command that runs a script of `tests/clients`, or a crate that `tests/clients/rust` knows,
/// in a folder with its libraries. The folder is deleted when dropped.
///
/// # Errors
/// If the folder cannot be written.
pub fn command(script: &str) -> Result<(Command, TempDir)> {
    let folder = copy_with_node_modules(&sources())?;
    Ok((command_in(&folder, script), folder))
}

/// The command that runs the text of a program in `language`, `js` or `python`, with the same
/// libraries.
///
/// # Errors
/// If the folder cannot be written, or the language is another.
pub fn command_of_text(text: &str, language: &str) -> Result<(Command, TempDir)> {
    let script = match language {
        "js" => "program.mjs",
        "python" => "program.py",
        _ => bail!("no program runs {language}"),
    };
    let folder = copy_with_node_modules(&sources())?;
    std::fs::write(folder.path().join(script), text)?;
    Ok((command_in(&folder, script), folder))
}

fn command_in(folder: &TempDir, script: &str) -> Command {
    let mut command = match Path::new(script).extension().and_then(|ending| ending.to_str()) {
        Some("mjs") => Command::new(required_env("TOLLGATE_TEST_NODE")),
        Some("py") => Command::new(required_env("TOLLGATE_TEST_PYTHON")),
        // A crate: run by the program `tests/clients/rust`.
        _ => Command::new(programs_dir().join("public-clients")),
    };
    let file = folder.path().join(script);
    command
        .arg(if file.is_file() { file } else { script.into() })
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .env("TMPDIR", folder.path())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Copies a folder's files next to a link to `node_modules`, where Node looks for packages.
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
