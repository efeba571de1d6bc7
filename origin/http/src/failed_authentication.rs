//! Failed authentications, whoever tried: each has a line in the log and one in the audit log, with
//! the address that it came from. A flood of them fills neither: beyond a few, their number alone
//! is told ([`Metrics::may_log_failure`](tollgate_services::telemetry::Metrics::may_log_failure)).

use std::net::IpAddr;

use tollgate_model::{Actor, AuditAction, AuditKind, NewAuditEntry};
use tollgate_services::telemetry::CredentialKind;

use super::App;

/// Logs and notes that somebody could not authenticate. `name`: the id of the registered user or
/// client that they named, if there is one; what was typed is told nowhere, for it may be a secret.
/// Never fails: whoever is refused is refused whether that can be written or not.
pub(crate) async fn note(app: &App, way: CredentialKind, name: Option<&str>, address: Option<IpAddr>) {
    let Some(left_out) = app.metrics.may_log_failure(way) else { return };
    let name = name.unwrap_or("unknown");
    let address = address.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string());
    let (action, kind, what) = match way {
        CredentialKind::SignIn => (AuditAction::RefuseSignIn, AuditKind::User, ""),
        CredentialKind::Client => (AuditAction::RefuseClient, AuditKind::CLIENT, ""),
        CredentialKind::AdminApi => (AuditAction::RefuseClient, AuditKind::CLIENT, " at the admin API"),
    };
    tracing::warn!(way = way.name(), name, address, left_out, "authentication failed");
    let more = if left_out > 0 { format!("; {left_out} more before this are not noted") } else { String::new() };
    let note = NewAuditEntry::new(app.clock.now(), Actor::origin(), action, kind, name);
    if let Err(error) = app.writer.record_audit_note(note.with_detail(&format!("from {address}{what}{more}"))).await {
        tracing::error!(%error, "a failed authentication could not be noted");
    }
}
