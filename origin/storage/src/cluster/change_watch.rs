//! Change notification: wakes a process when the database has changed, whichever process changed
//! it. Commits of this process that matter to edges wake it without the database.
//!
//! PostgreSQL notifies a channel at each commit. SQLite has no notifications between processes, but
//! `PRAGMA data_version` changes whenever another connection has committed, and costs microseconds:
//! a connection of its own polls it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgListener};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, PgPool};
use tokio::sync::watch::Receiver;
use tokio::time::{sleep, timeout};

use crate::database::Connection;
use crate::database::availability::{Availability, Fault};
use crate::database::statistics::Use;
use crate::database::values::from_sql;
use crate::error::StoreError;
use crate::store::open::{MAX_UNTESTED_IDLE, postgres_pool};
use crate::store::{Pools, Store};

/// SQL expression of the channel that PostgreSQL notifies. Channels belong to the whole database,
/// and each of its schemas may be another issuer's.
pub(crate) const NOTIFY_CHANNEL: &str = "'tollgate_' || md5(current_schema())";

/// Short enough that another process's revocation reaches edges without noticeable delay, long
/// enough to cost nothing.
const SQLITE_POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Longest delay of a change whose notification was lost with its connection.
const POSTGRES_POLL_INTERVAL: Duration = Duration::from_secs(1);

const WATCH_TIMEOUT: Duration = Duration::from_secs(6);

/// Waits for changes of the database.
pub struct ChangeWatch {
    source: Source,
    /// Commits of this process.
    committed: Receiver<u64>,
}

enum Source {
    Sqlite { connection: SqliteConnection, version: i64 },
    Postgres { listener: PgListener, availability: Arc<Availability>, since: tokio::time::Instant },
}

/// Version counters. Data that was read at or after a version is current as long as the version has
/// not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Clients, their secrets, and resource servers.
    pub registrations: u64,
    /// Revocations: the sequence of the last delta.
    pub sequence: u64,
    /// Other data that edges depend on: route rules, keys, registered edges.
    pub config: u64,
}

/// Reads the versions repeatedly on a connection that it keeps: what the pool does before and after
/// each use costs more than the query.
pub struct VersionReader {
    store: Store,
    /// The connection, and when it was last used.
    connection: Option<(Connection, Instant)>,
}

impl VersionReader {
    /// Reads the current versions.
    ///
    /// # Errors
    /// When the database fails, or has no issuer yet. The next call uses another connection.
    pub async fn read(&mut self) -> Result<Versions, StoreError> {
        // An idle connection may have been lost unnoticed; the pool tests those.
        let is_good =
            |connection: &Connection, used: Instant| used.elapsed() < MAX_UNTESTED_IDLE && !connection.is_stale();
        let reusable = self.connection.take().filter(|(connection, used)| is_good(connection, *used));
        let mut connection = match reusable {
            Some((connection, _)) => connection,
            None => self.store.reader().await?,
        };
        connection.use_probe_timeout();
        let versions = versions(&mut connection).await?;
        self.connection = Some((connection, Instant::now()));
        Ok(versions)
    }
}

async fn versions(connection: &mut Connection) -> Result<Versions, StoreError> {
    let row = with_connection!(connection, connection => {
        sqlx::query_as::<_, (i64, i64, i64)>(
            "SELECT registrations.version, feed.sequence, feed.version FROM registrations, feed",
        )
        .fetch_one(connection)
        .await?
    });
    let (registrations, sequence, config) = row;
    let [registrations, sequence, config] = [registrations, sequence, config].map(from_sql);
    Ok(Versions { registrations, sequence, config })
}

impl Store {
    /// Reads the current versions.
    ///
    /// # Errors
    /// When the database fails, or has no issuer yet.
    pub async fn get_versions(&self) -> Result<Versions, StoreError> {
        versions(&mut self.reader().await?).await
    }

    /// A reader for callers that read the versions often.
    #[must_use]
    pub fn version_reader(&self) -> VersionReader {
        VersionReader { store: self.clone(), connection: None }
    }

    /// Starts to watch, on a connection of its own.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn watch_changes(&self) -> Result<ChangeWatch, StoreError> {
        // Subscribes before the first read, so that no commit is missed.
        let committed = self.committed.subscribe();
        let source = match &self.pools {
            Pools::Sqlite { read, .. } => {
                let mut connection = SqliteConnection::connect_with(&read.connect_options()).await?;
                let version = data_version(&mut connection).await?;
                Source::Sqlite { connection, version }
            }
            Pools::Postgres { read: pool, .. } => {
                let availability = Arc::clone(&self.availability);
                availability.admit(Use::Read).await?;
                let since = tokio::time::Instant::now();
                let listening = timeout(WATCH_TIMEOUT, listen(pool, &availability)).await;
                let listener = listening.map_err(|_| StoreError::Timeout(WATCH_TIMEOUT)).and_then(|listener| listener);
                let listener = listener.inspect_err(|error| availability.report(Fault::Unreachable, error))?;
                Source::Postgres { listener, availability, since }
            }
        };
        Ok(ChangeWatch { source, committed })
    }
}

impl ChangeWatch {
    /// Returns when the database may have changed since the last call; it may return without a
    /// change.
    ///
    /// # Errors
    /// When the database fails; the caller must start another watch after a delay.
    pub async fn changed(&mut self) -> Result<(), StoreError> {
        tokio::select! {
            changed = self.source.changed() => changed,
            // The sender lives as long as the store.
            Ok(()) = self.committed.changed() => Ok(()),
        }
    }
}

impl Source {
    /// Cancel safe: a cancelled call loses at most a wake-up that the caller gets from the other
    /// source.
    async fn changed(&mut self) -> Result<(), StoreError> {
        match self {
            Source::Sqlite { connection, version } => loop {
                let newest = data_version(connection).await?;
                if newest != *version {
                    *version = newest;
                    return Ok(());
                }
                sleep(SQLITE_POLL_INTERVAL).await;
            },
            Source::Postgres { listener, availability, since } => {
                if availability.is_stale(*since) {
                    return Err(StoreError::Timeout(POSTGRES_POLL_INTERVAL));
                }
                match timeout(POSTGRES_POLL_INTERVAL, listener.try_recv()).await {
                    Ok(Ok(Some(_))) | Err(_) => {}
                    // The connection was lost, and perhaps notifications with it.
                    Ok(lost) => {
                        let reset = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
                        let error = lost.err().unwrap_or_else(reset);
                        availability.report(Fault::Lost, &error);
                        return Err(error.into());
                    }
                }
                // Several notifications cause one read.
                while listener.next_buffered().is_some() {}
                Ok(())
            }
        }
    }
}

/// Listens on a connection outside the pools.
async fn listen(pool: &PgPool, availability: &Arc<Availability>) -> Result<PgListener, StoreError> {
    let options = pool.connect_options();
    let own = postgres_pool(1, availability).connect_lazy_with(PgConnectOptions::clone(&options));
    let channel: String = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {NOTIFY_CHANNEL}"))).fetch_one(&own).await?;
    let mut listener = PgListener::connect_with(&own).await?;
    listener.eager_reconnect(false);
    listener.listen(&channel).await?;
    Ok(listener)
}

async fn data_version(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await?)
}
