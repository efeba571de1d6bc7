//! Programs we start: their output goes to a log file, each leads a process group of its own, and none outlives us. Ctrl-C
//! reaches only us; we stop the groups, so that nobody's grandchild (wrangler's workerd, nextest's tests) is forgotten.

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
/// More than the ten seconds that nextest gives its tests, each of which leads a group of its own that only it can end.
const GRACE: Duration = Duration::from_secs(12);
const POLL: Duration = Duration::from_millis(20);

/// From now on Ctrl-C, SIGTERM and SIGHUP make [`stopping`] true instead of ending us on the spot.
pub(crate) fn catch_signals() -> Result<()> {
    ctrlc::set_handler(|| STOP.store(true, Ordering::SeqCst)).context("cannot catch Ctrl-C")
}

/// Whether someone asked us to stop.
pub(crate) fn stopping() -> bool {
    STOP.load(Ordering::SeqCst)
}

/// Sleeps one short turn of a waiting loop; an error once someone asked us to stop.
pub(crate) fn pause() -> Result<()> {
    thread::sleep(POLL);
    if stopping() { bail!("interrupted") } else { Ok(()) }
}

/// A program in a process group of its own. Dropping it stops the whole group.
pub(crate) struct Process {
    pub(crate) name: String,
    /// Where its output goes, unless it writes to our terminal.
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

    /// Starts `command` with our own standard output and error.
    pub(crate) fn visible(name: &str, command: &mut Command) -> Result<Self> {
        Ok(Self { name: name.to_owned(), log: None, child: spawn(name, command)? })
    }

    /// How it ended, if it has.
    pub(crate) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// An error with its last words if it has ended; a service never should.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.exited()? {
            None => Ok(()),
            Some(status) => bail!("{} stopped by itself ({})\n{}", self.name, describe(status), self.last_words()),
        }
    }

    /// Waits for its end, calling `tick` meanwhile with the time since the start.
    pub(crate) fn wait(&mut self, mut tick: impl FnMut(Duration)) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            pause()?;
            tick(start.elapsed());
        }
    }

    /// The end of its log, and where the rest is.
    pub(crate) fn last_words(&self) -> String {
        self.log.as_deref().map(|log| tail(log, 30)).unwrap_or_default()
    }

    /// Asks the group to end, and ends it if it has not within [`GRACE`].
    fn stop(&mut self) {
        let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return };
        let deadline = Instant::now() + GRACE;
        let _ = kill_process_group(group, Signal::TERM);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(POLL);
        }
        // The leader is gone or stubborn; what is left of the group goes now.
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

/// How a program ended, in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "unknown end".to_owned(),
    }
}

/// The last lines of a log, indented, and its path.
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
    out + &format!("    whole log: {}", log.display())
}

/// The last line of a log that says something.
pub(crate) fn last_line(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{Scratch, command};

    #[test]
    fn grandchildren_end_with_the_process() -> Result<()> {
        let folder = Scratch::new("process-test")?;
        let log = folder.0.join("log");
        let mut shell = command("sh");
        let process = Process::logged("a shell", shell.args(["-c", "sleep 60 & echo $!; wait"]), &log)?;
        while last_line(&log).is_empty() {
            pause()?;
        }
        let grandchild = PathBuf::from("/proc").join(last_line(&log));
        assert!(grandchild.exists());
        drop(process);
        // A killed process whose parent is gone may stay a zombie until someone collects it.
        let state = fs::read_to_string(grandchild.join("stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
        Ok(())
    }

    #[test]
    fn the_end_of_a_log_is_shown() -> Result<()> {
        let folder = Scratch::new("log-test")?;
        let log = folder.0.join("log");
        fs::write(&log, "one\ntwo\nthree\n\n")?;
        assert_eq!(last_line(&log), "three");
        assert!(tail(&log, 2).starts_with("    | three\n    | \n    whole log: "));
        Ok(())
    }
}
