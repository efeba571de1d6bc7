//! One line as a long step begins, one as it ends with its time, a sign of life in between; a tool's own output only when it
//! failed.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::process::{Process, describe, last_line};

const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Runs a tool as one step: `what` is told at its start and end, its output kept in `logs`/`log`.log.
pub(crate) fn run(what: &str, logs: &Path, log: &str, command: &mut Command) -> Result<()> {
    println!("{what} …");
    let start = Instant::now();
    let path = logs.join(format!("{log}.log"));
    let mut process = Process::logged(what, command, &path)?;
    let mut next = SIGN_OF_LIFE;
    let status = process.wait(|elapsed| {
        if elapsed >= next {
            println!("  {} s: {}", elapsed.as_secs(), last_line(&path));
            next = elapsed + SIGN_OF_LIFE;
        }
    })?;
    if !status.success() {
        bail!("{what}: failed after {} ({})\n{}", seconds(start), describe(status), process.last_words());
    }
    println!("{what}: done in {}", seconds(start));
    Ok(())
}

/// Runs a check that writes to the terminal itself, such as a test runner.
pub(crate) fn show(what: &str, command: &mut Command) -> Result<()> {
    println!("{what} …");
    let start = Instant::now();
    let status = Process::visible(what, command)?.wait(|_| ())?;
    if !status.success() {
        bail!("{what}: failed after {} ({})", seconds(start), describe(status));
    }
    println!("{what}: done in {}", seconds(start));
    Ok(())
}

/// The time since `start` for a person, e.g. `3.2 s`.
pub(crate) fn seconds(start: Instant) -> String {
    format!("{:.1} s", start.elapsed().as_secs_f64())
}
