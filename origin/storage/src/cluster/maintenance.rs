//! What keeps a database well: whether it takes writes, what its clock says, and up to when expired records may be deleted.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::cluster::trusted_time::ClockReading;
use crate::database::Either;
use crate::database::values::{from_sql, to_sql};
use crate::error::StoreError;
use crate::revocation::feed::SweepCounts;
use crate::store::Store;

/// A write that is not older shows that the database takes writes.
const RECENT_WRITE: Duration = Duration::from_secs(5);
/// Those who ask at one moment whether it does are answered by one such write.
const RECENT_PROBE: Duration = Duration::from_millis(500);
/// How long a write may take that only finds that out.
const WRITE_PROBE_TIMEOUT: Duration = Duration::from_secs(2);

impl Store {
    /// Whether the database takes writes: it did just now, or it takes one that changes nothing else.
    pub async fn is_writable(&self) -> bool {
        if self.availability.write_within(RECENT_WRITE) == Some(true) {
            return true;
        }
        let _alone = self.availability.write_probe.lock().await;
        // Whoever waited here has the answer of the one before.
        if let Some(is_written) = self.availability.write_within(RECENT_PROBE) {
            return is_written;
        }
        match timeout(WRITE_PROBE_TIMEOUT, self.write_probe()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(%error, "the database takes no writes");
                self.availability.note_write(false);
                false
            }
            Err(_) => {
                tracing::error!("the database does not answer a write");
                self.availability.note_write(false);
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

    /// What time it is by all clocks.
    #[must_use]
    pub fn read_clocks(&self) -> ClockReading {
        self.trusted_time.read(self.clock.now_ms(), std::time::Instant::now())
    }

    /// The Unix second before which whatever expired may be deleted.
    #[must_use]
    pub fn settled_now(&self) -> u64 {
        self.read_clocks().settled_ms / 1000
    }

    /// Hears what the database's clock says, where it is another machine's, and up to when it was swept.
    ///
    /// # Errors
    /// When the database fails.
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
            // An answer that was long under way says little.
            if asked_at.elapsed() < Duration::from_secs(1) {
                self.trusted_time.set_database_time(from_sql(database_ms), std::time::Instant::now());
            }
        }
        if swept_to > 0 {
            self.trusted_time.record_stored_sweep(from_sql(swept_to).saturating_mul(1000), std::time::Instant::now());
        }
        Ok(())
    }

    /// Forgets what nobody can need any more, by the earliest of all clocks: see [`Store::sweep`].
    ///
    /// # Errors
    /// When the database fails.
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
