//! What is remembered: one database, SQLite or PostgreSQL, chosen by URL.
//!
//! Functions here take and give domain values; SQL stands nowhere else. The same statements run on both databases, written
//! in the dialect they share, so [`each!`] picks the driver and nothing else. Every function that changes something has
//! committed when it returns `Ok`, and has changed nothing when it returns `Err`.

macro_rules! each {
    ($database:expr, $connection:ident => $body:expr) => {
        match $database {
            $crate::Either::Sqlite(handle) => supervised!(handle, $connection => $body),
            $crate::Either::Postgres(handle) => supervised!(handle, $connection => $body),
        }
    };
}

/// Does something on a connection of one of the databases, supervised: see [`pooled`].
macro_rules! supervised {
    ($handle:expr, $connection:ident => $body:expr) => {{
        let ($connection, supervisor) = $handle.parts()?;
        let work = async { Ok::<_, $crate::StoreError>($body) };
        supervisor.observe(work).await?
    }};
}

/// A statement that inserts rows: `INSERT INTO table (columns)`, of whose columns the first is never null. More text may be added to
/// it, but no parameter: on SQLite it would be taken for one of a row that is not there.
///
/// The rows are a table of their own there, filled up to one of few sizes with rows of nulls, which are passed over: one round to the
/// database however many there are, and on SQLite few statements to keep prepared.
macro_rules! insertion {
    ($sql:literal, $rows:expr, |$binder:ident, $row:pat_param| $bind:expr) => {{
        let columns = $sql.split(',').count();
        let mut query = sqlx::QueryBuilder::new(concat!($sql, " SELECT * FROM ("));
        query.push_values($crate::filled_up($rows), |mut $binder, row| match row {
            Some($row) => {
                $bind;
            }
            None => (0..columns).for_each(|_| $crate::push_null(&mut $binder)),
        });
        query.push(") AS given WHERE column1 IS NOT NULL");
        query
    }};
}

/// Inserts rows, many in a statement: `$sql`, the rows, `$tail`.
macro_rules! insert_rows {
    ($tx:expr, $sql:literal, $tail:literal, $rows:expr, |$binder:ident, $row:pat_param| $bind:expr) => {
        for rows in $crate::portions($rows) {
            each!(&mut *$tx, connection => {
                insertion!($sql, rows, |$binder, $row| $bind).push($tail).build().execute(connection).await?;
            });
        }
    };
}

mod at_once;
mod audit;
mod availability;
mod batch;
mod clients;
mod clock;
mod connections;
mod consents;
mod devices;
mod edges;
mod endings;
mod feed;
mod given;
mod grant_lists;
mod grants;
mod issuers;
mod issuing;
mod keys;
mod ledger;
mod logouts;
mod open;
mod pooled;
mod redeem;
mod requests;
mod resources;
mod revocations;
mod routes;
mod rows;
mod search;
mod seat;
mod sessions;
mod snapshots;
mod ssf;
mod status_list;
mod tokens;
mod upkeep;
mod user_names;
mod users;
mod watch;
mod writer;

pub use audit::MAX_AUDIT_PAGE;
pub use batch::{Batch, BatchOutcome, IssueRequest, ReinstateOutcome, RevokeOutcome};
pub use clock::ClockReading;
pub use endings::Termination;
pub use feed::{FeedHead, FeedPage, SweepCounts};
pub use grant_lists::GrantSummary;
pub use keys::StoredKeys;
pub use logouts::ClientSlots;
pub use redeem::{NewRefreshToken, RedeemCredential, RedeemOutcome, RedeemRequest, ReplayKey};
pub use resources::ScopeError;
pub use revocations::{MAX_REVOCATIONS_PAGE, RevocationFilter};
pub use routes::AddRouteError;
pub use search::{MAX_SEARCH_PAGE, Search};
pub use seat::{LeaderLock, LeaderRole};
pub use snapshots::{MAX_SNAPSHOT_CLOCK_SKEW_MS, PublishedSnapshot, SnapshotReader, SnapshotState};
pub use ssf::Signal;
pub use status_list::RevokedNumbers;
pub use watch::{ChangeWatch, VersionReader, Versions};
pub use writer::{WriteError, Writer};

use std::iter;
use std::sync::{Arc, Mutex};

use sqlx::query_builder::Separated;
use sqlx::{Database, PgPool, Postgres, Sqlite, SqlitePool};
use tokio::sync::Notify;
use tokio::sync::watch::Sender;
use tokio::time::timeout;
use tollgate_core::RevokedBefore;
use tollgate_model::{Actor, Malformed};

use self::availability::Availability;
use self::clock::Clock;
use self::connections::{BEGIN_IN_EPOCH, BEGIN_ON_SQLITE};
use self::pooled::{Pooled, STATEMENT_TIMEOUT, Transaction};

