//! Lists of a user's grants.

use tollgate_model::{Grant, GrantId, UserId};

use crate::database::values::{from_sql, to_sql};
use crate::error::StoreError;
use crate::oauth::grants::{GrantRow, grant_columns};
use crate::store::Store;

/// Seconds for which an ended grant is still listed.
const ENDED_GRANT_LISTED_FOR: u64 = 24 * 60 * 60;
/// A grant, and when it was last used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantSummary {
    pub grant: Grant,
    /// Unix second at which the client last got tokens; when the grant was created, if it has got
    /// none.
    pub used_at: u64,
}

#[derive(sqlx_macros::FromRow)]
struct GrantSummaryRow {
    #[sqlx(flatten)]
    grant: GrantRow,
    refreshed_at: Option<i64>,
    redeemed_at: Option<i64>,
}

impl TryFrom<GrantSummaryRow> for GrantSummary {
    type Error = StoreError;

    fn try_from(row: GrantSummaryRow) -> Result<GrantSummary, StoreError> {
        let grant = Grant::try_from(row.grant)?;
        let used_at = row.refreshed_at.max(row.redeemed_at).map_or(grant.created_at, from_sql);
        Ok(GrantSummary { grant, used_at })
    }
}

impl Store {
    /// The grants of a user, newest first, at most `limit` after the named one: those active at the
    /// Unix second `now`, and those ended within the day before.
    pub async fn list_user_grants(
        &self,
        user: &UserId,
        after: Option<&GrantId>,
        limit: u64,
        now: u64,
    ) -> Result<Vec<GrantSummary>, StoreError> {
        let rows = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, GrantSummaryRow>(concat!(
                "SELECT ",
                grant_columns!(),
                ", g.refreshed_at, (SELECT MAX(c.redeemed_at) FROM codes c WHERE c.grant_id = g.id) AS redeemed_at
                 FROM grants g LEFT JOIN grants mark ON mark.id = $4
                 WHERE g.user_id = $1 AND (g.ended_at > $2 OR g.ended_at IS NULL AND g.ends_at > $3) AND (mark.id IS NULL
                    OR g.created_at < mark.created_at OR g.created_at = mark.created_at AND g.id > mark.id)
                 ORDER BY g.created_at DESC, g.id LIMIT $5"
            ))
            .bind(user.as_str())
            .bind(to_sql(now.saturating_sub(ENDED_GRANT_LISTED_FOR)))
            .bind(to_sql(now))
            .bind(after.map(GrantId::as_str))
            .bind(to_sql(limit))
            .fetch_all(connection)
            .await?
        });
        rows.into_iter().map(GrantSummary::try_from).collect()
    }

    /// Whether a grant of the user is active at the Unix second `now`.
    pub async fn has_active_grants(&self, user: &UserId, now: u64) -> Result<bool, StoreError> {
        let one: Option<String> = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_scalar("SELECT id FROM grants WHERE user_id = $1 AND ended_at IS NULL AND ends_at > $2 LIMIT 1")
                .bind(user.as_str())
                .bind(to_sql(now))
                .fetch_optional(connection)
                .await?
        });
        Ok(one.is_some())
    }
}
