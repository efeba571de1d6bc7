//! Leader election: which of several origins on one database pushes to edges, publishes snapshots,
//! and pushes security events. Each role has one leader, the holder of its lock.
//!
//! On PostgreSQL the lock is an advisory lock of a session on a connection of its own. It is
//! released when the connection closes, so an origin that has died never keeps it. A SQLite
//! database has one origin, which leads all roles. If two origins lead for a moment, a push is sent
//! twice or a snapshot is built twice, which is harmless.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, query, query_scalar};
use tokio::time::{sleep, timeout};

use crate::error::StoreError;
use crate::store::{Pools, Store};

/// Interval at which the lock is requested, or at which its holder checks its connection.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Time limit of an answer, after which the connection counts as lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Makes PostgreSQL notice within 15 s, not hours, that the leader's machine has failed. That is
/// longer than [`POLL_INTERVAL`] plus [`ANSWER_TIMEOUT`], within which a leader that was only
/// disconnected notices it and stops.
const KEEPALIVE_SETTINGS: &str = "SELECT set_config('tcp_keepalives_idle', '6', false),
    set_config('tcp_keepalives_interval', '3', false), set_config('tcp_keepalives_count', '3', false)";

/// A task that one of several origins does for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaderRole {
    EdgePush,
    SnapshotPublication,
    SecurityEventPush,
}

impl LeaderRole {
    /// Key of the advisory lock; the schema is hashed with it.
    fn lock_key(self) -> i64 {
        i64::from_be_bytes(match self {
            LeaderRole::EdgePush => *b"tollgate",
            LeaderRole::SnapshotPublication => *b"tollpubl",
            LeaderRole::SecurityEventPush => *b"tollsets",
        })
    }
}

/// The leadership of a role; released when dropped.
pub struct LeaderLock(Option<PgConnection>);

impl Store {
    /// Waits until the lock of a role is free, and takes it.
    ///
    /// # Errors
    /// When the database fails; the caller must retry after a delay.
    pub async fn acquire_leader_lock(&self, role: LeaderRole) -> Result<LeaderLock, StoreError> {
        let Pools::Postgres { read: pool, .. } = &self.pools else {
            return Ok(LeaderLock(None));
        };
        let mut connection = PgConnection::connect_with(&pool.connect_options()).await?;
        with_timeout(query(KEEPALIVE_SETTINGS).execute(&mut connection)).await?;
        // Advisory locks belong to the whole database, and each of its schemas may be another
        // issuer's.
        let sql = "SELECT pg_try_advisory_lock(hashtextextended(current_schema(), $1))";
        let request = || query_scalar(sql).bind(role.lock_key());
        while !with_timeout(request().fetch_one(&mut connection)).await? {
            sleep(POLL_INTERVAL).await;
        }
        Ok(LeaderLock(Some(connection)))
    }
}

impl LeaderLock {
    /// Returns when the leadership is lost, with the reason. Another origin may lead from then on,
    /// so the caller must stop the task.
    pub async fn wait_until_lost(&mut self) -> StoreError {
        let Some(connection) = &mut self.0 else {
            return std::future::pending().await;
        };
        loop {
            sleep(POLL_INTERVAL).await;
            if let Err(error) = with_timeout(connection.ping()).await {
                return error;
            }
        }
    }
}

async fn with_timeout<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    match timeout(ANSWER_TIMEOUT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(sqlx::Error::Io(ErrorKind::TimedOut.into()).into()),
    }
}
