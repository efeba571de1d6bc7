//! Whether the database answers and accepts writes: a circuit breaker for PostgreSQL, and for both
//! databases the outcome of the last write.
//!
//! Never: a request waits for a database that is known to be unavailable, or writes to one that is
//! known to be read-only; a connection from before a failure is used after it. SQLite is a file and
//! fails without delay: its circuit is always closed.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, query_scalar};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::database::statistics::{DatabaseStatistics, Use};
use crate::error::StoreError;

/// Maximum wait of a request for the first probe after a failure.
const SUSPICION_WAIT: Duration = Duration::from_secs(2);
/// Time limit for a new connection to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Delay between two probes: doubled each time, up to [`MAX_PROBE_DELAY`].
const FIRST_PROBE_DELAY: Duration = Duration::from_millis(100);
const MAX_PROBE_DELAY: Duration = Duration::from_secs(1);

/// A failure that makes all connections useless, not only the one that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server or the network closed the connection.
    Lost,
    /// No answer within the time limit.
    Timeout,
    /// The server no longer accepts writes.
    ReadOnly,
    /// No connection could be made.
    Unreachable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    /// A failure was reported and a new connection is being tried: requests wait a moment.
    Suspect,
    /// The server answers, but accepts no writes.
    ReadOnly,
    Unavailable,
}

/// State of a database, shared by all connections to it.
pub(crate) struct Availability {
    state: watch::Sender<State>,
    /// Connections made before this instant are no longer used.
    stale_before: Mutex<Option<Instant>>,
    /// Time and outcome of the last write.
    last_write: Mutex<Option<(Instant, bool)>>,
    /// Held by the caller that probes whether the database accepts writes.
    pub(crate) write_probe: tokio::sync::Mutex<()>,
    /// Result of the last probe.
    reason: Mutex<String>,
    /// Server to probe; none for SQLite.
    server: Option<PgConnectOptions>,
    pub(crate) statistics: DatabaseStatistics,
}

impl Availability {
    pub(crate) fn of_sqlite() -> Arc<Availability> {
        Availability::new(None)
    }

    pub(crate) fn of_postgres(server: PgConnectOptions) -> Arc<Availability> {
        Availability::new(Some(server))
    }

    fn new(server: Option<PgConnectOptions>) -> Arc<Availability> {
        Arc::new(Availability {
            state: watch::Sender::new(State::Up),
            stale_before: Mutex::new(None),
            last_write: Mutex::new(None),
            write_probe: tokio::sync::Mutex::new(()),
            reason: Mutex::default(),
            server,
            statistics: DatabaseStatistics::default(),
        })
    }

    /// Admits a use of the database, unless it is known to fail. Waits only during the first probe
    /// after a failure.
    pub(crate) async fn admit(&self, purpose: Use) -> Result<(), StoreError> {
        let mut state = *self.state.borrow();
        if state == State::Suspect {
            let mut states = self.state.subscribe();
            let settled = states.wait_for(|state| *state != State::Suspect);
            state = match timeout(SUSPICION_WAIT, settled).await {
                Ok(Ok(state)) => *state,
                Ok(Err(_)) | Err(_) => State::Unavailable,
            };
        }
        self.refusal(state, purpose).map_or(Ok(()), Err)
    }

