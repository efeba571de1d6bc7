//! Noticing that something changed, whichever process changed it. What this process moved in the history is known at once.
//!
//! On PostgreSQL every change notifies a channel at its commit. SQLite has nothing of the kind between processes, but
//! `PRAGMA data_version` changes whenever another connection has committed, and costs microseconds: a connection of our own
//! asks it often.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgListener};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, PgPool};
use tokio::sync::watch::Receiver;
use tokio::time::{sleep, timeout};

use crate::database::Connection;
use crate::database::availability::{Availability, Fault, Use};
use crate::database::open::{MAX_UNTESTED_IDLE, postgres_pool};
use crate::database::values::from_sql;
use crate::error::StoreError;
use crate::store::{Pools, Store};

/// The channel that PostgreSQL notifies, as SQL. Channels are the whole database's, and each of its schemas may be an issuer's.
pub(crate) const NOTIFY_CHANNEL: &str = "'tollgate_' || md5(current_schema())";

/// Often enough that a revocation made by another process reaches edges at once, seldom enough to cost nothing.
const SQLITE_INTERVAL: Duration = Duration::from_millis(10);
/// A notification can be lost with the connection that would have brought it; then this is the delay.
const POSTGRES_INTERVAL: Duration = Duration::from_secs(1);

/// How long it may take to begin to watch.
const WATCH_TIMEOUT: Duration = Duration::from_secs(6);

/// Tells when the database may have changed.
pub struct ChangeWatch {
    source: Source,
    /// The commits of this process.
    committed: Receiver<u64>,
}

enum Source {
    Sqlite { connection: SqliteConnection, version: i64 },
    Postgres { listener: PgListener, availability: Arc<Availability>, since: tokio::time::Instant },
}

/// How often things have changed. What was read when a count stood here, or later, holds as long as it stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Of clients, their secrets and resource servers.
    pub registrations: u64,
    /// Of what is revoked: the number of the last delta.
    pub sequence: u64,
    /// Of what else edges depend on: route rules, keys, the list of edges.
    pub config: u64,
}

/// Asks how often things have changed, again and again, by a connection that it keeps: what a pool does before and after each use costs
/// more than the question.
pub struct VersionReader {
    store: Store,
    /// And when it was last of use.
    connection: Option<(Connection, Instant)>,
}

impl VersionReader {
    /// How often things have changed by now.
    ///
    /// # Errors
    /// When the database fails, or nobody served from it yet. The next question goes by another connection then.
    pub async fn read(&mut self) -> Result<Versions, StoreError> {
        // One that lay idle may have been lost unnoticed: the pool tests those.
        let is_good =
            |connection: &Connection, used: Instant| used.elapsed() < MAX_UNTESTED_IDLE && !connection.is_shed();
        let kept = self.connection.take().filter(|(connection, used)| is_good(connection, *used));
        let mut connection = match kept {
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
    /// How often things have changed by now.
    ///
    /// # Errors
    /// When the database fails, or nobody served from it yet.
    pub async fn get_versions(&self) -> Result<Versions, StoreError> {
        versions(&mut self.reader().await?).await
    }

    /// As [`Store::get_versions`], for whoever asks often.
    #[must_use]
    pub fn version_reader(&self) -> VersionReader {
        VersionReader { store: self.clone(), connection: None }
    }

    /// Begins to watch, on a connection of its own.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn watch_changes(&self) -> Result<ChangeWatch, StoreError> {
        // First, so that no commit falls between.
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
    /// Returns when the database may have changed since the last call; sometimes it has not.
    ///
    /// # Errors
    /// When the database fails; the caller begins to watch anew after a while.
    pub async fn changed(&mut self) -> Result<(), StoreError> {
        tokio::select! {
            changed = self.source.changed() => changed,
            // The sender is the store's own: it is there as long as the store is.
            Ok(()) = self.committed.changed() => Ok(()),
        }
    }
}

impl Source {
    /// Ending it early loses nothing but a wake that the caller has anyway.
    async fn changed(&mut self) -> Result<(), StoreError> {
        match self {
            Source::Sqlite { connection, version } => loop {
                let newest = data_version(connection).await?;
                if newest != *version {
                    *version = newest;
                    return Ok(());
                }
                sleep(SQLITE_INTERVAL).await;
            },
            Source::Postgres { listener, availability, since } => {
                if availability.is_shed(*since) {
                    return Err(StoreError::Timeout(POSTGRES_INTERVAL));
                }
                match timeout(POSTGRES_INTERVAL, listener.try_recv()).await {
                    Ok(Ok(Some(_))) | Err(_) => {}
                    // The connection was lost, and with it perhaps notifications.
                    Ok(lost) => {
                        let reset = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
                        let error = lost.err().unwrap_or_else(reset);
                        availability.report(Fault::Lost, &error);
                        return Err(error.into());
                    }
                }
                // Several changes make one reading.
                while listener.next_buffered().is_some() {}
                Ok(())
            }
        }
    }
}

/// Listens on a connection that no pool gives to others.
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
