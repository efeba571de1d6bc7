//! The running origin: everything `tollgate serve` starts, as a value that can be started and stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_core::KeySet;

use crate::ambient;
use crate::client_keys::ClientKeys;
use crate::domain::Audience;
use crate::feed::courier::Courier;
use crate::feed::{self, Contacts, Publisher};
use crate::forge::Forge;
use crate::http::{self, App};
use crate::keys::KeyRing;
use crate::settings::Settings;
use crate::ssf::{self, Transmitter};
use crate::status_list::StatusLists;
use crate::store::{Store, Writer};

/// How often expired records are deleted.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How long running requests may take to end at shutdown.
const DRAIN: Duration = Duration::from_secs(10);

/// A running origin.
pub struct Server {
    bound: SocketAddr,
    issuer: String,
    store: Store,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Opens the database, makes the keys if this is the first start, and serves. Returns when requests are answered.
    ///
    /// # Errors
    /// When the database, the keys or the address cannot be used; the message is for the person who starts it.
    pub async fn start(settings: Settings) -> anyhow::Result<Server> {
        let store = Store::open(&settings.database_url).await?;
        let listener = TcpListener::bind(settings.listen).await;
        let listener = listener.with_context(|| format!("TOLLGATE_LISTEN: cannot listen on {}", settings.listen))?;
        let bound = listener.local_addr()?;
        let issuer = settings.issuer(bound);
        store.adopt_issuer(&issuer).await?;
        let keys = Arc::new(open_keys(&store, &settings).await?);
        let default_audience = default_audience(&settings, &issuer)?;

        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (wake, watching) = feed::watch(store.clone(), stop.clone()).await?;
        tasks.spawn(watching);
        let publisher =
            Arc::new(Publisher::new(store.clone(), Arc::clone(&keys), issuer.clone(), default_audience.clone()));
        tasks.spawn(Arc::clone(&publisher).run(wake.clone(), stop.clone()));
        let (writer, writing) = Writer::new(store.clone());
        tasks.spawn(writing);
        let contacts = Arc::new(Contacts::default());
        tasks.spawn({
            let (contacts, store, stop) = (Arc::clone(&contacts), store.clone(), stop.clone());
            async move { contacts.run(store, stop).await }
        });
        install_tls();
        let courier = Courier::new(store.clone(), Arc::clone(&publisher))?;
        tasks.spawn(courier.run(wake.clone(), stop.clone()));
        tasks.spawn(sweep(store.clone(), stop.clone()));
        let transmitter = Arc::new(Transmitter::new(Arc::clone(&keys), issuer.clone()));
        let events = ssf::Courier::new(store.clone(), Arc::clone(&transmitter))?;
        tasks.spawn(events.run(wake.clone(), stop.clone()));

        let app = Arc::new(App {
            store: store.clone(),
            writer,
            client_keys: ClientKeys::new()?,
            forge: Forge::new()?,
            grants: settings.grants.clone(),
            contacts,
            admin_keys: admin_keys(&keys)?,
            publisher,
            status_lists: StatusLists::new(store.clone(), Arc::clone(&keys), issuer.clone()),
            status_claim: settings.status_list,
            transmitter,
            keys,
            issuer: issuer.clone(),
            default_audience,
            token_lifetime: settings.token_lifetime,
            wake,
            stop: stop.clone(),
        });
        let router = http::router(app).into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "serving ended");
            }
        });
        tasks.close();
        tracing::info!(listen = %bound, %issuer, "serving");
        Ok(Server { bound, issuer, store, stop, tasks })
    }

    /// Where it answers, e.g. `http://127.0.0.1:8080`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.bound)
    }

    /// The `iss` of its tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Its database, for tests and embedders.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Stops: no new requests, long polls end at once, running requests get ten seconds.
    pub async fn shutdown(self) {
        self.stop.cancel();
        if timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!("some requests did not end in time");
        }
        self.store.close().await;
    }
}

/// The keys of this database, made now if it has none.
///
/// # Errors
/// When the master key is not the one they were made with, or none can be made.
pub async fn open_keys(store: &Store, settings: &Settings) -> anyhow::Result<KeyRing> {
    let mut stored = store.keys().await?;
    let master = settings.master_key.load(stored.is_empty())?;
    if stored.is_empty() {
        tracing::info!("first start: making keys");
        let sealing = master.clone();
        let made = tokio::task::spawn_blocking(move || KeyRing::generate(&sealing, ambient::now())).await??;
        store.insert_first_keys(&made).await?;
        // Read back: another process may have been first.
        stored = store.keys().await?;
    }
    Ok(KeyRing::open(&master, &stored)?)
}

/// The keys of tokens for the admin API: the public ones. An audience's HS256 key is in the hands of that audience's edges, and
/// they may be guarding the issuer itself: none of them may make a token for this.
fn admin_keys(keys: &KeyRing) -> anyhow::Result<KeySet> {
    let jwks = serde_json::json!({ "keys": keys.public_jwks() }).to_string();
    KeySet::from_jwks(jwks.as_bytes()).map_err(|error| anyhow::anyhow!("the signing keys cannot be used: {error}"))
}

/// The audience of tokens of clients that have none of their own: the setting, else the issuer.
///
/// # Errors
/// When the issuer is too long to be an audience.
pub fn default_audience(settings: &Settings, issuer: &str) -> anyhow::Result<Audience> {
    match &settings.audience {
        Some(audience) => Ok(audience.clone()),
        None => issuer.parse().context("TOLLGATE_PUBLIC_URL: cannot be the default audience"),
    }
}

/// Chooses ring for TLS, unless the process that embeds this chose already.
fn install_tls() {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed already");
    }
}

async fn sweep(store: Store, stop: CancellationToken) {
    // What expired can wait a minute more; a start has better things to do than to hold the database's write lock.
    let mut ticks = interval_at(Instant::now() + SWEEP_INTERVAL, SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        match store.sweep(ambient::now()).await {
            Ok(swept) => tracing::debug!(?swept, "forgot what expired"),
            Err(error) => tracing::error!(%error, "expired records could not be deleted"),
        }
        match store.sweep_signals(ambient::now()).await {
            Ok(swept) => tracing::debug!(swept, "forgot security events that all have"),
            Err(error) => tracing::error!(%error, "old security events could not be deleted"),
        }
    }
}
