//! `tollgate serve` as a child process: tests can kill it at any moment and restart it on the same
//! database.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::database::TestDatabase;
use crate::environment::{free_port, install_tls_provider, programs_dir};
use crate::origin::AUDIENCE;
use crate::process::ChildProcess;
use crate::secret_leaks::find_secrets;

/// Longest wait for the process to start or exit, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Name of the file from which a process with a fake clock reads its time.
const CLOCK_FILE: &str = "clock";

/// Returns libfaketime: the library that `cargo xtask test` found, or Debian's.
fn faketime() -> Result<PathBuf> {
    if let Some(library) = std::env::var_os("TOLLGATE_TEST_FAKETIME") {
        return Ok(library.into());
    }
    let folders = fs::read_dir("/usr/lib")?.flatten();
    let library = folders.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file());
    library.context("no libfaketime: run the tests with `cargo xtask test`, or install Debian's package libfaketime")
}

/// An origin in its own process.
pub struct OriginProcess {
    /// Base URL of the running origin, and its issuer.
    pub url: String,
    settings: Vec<(&'static str, String)>,
    database: TestDatabase,
    folder: TempDir,
    /// Program of another version, in place of the one that was built.
    other_program: Option<PathBuf>,
    program: Option<ChildProcess>,
}

impl OriginProcess {
    /// Prepares an origin without starting it.
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
        Ok(Self { url, settings, database, folder, other_program: None, program: None })
    }

    /// Prepares a second origin of the same issuer: same database and keys, its own address. Does
    /// not start it.
    pub fn second_origin(&self) -> Result<Self> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let mut settings = self.settings.clone();
        settings.retain(|(name, _)| *name != "TOLLGATE_LISTEN");
        settings.push(("TOLLGATE_LISTEN", format!("127.0.0.1:{port}")));
        let database = TestDatabase::Shared(self.database.url(self.folder.path())?);
        Ok(Self {
            url: format!("http://127.0.0.1:{port}"),
            settings,
            database,
            folder,
            other_program: None,
            program: None,
        })
    }

    /// Runs this program from the next start or command on.
    pub fn use_program(&mut self, program: &Path) {
        self.other_program = Some(program.to_owned());
    }

    /// Sets a setting for the next start.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.settings.retain(|(other, _)| *other != name);
        self.settings.push((name, value.to_owned()));
    }

    /// Gives the process a fake wall clock from the next start; [`OriginProcess::set_clock`] moves
    /// it while the process runs. Monotonic time, and with it every timer, stays real.
    ///
    /// # Errors
    /// If libfaketime is missing or the clock file cannot be written.
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

    /// Sets the fake clock to the machine's time plus `seconds`, which may be negative.
    ///
    /// # Errors
    /// If the clock file cannot be written.
    pub fn set_clock(&self, seconds: i64) -> Result<()> {
        // Renames the file into place, because the process may read it at any moment.
        let new = self.folder.path().join("clock.new");
        fs::write(&new, format!("{seconds:+}s\n"))?;
        Ok(fs::rename(new, self.folder.path().join(CLOCK_FILE))?)
    }

    /// Starts the process and returns how long it took to answer.
    pub async fn start(&mut self, http: &reqwest::Client) -> Result<Duration> {
        let log = File::options().create(true).append(true).open(self.folder.path().join("origin.log"))?;
        let started = Instant::now();
        let mut command = self.command(&["serve"]);
        self.program = Some(ChildProcess::start(command.stdout(log.try_clone()?).stderr(log))?);
        let live = format!("{}/health/live", self.url);
        while !http.get(&live).send().await.is_ok_and(|answer| answer.status() == 200) {
            if started.elapsed() > TIMEOUT {
                bail!("the origin did not start: {}", self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(started.elapsed())
    }

    /// Sends SIGKILL: the process ends between two instructions.
    pub fn kill(&mut self) {
        self.program = None;
    }

    /// Sends SIGTERM: asks the process to shut down.
    pub fn terminate(&self) -> Result<()> {
        self.program.as_ref().context("the process is not running")?.terminate()
    }

    /// Waits until the process exits, and returns its exit code.
    pub async fn wait_for_exit(&mut self) -> Result<Option<i32>> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.program.as_mut().context("the process is not running")?.exit_status()? {
                return Ok(status.code());
            }
            if started.elapsed() > TIMEOUT {
                bail!("the process did not exit: {}", self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Runs a CLI command on the origin's database and returns its standard output.
    pub fn cli(&self, arguments: &[&str]) -> Result<String> {
        self.cli_with(arguments, "")
    }

    /// Runs a CLI command with this standard input.
    pub fn cli_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        // A command that reads no input may have exited already.
        let _ = child.stdin.take().context("standard input")?.write_all(input.as_bytes());
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("tollgate {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Starts a CLI command with piped output.
    pub fn spawn(&self, arguments: &[&str]) -> Result<Child> {
        Ok(self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    }

    /// Starts a shell script in the working directory of the process, with its settings and with
    /// the programs in the path.
    pub fn spawn_shell(&self, script: &str) -> Result<Child> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([programs_dir()].into_iter().chain(std::env::split_paths(&path)))?;
        let mut shell = Command::new("sh");
        shell.args(["-euc", script]).envs(self.settings.clone()).env("PATH", path).current_dir(self.folder.path());
        Ok(shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    }

    /// URL of its database.
    pub fn database_url(&self) -> &str {
        let url = self.settings.iter().find(|(name, _)| *name == "TOLLGATE_DATABASE_URL");
        url.map_or("", |(_, url)| url.as_str())
    }

    /// Deletes the files of its SQLite database.
    pub fn delete_files(&self) -> Result<()> {
        let path = self.database_url().trim_start_matches("sqlite://").to_owned();
        for suffix in ["", "-wal", "-shm"] {
            match fs::remove_file(format!("{path}{suffix}")) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Resident memory of the process, in bytes.
    pub fn resident_memory(&self) -> Result<u64> {
        self.program.as_ref().context("the process is not running")?.resident_memory()
    }

    /// Path of the master key file.
    pub fn master_key(&self) -> PathBuf {
        self.folder.path().join("master.key")
    }

    /// Writes a file into the working directory of the process.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.folder.path().join(name), text)?)
    }

    /// Everything the process logged.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("origin.log"))?)
    }

    /// The last 20 lines that the process logged.
    pub fn log_tail(&self) -> String {
        let log = self.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Kills the process and deletes its database.
    pub async fn delete(mut self) -> Result<()> {
        self.kill();
        self.database.delete().await
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let has_fake_clock = self.settings.iter().any(|(name, _)| *name == "LD_PRELOAD");
        let program = if has_fake_clock { "tollgate-on-system-allocator" } else { "tollgate" };
        let program = self.other_program.clone().unwrap_or_else(|| programs_dir().join(program));
        let mut command = Command::new(program);
        command.args(arguments).envs(self.settings.clone()).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }
}

impl Drop for OriginProcess {
    /// Fails the test if the log contains a secret, whatever the test checks otherwise.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let log = self.log().unwrap_or_default();
            assert_eq!(find_secrets(&log, &[]), [], "secrets in the log");
        }
    }
}
