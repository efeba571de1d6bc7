//! `tollgate serve`

use std::io::Write as _;
use std::time::Duration;

use tokio::signal;
use tokio::time::sleep;
use tollgate_config::Settings;
use tollgate_storage::{Store, StoreError};
use tollgate_system::{Clock, rng};

use super::user::create_first_admin;
use crate::server::Server;

/// Flags of `tollgate serve` that are not settings.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct StartFlags {
    /// Exit with an error if the database cannot be reached, instead of waiting for it
    #[arg(long)]
    no_wait: bool,
}

/// Delay before the database is tried again; doubles with each attempt up to the maximum.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

pub(super) async fn run(settings: Settings, flags: StartFlags) -> anyhow::Result<()> {
    // Signals are handled from here on, so that stopping during the start does not cut off requests
    // that are already served.
    let stop_signal = stop_signal()?;
    tokio::pin!(stop_signal);
    let store = tokio::select! {
        store = open(&settings.database_url, flags.no_wait) => store?,
        stopped = &mut stop_signal => return Ok(stopped?),
    };
    let server = Box::pin(Server::start_on(store, settings, Clock::system())).await?;
    match create_first_admin(server.store()).await {
        Ok(Some(password)) => show_first_admin(server.issuer(), &password),
        Ok(None) => {}
        // Requests are served already, so an outage at this moment must not end the process.
        Err(error) => tracing::error!(
            error = format!("{error:#}"),
            "cannot look for administrators; if there is none, the next start creates one, as does `tollgate user create --admin`"
        ),
    }
    stop_signal.await?;
    tracing::info!("stopping");
    server.shutdown().await;
    Ok(())
}

/// Opens the database. Retries while it cannot be reached, unless `no_wait`.
async fn open(url: &str, no_wait: bool) -> Result<Store, StoreError> {
    let mut delay = FIRST_RETRY_DELAY;
    loop {
        match Store::open(url).await {
            Err(StoreError::Unreachable { address, reason }) if !no_wait => {
                let retry_ms = delay.as_millis();
                tracing::warn!(address, reason, retry_ms, "the database cannot be reached; waiting for it");
                sleep(delay.mul_f64(0.5 + rng::jitter() / 2.0)).await;
                delay = (delay * 2).min(MAX_RETRY_DELAY);
            }
            opened => return opened,
        }
    }
}

/// Prints the password to standard error, not to the log: logs are stored, and read by others.
fn show_first_admin(issuer: &str, password: &str) {
    let mut stderr = std::io::stderr().lock();
    // A closed standard error does not prevent serving: `tollgate user password admin` sets another
    // password.
    let _ = writeln!(
        stderr,
        "\nThe database had no users. Created an administrator for the console:\n\n    name      admin\n    password  {password}\n\n\
         The password is shown only once; the database stores its hash. Sign in at {issuer}/login\n"
    );
}

/// Registers handlers for SIGINT (Ctrl-C) and SIGTERM; the future waits for the first signal.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = std::io::Result<()>>> {
    let mut interrupt = signal::unix::signal(signal::unix::SignalKind::interrupt())?;
    let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    })
}

/// Waits for Ctrl-C.
#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = std::io::Result<()>>> {
    Ok(signal::ctrl_c())
}
