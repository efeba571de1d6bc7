//! Child processes. Each leads its own process group and writes to a log file. Ctrl-C reaches only
//! xtask, which stops the groups, grandchildren included (wrangler's workerd, nextest's tests).
//! Never: a child outlives xtask.

use std::{
    fs::{self, File},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

static STOP: AtomicBool = AtomicBool::new(false);
/// Longer than nextest's 10 s for its tests: each test leads its own process group, which only
/// nextest can stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(12);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Makes Ctrl-C, SIGTERM and SIGHUP set [`is_stopping`] instead of ending xtask.
pub(crate) fn catch_signals() -> Result<()> {
    ctrlc::set_handler(|| STOP.store(true, Ordering::SeqCst)).context("cannot catch Ctrl-C")
}

/// Whether xtask was asked to stop.
pub(crate) fn is_stopping() -> bool {
    STOP.load(Ordering::SeqCst)
}

/// Sleeps between two looks of a polling loop; fails once xtask was asked to stop.
pub(crate) fn poll_delay() -> Result<()> {
    thread::sleep(POLL_INTERVAL);
    if is_stopping() { bail!("interrupted") } else { Ok(()) }
}

/// A child process that leads its own process group. Dropping it stops the group.
pub(crate) struct Process {
    pub(crate) name: String,
    /// File with its output, unless it writes to the terminal.
    pub(crate) log: Option<PathBuf>,
    child: Child,
}

impl Process {
    /// Starts `command`, its output written to the file `log`.
    pub(crate) fn logged(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = create_log(log)?;
        command.stdout(file.try_clone()?).stderr(file);
        let child = spawn(name, command)?;
        Ok(Self { name: name.to_owned(), log: Some(log.to_owned()), child })
    }

    /// Starts `command` with xtask's standard output and error.
    pub(crate) fn visible(name: &str, command: &mut Command) -> Result<Self> {
        Ok(Self { name: name.to_owned(), log: None, child: spawn(name, command)? })
    }

    /// Its exit status, if it has ended.
    pub(crate) fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails with the end of its log if it has ended, which a server does not do by itself.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.exit_status()? {
            None => Ok(()),
            Some(status) => bail!("{} ended unexpectedly ({})\n{}", self.name, describe(status), self.log_tail()),
        }
    }

    /// Waits for its end and calls `tick` meanwhile with the time since the start.
    pub(crate) fn wait(&mut self, mut tick: impl FnMut(Duration)) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.exit_status()? {
                return Ok(status);
            }
            poll_delay()?;
            tick(start.elapsed());
        }
    }

    /// The last 30 lines of its log, and the path of the log.
    pub(crate) fn log_tail(&self) -> String {
        self.log.as_deref().map(|log| tail(log, 30)).unwrap_or_default()
    }

    /// Sends SIGTERM to the group, and SIGKILL when the leader has ended or after [`STOP_TIMEOUT`].
    fn stop(&mut self) {
        let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return };
        let deadline = Instant::now() + STOP_TIMEOUT;
        let _ = kill_process_group(group, Signal::TERM);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(POLL_INTERVAL);
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(name: &str, command: &mut Command) -> Result<Child> {
    command.process_group(0);
    command.spawn().with_context(|| format!("cannot start {name} ({})", command.get_program().display()))
}

fn create_log(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

/// An exit status in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "unknown exit status".to_owned(),
    }
}

/// The last `lines` of a log, indented, and its path.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for line in &all[all.len().saturating_sub(lines)..] {
        out.push_str("    | ");
        out.push_str(line);
        out.push('\n');
    }
    out + &format!("    full log: {}", log.display())
}

/// The last line of a log that is not empty.
pub(crate) fn last_line(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{TempFolder, command};

    #[test]
    fn stopping_a_process_stops_its_grandchildren() -> Result<()> {
        let folder = TempFolder::new("process-test")?;
        let log = folder.0.join("log");
        let mut shell = command("sh");
        let process = Process::logged("a shell", shell.args(["-c", "sleep 60 & echo $!; wait"]), &log)?;
        while last_line(&log).is_empty() {
            poll_delay()?;
        }
        let grandchild = PathBuf::from("/proc").join(last_line(&log));
        assert!(grandchild.exists());
        drop(process);
        // A killed process whose parent has ended may stay a zombie until init reaps it.
        let state = fs::read_to_string(grandchild.join("stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
        Ok(())
    }

    #[test]
    fn log_tail_shows_the_last_lines() -> Result<()> {
        let folder = TempFolder::new("log-test")?;
        let log = folder.0.join("log");
        fs::write(&log, "one\ntwo\nthree\n\n")?;
        assert_eq!(last_line(&log), "three");
        assert!(tail(&log, 2).starts_with("    | three\n    | \n    full log: "));
        Ok(())
    }
}
