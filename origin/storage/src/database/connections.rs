//! Connections and transactions of either database, as the functions of the store use them.

use crate::database::availability::Use;
use crate::database::pooled_connection::{
    LONG_STATEMENT_TIMEOUT, PROBE_STATEMENT_TIMEOUT, PooledConnection, Transaction,
};
use crate::database::{Connection, Either, Tx};
use crate::error::StoreError;
use crate::store::{Pools, Store};

/// Takes the write lock at once: a transaction that begins by reading and writes later may find that it cannot any more.
pub(crate) const BEGIN_ON_SQLITE: &str = "BEGIN IMMEDIATE";
/// And the epoch does not end before this transaction does; on PostgreSQL.
pub(crate) const BEGIN_IN_EPOCH: &str = "BEGIN; SELECT epoch FROM issuing FOR SHARE";

impl Store {
    /// A connection for a single reading statement.
    pub(crate) async fn reader(&self) -> Result<Connection, StoreError> {
        self.connection(Use::Read).await
    }

    /// A connection that writes.
    pub(crate) async fn writing_connection(&self) -> Result<Connection, StoreError> {
        self.connection(Use::Write).await
    }

    async fn connection(&self, used_for: Use) -> Result<Connection, StoreError> {
        let availability = &self.availability;
        Ok(match (&self.pools, used_for) {
            (Pools::Sqlite { read: pool, .. }, Use::Read) | (Pools::Sqlite { write: pool, .. }, Use::Write) => {
                Either::Sqlite(PooledConnection::acquire(pool, availability, used_for).await?)
            }
            (Pools::Postgres { read: pool, .. }, Use::Read) | (Pools::Postgres { write: pool, .. }, Use::Write) => {
                Either::Postgres(PooledConnection::acquire(pool, availability, used_for).await?)
            }
        })
    }

    /// A transaction in which several statements see one state of the database.
    pub(crate) async fn begin_read(&self) -> Result<Tx, StoreError> {
        self.reader().await?.begin("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// A transaction that writes.
    pub(crate) async fn begin_write(&self) -> Result<Tx, StoreError> {
        self.writing_connection().await?.begin(BEGIN_ON_SQLITE, "BEGIN").await
    }

    /// As [`Store::begin_write`], and the epoch does not end before this transaction does. Whoever writes to SQLite holds it anyway.
    pub(crate) async fn begin_write_in_epoch(&self) -> Result<Tx, StoreError> {
        self.writing_connection().await?.begin(BEGIN_ON_SQLITE, BEGIN_IN_EPOCH).await
    }
}

impl Connection {
    /// Begins a transaction by the statement of its database.
    pub(crate) async fn begin(self, on_sqlite: &'static str, on_postgres: &'static str) -> Result<Tx, StoreError> {
        Ok(match self {
            Either::Sqlite(connection) => Either::Sqlite(Transaction::begin(connection, on_sqlite).await?),
            Either::Postgres(connection) => Either::Postgres(Transaction::begin(connection, on_postgres).await?),
        })
    }

    /// Whether something failed since it was taken from the pool: it is not to be kept then.
    pub(crate) fn is_shed(&self) -> bool {
        match self {
            Either::Sqlite(connection) => connection.is_shed(),
            Either::Postgres(connection) => connection.is_shed(),
        }
    }

    /// Notes that a statement by itself has written something.
    pub(crate) fn note_written(&self) {
        match self {
            Either::Sqlite(connection) => connection.note_written(),
            Either::Postgres(connection) => connection.note_written(),
        }
    }

    /// Gives up sooner on whoever does not answer: for statements about a row.
    pub(crate) fn use_probe_timeout(&mut self) {
        match self {
            Either::Sqlite(connection) => connection.set_limit(PROBE_STATEMENT_TIMEOUT),
            Either::Postgres(connection) => connection.set_limit(PROBE_STATEMENT_TIMEOUT),
        }
    }
}

impl Tx {
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        self.commit_and_keep().await.map(drop)
    }

    /// Commits, and goes on with the connection.
    pub(crate) async fn commit_and_keep(self) -> Result<Connection, StoreError> {
        Ok(match self {
            Either::Sqlite(transaction) => Either::Sqlite(transaction.commit().await?),
            Either::Postgres(transaction) => Either::Postgres(transaction.commit().await?),
        })
    }

    /// Lets the statements from here on take longer than those that requests wait for: they go through whole tables.
    pub(crate) async fn allow_long_statements(&mut self) -> Result<(), StoreError> {
        match self {
            Either::Sqlite(transaction) => transaction.set_limit(LONG_STATEMENT_TIMEOUT),
            Either::Postgres(transaction) => transaction.set_limit(LONG_STATEMENT_TIMEOUT),
        }
        self.execute_on_postgres("SET LOCAL statement_timeout = '119s'").await
    }

    /// Executes a statement that only PostgreSQL needs.
    pub(crate) async fn execute_on_postgres(&mut self, sql: &'static str) -> Result<(), StoreError> {
        if let Either::Postgres(transaction) = self {
            supervised!(transaction, connection => { sqlx::query(sql).execute(connection).await?; });
        }
        Ok(())
    }
}
