//! Steps shown to the person who waits: a line when a step starts, its last log line every 15 s, a
//! line with its time when it ends, and a summary of all steps at the end. A tool's own output is
//! shown only when it fails.

use std::{
    path::Path,
    process::Command,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::process::{Process, describe, last_line};

/// How often a running step prints that it is alive.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(15);
/// Shorter steps are left out of the summary.
const MIN_SUMMARY_STEP: Duration = Duration::from_millis(500);

/// Steps that have ended, in order.
static STEPS: Mutex<Vec<(String, Duration)>> = Mutex::new(Vec::new());

/// Runs a tool as one step, its output written to `logs`/`log`.log.
pub(crate) fn run(what: &str, logs: &Path, log: &str, command: &mut Command) -> Result<()> {
    println!("{what} …");
    let start = Instant::now();
    let path = logs.join(format!("{log}.log"));
    let mut process = Process::logged(what, command, &path)?;
    let mut next = PROGRESS_INTERVAL;
    let status = process.wait(|elapsed| {
        if elapsed >= next {
            println!("  {} s: {}", elapsed.as_secs(), last_line(&path));
            next = elapsed + PROGRESS_INTERVAL;
        }
    })?;
    if !status.success() {
        bail!("{what}: failed after {} ({})\n{}", seconds(start), describe(status), process.log_tail());
    }
    done(what, start);
    Ok(())
}

/// Runs a tool that writes to the terminal itself, such as a test runner, as one step.
pub(crate) fn show(what: &str, command: &mut Command) -> Result<()> {
    println!("{what} …");
    let start = Instant::now();
    let status = Process::visible(what, command)?.wait(|_| ())?;
    if !status.success() {
        bail!("{what}: failed after {} ({})", seconds(start), describe(status));
    }
    done(what, start);
    Ok(())
}

/// Prints that a step ended and keeps its time for the summary.
pub(crate) fn done(what: &str, start: Instant) {
    println!("{what}: done in {}", seconds(start));
    record(what, start.elapsed());
}

/// Keeps the time of a step for the summary.
pub(crate) fn record(what: &str, time: Duration) {
    if let Ok(mut steps) = STEPS.lock() {
        steps.push((what.to_owned(), time));
    }
}

/// Prints each step with its time, and the total since `start`.
pub(crate) fn summary(start: Instant) {
    let Ok(steps) = STEPS.lock() else { return };
    println!();
    for (what, time) in steps.iter().filter(|(_, time)| *time >= MIN_SUMMARY_STEP) {
        println!("{:>8.1} s  {what}", time.as_secs_f64());
    }
    println!("{:>8.1} s  in all", start.elapsed().as_secs_f64());
}

/// The time since `start` for a person, e.g. `3.2 s`.
pub(crate) fn seconds(start: Instant) -> String {
    format!("{:.1} s", start.elapsed().as_secs_f64())
}
