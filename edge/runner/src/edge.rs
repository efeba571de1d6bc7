//! Starting and stopping an edge.

use crate::component::ComponentGate;
use crate::error_chain::error_chain;
use crate::listener::{self, Gate, Listener};
use crate::relay::Relay;
use crate::response::now_ms;
use crate::settings::{ClientTimeouts, TlsSettings};
use crate::spin::SpinGate;
use crate::{GateKind, Program, RelaySettings, SettingError, Settings};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;
use tollgate_tls::{Tls, TlsFiles};

/// Why an edge did not start; displays as one line.
#[derive(Debug)]
pub enum StartError {
    Setting(SettingError),
    /// Another reason, in one line.
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

/// A running edge. Dropping it closes all connections; [`shutdown`](Edge::shutdown) first waits for
/// running requests.
pub struct Edge {
    address: SocketAddr,
    scheme: &'static str,
    reload: Arc<Notify>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
    _watched_files: Option<AbortOnDropHandle<()>>,
}

impl Edge {
    /// Loads the component, binds the address and starts to serve, within a tokio runtime. The
    /// first snapshot may arrive after this returns.
    ///
    /// # Errors
    /// If a setting is invalid, the address is in use, or the component cannot run.
    pub async fn start(settings: Settings) -> Result<Edge, StartError> {
        // Fails only if a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let component = settings.component_source()?;
        let loaded = tokio::task::spawn_blocking(move || Program::from_source(&component));
        let program = loaded.await.map_err(|error| StartError::Failed(error.to_string()))?;
        let program = program.map_err(|error| SettingError::new("TOLLGATE_EDGE_COMPONENT", error))?;
        let tls = settings.tls.as_ref().map(open_tls_files).transpose()?;
        let bound = bind(settings.listen).await?;
        create_store(&settings).await?;
        let gate = match settings.gate {
            GateKind::Component => Gate::Component(Box::new(ComponentGate::start(program, &settings)?)),
            GateKind::Spin => Gate::Spin(Box::new(SpinGate::start(program, &settings).await?)),
        };
        Ok(Edge::run(bound, tls, settings.max_connections, settings.client_timeouts, gate))
    }

    /// Starts a relay, which answers edges in place of their origin.
    ///
    /// # Errors
    /// If a setting is invalid, or the address is in use.
    pub async fn start_relay(settings: RelaySettings) -> Result<Edge, StartError> {
        // Fails only if a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = settings.tls.as_ref().map(open_tls_files).transpose()?;
        let bound = bind(settings.listen).await?;
        let relay = Relay::new(&settings).map_err(|error| StartError::Failed(error_chain(&error)))?;
        let gate = Gate::Relay(Box::new(relay));
        Ok(Edge::run(bound, tls, settings.max_connections, settings.client_timeouts, gate))
    }

    fn run(
        (tcp, address): (TcpListener, SocketAddr),
        tls: Option<(TlsFiles, Arc<Tls>)>,
        max_connections: usize,
        timeouts: ClientTimeouts,
        gate: Gate,
    ) -> Edge {
        let (stop, stopped) = oneshot::channel();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (reload, mut tls_of_listener, mut watched_files) = (Arc::new(Notify::new()), None, None);
        if let Some((files, tls)) = tls {
            let (sender, receiver) = watch::channel(tls);
            tls_of_listener = Some(receiver);
            watched_files = Some(AbortOnDropHandle::new(tokio::spawn(files.watch(sender, Arc::clone(&reload)))));
        }
        let listener = Listener { tcp, tls: tls_of_listener, max_connections, timeouts };
        let server = tokio::spawn(listener::serve(listener, gate, stopped));
        Edge { address, scheme, reload, stop, server, _watched_files: watched_files }
    }

    /// URL at which the edge listens, such as `http://127.0.0.1:8787`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Reads the certificate files again. Invalid ones are logged, and the last valid ones stay in
    /// use.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// Stops accepting connections and waits for running requests, at most ten seconds.
    pub async fn shutdown(self) {
        // The server may have ended already.
        let _ = self.stop.send(());
        let _ = self.server.await;
    }
}

async fn bind(listen: SocketAddr) -> Result<(TcpListener, SocketAddr), SettingError> {
    let cannot_bind =
        |error| SettingError::new("TOLLGATE_EDGE_LISTEN", format_args!("cannot be bound: {listen}: {error}"));
    let listener = TcpListener::bind(listen).await.map_err(cannot_bind)?;
    let address = listener.local_addr().map_err(cannot_bind)?;
    Ok((listener, address))
}

/// Reads the certificate and key files.
pub(crate) fn open_tls_files(settings: &TlsSettings) -> Result<(TlsFiles, Arc<Tls>), SettingError> {
    let clock = Arc::new(|| now_ms() / 1000);
    TlsFiles::open(settings.paths.clone(), settings.client_auth, clock)
        .map_err(|error| TlsSettings::setting_error(&error))
}

/// Creates the store's folder, so that a wrong path is an error at the start, not at the first
/// snapshot.
async fn create_store(settings: &Settings) -> Result<(), SettingError> {
    let Some(folder) = &settings.store else {
        return Ok(());
    };
    tokio::fs::create_dir_all(folder).await.map_err(|error| {
        SettingError::new(
            "TOLLGATE_EDGE_STORE",
            format_args!("is a folder that cannot be created: {}: {error}", folder.display()),
        )
    })
}
