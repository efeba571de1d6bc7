//! Environment variables, the clock, free ports, and the TLS provider.

use std::env;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

/// Unix seconds.
pub fn now() -> u64 {
    now_ms() / 1000
}

/// Unix milliseconds.
#[expect(clippy::disallowed_methods, reason = "the wall clock of the tests")]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970");
    u64::try_from(since.as_millis()).expect("a clock before the year 584,554,531")
}

/// A required environment variable that `cargo xtask test` sets.
pub fn required_env(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with `cargo xtask test`"))
}

/// Directory of the built programs.
pub fn programs_dir() -> PathBuf {
    PathBuf::from(required_env("TOLLGATE_TEST_BIN_DIR"))
}

/// A TCP port that is free at the moment.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Installs ring as the TLS provider, as the programs do. Later calls change nothing.
pub fn install_tls_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A command without the `TOLLGATE_` variables of the tests' environment.
pub fn command_without_settings(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TOLLGATE_")) {
        command.env_remove(name);
    }
    command
}
