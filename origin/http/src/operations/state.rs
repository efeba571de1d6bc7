//! What health checks and metrics read. Never: the database itself, of which they see the state
//! only.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;
use tollgate_model::{Edge, EdgeActivity, EdgeName};
use tollgate_services::cache::RegistrationCache;
use tollgate_services::feed_change::FeedChange;
use tollgate_services::password_hashing::PasswordHasher;
use tollgate_services::rate_limit::RateLimiter;
use tollgate_services::revocation_feed::FeedResponder;
use tollgate_services::signing_keys::SigningKeys;
use tollgate_services::telemetry::Metrics;
use tollgate_storage::{FeedHead, LiveCounts, PoolStatistics, Store, StoreError, Writer};
use tollgate_system::Clock;

use crate::allowed_origins::AllowedOrigins;
use crate::long_polls::LongPolls;

/// Seconds for which counts of live records are not counted again.
const COUNTS_MAX_AGE: u64 = 15;

/// State of the endpoints for operators.
pub(crate) struct Operations {
    pub(crate) clock: Clock,
    pub(crate) database: DatabaseStatus,
    pub(crate) writer: Writer,
    pub(crate) cache: RegistrationCache,
    pub(crate) keys: SigningKeys,
    pub(crate) feed: Arc<FeedResponder>,
    pub(crate) feed_changes: Receiver<FeedChange>,
    pub(crate) password_hasher: PasswordHasher,
    pub(crate) rate_limiter: Arc<RateLimiter>,
    pub(crate) allowed_origins: Arc<AllowedOrigins>,
    pub(crate) long_polls: Arc<LongPolls>,
    pub(crate) metrics: Arc<Metrics>,
    /// Whether `/metrics` is served on all listeners, and not only on its own.
    pub(crate) metrics_public: bool,
    /// Cancelled when the server stops accepting requests.
    pub(crate) draining: CancellationToken,
    pub(crate) last_counts: LastCounts,
}

/// The last counts of live records, with the Unix second of their time.
#[derive(Default)]
pub(crate) struct LastCounts(Mutex<Option<(u64, LiveCounts)>>);

impl Operations {
    /// Numbers of live records, at most [`COUNTS_MAX_AGE`] old. Concurrent callers share a query.
    pub(super) async fn live_counts(&self) -> Result<LiveCounts, StoreError> {
        let (mut last, now) = (self.last_counts.0.lock().await, self.clock.now());
        if let Some((at, counts)) = *last
            && now.abs_diff(at) < COUNTS_MAX_AGE
        {
            return Ok(counts);
        }
        let counts = self.database.count_live(now).await?;
        *last = Some((now, counts));
        Ok(counts)
    }
}

/// State of the database.
pub(crate) struct DatabaseStatus(Store);

impl DatabaseStatus {
    pub(crate) fn new(store: Store) -> DatabaseStatus {
        DatabaseStatus(store)
    }

    pub(super) async fn is_writable(&self) -> bool {
        self.0.is_writable().await
    }

    /// Whether this machine's clock agrees with the database's.
    pub(super) fn is_clock_trusted(&self) -> bool {
        self.0.read_clocks().is_trusted
    }

    /// Head of the revocation feed.
    pub(super) async fn feed_head(&self) -> Result<FeedHead, StoreError> {
        self.0.get_feed_head().await
    }

    /// Whether the database answered when it was last used.
    pub(super) fn is_up(&self) -> bool {
        self.0.is_up()
    }

    pub(super) fn pool_statistics(&self) -> [PoolStatistics; 2] {
        self.0.pool_statistics()
    }

    pub(super) fn slow_statement_count(&self) -> u64 {
        self.0.slow_statement_count()
    }

    async fn count_live(&self, now: u64) -> Result<LiveCounts, StoreError> {
        self.0.count_live(now).await
    }

    pub(super) async fn edges(&self) -> Result<Vec<Edge>, StoreError> {
        self.0.list_edges().await
    }

    /// What the edges reported of their work.
    pub(super) async fn edge_activity(&self) -> Result<BTreeMap<EdgeName, EdgeActivity>, StoreError> {
        self.0.list_edge_activity().await
    }
}
