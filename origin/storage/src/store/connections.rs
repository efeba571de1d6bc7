//! Connections and transactions of either database.

use crate::database::pooled_connection::{
    LONG_STATEMENT_TIMEOUT, PROBE_STATEMENT_TIMEOUT, PooledConnection, Transaction,
};
use crate::database::statistics::Use;
use crate::database::{Connection, Either, Tx};
use crate::error::StoreError;
use crate::store::{Pools, Store};

/// Takes the write lock immediately: a transaction that reads first and writes later may find that
/// it cannot write.
pub(crate) const BEGIN_ON_SQLITE: &str = "BEGIN IMMEDIATE";
/// PostgreSQL: begins a transaction with a share lock on the current epoch, so that it cannot be
/// closed until commit.
pub(crate) const BEGIN_IN_EPOCH: &str = "BEGIN; SELECT epoch FROM issuing FOR SHARE";

impl Store {
    /// A connection for a single reading statement.
    pub(crate) async fn reader(&self) -> Result<Connection, StoreError> {
        self.connection(Use::Read).await
    }

    pub(crate) async fn writing_connection(&self) -> Result<Connection, StoreError> {
        self.connection(Use::Write).await
    }

    async fn connection(&self, purpose: Use) -> Result<Connection, StoreError> {
        let availability = &self.availability;
        Ok(match (&self.pools, purpose) {
            (Pools::Sqlite { read: pool, .. }, Use::Read) | (Pools::Sqlite { write: pool, .. }, Use::Write) => {
                Either::Sqlite(PooledConnection::acquire(pool, availability, purpose).await?)
            }
            (Pools::Postgres { read: pool, .. }, Use::Read) | (Pools::Postgres { write: pool, .. }, Use::Write) => {
                Either::Postgres(PooledConnection::acquire(pool, availability, purpose).await?)
            }
        })
    }

    /// A transaction whose statements read one state of the database.
    pub(crate) async fn begin_read(&self) -> Result<Tx, StoreError> {
        self.reader().await?.begin("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    pub(crate) async fn begin_write(&self) -> Result<Tx, StoreError> {
        self.writing_connection().await?.begin(BEGIN_ON_SQLITE, "BEGIN").await
    }

    /// A transaction that writes, and until whose end the epoch cannot be closed. On SQLite, every
    /// writing transaction has that effect.
    pub(crate) async fn begin_write_in_epoch(&self) -> Result<Tx, StoreError> {
        self.writing_connection().await?.begin(BEGIN_ON_SQLITE, BEGIN_IN_EPOCH).await
    }
}

impl Connection {
    /// Begins a transaction with the statement for its database.
    pub(crate) async fn begin(self, on_sqlite: &'static str, on_postgres: &'static str) -> Result<Tx, StoreError> {
        Ok(match self {
            Either::Sqlite(connection) => Either::Sqlite(Transaction::begin(connection, on_sqlite).await?),
            Either::Postgres(connection) => Either::Postgres(Transaction::begin(connection, on_postgres).await?),
        })
    }

    /// Whether a failure was reported since the connection was acquired; it must not be kept then.
    pub(crate) fn is_stale(&self) -> bool {
        match self {
            Either::Sqlite(connection) => connection.is_stale(),
            Either::Postgres(connection) => connection.is_stale(),
        }
    }

    /// Records that a statement outside a transaction has written.
    pub(crate) fn record_write(&self) {
        match self {
            Either::Sqlite(connection) => connection.record_write(),
            Either::Postgres(connection) => connection.record_write(),
        }
    }

    /// Shortens the time limit, for statements about one row.
    pub(crate) fn use_probe_timeout(&mut self) {
        match self {
            Either::Sqlite(connection) => connection.set_statement_timeout(PROBE_STATEMENT_TIMEOUT),
            Either::Postgres(connection) => connection.set_statement_timeout(PROBE_STATEMENT_TIMEOUT),
        }
    }
}

impl Tx {
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        self.commit_and_keep().await.map(drop)
    }

    /// Commits, and returns the connection.
    pub(crate) async fn commit_and_keep(self) -> Result<Connection, StoreError> {
        Ok(match self {
            Either::Sqlite(transaction) => Either::Sqlite(transaction.commit().await?),
            Either::Postgres(transaction) => Either::Postgres(transaction.commit().await?),
        })
    }

    /// Raises the time limit for the following statements, which read or change whole tables.
    pub(crate) async fn allow_long_statements(&mut self) -> Result<(), StoreError> {
        match self {
            Either::Sqlite(transaction) => transaction.set_statement_timeout(LONG_STATEMENT_TIMEOUT),
            Either::Postgres(transaction) => transaction.set_statement_timeout(LONG_STATEMENT_TIMEOUT),
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
