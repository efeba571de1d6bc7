//! Supervised connections: each statement has a time limit, and a connection on which something
//! unexpected happened is closed instead of returned to the pool.
//!
//! After an unexpected failure the state of a transaction is unknown: SQLite rolls back by itself
//! when the disk is full, a server that is shutting down accepts nothing more, and a silent one
//! does not answer. sqlx would give such a connection to the next caller.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::error::DatabaseError;
use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool, Postgres, SqlSafeStr as _, Sqlite};
use sqlx_core::transaction::TransactionManager as _;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::database::availability::{Availability, Fault};
use crate::database::statistics::Use;
use crate::error::StoreError;

/// Time limit of a statement. PostgreSQL cancels it one second earlier by itself, and the
/// connection stays usable.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(6);
/// Time limit of statements about one row: a server that has not answered by then will not answer.
pub(crate) const PROBE_STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time limit of statements about whole tables, in the background or on request of a person.
pub(crate) const LONG_STATEMENT_TIMEOUT: Duration = Duration::from_secs(120);

/// What an error means for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The statement or its data was refused; the connection is usable after a rollback.
    Refused,
    /// The connection must be closed.
    Broken,
    /// All connections must be closed.
    Fault(Fault),
}

/// A database whose connections are supervised.
pub(crate) trait Backend: Database {
    /// What an error code of the database means for the connection.
    fn severity(code: &str) -> Severity;
}

impl Backend for Sqlite {
    /// <https://sqlite.org/rescode.html>
    fn severity(code: &str) -> Severity {
        let primary = code.parse::<i32>().map(|code| code & 0xff);
        match primary {
            // BUSY, LOCKED, CONSTRAINT, MISMATCH
            Ok(5 | 6 | 19 | 20) => Severity::Refused,
            // FULL, IOERR, READONLY, CORRUPT and all else
            _ => Severity::Broken,
        }
    }
}

impl Backend for Postgres {
    /// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
    fn severity(code: &str) -> Severity {
        match code {
            "25006" => Severity::Fault(Fault::ReadOnly),
            // admin_shutdown, crash_shutdown, cannot_connect_now, database_dropped,
            // idle_session_timeout, and those in a transaction
            "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" | "25P04" => Severity::Fault(Fault::Lost),
            // lock_not_available, query_canceled
            "55P03" | "57014" => Severity::Refused,
            // connection exception
            _ if code.starts_with("08") => Severity::Fault(Fault::Lost),
            // data exception, constraint violation, transaction rollback, access rule violation
            _ if ["22", "23", "40", "42"].iter().any(|class| code.starts_with(class)) => Severity::Refused,
            _ => Severity::Broken,
        }
    }
}

fn severity<D: Backend>(error: &StoreError) -> Severity {
    let error = match error {
        StoreError::Database(error) => error,
        StoreError::Timeout(_) => return Severity::Fault(Fault::Timeout),
        _ => return Severity::Refused,
    };
    match error {
        sqlx::Error::Database(error) => database_severity::<D>(error.as_ref()),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            Severity::Fault(Fault::Lost)
        }
        sqlx::Error::RowNotFound
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Encode(_)
        | sqlx::Error::Decode(_) => Severity::Refused,
        _ => Severity::Broken,
    }
}

fn database_severity<D: Backend>(error: &dyn DatabaseError) -> Severity {
    error.code().map_or(Severity::Broken, |code| D::severity(&code))
}

pub(crate) struct PooledConnection<D: Backend> {
    /// Present until dropped.
    connection: Option<PoolConnection<D>>,
    is_in_transaction: bool,
    supervisor: Supervisor,
}

/// Enforces the time limit of statements, and judges their errors.
pub(crate) struct Supervisor {
    availability: Arc<Availability>,
    purpose: Use,
    statement_timeout: Duration,
    severity: fn(&StoreError) -> Severity,
    is_broken: bool,
    acquired_at: Instant,
}

impl<D: Backend> PooledConnection<D> {
    /// Waits for a connection, but not for a database that is known to be unavailable.
    // The wait is boxed: connecting needs 4 KiB, which would otherwise enlarge the future of every
    // store function and of every request that calls one.
    pub(crate) async fn acquire(
        pool: &Pool<D>,
        availability: &Arc<Availability>,
        purpose: Use,
    ) -> Result<PooledConnection<D>, StoreError> {
        let asked_at = std::time::Instant::now();
        availability.admit(purpose).await?;
        let acquired = tokio::select! {
            biased;
            acquired = Box::pin(pool.acquire()) => acquired,
            refused = availability.wait_until_refused(purpose) => return Err(refused),
        };
        let supervisor = Supervisor {
            availability: Arc::clone(availability),
            purpose,
            statement_timeout: STATEMENT_TIMEOUT,
            severity: severity::<D>,
            is_broken: false,
            acquired_at: Instant::now(),
        };
        match acquired {
            Ok(connection) => {
                availability.statistics.record_wait(purpose, asked_at);
                Ok(PooledConnection { connection: Some(connection), is_in_transaction: false, supervisor })
            }
            Err(error) => {
                availability.report(Fault::Unreachable, &error);
                if purpose == Use::Write {
                    availability.record_write_outcome(false);
                }
                Err(error.into())
            }
        }
    }

    /// The connection, and its supervisor.
    pub(crate) fn parts(&mut self) -> Result<(&mut D::Connection, &mut Supervisor), StoreError> {
        let connection = self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)?;
        Ok((connection, &mut self.supervisor))
    }

    pub(crate) fn record_write(&self) {
        if self.supervisor.purpose == Use::Write {
            self.supervisor.availability.record_write_outcome(true);
        }
    }

    /// Sets the time limit of the following statements.
    pub(crate) fn set_statement_timeout(&mut self, limit: Duration) {
        self.supervisor.statement_timeout = limit;
    }

    /// Whether a failure was reported since the connection was acquired.
    pub(crate) fn is_stale(&self) -> bool {
        self.supervisor.availability.is_stale(self.supervisor.acquired_at)
    }
}

