//! Environment variables, clocks and ports that tests share.

use std::env;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

/// Unix seconds.
pub fn now() -> u64 {
    now_ms() / 1000
}

/// Unix milliseconds.
#[expect(clippy::disallowed_methods, reason = "the clock of the tests")]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970");
    u64::try_from(since.as_millis()).expect("a clock before the year 584,554,531")
}

/// A setting that `cargo xtask test` gives to the tests.
pub fn required_env(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests by `cargo xtask test`"))
}

/// The folder of the programs.
pub fn programs_dir() -> PathBuf {
    PathBuf::from(required_env("TOLLGATE_TEST_BIN_DIR"))
}

/// A port that nobody uses now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// ring does TLS, as in the programs; a second installation is as good as the first.
pub fn install_tls_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
