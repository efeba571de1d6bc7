//! Numbers of records that are alive, for the metrics.

use crate::database::values::{from_sql, to_sql};
use crate::error::StoreError;
use crate::store::Store;

/// Records beyond are not counted, so that counting takes tens of milliseconds at most.
const MAX_COUNTED: u64 = 100_000;

/// Numbers of records that have not expired; each at most 100,000.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LiveCounts {
    /// Browser sessions.
    pub sessions: u64,
    /// Device codes that wait for a user's decision.
    pub device_codes: u64,
}

impl Store {
    /// Counts the records that are alive at `now`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_live(&self, now: u64) -> Result<LiveCounts, StoreError> {
        let (sessions, device_codes): (i64, i64) = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as(
                "SELECT
                 (SELECT count(*) FROM (SELECT 1 FROM browser_sessions WHERE expires_at > $1 LIMIT $2) AS sessions),
                 (SELECT count(*) FROM (SELECT 1 FROM device_codes
                  WHERE expires_at > $1 AND grant_id IS NULL AND denied_at IS NULL LIMIT $2) AS codes)",
            )
            .bind(to_sql(now))
            .bind(to_sql(MAX_COUNTED))
            .fetch_one(connection)
            .await?
        });
        Ok(LiveCounts { sessions: from_sql(sessions), device_codes: from_sql(device_codes) })
    }
}
