//! A running issuer: its database, keys, background tasks and router.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_config::Settings;
use tollgate_http::IssuerServices;
use tollgate_model::{Audience, Resource, TokenProfile, Verifier};
use tollgate_services::admin::{Administration, Registry};
use tollgate_services::backchannel_logout::BackchannelLogoutSender;
use tollgate_services::cache::RegistrationCache;
use tollgate_services::client_jwks::ClientKeyCache;
use tollgate_services::external_users::ExternalUserDirectory;
use tollgate_services::feed_change::{self, FeedChange};
use tollgate_services::outbound_http::OutboundClient;
use tollgate_services::password_hashing::{PasswordHasher, VerifiedSecretCache};
use tollgate_services::rate_limit::{LimitStore, RateLimiter};
use tollgate_services::revocation_feed::{DeltaPolls, EdgeHeartbeats, EdgePusher, FeedResponder, count_revocations};
use tollgate_services::shared_signals::{SecurityEventPusher, Transmitter};
use tollgate_services::signing_keys::{SigningKeys, SigningPool, run_rotation};
use tollgate_services::status_lists::StatusLists;
use tollgate_services::telemetry::{MetricSources, Metrics, SpanExporter};
use tollgate_storage::{Store, StoreError, Writer};
use tollgate_system::Clock;

use super::default_audience;
use crate::issuer_keys::open_shared_keys;

/// How often expired records are deleted.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How often this machine's clock is compared with that of the database.
const CLOCK_SYNC_INTERVAL: Duration = Duration::from_secs(5);

/// Services that the issuers of a process share, because they share its processors and memory.
#[derive(Clone)]
pub(crate) struct SharedServices {
    pub(crate) clock: Clock,
    pub(crate) password_hasher: PasswordHasher,
    pub(crate) signing_pool: SigningPool,
    pub(crate) limit_store: Arc<LimitStore>,
    pub(crate) long_polls: Arc<tollgate_http::LongPolls>,
    pub(crate) appearance: Arc<tollgate_http::Appearance>,
    /// Cancelled when the shutdown begins.
    pub(crate) draining: CancellationToken,
    pub(crate) span_exporter: SpanExporter,
    pub(crate) metric_sources: MetricSources,
}

impl SharedServices {
    /// The rate limiter of the issuer with these keys.
    fn rate_limiter(&self, settings: &Settings, keys: &SigningKeys) -> RateLimiter {
        let key = keys.current().derive_key("tollgate limits v1");
        RateLimiter::new(settings.limits.clone(), key, Arc::clone(&self.limit_store))
    }
}

