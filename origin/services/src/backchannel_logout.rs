//! Sends logout tokens to clients when a user signs out (OpenID Connect Back-Channel Logout 1.0):
//! one signed token for each grant of the session, to the `backchannel_logout_uri` of its client.
//!
//! Pending logouts are in the database (see [`tollgate_storage`]), so they survive a restart, and
//! any origin may send them. Each attempt has its own token, because an older one may have expired.
//! If an origin dies between a client's response and the record of it, the client receives the same
//! logout again, which is harmless. Users do not wait for the delivery.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tollgate_model::encoding::base64url;
use tollgate_model::error_chain::with_causes;
use tollgate_model::{Client, ClientId, PendingLogout};
use tollgate_storage::{ClientSlots, Store, StoreError};
use tollgate_system::{Clock, rng};

use crate::outbound_http::{OutboundClient, OutboundError};
use crate::signing_keys::{SigningError, SigningKeys};
use crate::telemetry::TraceContext;

/// Concurrent deliveries, in all and to one client.
const MAX_DELIVERIES: usize = 64;
const MAX_DELIVERIES_PER_CLIENT: usize = 8;
/// How long a claimed logout is reserved for the origin that claimed it, in seconds. Far longer
/// than an attempt takes.
const CLAIM_LIFETIME: u64 = 60;
/// Interval of queries for logouts that other processes wrote. This process notifies of its own.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Delay after the database failed, or while all deliveries are in use.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the token cannot be signed: {0}")]
    Sign(#[from] SigningError),
    #[error("the random source failed: {0}")]
    Random(#[from] getrandom::Error),
    #[error("the client cannot be reached: {0}")]
    Outbound(#[from] OutboundError),
    #[error("the client responded with status {0}")]
    Status(StatusCode),
}

/// Final outcome of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeliveryOutcome {
    Accepted,
    /// The client responded with 400 and would do so again (section 2.8).
    Rejected,
    /// The client is disabled or has no `backchannel_logout_uri` any more.
    NotRequired,
}

/// Sends logout tokens.
pub struct BackchannelLogoutSender {
    store: Store,
    keys: SigningKeys,
    issuer: String,
    clock: Clock,
    outbound: OutboundClient,
}

/// Deliveries that are running.
struct Deliveries {
    tasks: JoinSet<()>,
    clients: HashMap<Id, ClientId>,
    slots: ClientSlots,
}

impl BackchannelLogoutSender {
    pub fn new(
        store: Store,
        keys: SigningKeys,
        issuer: String,
        clock: Clock,
        outbound: OutboundClient,
    ) -> BackchannelLogoutSender {
        BackchannelLogoutSender { store, keys, issuer, clock, outbound }
    }

    /// Sends pending logouts until `stop`, then waits some seconds for the running deliveries,
    /// which would be repeated otherwise.
    pub async fn run(self, signed_out: Arc<Notify>, stop: CancellationToken) {
        let sender = Arc::new(self);
        let slots = ClientSlots::with_limit(MAX_DELIVERIES_PER_CLIENT);
        let mut deliveries = Deliveries { tasks: JoinSet::new(), clients: HashMap::new(), slots };
        loop {
            let delay = match sender.start_due(&mut deliveries).await {
                Ok(delay) => delay,
                Err(error) => {
                    tracing::error!(%error, "pending logouts cannot be read");
                    RETRY_DELAY
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = deliveries.wait_for_end_of_one() => {}
                () = signed_out.notified() => {}
                () = sleep(delay) => {}
            }
        }
        while deliveries.tasks.join_next().await.is_some() {}
    }

    /// Starts as many due deliveries as the limits allow. Returns the delay until the next call.
    async fn start_due(self: &Arc<Self>, deliveries: &mut Deliveries) -> Result<Duration, StoreError> {
        loop {
            let (now, free) = (self.steady_now(), MAX_DELIVERIES.saturating_sub(deliveries.tasks.len()));
            match self.store.find_next_logout_time().await? {
                None => return Ok(POLL_INTERVAL),
                Some(due) if due > now => return Ok(Duration::from_secs(due - now).min(POLL_INTERVAL)),
                Some(_) if free == 0 => return Ok(RETRY_DELAY),
                Some(_) => {}
            }
            let claimed =
                self.store.claim_logouts(now, now.saturating_add(CLAIM_LIFETIME), free, &deliveries.slots).await?;
            if claimed.is_empty() {
                return Ok(RETRY_DELAY);
            }
            for logout in claimed {
                deliveries.start(Arc::clone(self), logout);
            }
        }
    }

    /// Time that decides when an attempt is repeated or given up. A jump of the wall clock does not
    /// change it.
    fn steady_now(&self) -> u64 {
        self.store.read_clocks().steady_ms / 1000
    }

    /// Makes one attempt, within the trace of the request that signed out, and records its outcome.
    async fn deliver(self: Arc<Self>, logout: PendingLogout) {
        let trace = TraceContext::continued(Some(&logout.trace));
        let outcome = trace.scope(self.send(&logout)).await;
        let (client, session, attempts) = (&logout.client, &logout.session, logout.attempts);
        let recorded = match outcome {
            Ok(outcome) => {
                match outcome {
                    DeliveryOutcome::Accepted => tracing::debug!(%client, session, attempts, "logout token delivered"),
                    DeliveryOutcome::Rejected => {
                        tracing::warn!(%client, session, attempts, "client rejected the logout token");
                    }
                    DeliveryOutcome::NotRequired => {
                        tracing::debug!(%client, session, "logout token no longer required")
                    }
                }
                self.store.delete_logout(&logout).await
            }
            Err(error) => {
                let error = with_causes(&error);
                match logout.next_attempt(self.steady_now(), rng::jitter()) {
                    Some(due_at) => {
                        tracing::warn!(%client, session, attempts, error, "logout token not delivered; retrying later");
                        self.store.reschedule_logout(&logout, due_at).await
                    }
                    None => {
                        tracing::error!(%client, session, attempts, error, "logout token not delivered; giving up");
                        self.store.delete_logout(&logout).await
                    }
                }
            }
        };
        if let Err(error) = recorded {
            tracing::error!(%error, %client, session, "the outcome of a logout delivery could not be recorded");
        }
    }

    async fn send(&self, logout: &PendingLogout) -> Result<DeliveryOutcome, DeliveryError> {
        let Some(client) = self.store.find_client(&logout.client).await?.filter(Client::is_active) else {
            return Ok(DeliveryOutcome::NotRequired);
        };
        let Some(url) = &client.metadata.backchannel_logout_uri else {
            return Ok(DeliveryOutcome::NotRequired);
        };
        let claims = logout.claims(&self.issuer, &base64url(&rng::random::<16>()?), self.clock.now());
        let alg = client.metadata.id_token_alg();
        let token = self.keys.sign_statement(alg, "logout+jwt", &claims).await?;
        match self.outbound.post(url, client.registrant(), &[("logout_token", &token)]).await? {
            status if status.is_success() => Ok(DeliveryOutcome::Accepted),
            StatusCode::BAD_REQUEST => Ok(DeliveryOutcome::Rejected),
            status => Err(DeliveryError::Status(status)),
        }
    }
}

impl Deliveries {
    fn start(&mut self, sender: Arc<BackchannelLogoutSender>, logout: PendingLogout) {
        let client = logout.client.clone();
        self.slots.try_acquire(&client);
        let task = self.tasks.spawn(sender.deliver(logout));
        self.clients.insert(task.id(), client);
    }

    /// Returns when a delivery has ended; never if none is running.
    async fn wait_for_end_of_one(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            None => return std::future::pending().await,
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
        };
        if let Some(client) = self.clients.remove(&id) {
            self.slots.release(&client);
        }
    }
}
