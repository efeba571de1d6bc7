//! Updates of the refresh tokens of grants: each use replaces the current one (RFC 9700 §4.14.2),
//! or extends it, if the client's refresh tokens are not rotated.

use sqlx::{PgConnection, SqliteConnection};
use tollgate_model::{RefreshState, SecretHash};

use crate::database::bulk::column;
use crate::database::bulk_statement::{BulkStatement, PaddedValues};
use crate::database::values::to_sql;
use crate::error::StoreError;
use crate::oauth::grants::{is_user_active_sql, late_retries_to_sql};
use crate::writer::requests::NewRefreshToken;

/// A use of the refresh token of a grant.
pub(crate) struct RefreshUpdate<'a> {
    pub(crate) grant_id: &'a str,
    /// The used refresh token; `None` in a transaction that has locked and checked the grant.
    pub(crate) used: Option<SecretHash>,
    /// State of the grant's refresh tokens after the use.
    pub(crate) state: RefreshState,
    /// Expiry and key of the current refresh token after the use.
    pub(crate) token: &'a NewRefreshToken,
}

/// Writes updates.
pub(crate) trait WriteRefreshUpdates {
    /// Writes at most [`MAX_ROWS_PER_STATEMENT`](crate::database::bulk::MAX_ROWS_PER_STATEMENT)
    /// updates, each of another grant, and returns the number written.
    ///
    /// With `unlocked_at` `None`, the transaction has locked and checked the grants: see
    /// [`Tx::lock_active_grants`](crate::database::Tx). With a Unix second, each update is written
    /// only if its grant is active then, and if the used refresh token is the current one and has
    /// not expired; late retries are then counted from the stored value.
    async fn write_refresh_updates(
        &mut self,
        updates: &[RefreshUpdate<'_>],
        unlocked_at: Option<u64>,
    ) -> Result<u64, StoreError>;
}

impl WriteRefreshUpdates for SqliteConnection {
    async fn write_refresh_updates(
        &mut self,
        updates: &[RefreshUpdate<'_>],
        unlocked_at: Option<u64>,
    ) -> Result<u64, StoreError> {
        static UPDATE: BulkStatement = BulkStatement::new(
            "UPDATE grants SET refresh_hash = column2, previous_hash = column3, refreshed_at = column4, refresh_expires_at = column5,
             refresh_jkt = column6, late_retries = CASE WHEN unlocked.at IS NULL THEN column7
                WHEN refresh_hash = column2 THEN late_retries WHEN late_retries > 0 THEN -1 ELSE 0 END
             FROM (SELECT ? AS at) AS unlocked,",
            8,
            concat!(
                "AS updates WHERE grants.id = column1 AND (unlocked.at IS NULL
                OR refresh_hash = column8 AND refresh_expires_at > unlocked.at AND ended_at IS NULL AND ends_at > unlocked.at AND ",
                is_user_active_sql!(),
                ")"
            ),
        );
        let mut values = PaddedValues::new();
        values.bind(unlocked_at.map(to_sql));
        for RefreshUpdate { grant_id, used, state, token } in updates {
            values.begin_row().bind(*grant_id).bind(state.current.as_bytes().to_vec());
            values.bind(state.previous.map(|hash| hash.as_bytes().to_vec())).bind(state.refreshed_at.map(to_sql));
            values.bind(to_sql(token.expires_at)).bind(token.jkt.as_deref());
            values.bind(late_retries_to_sql(state.late_retries)).bind(used.map(|hash| hash.as_bytes().to_vec()));
        }
        Ok(UPDATE.query(updates.len(), values)?.execute(self).await?.rows_affected())
    }
}

impl WriteRefreshUpdates for PgConnection {
    /// Locks the grants in the order of `Tx::lock_active_grants`. A statement that waited for a
    /// lock sees what the other transaction committed.
    async fn write_refresh_updates(
        &mut self,
        updates: &[RefreshUpdate<'_>],
        unlocked_at: Option<u64>,
    ) -> Result<u64, StoreError> {
        let update = sqlx::query(concat!(
            "WITH locked AS MATERIALIZED (SELECT grants.id FROM grants JOIN UNNEST($1::text[]) AS updates (id) USING (id)
                ORDER BY grants.id COLLATE \"C\" FOR NO KEY UPDATE OF grants)
             UPDATE grants SET refresh_hash = current, previous_hash = previous, refreshed_at = at,
                refresh_expires_at = expires_at, refresh_jkt = jkt,
                late_retries = CASE WHEN $7::bigint IS NULL THEN late WHEN refresh_hash = current THEN late_retries
                    WHEN late_retries > 0 THEN -1 ELSE 0 END
             FROM UNNEST($1::text[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::text[], $8::bigint[], $9::bytea[])
                AS updates (grant_id, current, previous, at, expires_at, jkt, late, used)
             WHERE (SELECT COUNT(*) FROM locked) > 0 AND grants.id = grant_id AND ($7::bigint IS NULL
                OR refresh_hash = used AND refresh_expires_at > $7 AND ended_at IS NULL AND ends_at > $7 AND ",
            is_user_active_sql!(),
            ")"
        ));
        let update = update
            .bind(column(updates, |update| update.grant_id))
            .bind(column(updates, |update| update.state.current.as_bytes().to_vec()))
            .bind(column(updates, |update| update.state.previous.map(|hash| hash.as_bytes().to_vec())))
            .bind(column(updates, |update| update.state.refreshed_at.map(to_sql)))
            .bind(column(updates, |update| to_sql(update.token.expires_at)))
            .bind(column(updates, |update| update.token.jkt.as_deref()))
            .bind(unlocked_at.map(to_sql))
            .bind(column(updates, |update| late_retries_to_sql(update.state.late_retries)))
            .bind(column(updates, |update| update.used.map(|hash| hash.as_bytes().to_vec())));
        Ok(update.execute(self).await?.rows_affected())
    }
}
