//! Whether the database answers and takes writes: a circuit breaker for PostgreSQL, and for both databases the outcome of the last write.
//!
//! What never happens: a request waits for a database that is known to be away, or writes to one that is known to be read-only; a
//! connection from before a failure is used after it. SQLite is a file, and failing there takes no time: its circuit is always closed.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, query_scalar};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::error::StoreError;

/// How long a request waits for the first look at a database that just failed.
const SUSPICION_WAIT: Duration = Duration::from_secs(2);
/// How long a new connection may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause between two looks: doubled each time, to at most a second.
const FIRST_PROBE_DELAY: Duration = Duration::from_millis(100);
const MAX_PROBE_DELAY: Duration = Duration::from_secs(1);

/// What a connection is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    Write,
}

/// What makes connections useless, not only the statement that found it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server ended the connection, or the network did.
    Lost,
    /// No answer within the time limit.
    Silent,
    /// The server takes no writes any more.
    ReadOnly,
    /// No connection could be had.
    Unreachable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    /// Something failed, and a new connection is being tried: requests wait a moment.
    Suspect,
    /// It answers, but takes no writes.
    ReadOnly,
    Away,
}

/// What is known of a database, shared by all connections to it.
pub(crate) struct Availability {
    state: watch::Sender<State>,
    /// Connections from before this moment are not used any more.
    shed_at: Mutex<Option<Instant>>,
    /// When something was written last, or could not be.
    last_write: Mutex<Option<(Instant, bool)>>,
    /// Held by who finds out whether the database takes writes.
    pub(crate) write_probe: tokio::sync::Mutex<()>,
    /// What the last look said.
    reason: Mutex<String>,
    /// How to look; not at SQLite.
    server: Option<PgConnectOptions>,
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
            shed_at: Mutex::new(None),
            last_write: Mutex::new(None),
            write_probe: tokio::sync::Mutex::new(()),
            reason: Mutex::default(),
            server,
        })
    }

    /// Lets pass whoever wants to use the database, unless it is known to be of no use. Waits only while that is being found out.
    pub(crate) async fn admit(&self, wanted: Use) -> Result<(), StoreError> {
        let mut state = *self.state.borrow();
        if state == State::Suspect {
            let mut states = self.state.subscribe();
            let settled = states.wait_for(|state| *state != State::Suspect);
            state = match timeout(SUSPICION_WAIT, settled).await {
                Ok(Ok(state)) => *state,
                Ok(Err(_)) | Err(_) => State::Away,
            };
        }
        self.refusal(state, wanted).map_or(Ok(()), Err)
    }

    /// Returns when the database turns out to be of no use while a connection is waited for.
    pub(crate) async fn refused(&self, wanted: Use) -> StoreError {
        let mut states = self.state.subscribe();
        loop {
            let state = *states.borrow_and_update();
            if let Some(refusal) = self.refusal(state, wanted) {
                return refusal;
            }
            if states.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn refusal(&self, state: State, wanted: Use) -> Option<StoreError> {
        match (state, wanted) {
            (State::Away, _) => Some(StoreError::Unavailable(lock(&self.reason).clone())),
            (State::ReadOnly, Use::Write) => Some(StoreError::ReadOnly),
            (State::Up | State::Suspect | State::ReadOnly, _) => None,
        }
    }

    /// Whether a connection is too old to be used: something failed since.
    pub(crate) fn is_shed(&self, established: Instant) -> bool {
        lock(&self.shed_at).is_some_and(|shed_at| established <= shed_at)
    }

    /// Notes that connections are of no use, and finds out by a new one what the matter is.
    pub(crate) fn report(self: &Arc<Availability>, fault: Fault, error: &dyn Display) {
        let Some(server) = &self.server else { return };
        if fault != Fault::Unreachable {
            *lock(&self.shed_at) = Some(Instant::now());
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
            tracing::warn!(address, ?fault, %error, "a database connection failed; trying a new one");
            tokio::spawn(probe_until_up(Arc::downgrade(self)));
        }
    }

    /// Notes what came of a write.
    pub(crate) fn note_write(&self, is_written: bool) {
        *lock(&self.last_write) = Some((Instant::now(), is_written));
    }

    /// What came of the last write, if it is not older than this.
    pub(crate) fn write_within(&self, time: Duration) -> Option<bool> {
        let last_write = *lock(&self.last_write);
        last_write.filter(|(at, _)| at.elapsed() < time).map(|(_, is_written)| is_written)
    }
}

fn lock<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tries new connections until one can write.
async fn probe_until_up(availability: Weak<Availability>) {
    let mut delay = FIRST_PROBE_DELAY;
    loop {
        // Whoever drops the store ends this.
        let Some(this) = availability.upgrade() else { return };
        let Some(server) = &this.server else { return };
        let (address, probed) = (address(server), timeout(PROBE_TIMEOUT, is_read_only(server)).await);
        let is_full = matches!(&probed, Ok(Err(error)) if is_full(error));
        let (state, reason) = match probed {
            Ok(Ok(false)) => (State::Up, String::new()),
            // It answers, and takes no new connection, perhaps for ours have all places: they are good, and the pools wait for one.
            Ok(Err(_)) if is_full => (State::Up, String::new()),
            Ok(Ok(true)) => (State::ReadOnly, "it is read-only".to_owned()),
            Ok(Err(error)) => (State::Away, format!("{address}: {error}")),
            Err(_) => (State::Away, format!("{address}: no answer within {} s", PROBE_TIMEOUT.as_secs())),
        };
        let before = *this.state.borrow();
        if state == State::Up && before != State::Suspect && !is_full {
            // What was made while it was away or read-only may lead to a server that still is.
            *lock(&this.shed_at) = Some(Instant::now());
        }
        lock(&this.reason).clone_from(&reason);
        this.state.send_replace(state);
        match state {
            State::Up => {
                tracing::info!(address, "the database answers and takes writes");
                return;
            }
            _ if state == before => {}
            State::ReadOnly => tracing::error!(address, "the database is read-only; writes fail until it is not"),
            _ => tracing::error!(reason, "the database is away; what needs it fails until it answers"),
        }
        drop(this);
        sleep(delay).await;
        delay = (delay * 2).min(MAX_PROBE_DELAY);
    }
}

/// Whether a server has no place for another connection (`too_many_connections`).
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

/// Where a server is, for people.
pub(crate) fn address(server: &PgConnectOptions) -> String {
    match server.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", server.get_host(), server.get_port()),
    }
}
