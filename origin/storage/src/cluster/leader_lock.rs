//! Which of several origins on one database pushes to the edges, and which publishes snapshots: the ones that have the seats.
//!
//! On PostgreSQL a seat is an advisory lock of the session of a connection kept for nothing else: the lock goes with the
//! connection, and the connection with its origin, so the dead never keep the seat. A SQLite database has one origin, and
//! that has both. Should two have one for a moment, a push comes twice or a snapshot is built twice, which does no harm.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, query, query_scalar};
use tokio::time::{sleep, timeout};

use crate::error::StoreError;
use crate::store::{Pools, Store};

/// How often the seat is asked for, or its holder looks whether it still has it.
const INTERVAL: Duration = Duration::from_secs(1);
/// An answer that takes longer means that the connection is lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lets PostgreSQL notice in 15 s, not hours, that the machine of the one in the seat fell silent. That is after
/// [`INTERVAL`] and [`PATIENCE`], in which a holder that is merely cut off notices too and stops.
const KEEPALIVES: &str = "SELECT set_config('tcp_keepalives_idle', '6', false),
    set_config('tcp_keepalives_interval', '3', false), set_config('tcp_keepalives_count', '3', false)";

/// What one of several origins does for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaderRole {
    /// Pushes deltas to the registered edges.
    EdgePush,
    /// Builds and publishes snapshots.
    SnapshotPublication,
    /// Pushes security events to receivers.
    SecurityEventPush,
}

impl LeaderRole {
    /// What the advisory lock's number is made of, beside the schema.
    fn lock(self) -> i64 {
        i64::from_be_bytes(match self {
            LeaderRole::EdgePush => *b"tollgate",
            LeaderRole::SnapshotPublication => *b"tollpubl",
            LeaderRole::SecurityEventPush => *b"tollsets",
        })
    }
}

/// A role, given up when dropped.
pub struct LeaderLock(Option<PgConnection>);

impl Store {
    /// Waits until a seat is free, and takes it.
    ///
    /// # Errors
    /// When the database fails; the caller asks anew after a while.
    pub async fn acquire_leader_lock(&self, role: LeaderRole) -> Result<LeaderLock, StoreError> {
        let Pools::Postgres { read: pool, .. } = &self.pools else {
            return Ok(LeaderLock(None));
        };
        let mut connection = PgConnection::connect_with(&pool.connect_options()).await?;
        in_time(query(KEEPALIVES).execute(&mut connection)).await?;
        // Locks are the whole database's, and each of its schemas may be an issuer's.
        let sql = "SELECT pg_try_advisory_lock(hashtextextended(current_schema(), $1))";
        let ask = || query_scalar(sql).bind(role.lock());
        while !in_time(ask().fetch_one(&mut connection)).await? {
            sleep(INTERVAL).await;
        }
        Ok(LeaderLock(Some(connection)))
    }
}

impl LeaderLock {
    /// Returns when the seat is lost, with the reason. Then another origin may have it, and this one must stop.
    pub async fn wait_until_lost(&mut self) -> StoreError {
        let Some(connection) = &mut self.0 else {
            return std::future::pending().await;
        };
        loop {
            sleep(INTERVAL).await;
            if let Err(error) = in_time(connection.ping()).await {
                return error;
            }
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(sqlx::Error::Io(ErrorKind::TimedOut.into()).into()),
    }
}