/// A handle to the database; clones share its connections.
#[derive(Clone)]
pub struct Store {
    pools: Pools,
    availability: Arc<Availability>,
    clock: Arc<Clock>,
    /// Counts the commits of this process that edges or publishers must hear of: they need not wait to notice them.
    committed: Sender<u64>,
    /// The epoch in which tokens were issued last, if nothing barred any then: see [`Store::write_at_once`].
    open_epoch: Arc<Mutex<Option<u32>>>,
    /// Wakes the sender of back-channel logouts.
    logouts: Arc<Notify>,
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

type Connection = Either<Pooled<Sqlite>, Pooled<Postgres>>;
type Tx = Either<Transaction<Sqlite>, Transaction<Postgres>>;

/// The database failed, or holds what it should not. For the log: callers answer strangers with nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not be reached or refused a statement.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// A statement took longer than it may.
    #[error("the database did not answer within {} s", .0.as_secs())]
    Timeout(std::time::Duration),
    /// The database was away when it was last looked for, and is looked for again all the time.
    #[error("the database is away: {0}")]
    Unavailable(String),
    /// The database takes no writes.
    #[error("the database is read-only")]
    ReadOnly,
    /// The server cannot be reached at the start.
    #[error("the database at {address} cannot be reached: {reason}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// Why.
        reason: String,
    },
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
    AlreadyExists(&'static str),
    /// No token is signed with a key that is revoked: it would be refused everywhere.
    #[error("the signing key {0} is revoked: no token can be issued with it")]
    KeyRevoked(String),
    /// No token is exchanged from one that is revoked.
    #[error("the token that another was to be exchanged from is revoked")]
    SubjectTokenRevoked,
    /// What the request was judged by is out of date: it is to be judged anew.
    #[error("what this was decided by has changed meanwhile")]
    ConcurrentModification,
    /// The user who acts on another user is not an active administrator any more.
    #[error("you are not an administrator any more")]
    NotAdministrator,
    /// A caller whose code or refresh token was to be redeemed has disconnected.
    #[error("the caller has disconnected")]
    CallerDisconnected,
    /// The user was disabled meanwhile.
    #[error("the user is disabled")]
    UserDisabled,
    /// Every number that a token's epoch may have is used up.
    #[error("there is no issuing epoch left")]
    EpochsExhausted,
}

impl StoreError {
    /// Whether the database was known to be away or read-only, and was not asked.
    #[must_use]
    pub fn is_known_outage(&self) -> bool {
        matches!(self, StoreError::Unavailable(_) | StoreError::ReadOnly)
    }

    fn corrupt(table: &'static str) -> impl Fn(Malformed) -> StoreError {
        move |problem| StoreError::Corrupt { table, problem: problem.to_string() }
    }
}

impl Store {
    /// Commits what edges or publishers must hear of, and wakes those of this process at once.
    async fn commit_news(&self, tx: Tx) -> Result<(), StoreError> {
        tx.commit().await?;
        self.committed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Closes the connections, letting running statements end.
    pub async fn close(&self) {
        let closed = async {
            match &self.pools {
                Pools::Sqlite { read, write } => tokio::join!(read.close(), write.close()),
                Pools::Postgres { read, write } => tokio::join!(read.close(), write.close()),
            }
        };
        if timeout(STATEMENT_TIMEOUT, closed).await.is_err() {
            tracing::warn!("the connections to the database did not end in time");
        }
    }
}

/// The mark of a name as SQL keeps it, see [`to_sql`].
fn mark_from_sql(number: i64) -> RevokedBefore {
    if number == i64::MAX { RevokedBefore::EVERY_EPOCH } else { RevokedBefore(from_sql(number)) }
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

/// For how many rows there is room in a statement about this many: statements of few sizes stay prepared.
const fn room(rows: usize) -> usize {
    rows.next_power_of_two()
}

/// The rows, and nothing behind them as far as there is room.
fn filled_up<T>(rows: &[T]) -> impl Iterator<Item = Option<&T>> {
    rows.iter().map(Some).chain(iter::repeat(None)).take(room(rows.len()))
}

/// How a text says that there is nothing: on SQLite as if there were something, which is not bound then.
trait Nothing: Database {
    const NULL: &'static str;
}

impl Nothing for Sqlite {
    const NULL: &'static str = "?";
}

impl Nothing for Postgres {
    const NULL: &'static str = "NULL";
}

/// A column of a row that there is nothing of.
fn push_null<D: Nothing>(row: &mut Separated<'_, D, &'static str>) {
    row.push(D::NULL);
}

/// As [`filled_up`], for a list of which it does not matter how often it has something: with the last again and again.
fn repeated<T>(rows: &[T]) -> impl Iterator<Item = &T> {
    filled_up(rows).filter_map(|row| row.or(rows.last()))
}
