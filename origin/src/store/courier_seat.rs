//! Which of several origins on one database pushes to the edges: the one that has the courier's seat.
//!
//! On PostgreSQL the seat is an advisory lock of the session of a connection kept for nothing else: the lock goes with the
//! connection, and the connection with its origin, so the dead never keep the seat. A SQLite database has one origin, and
//! that has the seat. Should two have it for a moment, edges get a push twice, which does no harm.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, query, query_scalar};
use tokio::time::{sleep, timeout};

use super::{Pools, Store, StoreError};

/// The advisory lock's number: `tollgate` in ASCII, which no other program on the database is likely to use.
const LOCK: i64 = i64::from_be_bytes(*b"tollgate");
/// How often the seat is asked for, or its holder looks whether it still has it.
const INTERVAL: Duration = Duration::from_secs(1);
/// An answer that takes longer means that the connection is lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lets PostgreSQL notice in 15 s, not hours, that the machine of the one in the seat fell silent. That is after
/// [`INTERVAL`] and [`PATIENCE`], in which a holder that is merely cut off notices too and stops.
const KEEPALIVES: &str = "SELECT set_config('tcp_keepalives_idle', '6', false),
    set_config('tcp_keepalives_interval', '3', false), set_config('tcp_keepalives_count', '3', false)";

/// The right to push to edges, given up when dropped.
pub struct CourierSeat(Option<PgConnection>);

impl Store {
    /// Waits until the courier's seat is free, and takes it.
    ///
    /// # Errors
    /// When the database fails; the caller asks anew after a while.
    pub async fn courier_seat(&self) -> Result<CourierSeat, StoreError> {
        let Pools::Postgres(pool) = &self.pools else {
            return Ok(CourierSeat(None));
        };
        let mut connection = PgConnection::connect_with(&pool.connect_options()).await?;
        in_time(query(KEEPALIVES).execute(&mut connection)).await?;
        let ask = || query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK);
        while !in_time(ask().fetch_one(&mut connection)).await? {
            sleep(INTERVAL).await;
        }
        Ok(CourierSeat(Some(connection)))
    }
}

impl CourierSeat {
    /// Returns when the seat is lost, with the reason. Then another origin may have it, and this one must stop pushing.
    pub async fn lost(&mut self) -> StoreError {
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
