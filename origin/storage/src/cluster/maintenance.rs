//! Maintenance: whether the database is writable, its clock, and the deletion of
//! expired records.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tollgate_core::MAX_DELTAS;
use tollgate_model::revocation::REVOCATION_KEPT_AFTER_EXPIRY;

use crate::database::Either;
use crate::database::values::{from_sql, to_sql};
use crate::error::StoreError;
use crate::store::Store;
use crate::store::trusted_time::ClockReading;

/// Age up to which a successful write shows that the database is writable.
const MAX_WRITE_AGE: Duration = Duration::from_secs(5);
/// Age up to which the result of a probe is shared by concurrent callers.
const MAX_PROBE_AGE: Duration = Duration::from_millis(500);
const WRITE_PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Minimum number of deltas kept. Those after the newest published snapshot are
/// always kept, because an edge continues from it. An edge asks at most 16 times in a
/// row for up to [`MAX_DELTAS`] each; an edge that is further behind takes the
/// snapshot, which is cheaper then.
const MIN_KEPT_DELTAS: u64 = 16 * MAX_DELTAS as u64;

/// Maximum rows that one transaction of the sweep deletes from a table.
const MAX_ROWS_PER_SWEEP: u64 = 10_000;
/// Statements of the sweep: each deletes rows from before the time `$1`, at most `$2`
/// of them.
const DELETE_EXPIRED_TOKENS: &str =
    "DELETE FROM tokens WHERE number IN (SELECT number FROM tokens WHERE expires_at < $1 LIMIT $2)";
const DELETE_VOID_REVOCATIONS: &str =
    "DELETE FROM revocations WHERE number IN (SELECT number FROM revocations WHERE void_after < $1 LIMIT $2)";
const DELETE_VOID_MARKS: &str =
    "DELETE FROM marks WHERE (kind, id) IN (SELECT kind, id FROM marks WHERE void_after < $1 LIMIT $2)";
/// A grant is deleted with its codes and with its device code; its refresh tokens are
/// part of it. It is kept as long as an access token that names it can be valid.
const DELETE_EXPIRED_RECORDS: [&str; 7] = [
    "DELETE FROM grants WHERE id IN
     (SELECT grant_id FROM codes
      WHERE redeemed_at IS NULL AND expires_at < $1 AND COALESCE(tokens_expire_at, 0) < $1 LIMIT $2)",
    "DELETE FROM grants WHERE id IN
     (SELECT grant_id FROM device_codes WHERE grant_id IS NOT NULL AND redeemed_at IS NULL AND expires_at < $1 LIMIT $2)",
    "DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE ends_at < $1 LIMIT $2)",
    "DELETE FROM device_codes WHERE hash IN (SELECT hash FROM device_codes WHERE expires_at < $1 LIMIT $2)",
    "DELETE FROM authorization_requests WHERE hash IN
     (SELECT hash FROM authorization_requests WHERE expires_at < $1 LIMIT $2)",
    "DELETE FROM replay_keys WHERE hash IN (SELECT hash FROM replay_keys WHERE expires_at < $1 LIMIT $2)",
    "DELETE FROM attempts WHERE name IN (SELECT name FROM attempts WHERE began_at < $1 - 86400 LIMIT $2)",
];

/// Numbers of deleted records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepCounts {
    /// Tokens that no edge accepts any more.
    pub tokens: u64,
    /// Revocations that apply to no other tokens.
    pub revocations: u64,
    /// Deltas that are no longer kept.
    pub deltas: u64,
    /// Grants, authorization requests and other records with an expiry.
    pub others: u64,
}

impl Store {
    /// Whether the database accepts writes, by a recent write or by a probe that
    /// changes a counter.
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

    /// Reads the database's clock, if it runs on another machine, and how far expired
    /// records were deleted.
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

    /// Deletes what has expired at the Unix second `now`, in small transactions: a
    /// backlog of any size shrinks while others write. Expired sessions are not
    /// deleted but ended, by [`Store::end_expired_sessions`].
    pub async fn sweep(&self, now: u64) -> Result<SweepCounts, StoreError> {
        // Recorded before anything is deleted: a caller that relies on a record must know
        // that it may be gone.
        self.trusted_time.record_sweep(now);
        // Tokens are kept as long as their revocations, because reinstatement and
        // introspection need the record.
        let tokens =
            self.delete_in_chunks(DELETE_EXPIRED_TOKENS, now.saturating_sub(REVOCATION_KEPT_AFTER_EXPIRY)).await?;
        let revocations = self.delete_in_chunks(DELETE_VOID_REVOCATIONS, now).await?;
        self.delete_in_chunks(DELETE_VOID_MARKS, now).await?;
        let mut others = 0;
        for sql in DELETE_EXPIRED_RECORDS {
            others += self.delete_in_chunks(sql, now).await?;
        }
        let mut tx = self.begin_write().await?;
        tx.allow_long_statements().await?;
        let (deltas, secrets) = with_connection!(&mut tx, connection => {
            let deltas = sqlx::query(
                "DELETE FROM deltas WHERE sequence <= (SELECT sequence FROM feed) - $1
                 AND sequence <= (SELECT sequence FROM snapshots)",
            )
            .bind(to_sql(MIN_KEPT_DELTAS))
            .execute(&mut *connection)
            .await?;
            let secrets = sqlx::query("DELETE FROM client_secrets WHERE expires_at < $1")
                .bind(to_sql(now))
                .execute(&mut *connection)
                .await?;
            (deltas.rows_affected(), secrets.rows_affected())
        });
        tx.commit().await?;
        Ok(SweepCounts { tokens, revocations, deltas, others: others + secrets })
    }

    /// Repeats a statement that deletes a limited number of rows until none is left,
    /// and returns the number deleted.
    async fn delete_in_chunks(&self, sql: &'static str, before: u64) -> Result<u64, StoreError> {
        let mut swept = 0;
        loop {
            let mut tx = self.begin_write().await?;
            tx.allow_long_statements().await?;
            let deleted = with_connection!(&mut tx, connection => {
                sqlx::query(sql)
                    .bind(to_sql(before))
                    .bind(to_sql(MAX_ROWS_PER_SWEEP))
                    .execute(connection)
                    .await?
                    .rows_affected()
            });
            tx.commit().await?;
            swept += deleted;
            if deleted < MAX_ROWS_PER_SWEEP {
                return Ok(swept);
            }
        }
    }
}
