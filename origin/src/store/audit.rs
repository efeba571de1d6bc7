//! The audit log: written with each revocation and reinstatement, in its transaction. No code changes or deletes a line, and the
//! database's triggers refuse it too.

use super::rows::AuditRow;
use super::{Store, StoreError, to_sql};
use crate::domain::AuditEntry;

/// Lines read at a time, at most.
pub const MAX_AUDIT_PAGE: u64 = 1000;

impl Store {
    /// The lines after the one with the number `after` that are of the Unix second `since` or later, in order, at most
    /// [`MAX_AUDIT_PAGE`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit(&self, after: u64, since: u64) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, AuditRow>(
                "SELECT * FROM audit WHERE number > $1 AND at >= $2 ORDER BY number LIMIT $3",
            )
            .bind(to_sql(after))
            .bind(to_sql(since))
            .bind(to_sql(MAX_AUDIT_PAGE))
            .fetch_all(connection)
            .await?
        });
        rows.into_iter().map(AuditEntry::try_from).collect()
    }
}
