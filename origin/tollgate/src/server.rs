//! The origin server: everything that `tollgate serve` starts, as a value to start and shut down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_config::{OtlpSignals, Settings, TelemetrySettings};
use tollgate_http as http;
use tollgate_model::HttpRedirects;
use tollgate_services::password_hashing::PasswordHasher;
use tollgate_services::rate_limit::LimitStore;
use tollgate_services::signing_keys::SigningPool;
use tollgate_services::telemetry::{Collector, LogExport, MetricSources, Profiler, SpanExporter, export_metrics};
use tollgate_storage::Store;
use tollgate_system::Clock;

use crate::heap_profile;
use crate::issuers::{Dispatcher, RunningIssuer, SharedServices, Supervisor};
use crate::listen;

/// How long active requests may take to complete at shutdown.
const ACTIVE_REQUESTS_TIMEOUT: Duration = Duration::from_secs(10);

/// A running origin.
pub struct Server {
    url: String,
    issuer: String,
    store: Store,
    password_hasher: PasswordHasher,
    signing_pool: SigningPool,
    metrics_address: Option<SocketAddr>,
    draining: CancellationToken,
    shutdown_drain: Duration,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Opens the database, creates the keys at the first start, and serves. Returns when the server
    /// accepts requests.
    ///
    /// # Errors
    /// When the database, the keys or the address cannot be used; the message is for
    /// administrators.
    pub async fn start(settings: Settings) -> anyhow::Result<Server> {
        Box::pin(Server::start_with_clock(settings, Clock::system())).await
    }

    /// Starts as [`Server::start`] does, with a clock that tests can set.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_with_clock(settings: Settings, clock: Clock) -> anyhow::Result<Server> {
        let store = Store::open_with_clock(&settings.database_url, clock.clone()).await?;
        Box::pin(Server::start_on(store, settings, clock)).await
    }

    /// Starts as [`Server::start_with_clock`] does, on the open database of the settings.
    pub(crate) async fn start_on(store: Store, settings: Settings, clock: Clock) -> anyhow::Result<Server> {
        install_tls_provider();
        check_public_authorities()?;
        let tls = settings.tls.as_ref().map(|tls| listen::open_tls_files(tls, clock.clone())).transpose()?;
        let listener = TcpListener::bind(settings.listen).await;
        let listener = listener.with_context(|| format!("TOLLGATE_LISTEN: cannot listen on {}", settings.listen))?;
        let bound = listener.local_addr()?;
        let metrics = listen_for_metrics(&settings).await?;
        let (own_url, issuer) = (settings.url(bound), settings.issuer(bound));
        let url = issuer.parse().context("TOLLGATE_PUBLIC_URL")?;

        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (draining, shutdown_drain) = (CancellationToken::new(), settings.shutdown_drain);
        // Stops the tasks started so far if a later step fails.
        let stop_on_error = stop.clone().drop_guard();
        let max_connections = listen::limit_connections(settings.max_connections);
        let limit_store = LimitStore::new(settings.redis_url.as_deref())?;
        tasks.spawn(Arc::clone(&limit_store).run(stop.clone()));
        let long_polls = http::LongPolls::new(max_connections);
        let appearance = Arc::new(http::Appearance::load(&settings.appearance)?);
        let password_hasher = PasswordHasher::new(&settings.hashing)?;
        let signing_pool = SigningPool::start().context("cannot start the signing threads")?;
        let (span_exporter, metric_sources) = start_exporters(&settings.telemetry, &clock, &tasks, &stop)?;
        let profiler = profiler(&settings.telemetry, &metric_sources);
        if settings.grants.legacy.has_front_channel_tokens {
            tracing::warn!(
                setting = "TOLLGATE_LEGACY_GRANTS",
                "implicit and hybrid response types are on: tokens pass through browsers, against RFC 9700 section 2.1.2"
            );
        }
        if settings.grants.http_redirects == HttpRedirects::AnyHost {
            tracing::warn!(
                setting = "TOLLGATE_ALLOW_HTTP_REDIRECTS",
                "http redirect URIs may lead to any host, for development only: codes and tokens cross the network in plain text"
            );
        }
        if settings.grants.legacy.has_password_grant {
            tracing::warn!(
                setting = "TOLLGATE_LEGACY_GRANTS",
                "the password grant is on: applications see passwords, which RFC 9700 section 2.4 forbids"
            );
        }
        let shared = SharedServices {
            clock,
            password_hasher: password_hasher.clone(),
            signing_pool: signing_pool.clone(),
            limit_store,
            long_polls,
            appearance,
            draining: draining.clone(),
            span_exporter,
            metric_sources,
        };
        let default = RunningIssuer::start(&settings, issuer.clone(), store.clone(), &shared, stop.clone()).await?;
        let (mut supervisor, dispatcher) = Supervisor::new(settings, url, &default, shared, stop.clone());
        supervisor.reconcile().await?;
        let connections_closed = CancellationToken::new();
        tasks.spawn(supervisor.run(connections_closed.clone()));
        let metrics_address = metrics.as_ref().map(TcpListener::local_addr).transpose()?;
        if let Some(metrics) = metrics {
            tasks.spawn(serve_metrics(metrics, dispatcher.clone(), profiler, stop.clone()));
        }
        let tls = tls.map(|(files, tls)| {
            let (sender, receiver) = watch::channel(tls);
            let stop = stop.clone();
            tasks.spawn(async move { stop.run_until_cancelled(files.watch(sender, Arc::default())).await });
            receiver
        });
        let serving = listen::serve(listener, tls, dispatcher, max_connections, stop.clone());
        tasks.spawn(async move {
            serving.await;
            connections_closed.cancel();
            default.stop().await;
        });
        tasks.close();
        stop_on_error.disarm();
        tracing::info!(url = %own_url, %issuer, "serving");
        Ok(Server {
            url: own_url,
            metrics_address,
            issuer,
            store,
            password_hasher,
            signing_pool,
            draining,
            shutdown_drain,
            stop,
            tasks,
        })
    }

    /// URL of the listener, e.g. `http://127.0.0.1:8080`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Address of the separate listener for `/metrics`, if there is one.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
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

    /// The password hasher, for tests and embedders.
    #[must_use]
    pub fn password_hasher(&self) -> &PasswordHasher {
        &self.password_hasher
    }

    /// The threads that make RSA signatures, for tests and embedders.
    #[must_use]
    pub fn signing_pool(&self) -> &SigningPool {
        &self.signing_pool
    }

    /// Shuts down. `/health/ready` fails for the time of `TOLLGATE_SHUTDOWN_DRAIN`; then the server
    /// accepts no more connections, ends long polls, and gives active requests ten seconds.
    pub async fn shutdown(self) {
        self.draining.cancel();
        sleep(self.shutdown_drain).await;
        self.stop.cancel();
        if timeout(ACTIVE_REQUESTS_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("shutdown: active requests did not complete in time");
        }
        self.store.close().await;
    }
}

