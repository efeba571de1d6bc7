//! A real PostgreSQL for the tests: its own data folder, port and life, gone when the tests are.

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
    process::{Process, pause},
    progress,
    workspace::{Scratch, command, find_in_path},
};

const START_LIMIT: Duration = Duration::from_secs(30);

/// A running server. Dropping it stops the server, then removes its folder (fields are dropped in this order).
pub(crate) struct Postgres {
    _server: Process,
    _folder: Scratch,
    /// Where tests connect, as a superuser without a password.
    pub(crate) url: String,
}

/// The folder of the server's programs: the newest of Debian's, or the one in `PATH`.
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
pub(crate) enum Disk {
    /// As PostgreSQL does unless told otherwise: what is measured is what an operator gets.
    Awaited,
    /// The data dies with the run: waiting would test nothing.
    Ignored,
}

impl Postgres {
    pub(crate) fn start(disk: Disk) -> Result<Self> {
        let start = Instant::now();
        let bin = programs().context("no PostgreSQL server: run `cargo xtask setup`")?;
        let folder = Scratch::new("postgres")?;
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
        if disk == Disk::Ignored {
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
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let mut probe = command(bin.join("pg_isready"));
        let probe = probe.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        if probe.status().context("cannot run pg_isready")?.success() {
            return Ok(());
        }
        server.check_alive()?;
        if Instant::now() > deadline {
            bail!("PostgreSQL did not answer within {} s\n{}", START_LIMIT.as_secs(), server.last_words());
        }
        pause()?;
    }
}

/// A port nobody listens on now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// PostgreSQL refuses to run as root; then an unprivileged account runs it.
enum ServerUser {
    Ourselves,
    Other { uid: u32, gid: u32 },
}

impl ServerUser {
    fn choose() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ourselves);
        }
        let accounts = fs::read_to_string("/etc/passwd").context("cannot read the accounts")?;
        let find = |name: &str| {
            let mut fields =
                accounts.lines().map(|line| line.split(':')).find(|line| line.clone().next() == Some(name))?.skip(2);
            Some(Self::Other { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
        };
        find("postgres")
            .or_else(|| find("nobody"))
            .context("no account to run PostgreSQL as: it refuses to run as root")
    }

    fn own(&self, folder: &Path) -> Result<()> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { uid, gid } => Ok(chown(folder, Some(*uid), Some(*gid))?),
        }
    }

    fn command(&self, program: &Path) -> Command {
        match self {
            Self::Ourselves => command(program),
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
    fn a_server_starts_and_leaves_nothing_behind() -> Result<()> {
        let server = Postgres::start(Disk::Ignored)?;
        let (address, folder) =
            (server.url.split(['@', '/']).nth(3).context("no address")?.to_owned(), server._folder.0.clone());
        TcpStream::connect(&address)?;
        drop(server);
        assert!(TcpStream::connect(&address).is_err(), "still listening on {address}");
        assert!(!folder.exists(), "{} is left", folder.display());
        Ok(())
    }
}
