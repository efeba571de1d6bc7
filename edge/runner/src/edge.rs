//! Starting and stopping an edge.

use crate::admin;
use crate::component::ComponentGate;
use crate::error_chain::error_chain;
use crate::gate::{Gate, Host};
use crate::listener::{self, Listener};
use crate::relay::Relay;
use crate::response::now_ms;
use crate::settings::{ListenerSettings, TlsSettings};
use crate::spin::SpinGate;
use crate::{GateKind, Program, RelaySettings, SettingError, Settings};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
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
    admin_address: Option<SocketAddr>,
    gate: Arc<Gate>,
    shutdown_delay: Duration,
    reload: Arc<Notify>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
    _admin: Option<AbortOnDropHandle<()>>,
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
        let bound = Bound::new(settings.listen, &settings.listener).await?;
        create_store(&settings).await?;
        let host = match settings.gate {
            GateKind::Component => Host::Component(Box::new(ComponentGate::start(program, &settings)?)),
            GateKind::Spin => Host::Spin(Box::new(SpinGate::start(program, &settings).await?)),
        };
        Ok(Edge::run(bound, &settings.listener, host))
    }

    /// Starts a relay, which answers edges in place of their origin.
    ///
    /// # Errors
    /// If a setting is invalid, or the address is in use.
    pub async fn start_relay(settings: RelaySettings) -> Result<Edge, StartError> {
        // Fails only if a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bound = Bound::new(settings.listen, &settings.listener).await?;
        let relay = Relay::new(&settings).map_err(|error| StartError::Failed(error_chain(&error)))?;
        Ok(Edge::run(bound, &settings.listener, Host::Relay(Box::new(relay))))
    }

    fn run(bound: Bound, settings: &ListenerSettings, host: Host) -> Edge {
        let (stop, stopped) = oneshot::channel();
        let scheme = if bound.tls.is_some() { "https" } else { "http" };
        let (reload, mut tls_of_listener, mut watched_files) = (Arc::new(Notify::new()), None, None);
        if let Some((files, tls)) = bound.tls {
            let (sender, receiver) = watch::channel(tls);
            tls_of_listener = Some(receiver);
            watched_files = Some(AbortOnDropHandle::new(tokio::spawn(files.watch(sender, Arc::clone(&reload)))));
        }
        let gate = Arc::new(Gate::new(host));
        let listener = Listener {
            tcp: bound.clients,
            tls: tls_of_listener,
            max_connections: settings.max_connections,
            timeouts: settings.timeouts,
            proxy_protocol: settings.proxy_protocol.clone(),
            shutdown_timeout: settings.shutdown_timeout,
        };
        let server = tokio::spawn(listener::serve(listener, Arc::clone(&gate), stopped));
        let admin_address = bound.admin.as_ref().map(|(_, address)| *address);
        let serve_admin =
            |(listener, _)| AbortOnDropHandle::new(tokio::spawn(admin::serve(listener, Arc::clone(&gate))));
        Edge {
            address: bound.address,
            scheme,
            admin_address,
            shutdown_delay: settings.shutdown_delay,
            reload,
            stop,
            server,
            _admin: bound.admin.map(serve_admin),
            _watched_files: watched_files,
            gate,
        }
    }

    /// URL at which the edge listens, such as `http://127.0.0.1:8787`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// URL of the listener for operators, if there is one.
    pub fn admin_url(&self) -> Option<String> {
        self.admin_address.map(|address| format!("http://{address}"))
    }

    /// Reads the certificate files again. Invalid ones are logged, and the last valid ones stay in
    /// use.
    pub fn reload_files(&self) {
        self.reload.notify_one();
    }

    /// Reads the certificate files again, and takes over upstreams that have changed.
    pub fn reload(&self, settings: &Settings) {
        self.reload_files();
        self.gate.reload(settings);
    }

    /// Lets health reports fail for `TOLLGATE_EDGE_SHUTDOWN_DELAY`. Then stops accepting
    /// connections, and waits for running requests for `TOLLGATE_EDGE_SHUTDOWN_TIMEOUT`.
    pub async fn shutdown(self) {
        self.gate.drain();
        tokio::time::sleep(self.shutdown_delay).await;
        // The server may have ended already.
        let _ = self.stop.send(());
        let _ = self.server.await;
    }
}

/// What a listener needs that may be missing or invalid.
struct Bound {
    clients: TcpListener,
    address: SocketAddr,
    admin: Option<(TcpListener, SocketAddr)>,
    tls: Option<(TlsFiles, Arc<Tls>)>,
}

impl Bound {
    async fn new(listen: SocketAddr, settings: &ListenerSettings) -> Result<Bound, SettingError> {
        let tls = settings.tls.as_ref().map(open_tls_files).transpose()?;
        let (clients, address) = bind("TOLLGATE_EDGE_LISTEN", listen).await?;
        let admin = match settings.admin_listen {
            Some(listen) => Some(bind("TOLLGATE_EDGE_ADMIN_LISTEN", listen).await?),
            None => None,
        };
        Ok(Bound { clients, address, admin, tls })
    }
}

async fn bind(setting: &str, listen: SocketAddr) -> Result<(TcpListener, SocketAddr), SettingError> {
    let cannot_bind = |error| SettingError::new(setting, format_args!("cannot be bound: {listen}: {error}"));
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
