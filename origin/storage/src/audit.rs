//! The audit log. Each entry is written in the transaction of the change it describes. Never: an
//! entry is changed or deleted; triggers of the database refuse it too.

use tollgate_model::{Actor, AuditAction, AuditEntry, AuditFilter, AuditKind, Malformed, NewAuditEntry};

use crate::database::Tx;
use crate::database::values::{from_sql, to_sql};
use crate::error::StoreError;
use crate::store::Store;

/// Maximum entries per page.
pub const MAX_AUDIT_PAGE: u64 = 1000;

#[derive(sqlx_macros::FromRow)]
pub(crate) struct AuditRow {
    number: i64,
    at: i64,
    actor: String,
    action: String,
    kind: i64,
    name: String,
    reason: Option<String>,
}

impl TryFrom<AuditRow> for AuditEntry {
    type Error = StoreError;

    fn try_from(row: AuditRow) -> Result<AuditEntry, StoreError> {
        let AuditRow { number, at, actor, action, kind, name, reason } = row;
        let kind = u8::try_from(kind).ok().and_then(AuditKind::from_byte);
        let kind = kind.ok_or_else(|| StoreError::corrupt("audit")(Malformed::new("kind", "is unknown")))?;
        Ok(AuditEntry { number: from_sql(number), at: from_sql(at), actor, action, kind, name, reason })
    }
}

impl Store {
    /// The audit entries that match `filter`, at most [`MAX_AUDIT_PAGE`].
    pub async fn list_audit_entries(&self, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = with_connection!(&mut self.reader().await?, connection => {
            let mut query = sqlx::QueryBuilder::new("SELECT * FROM audit WHERE number > ");
            query.push_bind(to_sql(filter.after.unwrap_or(0)));
            query.push(" AND number < ").push_bind(to_sql(filter.below.unwrap_or(u64::MAX)));
            if let Some(since) = filter.since {
                query.push(" AND at >= ").push_bind(to_sql(since));
            }
            if let Some(until) = filter.until {
                query.push(" AND at <= ").push_bind(to_sql(until));
            }
            if let Some(kind) = filter.kind {
                query.push(" AND kind = ").push_bind(i64::from(kind.to_byte()));
            }
            if let Some(action) = filter.action {
                query.push(" AND action = ").push_bind(action.name());
            }
            if let Some(actor) = &filter.actor {
                query.push(" AND actor = ").push_bind(actor.as_str());
            }
            if let Some(target) = &filter.target {
                query.push(" AND name = ").push_bind(target.as_str());
            }
            query.push(if filter.newest_first { " ORDER BY number DESC LIMIT " } else { " ORDER BY number LIMIT " });
            query.push_bind(to_sql(filter.limit.unwrap_or(MAX_AUDIT_PAGE).min(MAX_AUDIT_PAGE)));
            query.build_query_as::<AuditRow>().fetch_all(connection).await?
        });
        rows.into_iter().map(AuditEntry::try_from).collect()
    }

    /// An entry about a change that is made now through this handle: by the handle's actor, or else
    /// by `default_actor`.
    pub(crate) fn audit_entry_by(
        &self,
        default_actor: Actor,
        action: AuditAction,
        kind: AuditKind,
        name: &str,
    ) -> NewAuditEntry {
        NewAuditEntry::new(self.clock.now(), self.actor.clone().unwrap_or(default_actor), action, kind, name)
    }

    /// An entry about a change that is made now: by the handle's actor, or else by the origin
    /// itself.
    pub(crate) fn audit_entry(&self, action: AuditAction, kind: AuditKind, name: &str) -> NewAuditEntry {
        self.audit_entry_by(Actor::origin(), action, kind, name)
    }
}

impl Tx {
    pub(crate) async fn write_audit_entries(&mut self, entries: &[NewAuditEntry]) -> Result<(), StoreError> {
        insert_rows!(self, "INSERT INTO audit (at, actor, action, kind, name, reason)", "", entries, |row, entry| {
            row.push_bind(to_sql(entry.at))
                .push_bind(entry.by.as_str())
                .push_bind(entry.action.name())
                .push_bind(i64::from(entry.kind.to_byte()))
                .push_bind(entry.name.as_str())
                .push_bind(entry.detail.as_deref())
        });
        Ok(())
    }
}
