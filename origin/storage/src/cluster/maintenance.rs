//! Maintenance: whether the database is writable, its clock, and the deletion of expired records.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::cluster::trusted_time::ClockReading;
use crate::database::Either;
use crate::database::values::{from_sql, to_sql};
use crate::error::StoreError;
use crate::revocation::feed::SweepCounts;
use crate::store::Store;

/// Age up to which a successful write shows that the database is writable.
const MAX_WRITE_AGE: Duration = Duration::from_secs(5);
/// Age up to which the result of a probe is shared by concurrent callers.
const MAX_PROBE_AGE: Duration = Duration::from_millis(500);
const WRITE_PROBE_TIMEOUT: Duration = Duration::from_secs(2);

impl Store {
    /// Whether the database accepts writes, by a recent write or by a probe that changes a counter.
    pub async fn is_writable(&self) -> bool {
        if self.availability.recent_write_outcome(MAX_WRITE_AGE) == Some(true) {
            return true;
        }
        let _guard = self.availability.write_probe.lock().await;
        // A caller that waited for the lock uses the result of the probe before.
        if let Some(is_written) = self.availability.recent_write_outcome(MAX_PROBE_AGE) {
            return is_written;
        }
        match timeout(WRITE_PROBE_TIMEOUT, self.write_probe()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(%error, "the database accepts no writes");
                self.availability.record_write_outcome(false);
                false
            }
            Err(_) => {
                tracing::error!("the database did not answer a write in time");
                self.availability.record_write_outcome(false);
                false
            }
        }
    }

    async fn write_probe(&self) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE upkeep SET write_probes = write_probes + 1").execute(connection).await?;
        });
        tx.commit().await
    }

    /// Reads all clocks.
    #[must_use]
    pub fn read_clocks(&self) -> ClockReading {
        self.trusted_time.read(self.clock.now_ms(), std::time::Instant::now())
    }

    /// The Unix second before which expired records may be deleted.
    #[must_use]
    pub fn settled_now(&self) -> u64 {
        self.read_clocks().settled_ms / 1000
    }

    /// Reads the database's clock, if it runs on another machine, and how far expired records were
    /// deleted.
    pub async fn sync_clock(&self) -> Result<(), StoreError> {
        let mut reader = self.reader().await?;
        let asked_at = Instant::now();
        let swept_to: i64 = with_connection!(&mut reader, connection => {
            sqlx::query_scalar("SELECT swept_to FROM upkeep").fetch_one(connection).await?
        });
        if let Either::Postgres(pooled) = &mut reader {
            let database_ms: i64 = supervised!(pooled, connection => {
                sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
                    .fetch_one(connection)
                    .await?
            });
            // A slow answer says little about the time.
            if asked_at.elapsed() < Duration::from_secs(1) {
                self.trusted_time.set_database_time(from_sql(database_ms), std::time::Instant::now());
            }
        }
        if swept_to > 0 {
            self.trusted_time.record_stored_sweep(from_sql(swept_to).saturating_mul(1000), std::time::Instant::now());
        }
        Ok(())
    }

    /// Deletes expired records by the earliest of all clocks: see [`Store::sweep`].
    pub async fn sweep_settled(&self) -> Result<SweepCounts, StoreError> {
        self.sync_clock().await?;
        let now = self.settled_now();
        let swept = self.sweep(now).await?;
        self.sweep_signals(now).await?;
        let mut tx = self.begin_write().await?;
        with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE upkeep SET swept_to = $1 WHERE swept_to < $2")
                .bind(to_sql(now))
                .bind(to_sql(now))
                .execute(connection)
                .await?;
        });
        tx.commit().await?;
        Ok(swept)
    }
}