pub(crate) struct RunningIssuer {
    pub(crate) store: Store,
    pub(crate) keys: SigningKeys,
    pub(crate) feed_changes: Receiver<FeedChange>,
    pub(crate) router: Router,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Registers the resource server of the default audience in a new database. In any other, what is
/// installed stays as it is: tokens never change by a setting.
async fn register_verifier(store: &Store, audience: &Audience, verifier: Verifier) -> anyhow::Result<()> {
    match store.get_issuer().await {
        Err(StoreError::NoIssuer) => {}
        known => return Ok(known.map(drop)?),
    }
    let resource = Resource {
        audience: audience.clone(),
        name: "API".to_owned(),
        scopes: BTreeMap::new(),
        introspected_by: None,
        tokens: TokenProfile::preset(verifier),
    };
    store.save_resource(&resource).await?;
    tracing::info!(%audience, verifier = verifier.as_str(), "registered the resource server of the default audience");
    Ok(())
}

impl RunningIssuer {
    /// Records the issuer in its database, opens the keys, and starts the background tasks, which
    /// run until `stop`.
    pub(crate) async fn start(
        settings: &Settings,
        issuer: String,
        store: Store,
        shared: &SharedServices,
        stop: CancellationToken,
    ) -> anyhow::Result<RunningIssuer> {
        let default_audience = default_audience(settings, &issuer)?;
        if let Some(verifier) = settings.verifier {
            register_verifier(&store, &default_audience, verifier).await?;
        }
        store.adopt_issuer(&issuer).await?;
        store.warn_of_slow_statements(settings.telemetry.slow_query);
        let keys = open_shared_keys(&store, settings, shared.clock.clone(), shared.signing_pool.clone()).await?;
        let tasks = TaskTracker::new();
        let (feed_changes, watch_task) = feed_change::watch(store.clone(), stop.clone()).await?;
        tasks.spawn(watch_task);
        tasks.spawn(run_rotation(keys.clone(), settings.keys, feed_changes.clone(), stop.clone()));
        let feed = Arc::new(FeedResponder::new(store.clone(), keys.clone(), issuer.clone(), default_audience.clone()));
        tasks.spawn(Arc::clone(&feed).run(feed_changes.clone(), stop.clone()));
        let delta_polls = DeltaPolls::new(Arc::clone(&feed));
        tasks.spawn(Arc::clone(&delta_polls).run(feed_changes.clone(), stop.clone()));
        // Administrators see clients as they are registered, all others as the profile makes them.
        let serving = store.with_client_profile(settings.grants.profile);
        let (writer, cache, edge_heartbeats) = start_store_tasks(&tasks, &serving, &stop);
        let transmitter = Arc::new(Transmitter::new(keys.clone(), issuer.clone()));
        let edge_pusher =
            EdgePusher::new(store.clone(), Arc::clone(&feed), Arc::clone(&edge_heartbeats), shared.clock.clone())?;
        tasks.spawn(edge_pusher.run(feed_changes.clone(), stop.clone()));
        let event_pusher = SecurityEventPusher::new(store.clone(), Arc::clone(&transmitter), shared.clock.clone())?;
        tasks.spawn(event_pusher.run(feed_changes.clone(), stop.clone()));
        let metrics = Arc::new(Metrics::new(shared.clock.clone()));
        tasks.spawn(count_revocations(Arc::clone(&metrics), store.clone(), feed_changes.clone(), stop.clone()));
        let outbound = OutboundClient::new()?;
        let logout_sender = BackchannelLogoutSender::new(
            serving.clone(),
            keys.clone(),
            issuer.clone(),
            shared.clock.clone(),
            outbound.clone(),
        );
        tasks.spawn(logout_sender.run(store.logout_notifier(), stop.clone()));
        let registry = Registry {
            store: store.clone(),
            passwords: shared.password_hasher.clone(),
            clock: shared.clock.clone(),
            http_redirects: settings.grants.http_redirects,
            profile: settings.grants.profile,
        };
        let admin = Administration {
            registry,
            writer: writer.clone(),
            keys: keys.clone(),
            key_policy: settings.keys,
            issuer: issuer.clone(),
            metrics: Arc::clone(&metrics),
            refusals: Arc::default(),
        };
        let services = IssuerServices {
            clock: shared.clock.clone(),
            store: serving,
            writer,
            cache,
            client_keys: ClientKeyCache::new(outbound.clone()),
            outbound,
            long_polls: Arc::clone(&shared.long_polls),
            password_hasher: shared.password_hasher.clone(),
            rate_limiter: shared.rate_limiter(settings, &keys),
            verified_secrets: VerifiedSecretCache::new()?,
            grants: settings.grants.clone(),
            tls: settings.tls.clone(),
            appearance: Arc::clone(&shared.appearance),
            accounts: settings.accounts.clone(),
            external_users: settings.accounts.external_users.clone().map(ExternalUserDirectory::new).transpose()?,
            edge_heartbeats,
            feed,
            delta_polls,
            registered_edges_only: settings.registered_edges_only,
            status_lists: StatusLists::new(store.clone(), keys.clone(), issuer.clone()),
            status_claim: settings.status_list,
            transmitter,
            keys: keys.clone(),
            admin,
            hsts: tollgate_http::hsts_of_issuer(&issuer, settings.hsts),
            issuer,
            default_audience,
            token_lifetime: settings.token_lifetime,
            feed_changes: feed_changes.clone(),
            metrics,
            span_exporter: shared.span_exporter.clone(),
            metric_sources: shared.metric_sources.clone(),
            slow_request: settings.telemetry.slow_request,
            metrics_public: settings.telemetry.metrics_public,
            draining: shared.draining.clone(),
            stop: stop.clone(),
        };
        Ok(RunningIssuer { store, keys, feed_changes, router: tollgate_http::router(services), stop, tasks })
    }

    /// Stops the tasks and waits for their end. The writer's task ends after the last request.
    pub(crate) async fn stop(self) {
        let RunningIssuer { store, router, stop, tasks, .. } = self;
        stop.cancel();
        drop(router);
        tasks.close();
        tasks.wait().await;
        store.close().await;
    }
}

/// Starts the tasks that read, write and clean up on behalf of all requests.
fn start_store_tasks(
    tasks: &TaskTracker,
    store: &Store,
    stop: &CancellationToken,
) -> (Writer, RegistrationCache, Arc<EdgeHeartbeats>) {
    let (writer, writer_task) = Writer::new(store.clone());
    tasks.spawn(writer_task);
    let (cache, cache_task) = RegistrationCache::new(store.clone());
    tasks.spawn(cache_task);
    let edge_heartbeats = Arc::new(EdgeHeartbeats::default());
    tasks.spawn({
        let (edge_heartbeats, store, stop) = (Arc::clone(&edge_heartbeats), store.clone(), stop.clone());
        async move { edge_heartbeats.run(store, stop).await }
    });
    tasks.spawn(delete_expired(store.clone(), stop.clone()));
    tasks.spawn(sync_clock(store.clone(), stop.clone()));
    (writer, cache, edge_heartbeats)
}

/// Compares this machine's clock with that of the database.
async fn sync_clock(store: Store, stop: CancellationToken) {
    while stop.run_until_cancelled(sleep(CLOCK_SYNC_INTERVAL)).await.is_some() {
        if let Err(error) = store.sync_clock().await {
            tracing::debug!(%error, "cannot read the clock of the database");
        }
    }
}

/// Ends expired sessions and deletes expired records.
async fn delete_expired(store: Store, stop: CancellationToken) {
    // Not at the start, when the write lock of the database is needed for other things.
    let mut ticks = interval_at(Instant::now() + SWEEP_INTERVAL, SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        // Both use the earliest of all clocks, because ending and deleting cannot be undone.
        match store.end_expired_sessions(store.settled_now()).await {
            Ok(0) => {}
            Ok(ended) => tracing::info!(ended, "ended expired sessions"),
            Err(error) => tracing::error!(%error, "cannot end expired sessions"),
        }
        match store.sweep_settled().await {
            Ok(swept) => tracing::debug!(?swept, "deleted expired records"),
            Err(error) => tracing::error!(%error, "cannot delete expired records"),
        }
    }
}
