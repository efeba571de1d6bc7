//! What is remembered: one database, SQLite or PostgreSQL, chosen by URL.
//!
//! Functions here take and give domain values; SQL stands nowhere else. The same statements run on both databases, written
//! in the dialect they share, so [`each!`] picks the driver and nothing else. Every function that changes something has
//! committed when it returns `Ok`, and has changed nothing when it returns `Err`.

macro_rules! each {
    ($database:expr, $connection:ident => $body:expr) => {
        match $database {
            $crate::store::Either::Sqlite(handle) => {
                let $connection = &mut **handle;
                $body
            }
            $crate::store::Either::Postgres(handle) => {
                let $connection = &mut **handle;
                $body
            }
        }
    };
}

mod clients;
mod courier_seat;
mod edges;
mod feed;
mod keys;
mod open;
mod revocations;
mod routes;
mod rows;
mod tokens;
mod watch;

pub use courier_seat::CourierSeat;
pub use feed::{FeedPage, Head, SnapshotInput, Swept};
pub use routes::AddRouteError;
pub use watch::HeadWatch;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};

use crate::domain::Malformed;

/// A handle to the database; clones share its connections.
#[derive(Clone)]
pub struct Store {
    pools: Pools,
}

#[derive(Clone)]
enum Pools {
    /// One connection writes, for SQLite has one writer anyway and queueing here is fairer than its busy handler;
    /// others read beside it (WAL).
    Sqlite {
        read: SqlitePool,
        write: SqlitePool,
    },
    Postgres(PgPool),
}

/// The same thing of one database or the other.
enum Either<S, P> {
    Sqlite(S),
    Postgres(P),
}

type Connection = Either<PoolConnection<Sqlite>, PoolConnection<Postgres>>;
type Tx = Either<Transaction<'static, Sqlite>, Transaction<'static, Postgres>>;

/// The database failed, or holds what it should not. For the log: callers answer strangers with nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not be reached or refused a statement.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the database could not be migrated: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The file could not be made.
    #[error("the database file {path} could not be made: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A row does not hold what its table promises.
    #[error("the table {table} has a bad row: {problem}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The database belongs to another issuer, and its tokens and revocations with it.
    #[error(
        "this database belongs to the issuer {stored}, not {wanted}: set TOLLGATE_PUBLIC_URL={stored} or use another database"
    )]
    WrongIssuer {
        /// Whose it is.
        stored: String,
        /// Who asked.
        wanted: String,
    },
    /// The database has no issuer yet: `tollgate serve` never ran on it.
    #[error("this database was never served from: run `tollgate serve` first")]
    NoIssuer,
    /// Something of that name is there already.
    #[error("there is a {0} of that name already")]
    Exists(&'static str),
}

impl StoreError {
    fn corrupt(table: &'static str) -> impl Fn(Malformed) -> StoreError {
        move |problem| StoreError::Corrupt { table, problem: problem.to_string() }
    }
}

impl Store {
    /// A connection for a single reading statement.
    async fn reader(&self) -> Result<Connection, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { read, .. } => Either::Sqlite(read.acquire().await?),
            Pools::Postgres(pool) => Either::Postgres(pool.acquire().await?),
        })
    }

    /// A transaction in which several statements see one state of the database.
    async fn begin_read(&self) -> Result<Tx, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { read, .. } => Either::Sqlite(read.begin().await?),
            Pools::Postgres(pool) => {
                Either::Postgres(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
            }
        })
    }

    /// A transaction that writes. On SQLite it takes the write lock at once: one that begins by reading and writes later
    /// may find that it cannot any more.
    async fn begin_write(&self) -> Result<Tx, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { write, .. } => Either::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?),
            Pools::Postgres(pool) => Either::Postgres(pool.begin().await?),
        })
    }

    /// Closes the connections, letting running statements end.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    async fn commit(self) -> Result<(), StoreError> {
        match self {
            Either::Sqlite(transaction) => transaction.commit().await?,
            Either::Postgres(transaction) => transaction.commit().await?,
        }
        Ok(())
    }
}

/// Times and sequences are unsigned in the domain and signed in SQL. None comes near the end of either.
fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
