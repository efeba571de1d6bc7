//! What commands read from standard input: secrets, which must stand neither in a command line nor
//! on a screen.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

/// The one line that stands there. `what`: what it is, for the error.
pub(super) fn line(what: &str) -> anyhow::Result<Zeroizing<String>> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        bail!("standard input is a terminal: the {what} would be seen; pipe it in");
    }
    let mut line = Zeroizing::new(String::new());
    stdin.lock().read_line(&mut line).with_context(|| format!("the {what} could not be read"))?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}
