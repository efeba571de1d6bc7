//! A clean Debian system in a folder, entered by `chroot`: packages are installed there by its own
//! dpkg.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::environment::{command_without_settings, required_env};
use crate::process::ChildProcess;

/// Longest wait for a server to answer, on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The system, deleted when dropped.
pub struct DebianRoot(TempDir);

impl DebianRoot {
    /// Unpacks the minimal system that `cargo xtask test` has bootstrapped.
    ///
    /// # Errors
    /// If the process is not root, which chroot needs.
    pub fn unpack() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let archive = required_env("TOLLGATE_TEST_DEBIAN_ROOT");
        run(Command::new("tar").args(["--extract", "--numeric-owner", "--file", &archive]).current_dir(&folder))
            .context("this test needs root")?;
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(Self(folder))
    }

    /// Installs package files by the system's dpkg.
    ///
    /// # Errors
    /// With dpkg's output, if one cannot be installed.
    pub fn install(&self, packages: &[PathBuf]) -> Result<()> {
        let mut dpkg = self.command("root", "dpkg");
        dpkg.arg("--install").env("DEBIAN_FRONTEND", "noninteractive");
        for package in packages {
            let name = package.file_name().context("a package file")?;
            fs::copy(package, self.0.path().join("tmp").join(name))?;
            dpkg.arg(Path::new("/tmp").join(name));
        }
        run(&mut dpkg).map(drop)
    }

    /// A command of the system, run by one of its users without the tests' settings.
    #[must_use]
    pub fn command(&self, user: &str, program: &str) -> Command {
        let mut command = command_without_settings("chroot");
        command.arg("--userspec").arg(format!("{user}:{user}")).arg(self.0.path()).arg(program);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/nonexistent").env_remove("XDG_CACHE_HOME");
        command.env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    /// Runs a command of the system to its end, and returns its standard output.
    ///
    /// # Errors
    /// With its standard error, if it fails.
    pub fn run<S: AsRef<OsStr>>(&self, user: &str, program: &str, arguments: &[S]) -> Result<String> {
        run(self.command(user, program).args(arguments))
    }

    /// Path of the system's file in the file system of the tests.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    /// Starts a server of the system and waits until `url` answers with 200.
    ///
    /// # Errors
    /// With the end of its log, if it does not answer.
    pub async fn start(&self, command: &mut Command, http: &reqwest::Client, url: &str) -> Result<ChildProcess> {
        let path = self.path("/tmp/server.log");
        let log = fs::File::options().create(true).append(true).open(&path)?;
        let mut server = ChildProcess::start(command.stdout(log.try_clone()?).stderr(log))?;
        let started = Instant::now();
        while !http.get(url).send().await.is_ok_and(|answer| answer.status() == 200) {
            if server.exit_status()?.is_some() || started.elapsed() > START_TIMEOUT {
                bail!("{url} does not answer: {}", fs::read_to_string(&path)?);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(server)
    }
}

/// Runs a command to its end, and returns its standard output.
///
/// # Errors
/// With its output, if it fails.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
