//! The audit log.

use tollgate_model::{AuditEntry, AuditFilter};
use tollgate_storage::MAX_AUDIT_PAGE;

use super::{AdminError, Registry};

impl Registry {
    /// A page of the entries that match a filter, and the number to continue after, or below if the
    /// newest come first, if there may be a next page.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_audit_entries(&self, filter: &AuditFilter) -> Result<(Vec<AuditEntry>, Option<u64>), AdminError> {
        let found = self.store.list_audit_entries(filter).await?;
        let page_size = filter.limit.unwrap_or(MAX_AUDIT_PAGE).min(MAX_AUDIT_PAGE);
        let next = found.last().filter(|_| found.len() as u64 == page_size).map(|entry| entry.number);
        Ok((found, next))
    }
}
