//! A Redis server started for one test, which can be stopped and restarted at the same address.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::environment::{free_port, required_env};

use crate::process::ChildProcess;

/// Longest wait for Redis to listen, on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Redis server, stopped when dropped.
pub struct RedisServer {
    address: SocketAddr,
    folder: TempDir,
    program: Option<ChildProcess>,
}

impl RedisServer {
    /// Starts an empty server.
    pub fn start() -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut redis = Self { address, folder: tempfile::tempdir()?, program: None };
        redis.restart()?;
        Ok(redis)
    }

    /// Value for `TOLLGATE_REDIS_URL`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Kills the server; its data is lost.
    pub fn stop(&mut self) {
        self.program = None;
    }

    /// Starts an empty server at the same address.
    pub fn restart(&mut self) -> Result<()> {
        self.program = Some(ChildProcess::start(&mut self.command(self.folder.path()))?);
        let started = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if started.elapsed() > START_TIMEOUT {
                bail!("Redis does not listen on {} after {START_TIMEOUT:?}", self.address);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(required_env("TOLLGATE_TEST_REDIS"));
        let port = self.address.port().to_string();
        command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(folder).stdout(Stdio::null());
        command
    }
}
