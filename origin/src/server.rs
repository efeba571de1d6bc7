//! The running origin: everything `tollgate serve` starts, as a value that can be started and stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ambient;
use crate::domain::Audience;
use crate::feed::courier::Courier;
use crate::feed::{self, Contacts, Publisher};
use crate::http::{self, App};
use crate::keys::{KeyRing, Keys, MasterKey, keeper};
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
        let keys = open_shared_keys(&store, &settings).await?;
        let default_audience = default_audience(&settings, &issuer)?;

        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (wake, watching) = feed::watch(store.clone(), stop.clone()).await?;
        tasks.spawn(watching);
        let publisher =
            Arc::new(Publisher::new(store.clone(), keys.clone(), issuer.clone(), default_audience.clone()));
        tasks.spawn(keeper::run(keys.clone(), settings.keys, wake.clone(), stop.clone()));
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
        let transmitter = Arc::new(Transmitter::new(keys.clone(), issuer.clone()));
        let events = ssf::Courier::new(store.clone(), Arc::clone(&transmitter))?;
        tasks.spawn(events.run(wake.clone(), stop.clone()));

        let app = Arc::new(App {
            store: store.clone(),
            writer,
            contacts,
            publisher,
            status_lists: StatusLists::new(store.clone(), keys.clone(), issuer.clone()),
            status_claim: settings.status_list,
            transmitter,
            keys,
            key_policy: settings.keys,
            issuer: issuer.clone(),
            default_audience,
            token_lifetime: settings.token_lifetime,
            wake,
            stop: stop.clone(),
        });
        let serving = axum::serve(listener, http::router(app)).with_graceful_shutdown(stop.clone().cancelled_owned());
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

/// The keys of this database as they are now, made now if it has none.
///
/// # Errors
/// When the master key is not the one they were made with, or none can be made.
pub async fn open_keys(store: &Store, settings: &Settings) -> anyhow::Result<KeyRing> {
    let master = make_first_keys(store, settings).await?;
    let rows = store.key_rows().await?;
    Ok(KeyRing::open(&master, &rows.keys, rows.revoked, ambient::now())?)
}

/// As [`open_keys`], for those who follow their changes.
///
/// # Errors
/// As [`open_keys`].
pub async fn open_shared_keys(store: &Store, settings: &Settings) -> anyhow::Result<Keys> {
    let master = make_first_keys(store, settings).await?;
    Ok(Keys::open(store.clone(), master).await?)
}

/// Makes the keys of a database that has none; gives the master key.
pub(crate) async fn make_first_keys(store: &Store, settings: &Settings) -> anyhow::Result<MasterKey> {
    let is_first = store.keys().await?.is_empty();
    let master = settings.master_key.load(is_first)?;
    if is_first {
        tracing::info!("first start: making keys");
        let sealing = master.clone();
        let made = tokio::task::spawn_blocking(move || KeyRing::generate(&sealing, ambient::now())).await??;
        // Should another process have been first, its keys stay.
        store.insert_first_keys(&made).await?;
    }
    Ok(master)
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