/// A transaction; rolled back when dropped, unless committed.
pub(crate) struct Transaction<D: Backend>(PooledConnection<D>);

impl<D: Backend> Transaction<D> {
    /// Begins a transaction with this statement.
    pub(crate) async fn begin(
        connection: PooledConnection<D>,
        statement: &'static str,
    ) -> Result<Transaction<D>, StoreError> {
        let mut pooled = connection;
        // Broken until it has begun: sqlx does not know of a transaction if the caller is cancelled
        // meanwhile, or if the first of two statements began it.
        pooled.supervisor.is_broken = true;
        let (connection, supervisor) = pooled.parts()?;
        // The type is erased, as for every statement: the compiler cannot prove that the large
        // future is `Send`.
        let begun: BoxFuture<'_, _> =
            Box::pin(D::TransactionManager::begin(connection, Some(statement.into_sql_str())));
        supervisor.run(statement, async { Ok(begun.await?) }).await?;
        pooled.supervisor.is_broken = false;
        pooled.is_in_transaction = true;
        Ok(Transaction(pooled))
    }

    /// Commits, and returns the connection.
    pub(crate) async fn commit(self) -> Result<PooledConnection<D>, StoreError> {
        let Transaction(mut pooled) = self;
        let (connection, supervisor) = pooled.parts()?;
        let committed: BoxFuture<'_, _> = Box::pin(D::TransactionManager::commit(connection));
        let committed = supervisor.run("COMMIT", async { Ok(committed.await?) }).await;
        pooled.supervisor.is_broken |= committed.is_err();
        committed?;
        pooled.is_in_transaction = false;
        pooled.record_write();
        Ok(pooled)
    }
}

impl<D: Backend> Deref for Transaction<D> {
    type Target = PooledConnection<D>;

    fn deref(&self) -> &PooledConnection<D> {
        &self.0
    }
}

impl<D: Backend> DerefMut for Transaction<D> {
    fn deref_mut(&mut self) -> &mut PooledConnection<D> {
        &mut self.0
    }
}

impl Supervisor {
    /// Runs work on the connection within the time limit. `statement` is its place in the source,
    /// or its text if that is short.
    pub(crate) async fn run<T>(
        &mut self,
        statement: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let began = std::time::Instant::now();
        let done = match timeout(self.statement_timeout, work).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::Timeout(self.statement_timeout)),
        };
        self.availability.statistics.record_statement(self.purpose, statement, began, done.is_ok());
        if let Err(error) = &done {
            self.judge(error);
        }
        done
    }

    fn judge(&mut self, error: &StoreError) {
        let severity = (self.severity)(error);
        if severity == Severity::Refused {
            return;
        }
        self.is_broken = true;
        if self.purpose == Use::Write {
            self.availability.record_write_outcome(false);
        }
        if let Severity::Fault(fault) = severity {
            self.availability.report(fault, error);
        }
    }
}

impl<D: Backend> Drop for PooledConnection<D> {
    /// Rolls back and returns the connection to the pool, or closes it if it is broken.
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let Some(runtime) = Handle::try_current().ok().filter(|_| !self.supervisor.is_broken) else {
            drop(connection.detach());
            return;
        };
        if self.is_in_transaction {
            D::TransactionManager::start_rollback(&mut connection);
        }
        let returned = connection.return_to_pool();
        let (availability, time_limit) = (Arc::clone(&self.supervisor.availability), self.supervisor.statement_timeout);
        runtime.spawn(async move {
            // A cancelled caller leaves a statement unanswered. If it stays unanswered, the
            // connection is closed.
            if timeout(time_limit, returned).await.is_err() {
                availability.report(Fault::Timeout, &"no answer when the connection was returned to the pool");
            }
        });
    }
}

/// Whether SQLite and sqlx agree that no transaction is open; otherwise the connection is unusable.
pub(crate) async fn is_out_of_transaction(connection: &mut sqlx::SqliteConnection) -> Result<bool, sqlx::Error> {
    let depth = |connection: &sqlx::SqliteConnection| {
        <Sqlite as Database>::TransactionManager::get_transaction_depth(connection)
    };
    if depth(connection) == 0 {
        return Ok(true);
    }
    // A rollback may be in progress.
    sqlx::Connection::ping(connection).await?;
    Ok(depth(connection) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_errors_keep_the_connection_and_others_close_it() {
        for code in ["2067", "1555", "787", "5", "517"] {
            assert_eq!(Sqlite::severity(code), Severity::Refused, "{code}");
        }
        for code in ["13", "10", "778", "8", "11", "1", "", "none"] {
            assert_eq!(Sqlite::severity(code), Severity::Broken, "{code}");
        }
        for code in ["23505", "40001", "40P01", "55P03", "57014", "22021", "42P01"] {
            assert_eq!(Postgres::severity(code), Severity::Refused, "{code}");
        }
        for code in ["57P01", "57P02", "57P03", "57P05", "08006", "25P03"] {
            assert_eq!(Postgres::severity(code), Severity::Fault(Fault::Lost), "{code}");
        }
        assert_eq!(Postgres::severity("25006"), Severity::Fault(Fault::ReadOnly));
        for code in ["53100", "XX000", "58030", "25P02", ""] {
            assert_eq!(Postgres::severity(code), Severity::Broken, "{code}");
        }
    }
}
