//! Tells clients that a user signed out (OpenID Connect Back-Channel Logout): one signed token for each grant of the session, to each
//! client that registered where it wants to hear of it.
//!
//! What is to be told stands in the database, see [`tollgate_storage`]: it outlives this process, and whichever origin takes it up first tells
//! it. Each try has a token of its own, for one that waited is too old. A client may hear of the same logout twice, when an origin died
//! between the answer and its record; a second time it has nothing to do. Users never wait for any of this.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tollgate_keys::IssueError;
use tollgate_model::encoding::base64url;
use tollgate_model::error_chain::with_causes;
use tollgate_model::{Client, ClientId, PendingLogout};
use tollgate_storage::{ClientSlots, Store, StoreError};
use tollgate_system::{clock, rng};

use crate::outbound_http::{OutboundClient, OutboundError};
use crate::signing_keys::SigningKeys;
use crate::telemetry::TraceContext;

/// Tokens that are on their way at once, at most, and to one client.
const MOST: usize = 64;
const MOST_OF_ONE: usize = 8;
/// For how long what was taken up is left to whoever took it, in seconds: far longer than a try takes.
const HELD: u64 = 60;
/// How often the database is asked for what others wrote there. What this process writes is told at once.
const INTERVAL: Duration = Duration::from_secs(5);
/// The pause after the database failed, and while all that is due must wait for room.
const PAUSE: Duration = Duration::from_secs(1);

/// A client was not told this time.
#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the token could not be signed: {0}")]
    Sign(#[from] IssueError),
    #[error("there is no randomness: {0}")]
    Random(#[from] getrandom::Error),
    #[error("it was not reached: {0}")]
    OutboundClient(#[from] OutboundError),
    #[error("it answered {0}")]
    Status(StatusCode),
}

/// What became of a logout that need not be told any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeliveryOutcome {
    /// The client took it.
    Taken,
    /// The client will never take it (§2.8).
    Refused,
    /// The client is disabled, or does not want to hear of logouts any more.
    Nobody,
}

/// Tells clients; shared by the tasks that do it.
pub struct BackchannelLogoutSender {
    store: Store,
    keys: SigningKeys,
    issuer: String,
    outbound: OutboundClient,
}

/// What is on its way.
struct UnderWay {
    tasks: JoinSet<()>,
    clients: HashMap<Id, ClientId>,
    room: ClientSlots,
}

impl BackchannelLogoutSender {
    /// A courier of this issuer's logout tokens.
    pub fn new(store: Store, keys: SigningKeys, issuer: String, outbound: OutboundClient) -> BackchannelLogoutSender {
        BackchannelLogoutSender { store, keys, issuer, outbound }
    }

    /// Tells until `stop`. Then what is on its way ends first, which takes seconds: else it would have to be told twice.
    pub async fn run(self, signed_out: Arc<Notify>, stop: CancellationToken) {
        let courier = Arc::new(self);
        let mut under_way =
            UnderWay { tasks: JoinSet::new(), clients: HashMap::new(), room: ClientSlots::with_limit(MOST_OF_ONE) };
        loop {
            let pause = match courier.take_up(&mut under_way).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(%error, "what clients are to be told is not known");
                    PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = under_way.one_ended() => {}
                () = signed_out.notified() => {}
                () = sleep(pause) => {}
            }
        }
        while under_way.tasks.join_next().await.is_some() {}
    }

    /// Begins to tell what is due, as much as there is room for; gives how long to wait for more.
    async fn take_up(self: &Arc<BackchannelLogoutSender>, under_way: &mut UnderWay) -> Result<Duration, StoreError> {
        loop {
            let (now, room) = (self.now(), MOST.saturating_sub(under_way.tasks.len()));
            match self.store.find_next_logout_time().await? {
                None => return Ok(INTERVAL),
                Some(due) if due > now => return Ok(Duration::from_secs(due - now).min(INTERVAL)),
                Some(_) if room == 0 => return Ok(PAUSE),
                Some(_) => {}
            }
            let taken = self.store.claim_logouts(now, now.saturating_add(HELD), room, &under_way.room).await?;
            if taken.is_empty() {
                return Ok(PAUSE);
            }
            for logout in taken {
                under_way.begin(Arc::clone(self), logout);
            }
        }
    }

    /// The time by which clients are told again and given up: a clock that jumped gives up nobody.
    fn now(&self) -> u64 {
        self.store.read_clocks().steady_ms / 1000
    }

    /// Tells a client once, as part of the request that signed out, and records what came of it.
    async fn deliver(self: Arc<BackchannelLogoutSender>, logout: PendingLogout) {
        let trace = TraceContext::continued(Some(&logout.trace));
        let told = trace.scope(self.tell(&logout)).await;
        let (client, session, tries) = (&logout.client, &logout.session, logout.attempts);
        let recorded = match told {
            Ok(told) => {
                match told {
                    DeliveryOutcome::Taken => tracing::debug!(%client, session, tries, "a client was told of a logout"),
                    DeliveryOutcome::Refused => {
                        tracing::warn!(%client, session, tries, "a client refused to be told of a logout")
                    }
                    DeliveryOutcome::Nobody => {
                        tracing::debug!(%client, session, "a client need not be told of a logout any more")
                    }
                }
                self.store.delete_logout(&logout).await
            }
            Err(error) => {
                let error = with_causes(&error);
                match logout.next_attempt(self.now(), rng::jitter()) {
                    Some(due_at) => {
                        tracing::warn!(%client, session, tries, error, "a client could not be told of a logout");
                        self.store.reschedule_logout(&logout, due_at).await
                    }
                    None => {
                        tracing::error!(%client, session, tries, error, "a client is given up: it was never told of a logout");
                        self.store.delete_logout(&logout).await
                    }
                }
            }
        };
        if let Err(error) = recorded {
            tracing::error!(%error, %client, session, "whether a client was told of a logout could not be recorded");
        }
    }

    async fn tell(&self, logout: &PendingLogout) -> Result<DeliveryOutcome, TellError> {
        let Some(client) = self.store.find_client(&logout.client).await?.filter(Client::is_active) else {
            return Ok(DeliveryOutcome::Nobody);
        };
        let Some(url) = &client.metadata.backchannel_logout_uri else {
            return Ok(DeliveryOutcome::Nobody);
        };
        let claims = logout.claims(&self.issuer, &base64url(&rng::random::<16>()?), clock::now());
        let alg = client.metadata.id_token_alg();
        let token = self.keys.current().sign_statement_with(alg, "logout+jwt", &claims)?;
        match self.outbound.post(url, client.registrant(), &[("logout_token", &token)]).await? {
            status if status.is_success() => Ok(DeliveryOutcome::Taken),
            StatusCode::BAD_REQUEST => Ok(DeliveryOutcome::Refused),
            status => Err(TellError::Status(status)),
        }
    }
}

impl UnderWay {
    fn begin(&mut self, courier: Arc<BackchannelLogoutSender>, logout: PendingLogout) {
        let client = logout.client.clone();
        self.room.try_acquire(&client);
        let task = self.tasks.spawn(courier.deliver(logout));
        self.clients.insert(task.id(), client);
    }

    /// Returns when one of them has ended; never while there are none.
    async fn one_ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            None => return std::future::pending().await,
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
        };
        if let Some(client) = self.clients.remove(&id) {
            self.room.release(&client);
        }
    }
}
