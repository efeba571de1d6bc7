//! Opens a database and migrates its schema.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Executor as _};
use tokio::sync::watch::Sender;
use tokio::time::{Instant, timeout};
use tollgate_system::{Clock, files};

use crate::database::availability::{Availability, Fault, address};
use crate::database::pooled_connection::{PROBE_STATEMENT_TIMEOUT, is_out_of_transaction};
use crate::error::StoreError;
use crate::store::connect::{ACQUIRE_TIMEOUT, connect_to_postgres};
use crate::store::migrations::{POSTGRES, SQLITE, applied_on_postgres, applied_on_sqlite, check_compatible};
use crate::store::{Pools, Store};

/// Idle time after which a connection is tested before use.
pub(crate) const MAX_UNTESTED_IDLE: Duration = Duration::from_secs(1);
/// Readers in addition to the writing connection. Reads are short; more connections only cost
/// memory. One is kept by the version reader.
const SQLITE_READERS: u32 = 5;
/// Page cache of the writing connection, in SQLite's notation: 64 MiB. Writes go to the newest part
/// of each index, which then stays in memory.
const SQLITE_CACHE_SIZE: &str = "-65536";
/// Size of the write-ahead log, in pages, at which it is copied into the database: 16 MiB. A page
/// that many commits change is copied once.
const SQLITE_CHECKPOINT_PAGES: &str = "4000";
const POSTGRES_READERS: u32 = 12;
/// The pool uses its connections in turn, and each is a server process with its own statements and
/// caches. Group commit writes on few, mostly on one.
const POSTGRES_WRITERS: u32 = 4;
/// Connections of one issuer of one origin: those of both pools, one for notifications, and one for
/// each task with leader election.
pub(crate) const POSTGRES_CONNECTIONS: u32 = POSTGRES_READERS + POSTGRES_WRITERS + 4;
/// Settings of every pooled connection. JIT compilation takes longer than any statement here runs.
/// An acknowledged commit is on the disk, whatever the server's default is; stricter settings are
/// kept. No statement, lock or transaction waits without end: the server gives up before the client
/// does, see [`STATEMENT_TIMEOUT`](crate::database::pooled_connection::STATEMENT_TIMEOUT). The
/// server notices within seconds, not hours, that the client's machine has failed.
const POSTGRES_SESSION_SETTINGS: &str = "SET jit = off;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local');
    SET statement_timeout = '5s'; SET lock_timeout = '4s'; SET idle_in_transaction_session_timeout = '30s';
    SET tcp_keepalives_idle = 6; SET tcp_keepalives_interval = 3; SET tcp_keepalives_count = 3; SET tcp_user_timeout = '15s'";

impl Store {
    /// Opens the database at `url`, `sqlite://…` or `postgres://…`, creates a missing SQLite file,
    /// and applies pending migrations.
    ///
    /// # Errors
    /// When it cannot be reached, or its schema is too new for this program.
    pub async fn open(url: &str) -> Result<Store, StoreError> {
        Store::open_with_clock(url, Clock::system()).await
    }

    /// Opens the database as [`Store::open`] does, with a clock that tests can set.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_with_clock(url: &str, clock: Clock) -> Result<Store, StoreError> {
        // Boxed, because each is so large that it would be copied at every caller.
        let (pools, availability) = match url.starts_with("sqlite:") {
            true => Box::pin(open_sqlite(url)).await?,
            false => Box::pin(open_postgres(url)).await?,
        };
        let store = Store {
            pools,
            availability,
            clock,
            trusted_time: Arc::default(),
            committed: Sender::new(0),
            open_epoch: Arc::default(),
            logouts: Arc::default(),
            actor: None,
            client_profile: None,
        };
        // Before anything is decided by the time.
        store.sync_clock().await?;
        store.prepare_user_names().await?;
        Ok(store)
    }
}

async fn open_sqlite(url: &str) -> Result<(Pools, Arc<Availability>), StoreError> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL: a commit is on the disk when it returns. In WAL mode, NORMAL would lose the newest
        // commits on a power failure.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(ACQUIRE_TIMEOUT)
        .foreign_keys(true);
    create_private_file(&options)?;
    // A file does not disconnect, so connections are not tested when acquired. They are tested when
    // returned: SQLite rolls back by itself after some failures, while sqlx believes that a
    // transaction is open.
    let pool = |size| {
        let pool =
            SqlitePoolOptions::new().max_connections(size).acquire_timeout(ACQUIRE_TIMEOUT).test_before_acquire(false);
        pool.after_release(|connection, _| Box::pin(is_out_of_transaction(connection)))
    };
    let writing =
        options.clone().pragma("cache_size", SQLITE_CACHE_SIZE).pragma("wal_autocheckpoint", SQLITE_CHECKPOINT_PAGES);
    // The rollback data of a single statement is small and short-lived: it needs no file.
    let writing = writing.pragma("temp_store", "MEMORY");
    let write = pool(1).connect_with(writing).await?;
    let mut connection = write.acquire().await?;
    let applied = applied_on_sqlite(&mut connection).await?;
    drop(connection);
    check_compatible(&applied, &SQLITE)?;
    SQLITE.run(&write).await?;
    let read = pool(SQLITE_READERS).connect_with(options.read_only(true)).await?;
    Ok((Pools::Sqlite { read, write }, Availability::of_sqlite()))
}

