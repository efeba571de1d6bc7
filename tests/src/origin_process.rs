//! `tollgate serve` as a program of its own, that can be killed at any moment and started again on the same database.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::database::TestDatabase;
use crate::environment::{free_port, install_tls_provider, programs_dir, required_env};
use crate::origin::AUDIENCE;
use crate::process::ChildProcess;
use crate::secret_leaks::find_secrets;

/// How long a start may take on a busy machine before the test gives up.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Where a process with a clock of its own reads it.
const CLOCK_FILE: &str = "clock";

/// The library that gives a process a clock of its own: the one that `cargo xtask test` found, or Debian's.
fn faketime() -> Result<PathBuf> {
    if let Some(library) = std::env::var_os("TOLLGATE_TEST_FAKETIME") {
        return Ok(library.into());
    }
    let folders = fs::read_dir("/usr/lib")?.flatten();
    let library = folders.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file());
    library.context("no libfaketime: run the tests by `cargo xtask test`, or install Debian's package libfaketime")
}

/// An origin in a process of its own.
pub struct OriginProcess {
    /// Where it answers when it runs, and its issuer.
    pub url: String,
    settings: Vec<(&'static str, String)>,
    database: TestDatabase,
    folder: TempDir,
    program: Option<ChildProcess>,
}

impl OriginProcess {
    /// An origin that does not run yet.
    pub fn new(database: TestDatabase) -> Result<Self> {
        install_tls_provider();
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let url = format!("http://127.0.0.1:{port}");
        let database_url = database.url(folder.path())?;
        let settings = vec![
            ("TOLLGATE_LISTEN", format!("127.0.0.1:{port}")),
            ("TOLLGATE_PUBLIC_URL", url.clone()),
            ("TOLLGATE_DATABASE_URL", database_url),
            ("TOLLGATE_MASTER_KEY_FILE", folder.path().join("master.key").display().to_string()),
            ("TOLLGATE_AUDIENCE", AUDIENCE.to_owned()),
        ];
        Ok(Self { url, settings, database, folder, program: None })
    }

    /// Another origin of the same issuer, on the same database with the same keys, at an address of its own. It does not run yet.
    pub fn second_origin(&self) -> Result<Self> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let mut settings = self.settings.clone();
        settings.retain(|(name, _)| *name != "TOLLGATE_LISTEN");
        settings.push(("TOLLGATE_LISTEN", format!("127.0.0.1:{port}")));
        let database = TestDatabase::Shared(self.database.url(self.folder.path())?);
        Ok(Self { url: format!("http://127.0.0.1:{port}"), settings, database, folder, program: None })
    }

    /// Sets a setting, from the next start on.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.settings.retain(|(other, _)| *other != name);
        self.settings.push((name, value.to_owned()));
    }

    /// Gives the process a clock of its own from the next start on, which [`OriginProcess::set_clock`] moves while it runs. Only the time of day
    /// is its own: monotonic time, and with it every timer, runs as it does for all.
    ///
    /// # Errors
    /// When libfaketime is missing or the clock cannot be written.
    pub fn fake_clock(&mut self) -> Result<()> {
        self.set_clock(0)?;
        let library = faketime()?.display().to_string();
        let clock = self.folder.path().join(CLOCK_FILE).display().to_string();
        for (name, value) in [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", clock.as_str()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ] {
            self.set(name, value);
        }
        Ok(())
    }

    /// Sets the process's clock to this many seconds ahead of the machine's; behind it, if negative.
    ///
    /// # Errors
    /// When the clock cannot be written.
    pub fn set_clock(&self, seconds: i64) -> Result<()> {
        // By renaming: the process reads the file at any moment.
        let new = self.folder.path().join("clock.new");
        fs::write(&new, format!("{seconds:+}s\n"))?;
        Ok(fs::rename(new, self.folder.path().join(CLOCK_FILE))?)
    }

    /// Starts it; how long it took until it answered.
    pub async fn start(&mut self, http: &reqwest::Client) -> Result<Duration> {
        let log = File::options().create(true).append(true).open(self.folder.path().join("origin.log"))?;
        let started = Instant::now();
        let mut command = self.command(&["serve"]);
        self.program = Some(ChildProcess::start(command.stdout(log.try_clone()?).stderr(log))?);
        let live = format!("{}/health/live", self.url);
        while !http.get(&live).send().await.is_ok_and(|answer| answer.status() == 200) {
            if started.elapsed() > TIMEOUT {
                bail!("the origin does not answer: {}", self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(started.elapsed())
    }

    /// `kill -9`: the process ends between two instructions, whatever it was doing.
    pub fn kill(&mut self) {
        self.program = None;
    }

    /// SIGTERM: asks it to end by itself.
    pub fn terminate(&self) -> Result<()> {
        self.program.as_ref().context("it does not run")?.terminate()
    }

    /// Waits until it ended by itself; its exit code.
    pub async fn wait_for_exit(&mut self) -> Result<Option<i32>> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.program.as_mut().context("it does not run")?.ended()? {
                return Ok(status.code());
            }
            if started.elapsed() > TIMEOUT {
                bail!("it does not end: {}", self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Runs a verb of the command line on its database; what it printed.
    pub fn cli(&self, arguments: &[&str]) -> Result<String> {
        self.cli_with(arguments, "")
    }

    /// The same, with this on its standard input.
    pub fn cli_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        // A verb that reads nothing may have ended already.
        let _ = child.stdin.take().context("standard input")?.write_all(input.as_bytes());
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("tollgate {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What is resident of its memory, in bytes.
    pub fn resident_memory(&self) -> Result<u64> {
        let program = self.program.as_ref().context("it does not run")?;
        let status = fs::read_to_string(format!("/proc/{}/status", program.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("/proc tells no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// The file with its master key.
    pub fn master_key(&self) -> PathBuf {
        self.folder.path().join("master.key")
    }

    /// Writes a file into its working folder.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.folder.path().join(name), text)?)
    }

    /// All that it logged.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("origin.log"))?)
    }

    /// The end of what it logged.
    pub fn log_tail(&self) -> String {
        let log = self.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Ends it, and its database with it.
    pub async fn end(mut self) -> Result<()> {
        self.kill();
        self.database.end().await
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let has_fake_clock = self.settings.iter().any(|(name, _)| *name == "LD_PRELOAD");
        let program = if has_fake_clock { "tollgate-on-system-allocator" } else { "tollgate" };
        let mut command = Command::new(programs_dir().join(program));
        command.args(arguments).envs(self.settings.clone()).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }
}

impl Drop for OriginProcess {
    /// Whatever the test was about: no server of the suite writes a secret.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let log = self.log().unwrap_or_default();
            assert_eq!(find_secrets(&log, &[]), [], "secrets in the log");
        }
    }
}
