//! The running origin: everything `tollgate serve` starts, as a value that can be started and
//! stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_config::Settings;
use tollgate_http as http;
use tollgate_services::password_hashing::PasswordHasher;
use tollgate_services::rate_limit::LimitStore;
use tollgate_services::telemetry::SpanExporter;
use tollgate_storage::Store;
use tollgate_system::Clock;

use crate::issuers::{Dispatcher, Running, Shared, Supervisor};
use crate::listen::{self, TlsFiles};

/// How long running requests may take to end at shutdown.
const DRAIN: Duration = Duration::from_secs(10);

/// A running origin.
pub struct Server {
    url: String,
    issuer: String,
    store: Store,
    password_hasher: PasswordHasher,
    metrics_bound: Option<SocketAddr>,
    draining: CancellationToken,
    drain: Duration,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Opens the database, makes the keys if this is the first start, and serves. Returns when
    /// requests are answered.
    ///
    /// # Errors
    /// When the database, the keys or the address cannot be used; the message is for the person who
    /// starts it.
    pub async fn start(settings: Settings) -> anyhow::Result<Server> {
        let store = Store::open(&settings.database_url).await?;
        Server::start_on(store, settings).await
    }

    /// As [`Server::start`], on the settings' database, which is open already.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_on(store: Store, settings: Settings) -> anyhow::Result<Server> {
        install_tls();
        let tls = settings.tls.clone().map(TlsFiles::open).transpose()?;
        let listener = TcpListener::bind(settings.listen).await;
        let listener = listener.with_context(|| format!("TOLLGATE_LISTEN: cannot listen on {}", settings.listen))?;
        let bound = listener.local_addr()?;
        let metrics = listen_for_metrics(&settings).await?;
        let (own_url, issuer) = (settings.url(bound), settings.issuer(bound));
        let url = issuer.parse().context("TOLLGATE_PUBLIC_URL")?;

        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (draining, drain) = (CancellationToken::new(), settings.shutdown_drain);
        // What was started stops if what follows fails.
        let failing = stop.clone().drop_guard();
        let max_connections = listen::openable_connections(settings.max_connections);
        let limit_store = LimitStore::new(settings.redis_url.as_deref())?;
        tasks.spawn(Arc::clone(&limit_store).run(stop.clone()));
        let long_polls = http::LongPolls::new(max_connections);
        let appearance = Arc::new(http::Appearance::load(&settings.appearance)?);
        let password_hasher = PasswordHasher::new(&settings.hashing)?;
        let spans = spans(&settings, &tasks, &stop)?;
        let shared = Shared {
            clock: Clock::system(),
            password_hasher: password_hasher.clone(),
            limit_store,
            long_polls,
            appearance,
            draining: draining.clone(),
            span_exporter: spans,
        };
        let default = Running::start(&settings, issuer.clone(), store.clone(), &shared, stop.clone()).await?;
        let (mut supervisor, dispatcher) = Supervisor::new(settings, url, &default, shared, stop.clone());
        supervisor.follow().await?;
        let answered = CancellationToken::new();
        tasks.spawn(supervisor.run(answered.clone()));
        let metrics_bound = metrics.as_ref().map(TcpListener::local_addr).transpose()?;
        if let Some(metrics) = metrics {
            tasks.spawn(serve_metrics(metrics, dispatcher.clone(), stop.clone()));
        }
        let tls = tls.map(|(files, tls)| {
            let (sender, receiver) = watch::channel(tls);
            tasks.spawn(files.follow(sender, stop.clone()));
            receiver
        });
        let serving = listen::serve(listener, tls, dispatcher, max_connections, stop.clone());
        tasks.spawn(async move {
            serving.await;
            answered.cancel();
            default.stop().await;
        });
        tasks.close();
        failing.disarm();
        tracing::info!(url = %own_url, %issuer, "serving");
        Ok(Server { url: own_url, metrics_bound, issuer, store, password_hasher, draining, drain, stop, tasks })
    }

    /// Where it answers, e.g. `http://127.0.0.1:8080`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Where it answers `/metrics`, if on a listener of its own.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_bound
    }

    /// The `iss` of the default issuer's tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The default issuer's database, for tests and embedders.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What hashes passwords, for tests and embedders.
    #[must_use]
    pub fn password_hasher(&self) -> &PasswordHasher {
        &self.password_hasher
    }

    /// Stops: `/health/ready` says so for as long as the settings have it; then no new connections,
    /// long polls end at once, and running requests get ten seconds.
    pub async fn shutdown(self) {
        self.draining.cancel();
        sleep(self.drain).await;
        self.stop.cancel();
        if timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!("some requests did not end in time");
        }
        self.store.close().await;
    }
}

async fn listen_for_metrics(settings: &Settings) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = settings.telemetry.metrics_listen else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).with_context(|| format!("TOLLGATE_METRICS_LISTEN: cannot listen on {address}"))
}

async fn serve_metrics(listener: TcpListener, issuers: Dispatcher, stop: CancellationToken) {
    let serving = axum::serve(listener, http::metrics_listener(issuers)).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(%error, "serving metrics ended");
    }
}

/// Where answered requests are told of, with the task that tells.
fn spans(settings: &Settings, tasks: &TaskTracker, stop: &CancellationToken) -> anyhow::Result<SpanExporter> {
    let Some(endpoint) = &settings.telemetry.otlp_endpoint else { return Ok(SpanExporter::default()) };
    let (spans, telling) = SpanExporter::new(endpoint, stop.clone()).context("TOLLGATE_OTLP_ENDPOINT")?;
    tasks.spawn(telling);
    Ok(spans)
}

/// Chooses ring for TLS, unless the process that embeds this chose already.
pub(crate) fn install_tls() {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed already");
    }
}
