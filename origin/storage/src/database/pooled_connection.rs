//! Connections of a pool, supervised: each statement has a time limit, and a connection on which something unexpected happened is closed
//! and never given back.
//!
//! A transaction that fails in an unexpected way leaves a connection of which neither side knows the state: SQLite rolls back by itself
//! on a full disk, a server that was told to stop takes nothing any more, and from a silent one nothing is heard. sqlx would give such a
//! connection to the next caller.

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

use crate::database::availability::{Availability, Fault, Use};
use crate::error::StoreError;

/// How long a statement may take. PostgreSQL ends one a second earlier by itself, and the connection stays good then.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(6);
/// The same for the smallest ones, of a row each: whoever is silent for as long will not answer.
pub(crate) const PROBE_STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);
/// And for those that go through whole tables, in the background or because a person asked.
pub(crate) const LONG_STATEMENT_TIMEOUT: Duration = Duration::from_secs(120);

/// What an error says of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The statement or its data were refused; a rollback makes all well.
    Refused,
    /// The connection is to be closed.
    Broken,
    /// And so are the others.
    Fault(Fault),
}

/// A database whose connections are supervised.
pub(crate) trait Backend: Database {
    /// What an error of the database with this code says of the connection.
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
            // admin_shutdown, crash_shutdown, cannot_connect_now, database_dropped, idle_session_timeout, and those in a transaction
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
        StoreError::Timeout(_) => return Severity::Fault(Fault::Silent),
        _ => return Severity::Refused,
    };
    match error {
        sqlx::Error::Database(error) => of_database::<D>(error.as_ref()),
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

fn of_database<D: Backend>(error: &dyn DatabaseError) -> Severity {
    error.code().map_or(Severity::Broken, |code| D::severity(&code))
}

/// A connection of a pool.
pub(crate) struct PooledConnection<D: Backend> {
    /// There until it is dropped.
    connection: Option<PoolConnection<D>>,
    is_in_transaction: bool,
    supervisor: Supervisor,
}

/// Sees to the time limit of statements, and to what their errors say of the connection.
pub(crate) struct Supervisor {
    availability: Arc<Availability>,
    used_for: Use,
    limit: Duration,
    severity: fn(&StoreError) -> Severity,
    is_broken: bool,
    taken_at: Instant,
}

impl<D: Backend> PooledConnection<D> {
    /// Waits for a connection, but not for a database that is known to be away.
    // Waiting is boxed: a connection may have to be made, which takes 4 KiB, and every function of the store, and every request that
    // calls one, would carry room for that.
    pub(crate) async fn acquire(
        pool: &Pool<D>,
        availability: &Arc<Availability>,
        used_for: Use,
    ) -> Result<PooledConnection<D>, StoreError> {
        availability.admit(used_for).await?;
        let acquired = tokio::select! {
            biased;
            acquired = Box::pin(pool.acquire()) => acquired,
            refused = availability.refused(used_for) => return Err(refused),
        };
        let supervisor = Supervisor {
            availability: Arc::clone(availability),
            used_for,
            limit: STATEMENT_TIMEOUT,
            severity: severity::<D>,
            is_broken: false,
            taken_at: Instant::now(),
        };
        match acquired {
            Ok(connection) => {
                Ok(PooledConnection { connection: Some(connection), is_in_transaction: false, supervisor })
            }
            Err(error) => {
                availability.report(Fault::Unreachable, &error);
                if used_for == Use::Write {
                    availability.note_write(false);
                }
                Err(error.into())
            }
        }
    }

    /// The connection, and who supervises what is done by it.
    pub(crate) fn parts(&mut self) -> Result<(&mut D::Connection, &mut Supervisor), StoreError> {
        let connection = self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)?;
        Ok((connection, &mut self.supervisor))
    }

    /// Notes that something was written.
    pub(crate) fn note_written(&self) {
        if self.supervisor.used_for == Use::Write {
            self.supervisor.availability.note_write(true);
        }
    }

    /// Gives every statement from now on this long.
    pub(crate) fn set_limit(&mut self, limit: Duration) {
        self.supervisor.limit = limit;
    }

    /// Whether something failed since it was taken from the pool.
    pub(crate) fn is_shed(&self) -> bool {
        self.supervisor.availability.is_shed(self.supervisor.taken_at)
    }
}

/// A transaction, rolled back unless it is committed.
pub(crate) struct Transaction<D: Backend>(PooledConnection<D>);

impl<D: Backend> Transaction<D> {
    /// Begins a transaction by this statement.
    pub(crate) async fn begin(
        connection: PooledConnection<D>,
        statement: &'static str,
    ) -> Result<Transaction<D>, StoreError> {
        let mut pooled = connection;
        // Until it has begun: sqlx knows of no transaction that began when nobody waited any more, or by the first of two statements.
        pooled.supervisor.is_broken = true;
        let (connection, supervisor) = pooled.parts()?;
        // Its type is hidden, as that of every statement is: of a large one the compiler does not see that it may be sent.
        let begun: BoxFuture<'_, _> =
            Box::pin(D::TransactionManager::begin(connection, Some(statement.into_sql_str())));
        supervisor.observe(async { Ok(begun.await?) }).await?;
        pooled.supervisor.is_broken = false;
        pooled.is_in_transaction = true;
        Ok(Transaction(pooled))
    }

    /// Commits it; gives the connection.
    pub(crate) async fn commit(self) -> Result<PooledConnection<D>, StoreError> {
        let Transaction(mut pooled) = self;
        let (connection, supervisor) = pooled.parts()?;
        let committed: BoxFuture<'_, _> = Box::pin(D::TransactionManager::commit(connection));
        let committed = supervisor.observe(async { Ok(committed.await?) }).await;
        pooled.supervisor.is_broken |= committed.is_err();
        committed?;
        pooled.is_in_transaction = false;
        pooled.note_written();
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
    /// Does something on the connection within the time limit.
    pub(crate) async fn observe<T>(
        &mut self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let done = match timeout(self.limit, work).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::Timeout(self.limit)),
        };
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
        if self.used_for == Use::Write {
            self.availability.note_write(false);
        }
        if let Severity::Fault(fault) = severity {
            self.availability.report(fault, error);
        }
    }
}

impl<D: Backend> Drop for PooledConnection<D> {
    /// Gives the connection back, the transaction rolled back; closes it if anything is wrong with it.
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
        let (availability, limit) = (Arc::clone(&self.supervisor.availability), self.supervisor.limit);
        runtime.spawn(async move {
            // Whoever went away in the middle of a statement left it unanswered. If it stays so, the connection goes.
            if timeout(limit, returned).await.is_err() {
                availability.report(Fault::Silent, &"it did not answer when it was given back");
            }
        });
    }
}

/// Whether SQLite and sqlx agree that no transaction is open: if not, the connection is of no use.
pub(crate) async fn is_out_of_transaction(connection: &mut sqlx::SqliteConnection) -> Result<bool, sqlx::Error> {
    let depth = |connection: &sqlx::SqliteConnection| {
        <Sqlite as Database>::TransactionManager::get_transaction_depth(connection)
    };
    if depth(connection) == 0 {
        return Ok(true);
    }
    // A rollback may be on its way.
    sqlx::Connection::ping(connection).await?;
    Ok(depth(connection) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_data_keep_the_connection_and_all_others_close_it() {
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
