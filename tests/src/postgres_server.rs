//! A PostgreSQL server started for one test, with settings of its choice.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
use tempfile::TempDir;

use crate::environment::free_port;

use crate::process::ChildProcess;

/// Longest wait for the server to start, on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// PostgreSQL server, stopped when dropped.
pub struct PostgresServer {
    url: String,
    _program: ChildProcess,
    _folder: TempDir,
}

impl PostgresServer {
    /// Starts a server with these settings (`name=value`).
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start.
    pub async fn start(settings: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (data, port) = (folder.path().join("data"), free_port()?);
        let account = unprivileged()?;
        if let Some((uid, gid)) = account {
            chown(folder.path(), Some(uid), Some(gid))?;
        }
        let mut initdb = command(account, "initdb");
        initdb.arg("-D").arg(&data).args([
            "--username=postgres",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        let output = initdb.current_dir(folder.path()).output()?;
        ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let mut server = command(account, "postgres");
        server.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-p", &port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1"].iter().chain(settings) {
            server.args(["-c", setting]);
        }
        let log = fs::File::create(folder.path().join("server.log"))?;
        let server = server.current_dir(folder.path()).stdout(Stdio::null()).stderr(log);
        let program = ChildProcess::start(server)?;
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        let server = Self { url, _program: program, _folder: folder };
        let started = Instant::now();
        while let Err(error) = server.connect().await {
            if started.elapsed() > START_TIMEOUT {
                bail!("PostgreSQL does not answer: {error}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    /// URL of its database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Executes a statement as superuser.
    ///
    /// # Errors
    /// If the statement fails.
    pub async fn execute(&self, sql: &str) -> Result<()> {
        self.connect().await?.execute(AssertSqlSafe(sql.to_owned())).await?;
        Ok(())
    }

    /// Runs a query and returns the text of its only column.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn query(&self, sql: &str) -> Result<Option<String>> {
        let query = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
        Ok(query.fetch_one(&mut self.connect().await?).await?)
    }

    async fn connect(&self) -> Result<PgConnection> {
        Ok(PgConnectOptions::from_str(&self.url)?.connect().await?)
    }
}

/// The account to run the server as, because PostgreSQL refuses to run as root; none if this
/// process is not root.
fn unprivileged() -> Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd")?;
    let account = ["postgres", "nobody"].iter().find_map(|name| {
        let mut fields =
            accounts.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name))?;
        Some((fields.nth(2)?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    Ok(Some(account.context("no account to run PostgreSQL as")?))
}

/// A program of the server: Debian's newest version, or the one in `PATH`.
fn command(account: Option<(u32, u32)>, program: &str) -> Command {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin").join(program)))
        })
        .max();
    let program = newest.map_or_else(|| PathBuf::from(program), |(_, path)| path);
    match account {
        None => Command::new(program),
        Some((uid, gid)) => {
            let mut setpriv = Command::new("setpriv");
            setpriv.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups"]).arg(program);
            setpriv
        }
    }
}
