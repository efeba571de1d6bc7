//! Revocations and the audit log as programs get them, from the admin API and the command line alike.

use serde::Serialize;
use tollgate_core::RevocationKind;

use super::{AuditEntry, AuditKind, Revocation, Target};

/// A revocation as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RevocationView {
    /// Its number.
    pub id: u64,
    /// `token`, `session`, `subject`, `client`, `key` or `everything`.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// What it strikes; not there for `everything`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For `everything`: tokens issued before this Unix second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who.
    pub revoked_by: String,
    /// When, Unix seconds.
    pub revoked_at: u64,
    /// The Unix second after which every token it strikes has expired; not there if that never comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub void_after: Option<u64>,
    /// Who lifted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifted_by: Option<String>,
    /// When it was lifted, Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifted_at: Option<u64>,
    /// Whether it strikes tokens now.
    pub in_force: bool,
}

impl RevocationView {
    /// A revocation as of the Unix second `now`.
    #[must_use]
    pub fn new(revocation: &Revocation, now: u64) -> RevocationView {
        let (name, before) = name_or_time(&revocation.target);
        let lifted = revocation.reinstated.as_ref();
        RevocationView {
            id: revocation.number,
            kind: revocation.target.kind().name(),
            name,
            before,
            reason: revocation.reason.clone(),
            revoked_by: revocation.by.as_str().to_owned(),
            revoked_at: revocation.at,
            void_after: (revocation.void_after != super::revocation::NEVER).then_some(revocation.void_after),
            lifted_by: lifted.map(|lifted| lifted.by.as_str().to_owned()),
            lifted_at: lifted.map(|lifted| lifted.at),
            in_force: lifted.is_none() && now <= revocation.void_after,
        }
    }
}

/// A line of the audit log as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AuditView {
    /// Its number.
    pub id: u64,
    /// When, Unix seconds.
    pub at: u64,
    /// Who.
    pub actor: String,
    /// What happened, such as `revoke`, `create` or `sign_in`.
    pub action: String,
    /// What it happened to, such as `token`, `client` or `user`.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// Which one of that kind; not there for `everything`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For `everything`: tokens issued before this Unix second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Why, or what more there is to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl AuditView {
    /// The heading of an export as CSV.
    pub const CSV_HEADING: &str = "id,at,actor,action,kind,name,before,reason";

    /// A line of CSV (RFC 4180 §2), without its end. No field has a line break, see [`NewAuditEntry`](super::NewAuditEntry).
    #[must_use]
    pub fn to_csv(&self) -> String {
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        let before = self.before.map(|time| time.to_string()).unwrap_or_default();
        let (id, at) = (self.id.to_string(), self.at.to_string());
        let (actor, action, kind) = (self.actor.clone(), self.action.clone(), self.kind.to_owned());
        let fields = [id, at, actor, action, kind, optional(&self.name), before, optional(&self.reason)];
        fields.map(|field| quoted(&field)).join(",")
    }
}

/// A field, quoted if it must be. One that a spreadsheet would take for a formula is made a text by an apostrophe.
fn quoted(field: &str) -> String {
    let field = if field.starts_with(['=', '+', '-', '@']) { format!("'{field}") } else { field.to_owned() };
    match field.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field,
    }
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> AuditView {
        let AuditEntry { number, at, actor, action, kind, name, reason } = entry;
        let (name, before) = match kind {
            AuditKind::Revocable(RevocationKind::Everything) => (None, name.parse().ok()),
            _ => (Some(name), None),
        };
        AuditView { id: number, at, actor, action, kind: kind.name(), name, before, reason }
    }
}

fn name_or_time(target: &Target) -> (Option<String>, Option<u64>) {
    match target {
        Target::Before(time) => (None, Some(*time)),
        target => (Some(target.name().to_owned()), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_csv_are_told_apart() {
        for (field, written) in [("a", "a"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), ("=1+1", "'=1+1"), ("", "")] {
            assert_eq!(quoted(field), written);
        }
    }
}
