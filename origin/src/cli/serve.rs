//! `tollgate serve`

use std::io::Write as _;

use tokio::signal;

use super::user::first_admin;
use crate::server::Server;
use crate::settings::Settings;

pub(super) async fn run(settings: Settings) -> anyhow::Result<()> {
    // Heard from here on: whoever stops a start that is not through yet must not cut off what it answers already.
    let asked_to_stop = asked_to_stop()?;
    let server = Server::start(settings).await?;
    if let Some(password) = first_admin(server.store()).await? {
        show_first_admin(server.issuer(), &password);
    }
    asked_to_stop.await?;
    tracing::info!("stopping");
    server.shutdown().await;
    Ok(())
}

/// To whoever watches the start, and not to the log: logs are kept, and read by others.
fn show_first_admin(issuer: &str, password: &str) {
    let mut stderr = std::io::stderr().lock();
    // A closed standard error is no reason not to serve: `tollgate user password admin` makes another.
    let _ = writeln!(
        stderr,
        "\nThere were no users yet. The first one may use the console:\n\n    name      admin\n    password  {password}\n\n\
         It is shown this once; only its hash is stored. Sign in at {issuer}/login\n"
    );
}

/// Listens for Ctrl-C and, where there is such a thing, SIGTERM; waits for the first of them since.
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
