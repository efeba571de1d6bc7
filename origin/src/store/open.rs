//! Opening a database and bringing its schema up to date.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Executor as _};

use tokio::sync::watch::Sender;

use super::{Pools, Store, StoreError};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// How long a statement waits for a connection or for another process's write before it fails.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection may lie idle before it is asked whether it is still there.
pub(super) const UNTESTED: Duration = Duration::from_secs(1);
/// Beside the one that writes. Reads are short; more connections only cost memory. One is kept by whoever asks what has changed.
const SQLITE_READERS: u32 = 5;
/// Of the connection that writes, as SQLite puts it: 64 MiB. What is written lies in the newest part of each index, and stays in memory.
const SQLITE_CACHE: &str = "-65536";
/// Pages of the log until it is written into the database, 16 MiB: a page that many commits change is written there once.
const SQLITE_CHECKPOINT: &str = "4000";
const POSTGRES_READERS: u32 = 12;
/// A pool hands its connections around, and each is a process of the server with statements and caches of its own: what many requests write
/// together is written by few, mostly by one.
const POSTGRES_WRITERS: u32 = 4;

impl Store {
    /// Opens the database at `url`, `sqlite://…` or `postgres://…`, making a SQLite file that is missing, and applies
    /// the migrations it does not have yet.
    ///
    /// # Errors
    /// When it cannot be reached, or its schema is not one this version knows.
    pub async fn open(url: &str) -> Result<Store, StoreError> {
        let pools = if url.starts_with("sqlite:") { open_sqlite(url).await? } else { open_postgres(url).await? };
        let store = Store {
            pools,
            committed: Sender::new(0),
            open_epoch: Arc::default(),
            logouts: Arc::default(),
            actor: None,
        };
        store.prepare_user_names().await?;
        Ok(store)
    }
}

async fn open_sqlite(url: &str) -> Result<Pools, StoreError> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL: a commit is on the disk when it returns. In WAL mode NORMAL would lose the newest ones with the power.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(PATIENCE)
        .foreign_keys(true);
    make_private(&options)?;
    // A file does not hang up: there is nothing to test.
    let pool =
        |size| SqlitePoolOptions::new().max_connections(size).acquire_timeout(PATIENCE).test_before_acquire(false);
    let writing = options.clone().pragma("cache_size", SQLITE_CACHE).pragma("wal_autocheckpoint", SQLITE_CHECKPOINT);
    // What undoes a single statement is small, and gone with it: no file is made for that.
    let writing = writing.pragma("temp_store", "MEMORY");
    let write = pool(1).connect_with(writing).await?;
    SQLITE.run(&write).await?;
    let read = pool(SQLITE_READERS).connect_with(options.read_only(true)).await?;
    Ok(Pools::Sqlite { read, write })
}

/// Makes a missing database file such that only its owner can read it; SQLite gives its WAL the same mode.
fn make_private(options: &SqliteConnectOptions) -> Result<(), StoreError> {
    let path = options.get_filename();
    let mut open = std::fs::OpenOptions::new();
    open.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    match open.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(StoreError::File { path: path.display().to_string(), source }),
    }
}

/// Makes the schema that the URL names (`?options[search_path]=NAME`) if it is not there: each issuer has one of its own.
async fn make_schema(pool: &PgPool) -> Result<(), StoreError> {
    let (present, path): (Option<String>, String) =
        sqlx::query_as("SELECT current_schema()::text, current_setting('search_path')").fetch_one(pool).await?;
    let is_plain = !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if present.is_none() && is_plain {
        // Two that start at once may both try; then one fails on the name that the other made, and finds it there.
        let made = sqlx::query(sqlx::AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {path}"))).execute(pool).await;
        if let Err(error) = made
            && !error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
        {
            return Err(error.into());
        }
    }
    Ok(())
}

async fn open_postgres(url: &str) -> Result<Pools, StoreError> {
    let options = PgConnectOptions::from_str(url)?.application_name("tollgate");
    let write = postgres_pool(POSTGRES_WRITERS).connect_with(options.clone()).await?;
    make_schema(&write).await?;
    POSTGRES.run(&write).await?;
    let read = postgres_pool(POSTGRES_READERS).connect_with(options).await?;
    Ok(Pools::Postgres { read, write })
}

fn postgres_pool(size: u32) -> PgPoolOptions {
    let pool = PgPoolOptions::new().max_connections(size).acquire_timeout(PATIENCE);
    // To compile a statement takes the server longer than any of ours runs.
    let pool = pool
        .after_connect(|connection, _| Box::pin(async move { connection.execute("SET jit = off").await.map(drop) }));
    // A connection is tested when it comes back; once more only if that was a while ago.
    pool.test_before_acquire(false).before_acquire(|connection, state| {
        Box::pin(async move {
            if state.idle_for >= UNTESTED {
                connection.ping().await?;
            }
            Ok(true)
        })
    })
}
