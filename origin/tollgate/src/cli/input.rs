//! Reads secrets from standard input. A secret must not appear in a command line, which other users
//! can list, nor on a screen.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

/// Reads one line. `what` names the secret in errors.
pub(super) fn line(what: &str) -> anyhow::Result<Zeroizing<String>> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        bail!("standard input is a terminal, which would show the {what}: use a pipe");
    }
    let mut line = Zeroizing::new(String::new());
    stdin.lock().read_line(&mut line).with_context(|| format!("cannot read the {what}"))?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}
