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

/// A statement of rows that are given: `$sql FROM (the rows) AS given WHERE $condition`, in which their columns are `column1` and so on.
///
/// The rows are a table of their own there, filled up to one of few sizes with rows of nulls, which the condition must pass over: one
/// round to the database however many there are, and few statements to keep prepared.
macro_rules! given {
    ($sql:expr, $columns:expr, $rows:expr, |$binder:ident, $row:pat_param| $bind:expr, $condition:literal) => {{
        let columns = $columns;
        let mut query = sqlx::QueryBuilder::new($sql);
        query.push(" FROM (");
        query.push_values($crate::store::filled_up($rows), |mut $binder, row| match row {
            Some($row) => {
                $bind;
            }
            None => (0..columns).for_each(|_| {
                $binder.push("NULL");
            }),
        });
        query.push(concat!(") AS given WHERE ", $condition));
        query
    }};
}

/// A statement that inserts rows: `INSERT INTO table (columns)`, of whose columns the first is never null. More may be added to it.
macro_rules! insertion {
    ($sql:literal, $rows:expr, |$binder:ident, $row:pat_param| $bind:expr) => {
        given!(concat!($sql, " SELECT *"), $sql.split(',').count(), $rows, |$binder, $row| $bind, "column1 IS NOT NULL")
    };
}

/// Inserts rows, many in a statement: `$sql`, the rows, `$tail`.
macro_rules! insert_rows {
    ($tx:expr, $sql:literal, $tail:literal, $rows:expr, |$binder:ident, $row:pat_param| $bind:expr) => {
        for rows in $crate::store::portions($rows) {
            each!(&mut *$tx, connection => {
                insertion!($sql, rows, |$binder, $row| $bind).push($tail).build().execute(connection).await?;
            });
        }
    };
}

mod audit;
mod batch;
mod clients;
mod devices;
mod edges;
mod feed;
mod grants;
mod issuers;
mod issuing;
mod keys;
mod ledger;
mod logouts;
mod open;
mod redeem;
mod requests;
mod resources;
mod revocations;
mod routes;
mod rows;
mod search;
mod seat;
mod snapshots;
mod ssf;
mod status_list;
mod tokens;
mod users;
mod watch;
mod writer;

pub use audit::MAX_AUDIT_PAGE;
pub use batch::{Batch, Issue, Outcome, Reinstated, Revoked};
pub use feed::{FeedPage, Head, Swept};
pub use grants::Given;
pub use keys::KeyRows;
pub use logouts::ClientRoom;
pub use redeem::{Claim, NewRefresh, Redeem, Redeemed, Sight};
pub use resources::ScopeError;
pub use revocations::{Listing, MAX_REVOCATIONS_PAGE};
pub use routes::AddRouteError;
pub use search::{MAX_SEARCH_PAGE, Search};
pub use seat::{Role, Seat};
pub use snapshots::{PublishedSnapshot, SnapshotReader, SnapshotState};
pub use ssf::Signal;
pub use status_list::RevokedNumbers;
pub use watch::{HeadWatch, VersionReader, Versions};
pub use writer::{WriteError, Writer};

use std::iter;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};
use tokio::sync::watch::Sender;
use tollgate_core::Mark;

use crate::domain::{Actor, Malformed};

/// A handle to the database; clones share its connections.
#[derive(Clone)]
pub struct Store {
    pools: Pools,
    /// Counts the commits of this process that edges or publishers must hear of: they need not wait to notice them.
    committed: Sender<u64>,
    /// Who acts through this handle, for the audit log.
    actor: Option<Actor>,
}

