//! [`Termination`]: who ends a grant, session, user or client, and why.

use tollgate_model::{Actor, AuditAction, AuditKind, NewAuditEntry, NewRevocation, Target};

use crate::error::StoreError;

/// Who ends something, why and when.
#[derive(Debug, Clone)]
pub struct Termination {
    pub by: Actor,
    /// Reason for the revocation record.
    pub reason: &'static str,
    /// Unix seconds.
    pub at: u64,
    /// `traceparent` of the back-channel logouts; may be empty.
    pub trace: String,
}

impl Termination {
    /// A termination outside any trace.
    #[must_use]
    pub fn new(by: &Actor, reason: &'static str, at: u64) -> Termination {
        Termination { by: by.clone(), reason, at, trace: String::new() }
    }

    pub(crate) fn revocation(&self, target: Target) -> Result<NewRevocation, StoreError> {
        let reason = self.reason.parse().map_err(StoreError::corrupt("revocations"))?;
        NewRevocation::any(target, self.by.clone(), Some(reason), self.at).map_err(StoreError::corrupt("revocations"))
    }

    pub(crate) fn audit_entry(&self, action: AuditAction, kind: AuditKind, name: &str) -> NewAuditEntry {
        NewAuditEntry::new(self.at, self.by.clone(), action, kind, name)
    }
}
