//! Keeping the registered issuers running: started when they are registered, stopped when they are
//! removed, tried again when one could not be started.

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

use super::dispatch::{Place, Table};
use super::{Dispatcher, Running, Shared, issuer_settings};

/// How soon after a failure to try again.
const PAUSE: Duration = Duration::from_secs(5);

/// Runs the registered issuers.
pub(crate) struct Supervisor {
    /// The default issuer's.
    settings: Settings,
    store: Store,
    keys: SigningKeys,
    shared: Shared,
    feed_changes: Receiver<FeedChange>,
    default: Place,
    table: Sender<Arc<Table>>,
    running: BTreeMap<IssuerName, (Issuer, Option<Running>)>,
    stop: CancellationToken,
}

impl Supervisor {
    /// A supervisor of the issuers that are registered with `default`, and what hands requests to
    /// all of them.
    pub(crate) fn new(
        settings: Settings,
        url: IssuerUrl,
        default: &Running,
        shared: Shared,
        stop: CancellationToken,
    ) -> (Supervisor, Dispatcher) {
        let place = Place { url, router: Some(default.router.clone()) };
        let (dispatcher, table) = Dispatcher::new(Table { default: place.clone(), others: Vec::new() });
        let supervisor = Supervisor {
            settings,
            store: default.store.clone(),
            keys: default.keys.clone(),
            shared,
            feed_changes: default.feed_changes.clone(),
            default: place,
            table,
            running: BTreeMap::new(),
            stop,
        };
        (supervisor, dispatcher)
    }

    /// Follows the registry until the origin stops; when `answered` tells that the last request was
    /// answered, stops all that it started.
    pub(crate) async fn run(mut self, answered: CancellationToken) {
        let stop = self.stop.clone();
        loop {
            let version = self.feed_changes.borrow_and_update().head.version;
            let complete = match self.follow().await {
                Ok(complete) => complete,
                Err(error) => {
                    tracing::error!(%error, "the registered issuers cannot be read");
                    false
                }
            };
            let changed = self.feed_changes.wait_for(|change| change.head.version != version);
            tokio::select! {
                () = stop.cancelled() => break,
                ended = async {
                    if complete {
                        changed.await.is_err()
                    } else {
                        timeout(PAUSE, changed).await.is_ok_and(|changed| changed.is_err())
                    }
                } => if ended { break },
            }
        }
        answered.cancelled().await;
        // The table holds routers, and those the writers, whose tasks end with them.
        self.table
            .send_replace(Arc::new(Table { default: Place { router: None, ..self.default }, others: Vec::new() }));
        for (_, running) in self.running.into_values() {
            if let Some(running) = running {
                running.stop().await;
            }
        }
    }

    /// Starts and stops issuers until those that run are those that are registered. False when one
    /// could not be started.
    pub(crate) async fn follow(&mut self) -> Result<bool, StoreError> {
        let registered = self.store.list_issuers().await?;
        let mut stopped = Vec::new();
        self.running.retain(|_, (issuer, running)| {
            let keep = registered.contains(issuer);
            if !keep {
                stopped.extend(running.take());
            }
            keep
        });
        let missing = registered.iter().filter(|issuer| !matches!(self.running.get(&issuer.name), Some((_, Some(_)))));
        // All at once: one whose database does not answer holds up no other.
        let started = join_all(missing.map(async |issuer| (issuer.clone(), self.start(issuer).await))).await;
        self.running.extend(started.into_iter().map(|(issuer, running)| (issuer.name.clone(), (issuer, running))));
        let place = |(issuer, running): &(Issuer, Option<Running>)| Place {
            url: issuer.url.clone(),
            router: running.as_ref().map(|running| running.router.clone()),
        };
        let others = self.running.values().map(place).collect();
        self.table.send_replace(Arc::new(Table { default: self.default.clone(), others }));
        for running in stopped {
            // Its requests may last a while; the others do not wait for them.
            tokio::spawn(running.stop());
        }
        Ok(self.running.values().all(|(_, running)| running.is_some()))
    }

    async fn start(&self, issuer: &Issuer) -> Option<Running> {
        let stop = self.stop.child_token();
        // Its type is hidden: the compiler does not see of so large a one that it may be sent.
        let starting: BoxFuture<'_, anyhow::Result<Running>> = Box::pin(async {
            let settings = issuer_settings(&self.settings, &self.keys.current(), issuer)?;
            let store = Store::open(&settings.database_url).await?;
            Running::start(&settings, issuer.url.to_string(), store, &self.shared, stop.clone()).await
        });
        match starting.await {
            Ok(running) => {
                tracing::info!(name = %issuer.name, issuer = %issuer.url, "serving");
                Some(running)
            }
            Err(error) => {
                stop.cancel();
                tracing::error!(name = %issuer.name, error = tollgate_model::error_chain::with_causes(error.as_ref()), "an issuer cannot be served");
                None
            }
        }
    }
}