#[derive(Clone)]
enum Pools {
    /// One connection writes, for SQLite has one writer anyway and queueing here is fairer than its busy handler;
    /// others read beside it (WAL).
    Sqlite {
        read: SqlitePool,
        write: SqlitePool,
    },
    Postgres {
        read: PgPool,
        write: PgPool,
    },
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
    /// No token is signed with a key that is revoked: it would be refused everywhere.
    #[error("the signing key {0} is revoked: no token can be issued with it")]
    KeyRevoked(String),
    /// What the request was judged by is out of date: it is to be judged anew.
    #[error("what this was decided by has changed meanwhile")]
    OutOfDate,
    /// Every number that a token's epoch may have is used up.
    #[error("there is no issuing epoch left")]
    NoEpoch,
}

impl StoreError {
    fn corrupt(table: &'static str) -> impl Fn(Malformed) -> StoreError {
        move |problem| StoreError::Corrupt { table, problem: problem.to_string() }
    }
}

// Waiting for a connection is boxed: it may have to be made, which takes 4 KiB, and every function of the store, and every request
// that calls one, would carry room for that.
impl Store {
    /// A connection for a single reading statement.
    async fn reader(&self) -> Result<Connection, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { read, .. } => Either::Sqlite(Box::pin(read.acquire()).await?),
            Pools::Postgres { read, .. } => Either::Postgres(Box::pin(read.acquire()).await?),
        })
    }

    /// A transaction in which several statements see one state of the database.
    async fn begin_read(&self) -> Result<Tx, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { read, .. } => Either::Sqlite(Box::pin(read.begin()).await?),
            Pools::Postgres { read, .. } => {
                let begin = read.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
                Either::Postgres(Box::pin(begin).await?)
            }
        })
    }

    /// A transaction that writes. On SQLite it takes the write lock at once: one that begins by reading and writes later
    /// may find that it cannot any more.
    async fn begin_write(&self) -> Result<Tx, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { write, .. } => Either::Sqlite(Box::pin(write.begin_with("BEGIN IMMEDIATE")).await?),
            Pools::Postgres { write, .. } => Either::Postgres(Box::pin(write.begin()).await?),
        })
    }

    /// As [`Store::begin_write`], and the epoch does not end before this transaction does. Whoever writes to SQLite holds it anyway.
    async fn begin_write_in_epoch(&self) -> Result<Tx, StoreError> {
        match &self.pools {
            Pools::Sqlite { .. } => self.begin_write().await,
            Pools::Postgres { write, .. } => {
                let begin = write.begin_with("BEGIN; SELECT epoch FROM issuing FOR SHARE");
                Ok(Either::Postgres(Box::pin(begin).await?))
            }
        }
    }

    /// Commits what edges or publishers must hear of, and wakes those of this process at once.
    async fn commit_news(&self, tx: Tx) -> Result<(), StoreError> {
        tx.commit().await?;
        self.committed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Closes the connections, letting running statements end.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres { read, write } => {
                read.close().await;
                write.close().await;
            }
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

/// The mark of a name as SQL keeps it, see [`to_sql`].
fn mark_from_sql(number: i64) -> Mark {
    if number == i64::MAX { Mark::FOR_EVER } else { Mark(from_sql(number)) }
}

/// Times and sequences are unsigned in the domain and signed in SQL. None comes near the end of either but a mark for
/// ever and an end that never comes, which are the largest there.
fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Rows of one statement at most.
const MOST_ROWS: usize = 256;

/// Cuts rows into portions for a statement each.
fn portions<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    rows.chunks(MOST_ROWS)
}

/// A column of rows, to be bound as an array.
fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// The rows, and nothing behind them, up to a power of two: statements of few sizes stay prepared.
fn filled_up<T>(rows: &[T]) -> impl Iterator<Item = Option<&T>> {
    rows.iter().map(Some).chain(iter::repeat(None)).take(rows.len().next_power_of_two())
}

/// As [`filled_up`], for a list of which it does not matter how often it has something: with the last again and again.
fn repeated<T>(rows: &[T]) -> impl Iterator<Item = &T> {
    filled_up(rows).filter_map(|row| row.or(rows.last()))
}
