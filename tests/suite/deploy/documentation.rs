//! The commands of docs/install.md, run as a reader pastes them, with free ports in place of the
//! usual ones.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use tollgate_tests::documentation::program;
use tollgate_tests::edge::Upstream;
use tollgate_tests::environment::{command_without_settings, free_port, programs_dir};

use super::output;

/// Waits for a command to succeed, on a busy machine.
const WAIT: &str =
    "wait_for() { for i in $(seq 600); do if \"$@\" >/dev/null 2>&1; then return; fi; sleep 0.1; done; exit 1; }\n";

#[test]
fn commands_lead_to_a_token_an_edge_and_a_revocation() -> Result<()> {
    let (folder, api) = (tempfile::tempdir()?, Upstream::start()?);
    let (origin, edge) = (format!("127.0.0.1:{}", free_port()?), format!("127.0.0.1:{}", free_port()?));
    let block = |heading: &str| program("install.md", heading, "sh");
    // A server ends with the script; a reader has it in another terminal.
    let server = |heading: &str| {
        Ok::<String, anyhow::Error>(format!(
            "{} >{heading:?}.log 2>&1 &\nSERVERS=\"$SERVERS $!\"\n",
            block(heading)?.trim_end()
        ))
    };
    let steps = [
        "SERVERS=; trap 'kill $SERVERS' EXIT\n".to_owned(),
        WAIT.to_owned(),
        block("First run")?,
        server("Start")?,
        "wait_for tollgate health --config tollgate/tollgate.toml\n".to_owned(),
        block("First token")?,
        server("First edge")?,
        "wait_for tollgate-edge health\n".to_owned(),
        block("First revocation")?,
        // The command of the document is not repeated, because a slow machine may answer late.
        "refused() { [ $(curl -s -o answer.json -w '%{http_code}' -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8787/) = 401 ]; }\n".to_owned(),
        "wait_for refused && echo refused\n".to_owned(),
    ];
    let script = steps.concat().replace("127.0.0.1:8080", &origin).replace("127.0.0.1:8787", &edge);
    let script = script.replace("http://127.0.0.1:5000", &api.url);
    fs::write(folder.path().join("script"), script)?;
    let path = std::env::join_paths(
        [programs_dir()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;
    let mut shell = command_without_settings("sh");
    shell.args(["-eu", "script"]).current_dir(folder.path()).env("PATH", path).env("TOLLGATE_EDGE_LISTEN", &edge);
    let printed = output(&mut shell).with_context(|| logs(folder.path()))?;
    ensure!(printed.contains("https://api.example"), "no claims of the token: {printed}");
    ensure!(printed.lines().any(|line| line == "200"), "the edge refuses the token: {printed}");
    ensure!(printed.ends_with("refused\n"), "the edge accepts the revoked token: {printed}");
    Ok(())
}

fn logs(folder: &std::path::Path) -> String {
    ["Start", "First edge"]
        .map(|name| fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default())
        .concat()
}
