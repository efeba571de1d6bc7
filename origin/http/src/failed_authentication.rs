//! Log and audit entries of failed authentications, with the client's address. Beyond a rate, only
//! the number of omitted failures is recorded, so that a flood fills neither log
//! ([`Metrics::may_log_failure`]).

use std::net::IpAddr;
use std::sync::Arc;

use tollgate_model::{Actor, AuditAction, AuditKind, NewAuditEntry};
use tollgate_services::telemetry::{CredentialKind, Metrics};
use tollgate_storage::Writer;
use tollgate_system::Clock;

/// Records failed authentications.
#[derive(Clone)]
pub(crate) struct FailedAuthentications {
    clock: Clock,
    metrics: Arc<Metrics>,
    writer: Writer,
}

impl FailedAuthentications {
    pub(crate) fn new(clock: Clock, metrics: Arc<Metrics>, writer: Writer) -> FailedAuthentications {
        FailedAuthentications { clock, metrics, writer }
    }

    /// Records a failed authentication. `name`: ID of a registered user or client; unregistered
    /// names are not recorded, because users sometimes type secrets there. Failing to record is not
    /// an error.
    pub(crate) async fn record(&self, kind: CredentialKind, name: Option<&str>, address: Option<IpAddr>) {
        self.metrics.authentication_failed(kind, address);
        let Some(omitted) = self.metrics.may_log_failure(kind) else { return };
        let name = name.unwrap_or("unknown");
        let address = address.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string());
        let (action, target, place) = match kind {
            CredentialKind::SignIn => (AuditAction::RefuseSignIn, AuditKind::User, ""),
            CredentialKind::Client => (AuditAction::RefuseClient, AuditKind::CLIENT, ""),
            CredentialKind::AdminApi => (AuditAction::RefuseClient, AuditKind::CLIENT, " at the admin API"),
        };
        tracing::warn!(way = kind.name(), name, address, left_out = omitted, "authentication failed");
        let more = if omitted > 0 { format!("; {omitted} more before this were not recorded") } else { String::new() };
        let entry = NewAuditEntry::new(self.clock.now(), Actor::origin(), action, target, name);
        let entry = entry.with_detail(&format!("from {address}{place}{more}"));
        if let Err(error) = self.writer.record_audit_note(entry).await {
            tracing::error!(%error, "a failed authentication could not be recorded");
        }
    }
}
