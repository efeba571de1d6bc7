//! `tollgate serve`

use std::io::Write as _;
use std::time::Duration;

use tokio::signal;
use tokio::time::sleep;
use tollgate_config::Settings;
use tollgate_storage::{Store, StoreError};
use tollgate_system::rng;

use super::user::first_admin;
use crate::server::Server;

/// Flags of `tollgate serve` that are no settings.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct StartFlags {
    /// End with an error if the database cannot be reached, instead of waiting for it
    #[arg(long)]
    no_wait: bool,
}

/// The pause before the database is tried again: doubled each time, to at most five
/// seconds.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

pub(super) async fn run(settings: Settings, flags: StartFlags) -> anyhow::Result<()> {
    // Heard from here on: whoever stops a start that is not through yet must not cut off
    // what it answers already.
    let asked_to_stop = asked_to_stop()?;
    tokio::pin!(asked_to_stop);
    let store = tokio::select! {
        store = open(&settings.database_url, flags.no_wait) => store?,
        stopped = &mut asked_to_stop => return Ok(stopped?),
    };
    let server = Server::start_on(store, settings).await?;
    if let Some(password) = first_admin(server.store()).await? {
        show_first_admin(server.issuer(), &password);
    }
    asked_to_stop.await?;
    tracing::info!("stopping");
    server.shutdown().await;
    Ok(())
}

/// Opens the database; waits for one that cannot be reached, unless `no_wait`.
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

/// To whoever watches the start, and not to the log: logs are kept, and read by
/// others.
fn show_first_admin(issuer: &str, password: &str) {
    let mut stderr = std::io::stderr().lock();
    // A closed standard error is no reason not to serve: `tollgate user password admin`
    // makes another.
    let _ = writeln!(
        stderr,
        "\nThere were no users yet. The first one may use the console:\n\n    name      admin\n    password  {password}\n\n\
         It is shown this once; only its hash is stored. Sign in at {issuer}/login\n"
    );
}

/// Listens for Ctrl-C and, where there is such a thing, SIGTERM; waits for the first
/// of them since.
#[cfg(unix)]
fn asked_to_stop() -> std::io::Result<impl Future<Output = std::io::Result<()>>> {
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
fn asked_to_stop() -> std::io::Result<impl Future<Output = std::io::Result<()>>> {
    Ok(signal::ctrl_c())
}
