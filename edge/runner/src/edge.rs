//! A running edge.

use crate::component::ComponentGate;
use crate::server::{self, Gate};
use crate::spin::SpinGate;
use crate::{GateKind, Program, SettingError, Settings};
use std::fmt;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Why an edge did not start; displays as one line.
#[derive(Debug)]
pub enum StartError {
    /// A setting is wrong: the line names it.
    Setting(SettingError),
    /// Something else, in one line.
    Failed(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Setting(error) => error.fmt(f),
            StartError::Failed(line) => f.write_str(line),
        }
    }
}

impl std::error::Error for StartError {}

impl From<SettingError> for StartError {
    fn from(error: SettingError) -> StartError {
        StartError::Setting(error)
    }
}

/// An edge that serves. Dropping it stops it without waiting; [`shutdown`](Edge::shutdown) lets running requests end.
pub struct Edge {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Edge {
    /// Loads the component, binds the address and serves. It is ready to answer when this returns, though its first
    /// snapshot may still be on the way. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When a setting is wrong, the address is taken, or the component does not run.
    pub async fn start(settings: Settings) -> Result<Edge, StartError> {
        // Fails only when another one is installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let path = settings.component_path()?;
        let loading = tokio::task::spawn_blocking(move || Program::load(&path));
        let program = loading.await.map_err(|error| StartError::Failed(error.to_string()))?;
        let program = program.map_err(|error| SettingError::new("TOLLGATE_EDGE_COMPONENT", error))?;
        let cannot_bind = |error| {
            SettingError::new("TOLLGATE_EDGE_LISTEN", format_args!("cannot be bound: {}: {error}", settings.listen))
        };
        let listener = TcpListener::bind(settings.listen).await.map_err(cannot_bind)?;
        let address = listener.local_addr().map_err(cannot_bind)?;
        prepare_store(&settings).await?;
        let gate = match settings.gate {
            GateKind::Component => Gate::Component(Box::new(ComponentGate::start(program, &settings)?)),
            GateKind::Spin => Gate::Spin(Box::new(SpinGate::start(program, &settings).await?)),
        };
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(server::serve(listener, gate, settings.max_connections, stopped));
        Ok(Edge { address, stop, served })
    }

    /// Where it listens: `http://127.0.0.1:8787`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops accepting, lets running requests end (ten seconds at most), and returns.
    pub async fn shutdown(self) {
        // The server may have ended already; then there is nothing to stop.
        let _ = self.stop.send(());
        let _ = self.served.await;
    }
}

/// Makes the store's folder, so that a wrong path is told at the start and not at the first snapshot.
async fn prepare_store(settings: &Settings) -> Result<(), SettingError> {
    let Some(folder) = &settings.store else {
        return Ok(());
    };
    tokio::fs::create_dir_all(folder).await.map_err(|error| {
        SettingError::new(
            "TOLLGATE_EDGE_STORE",
            format_args!("names a folder that cannot be made: {}: {error}", folder.display()),
        )
    })
}
