//! Child processes that end with the test.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, kill_process_group, setrlimit};

/// A program in its own process group; dropping kills the whole group.
pub struct ChildProcess(Child);

impl ChildProcess {
    /// Starts a program without standard input.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let child = command.process_group(0).stdin(Stdio::null()).spawn();
        Ok(Self(child.with_context(|| format!("cannot start {}", command.get_program().display()))?))
    }

    /// Exit status, if the process has exited.
    pub(crate) fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) -> Result<()> {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        Ok(kill_process(pid, Signal::TERM)?)
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_memory(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// Makes the present memory the highest so far.
    pub(crate) fn reset_peak_memory(&self) -> Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.id()), "5")?)
    }

    /// The highest resident memory so far, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no memory in /proc")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// Takes the standard output, which must be piped and not taken yet.
    pub(crate) fn output(&mut self) -> Result<ChildStdout> {
        self.0.stdout.take().context("standard output is not piped or was taken already")
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // Fails if the group has exited already.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// Raises this process's limit of open files, which is often 1,024 for a shell's processes.
///
/// # Errors
/// If the system refuses it.
pub fn raise_open_files() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