async fn listen_for_metrics(settings: &Settings) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = settings.telemetry.metrics_listen else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).with_context(|| format!("TOLLGATE_METRICS_LISTEN: cannot listen on {address}"))
}

async fn serve_metrics(
    listener: TcpListener,
    issuers: Dispatcher,
    profiler: Option<Arc<Profiler>>,
    stop: CancellationToken,
) {
    let router = http::metrics_listener(issuers, profiler);
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(%error, "metrics listener failed");
    }
}

/// The profiler of the metrics listener, if profiles are on.
fn profiler(settings: &TelemetrySettings, sources: &MetricSources) -> Option<Arc<Profiler>> {
    if settings.has_profiles && settings.metrics_listen.is_none() {
        tracing::warn!(
            setting = "TOLLGATE_PROFILES",
            "profiles are served by the metrics listener only, and TOLLGATE_METRICS_LISTEN is not set"
        );
    }
    settings.has_profiles.then(|| Arc::new(Profiler::new(sources.clone(), heap_profile::profiler())))
}

/// Starts the export of traces, metrics and logs, as far as it is configured.
fn start_exporters(
    settings: &TelemetrySettings,
    clock: &Clock,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<(SpanExporter, MetricSources)> {
    let (mut spans, sources) = (SpanExporter::default(), MetricSources::default());
    let Some(endpoint) = &settings.otlp_endpoint else { return Ok((spans, sources)) };
    let collector = Collector::new(endpoint).context("TOLLGATE_OTLP_ENDPOINT")?;
    let OtlpSignals { has_traces, has_metrics, has_logs } = settings.otlp_signals;
    if has_traces {
        let (exporter, task) = SpanExporter::new(collector.clone(), stop.clone());
        tasks.spawn(task);
        spans = exporter;
    }
    if has_metrics {
        let (collector, sources) = (collector.clone(), sources.clone());
        tasks.spawn(export_metrics(collector, sources, settings.otlp_interval, clock.clone(), stop.clone()));
    }
    if has_logs && let Some(task) = LogExport::start(collector, clock.clone(), stop.clone()) {
        tasks.spawn(task);
    }
    Ok((spans, sources))
}

/// Fails with what to do if the machine has no certificates of public authorities, without which
/// no HTTP client can be built.
fn check_public_authorities() -> anyhow::Result<()> {
    reqwest::Client::builder().build().map(drop).context(
        "outgoing TLS cannot be used: install the certificates of public authorities (Debian's package \
         ca-certificates), or name a file with some in SSL_CERT_FILE",
    )
}

/// Makes ring the default TLS provider of the process, unless it has one.
pub(crate) fn install_tls_provider() {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("the process has a TLS provider already");
    }
}
