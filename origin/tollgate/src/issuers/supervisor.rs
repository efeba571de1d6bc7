//! Runs the registered issuers: starts them on registration, stops them on removal, and retries
//! after a failed start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use tokio::sync::watch::{Receiver, Sender};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tollgate_config::Settings;
use tollgate_model::{Issuer, IssuerName, IssuerUrl};
use tollgate_services::feed_change::FeedChange;
use tollgate_services::signing_keys::SigningKeys;
use tollgate_storage::{Store, StoreError};

use super::dispatch::{IssuerMount, IssuerTable};
use super::{Dispatcher, RunningIssuer, SharedServices, issuer_settings};

/// Delay between attempts to start an issuer.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Runs the registered issuers.
pub(crate) struct Supervisor {
    /// Settings of the default issuer.
    settings: Settings,
    store: Store,
    keys: SigningKeys,
    shared: SharedServices,
    feed_changes: Receiver<FeedChange>,
    default: IssuerMount,
    table: Sender<Arc<IssuerTable>>,
    running: BTreeMap<IssuerName, (Issuer, Option<RunningIssuer>)>,
    stop: CancellationToken,
}

impl Supervisor {
    /// Returns a supervisor of the issuers registered with `default`, and the dispatcher of their
    /// requests.
    pub(crate) fn new(
        settings: Settings,
        url: IssuerUrl,
        default: &RunningIssuer,
        shared: SharedServices,
        stop: CancellationToken,
    ) -> (Supervisor, Dispatcher) {
        let mount = IssuerMount { url, router: Some(default.router.clone()) };
        let (dispatcher, table) = Dispatcher::new(IssuerTable { default: mount.clone(), registered: Vec::new() });
        let supervisor = Supervisor {
            settings,
            store: default.store.clone(),
            keys: default.keys.clone(),
            shared,
            feed_changes: default.feed_changes.clone(),
            default: mount,
            table,
            running: BTreeMap::new(),
            stop,
        };
        (supervisor, dispatcher)
    }

    /// Follows the registrations until the server stops. After `connections_closed`, stops the
    /// issuers.
    pub(crate) async fn run(mut self, connections_closed: CancellationToken) {
        let stop = self.stop.clone();
        loop {
            let version = self.feed_changes.borrow_and_update().head.version;
            let is_complete = match self.reconcile().await {
                Ok(is_complete) => is_complete,
                Err(error) => {
                    tracing::error!(%error, "cannot read the registered issuers");
                    false
                }
            };
            let changed = self.feed_changes.wait_for(|change| change.head.version != version);
            tokio::select! {
                () = stop.cancelled() => break,
                ended = async {
                    if is_complete {
                        changed.await.is_err()
                    } else {
                        timeout(RETRY_DELAY, changed).await.is_ok_and(|changed| changed.is_err())
                    }
                } => if ended { break },
            }
        }
        connections_closed.cancelled().await;
        // Removes the routers from the table: a writer task ends when the routers that use it are
        // dropped.
        self.table.send_replace(Arc::new(IssuerTable {
            default: IssuerMount { router: None, ..self.default },
            registered: Vec::new(),
        }));
        for (_, running) in self.running.into_values() {
            if let Some(running) = running {
                running.stop().await;
            }
        }
    }

    /// Starts and stops issuers according to the registrations. Returns false if one could not be
    /// started.
    pub(crate) async fn reconcile(&mut self) -> Result<bool, StoreError> {
        let issuers = self.store.list_issuers().await?;
        let mut stopped = Vec::new();
        self.running.retain(|_, (issuer, running)| {
            let keep = issuers.contains(issuer);
            if !keep {
                stopped.extend(running.take());
            }
            keep
        });
        let missing = issuers.iter().filter(|issuer| !matches!(self.running.get(&issuer.name), Some((_, Some(_)))));
        // Concurrently, so that an unreachable database of one issuer does not delay the others.
        let started = join_all(missing.map(async |issuer| (issuer.clone(), self.start(issuer).await))).await;
        self.running.extend(started.into_iter().map(|(issuer, running)| (issuer.name.clone(), (issuer, running))));
        let mount = |(issuer, running): &(Issuer, Option<RunningIssuer>)| IssuerMount {
            url: issuer.url.clone(),
            router: running.as_ref().map(|running| running.router.clone()),
        };
        let registered = self.running.values().map(mount).collect();
        self.table.send_replace(Arc::new(IssuerTable { default: self.default.clone(), registered }));
        for running in stopped {
            // In the background, because active requests may take a while.
            tokio::spawn(running.stop());
        }
        Ok(self.running.values().all(|(_, running)| running.is_some()))
    }

    async fn start(&self, issuer: &Issuer) -> Option<RunningIssuer> {
        let stop = self.stop.child_token();
        // Boxed as a trait object: the compiler fails to prove that the large future type is
        // `Send`.
        let starting: BoxFuture<'_, anyhow::Result<RunningIssuer>> = Box::pin(async {
            let settings = issuer_settings(&self.settings, &self.keys.current(), issuer)?;
            let store = Store::open_with_clock(&settings.database_url, self.shared.clock.clone()).await?;
            RunningIssuer::start(&settings, issuer.url.to_string(), store, &self.shared, stop.clone()).await
        });
        match starting.await {
            Ok(running) => {
                tracing::info!(name = %issuer.name, issuer = %issuer.url, "serving");
                Some(running)
            }
            Err(error) => {
                stop.cancel();
                tracing::error!(name = %issuer.name, error = tollgate_model::error_chain::with_causes(error.as_ref()), "cannot start the issuer");
                None
            }
        }
    }
}
