//! What health checks and metrics read. Never: the database itself, of which they see the state
//! only.

use std::sync::Arc;

use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;
use tollgate_model::Edge;
use tollgate_services::feed_change::FeedChange;
use tollgate_services::password_hashing::PasswordHasher;
use tollgate_services::rate_limit::RateLimiter;
use tollgate_services::revocation_feed::FeedResponder;
use tollgate_services::signing_keys::SigningKeys;
use tollgate_services::telemetry::Metrics;
use tollgate_storage::{FeedHead, Store, StoreError, Writer};
use tollgate_system::Clock;

use crate::allowed_origins::AllowedOrigins;
use crate::long_polls::LongPolls;

/// State of the endpoints for operators.
pub(crate) struct Operations {
    pub(crate) clock: Clock,
    pub(crate) database: DatabaseStatus,
    pub(crate) writer: Writer,
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

    pub(super) async fn edges(&self) -> Result<Vec<Edge>, StoreError> {
        self.0.list_edges().await
    }
}
