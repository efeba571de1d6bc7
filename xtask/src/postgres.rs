//! A PostgreSQL server for the tests and benchmarks, with its own data folder and port, removed
//! when they end.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    process::{Process, poll_delay},
    progress,
    workspace::{TempFolder, command, find_in_path},
};

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A running server. Dropping it stops the server, then removes its folder: fields are dropped in
/// this order.
pub(crate) struct Postgres {
    _server: Process,
    _folder: TempFolder,
    /// URL with a superuser that has no password.
    pub(crate) url: String,
}

/// Folder of the server's programs: the newest version that Debian installed, or the one in `PATH`.
pub(crate) fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter(|entry| entry.path().join("bin/initdb").is_file())
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
        .max();
    newest.map(|(_, bin)| bin).or_else(|| Some(find_in_path("initdb")?.parent()?.to_owned()))
}

/// Whether commits wait for the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// PostgreSQL's default, as in operation: for benchmarks.
    Fsync,
    /// No waiting: the tests' data ends with the run.
    None,
}

impl Postgres {
    pub(crate) fn start(durability: Durability) -> Result<Self> {
        let start = Instant::now();
        let bin = programs().context("no PostgreSQL server: run `cargo xtask setup`")?;
        let folder = TempFolder::new("postgres")?;
        let user = ServerUser::choose()?;
        user.own(&folder.0)?;
        let data = folder.0.join("data");
        initialise(&bin, &data, &user, &folder.0)?;

        let port = free_port()?;
        let mut server = user.command(&bin.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(&folder.0).args(["-p", &port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "max_connections=300"] {
            server.args(["-c", setting]);
        }
        if durability == Durability::None {
            server.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
        }
        let mut server = Process::logged("PostgreSQL", server.current_dir(&folder.0), &folder.0.join("server.log"))?;
        wait_ready(&bin, port, &mut server)?;
        println!("PostgreSQL: ready in {}", progress::seconds(start));
        Ok(Self { _server: server, _folder: folder, url: format!("postgres://postgres@127.0.0.1:{port}/postgres") })
    }
}

fn initialise(bin: &Path, data: &Path, user: &ServerUser, folder: &Path) -> Result<()> {
    let mut initdb = user.command(&bin.join("initdb"));
    initdb.arg("-D").arg(data).args([
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    ]);
    let output = initdb.current_dir(folder).output().context("cannot run initdb")?;
    if !output.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn wait_ready(bin: &Path, port: u16, server: &mut Process) -> Result<()> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let mut probe = command(bin.join("pg_isready"));
        let probe = probe.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        if probe.status().context("cannot run pg_isready")?.success() {
            return Ok(());
        }
        server.check_alive()?;
        if Instant::now() > deadline {
            bail!("PostgreSQL is not ready after {} s\n{}", START_TIMEOUT.as_secs(), server.log_tail());
        }
        poll_delay()?;
    }
}

/// A free port.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Account of the server. PostgreSQL refuses to run as root, so root starts it with an unprivileged
/// account.
enum ServerUser {
    Current,
    Other { uid: u32, gid: u32 },
}

impl ServerUser {
    fn choose() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Current);
        }
        let accounts = fs::read_to_string("/etc/passwd").context("cannot read the accounts")?;
        let find = |name: &str| {
            let mut fields =
                accounts.lines().map(|line| line.split(':')).find(|line| line.clone().next() == Some(name))?.skip(2);
            Some(Self::Other { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
        };
        find("postgres")
            .or_else(|| find("nobody"))
            .context("PostgreSQL refuses to run as root, and there is no account postgres or nobody")
    }

    fn own(&self, folder: &Path) -> Result<()> {
        match self {
            Self::Current => Ok(()),
            Self::Other { uid, gid } => Ok(chown(folder, Some(*uid), Some(*gid))?),
        }
    }

    fn command(&self, program: &Path) -> Command {
        match self {
            Self::Current => command(program),
            Self::Other { uid, gid } => {
                let mut setpriv = command("setpriv");
                setpriv.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups"]).arg(program);
                setpriv
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn server_starts_and_leaves_nothing_behind() -> Result<()> {
        let server = Postgres::start(Durability::None)?;
        let (address, folder) =
            (server.url.split(['@', '/']).nth(3).context("no address")?.to_owned(), server._folder.0.clone());
        TcpStream::connect(&address)?;
        drop(server);
        assert!(TcpStream::connect(&address).is_err(), "still listening on {address}");
        assert!(!folder.exists(), "{} is left", folder.display());
        Ok(())
    }
}
