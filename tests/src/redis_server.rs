//! A real Redis of a test's own, that can be stopped and started again at the same address.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::environment::{free_port, required_env};

use crate::process::ChildProcess;

/// How long a start may take on a busy machine before the test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Redis server.
pub struct RedisServer {
    address: SocketAddr,
    folder: TempDir,
    program: Option<ChildProcess>,
}

impl RedisServer {
    /// Starts one with nothing in it.
    pub fn start() -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut redis = Self { address, folder: tempfile::tempdir()?, program: None };
        redis.start_again()?;
        Ok(redis)
    }

    /// For `TOLLGATE_REDIS_URL`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Ends it at once. What it knew is gone.
    pub fn stop(&mut self) {
        self.program = None;
    }

    /// Starts it at the same address, with nothing in it.
    pub fn start_again(&mut self) -> Result<()> {
        self.program = Some(ChildProcess::start(&mut self.command(self.folder.path()))?);
        let started = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if started.elapsed() > PATIENCE {
                bail!("Redis does not listen on {} after {PATIENCE:?}", self.address);
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