/// Creates a missing database file that only its owner can read; SQLite gives its WAL the same
/// mode.
fn create_private_file(options: &SqliteConnectOptions) -> Result<(), StoreError> {
    let path = options.get_filename();
    let mut open = std::fs::OpenOptions::new();
    open.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    match open.open(path).and_then(|file| file.sync_all()).and_then(|()| files::sync_folder(path)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(StoreError::File { path: path.display().to_string(), source }),
    }
}

/// Creates the schema that the URL names (`?options[search_path]=NAME`), if it does not exist: each
/// issuer has one.
async fn create_schema(connection: &mut PgConnection) -> Result<(), StoreError> {
    let (present, path): (Option<String>, String) =
        sqlx::query_as("SELECT current_schema()::text, current_setting('search_path')")
            .fetch_one(&mut *connection)
            .await?;
    let is_plain = !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if present.is_none() && is_plain {
        // Two processes that start together may both try; one fails with a unique violation, and
        // the schema exists.
        let created =
            sqlx::query(sqlx::AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {path}"))).execute(connection).await;
        if let Err(error) = created
            && !error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
        {
            return Err(error.into());
        }
    }
    Ok(())
}

async fn open_postgres(url: &str) -> Result<(Pools, Arc<Availability>), StoreError> {
    let options = PgConnectOptions::from_str(url)?.application_name("tollgate");
    let mut first = connect_to_postgres(&options).await?;
    warn_of_lost_commits(&mut first, &options).await?;
    create_schema(&mut first).await?;
    first.close().await?;
    // A migration may take long: the limits of the other pools do not apply.
    let migrating = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
    let mut connection = migrating.acquire().await?;
    let applied = applied_on_postgres(&mut connection).await?;
    drop(connection);
    check_compatible(&applied, &POSTGRES)?;
    POSTGRES.run(&migrating).await?;
    migrating.close().await;
    let availability = Availability::of_postgres(options.clone());
    let write = postgres_pool(POSTGRES_WRITERS, &availability).connect_with(options.clone()).await?;
    let read = postgres_pool(POSTGRES_READERS, &availability).connect_with(options).await?;
    Ok((Pools::Postgres { read, write }, availability))
}

/// Warns if acknowledged commits can be lost on a power failure.
async fn warn_of_lost_commits(connection: &mut PgConnection, options: &PgConnectOptions) -> Result<(), StoreError> {
    let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(connection).await?;
    if fsync == "off" {
        tracing::warn!(
            address = address(options),
            "PostgreSQL runs with fsync=off: acknowledged tokens and revocations are lost if its machine fails; set fsync=on"
        );
    }
    Ok(())
}

pub(crate) fn postgres_pool(size: u32, availability: &Arc<Availability>) -> PgPoolOptions {
    let pool = PgPoolOptions::new().max_connections(size).acquire_timeout(ACQUIRE_TIMEOUT);
    let pool = pool.after_connect(|connection, _| {
        Box::pin(async move { connection.execute(POSTGRES_SESSION_SETTINGS).await.map(drop) })
    });
    let is_stale = |availability: &Availability, age| {
        Instant::now().checked_sub(age).is_some_and(|established| availability.is_stale(established))
    };
    let (taking, giving) = (Arc::clone(availability), Arc::clone(availability));
    // Connections are tested when returned to the pool, and again before use after a longer idle
    // time.
    let pool = pool.test_before_acquire(false).before_acquire(move |connection, state| {
        let availability = Arc::clone(&taking);
        Box::pin(async move {
            if is_stale(&availability, state.age) {
                return Ok(false);
            }
            if state.idle_for < MAX_UNTESTED_IDLE {
                return Ok(true);
            }
            match timeout(PROBE_STATEMENT_TIMEOUT, connection.ping()).await {
                Ok(answer) => answer.map(|()| true),
                Err(_) => {
                    availability.report(Fault::Timeout, &"no answer after an idle time");
                    Ok(false)
                }
            }
        })
    });
    pool.after_release(move |_, state| {
        let is_good = !is_stale(&giving, state.age);
        Box::pin(async move { Ok(is_good) })
    })
}
