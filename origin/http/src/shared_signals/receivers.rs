//! What the endpoints of receivers work with.

use std::sync::Arc;

use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;
use tollgate_services::feed_change::FeedChange;
use tollgate_services::shared_signals::Transmitter;
use tollgate_storage::Store;
use tollgate_system::Clock;

use crate::extract::proxies::Proxies;
use crate::issuer::Issuer;
use crate::long_polls::LongPolls;
use crate::oauth::bearer::BearerAuthenticator;

/// State of the endpoints of receivers.
pub(crate) struct SignalReceivers {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) bearers: Arc<BearerAuthenticator>,
    pub(crate) transmitter: Arc<Transmitter>,
    pub(crate) feed_changes: Receiver<FeedChange>,
    pub(crate) long_polls: Arc<LongPolls>,
    pub(crate) proxies: Arc<Proxies>,
    /// Cancelled at shutdown; ends long polls.
    pub(crate) stop: CancellationToken,
}