    /// Returns when the database becomes unusable while the caller waits for a connection.
    pub(crate) async fn wait_until_refused(&self, purpose: Use) -> StoreError {
        let mut states = self.state.subscribe();
        loop {
            let state = *states.borrow_and_update();
            if let Some(refusal) = self.refusal(state, purpose) {
                return refusal;
            }
            if states.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn refusal(&self, state: State, purpose: Use) -> Option<StoreError> {
        match (state, purpose) {
            (State::Unavailable, _) => Some(StoreError::Unavailable(lock(&self.reason).clone())),
            (State::ReadOnly, Use::Write) => Some(StoreError::ReadOnly),
            (State::Up | State::Suspect | State::ReadOnly, _) => None,
        }
    }

    /// Whether the database answered when it was last used, and may be read.
    pub(crate) fn is_up(&self) -> bool {
        *self.state.borrow() != State::Unavailable
    }

    /// Whether a connection is too old to be used because of a failure since it was made.
    pub(crate) fn is_stale(&self, established: Instant) -> bool {
        lock(&self.stale_before).is_some_and(|stale_before| established <= stale_before)
    }

    /// Reports a failure, after which existing connections are no longer used, and starts to probe
    /// the server by new ones.
    pub(crate) fn report(self: &Arc<Availability>, fault: Fault, error: &dyn Display) {
        let Some(server) = &self.server else { return };
        if fault != Fault::Unreachable {
            *lock(&self.stale_before) = Some(Instant::now());
        }
        let is_first = self.state.send_if_modified(|state| {
            let is_first = *state == State::Up;
            if is_first {
                *state = State::Suspect;
            }
            is_first
        });
        if is_first {
            let address = address(server);
            tracing::warn!(address, ?fault, %error, "a database connection failed; probing the server");
            tokio::spawn(probe_until_up(Arc::downgrade(self)));
        }
    }

    pub(crate) fn record_write_outcome(&self, is_written: bool) {
        *lock(&self.last_write) = Some((Instant::now(), is_written));
    }

    /// Outcome of the last write, if it is more recent than `age`.
    pub(crate) fn recent_write_outcome(&self, age: Duration) -> Option<bool> {
        let last_write = *lock(&self.last_write);
        last_write.filter(|(at, _)| at.elapsed() < age).map(|(_, is_written)| is_written)
    }
}

fn lock<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tries new connections until one can write.
async fn probe_until_up(availability: Weak<Availability>) {
    let mut delay = FIRST_PROBE_DELAY;
    loop {
        // Ends when the store is dropped.
        let Some(this) = availability.upgrade() else { return };
        let Some(server) = &this.server else { return };
        let (address, probed) = (address(server), timeout(PROBE_TIMEOUT, is_read_only(server)).await);
        let is_full = matches!(&probed, Ok(Err(error)) if is_full(error));
        let (state, reason) = match probed {
            Ok(Ok(false)) => (State::Up, String::new()),
            // The server answers, but has no free connection slot, perhaps because of this
            // process's own connections: they are valid, and the pools wait for one.
            Ok(Err(_)) if is_full => (State::Up, String::new()),
            Ok(Ok(true)) => (State::ReadOnly, "it is read-only".to_owned()),
            Ok(Err(error)) => (State::Unavailable, format!("{address}: {error}")),
            Err(_) => (State::Unavailable, format!("{address}: no answer within {} s", PROBE_TIMEOUT.as_secs())),
        };
        let before = *this.state.borrow();
        if state == State::Up && before != State::Suspect && !is_full {
            // A connection made while the server was unavailable or read-only may lead to a server
            // that still is.
            *lock(&this.stale_before) = Some(Instant::now());
        }
        lock(&this.reason).clone_from(&reason);
        this.state.send_replace(state);
        match state {
            State::Up => {
                tracing::info!(address, "the database answers and accepts writes");
                return;
            }
            _ if state == before => {}
            State::ReadOnly => tracing::error!(address, "the database is read-only; writes fail until it is writable"),
            _ => tracing::error!(reason, "the database is unavailable; requests that need it fail until it answers"),
        }
        drop(this);
        sleep(delay).await;
        delay = (delay * 2).min(MAX_PROBE_DELAY);
    }
}

/// Whether a server has no free connection slot (`too_many_connections`).
fn is_full(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().is_some_and(|code| code == "53300"))
}

async fn is_read_only(server: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let mut connection = PgConnection::connect_with(server).await?;
    let is_read_only = query_scalar("SELECT current_setting('transaction_read_only') = 'on'");
    let is_read_only = is_read_only.fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(is_read_only)
}

/// Address of a server, for messages.
pub(crate) fn address(server: &PgConnectOptions) -> String {
    match server.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", server.get_host(), server.get_port()),
    }
}
