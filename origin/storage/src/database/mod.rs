//! Supervised connections to SQLite and PostgreSQL, and what all modules need for their statements.

pub(crate) mod availability;
pub(crate) mod bulk;
pub(crate) mod bulk_statement;
pub(crate) mod pooled_connection;
pub(crate) mod statistics;
pub(crate) mod values;

use sqlx::{Postgres, Sqlite};

use crate::database::pooled_connection::{PooledConnection, Transaction};

/// A value of one database or the other.
pub(crate) enum Either<S, P> {
    Sqlite(S),
    Postgres(P),
}

pub(crate) type Connection = Either<PooledConnection<Sqlite>, PooledConnection<Postgres>>;
pub(crate) type Tx = Either<Transaction<Sqlite>, Transaction<Postgres>>;
