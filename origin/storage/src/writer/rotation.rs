//! Rotation of refresh tokens: each use replaces the grant's current refresh token (RFC 9700
//! §4.14.2).

use sqlx::{PgConnection, SqliteConnection};
use tollgate_model::RefreshState;

use crate::database::bulk::column;
use crate::database::bulk_statement::{BulkStatement, PaddedValues};
use crate::database::values::to_sql;
use crate::error::StoreError;
use crate::oauth::grants::{is_user_active_sql, late_retries_to_sql};
use crate::writer::requests::NewRefreshToken;

/// A grant whose refresh token is replaced.
pub(crate) struct Rotation<'a> {
    pub(crate) grant_id: &'a str,
    /// State of the grant's refresh tokens after the rotation.
    pub(crate) state: RefreshState,
    /// The refresh token that becomes the current one.
    pub(crate) next: &'a NewRefreshToken,
}

/// Writes rotations.
pub(crate) trait RotateRefreshTokens {
    /// Writes at most [`MAX_ROWS_PER_STATEMENT`](crate::database::bulk::MAX_ROWS_PER_STATEMENT)
    /// rotations, each of another grant, and returns the number written.
    ///
    /// With `unlocked_at` `None`, the transaction has locked and checked the grants: see
    /// [`Tx::lock_active_grants`](crate::database::Tx). With a Unix second, each rotation is
    /// written only if its grant is active then, and if the refresh token that it replaces is the
    /// current one and has not expired; late retries are then counted from the stored value.
    async fn rotate_refresh_tokens(
        &mut self,
        rotations: &[Rotation<'_>],
        unlocked_at: Option<u64>,
    ) -> Result<u64, StoreError>;
}

impl RotateRefreshTokens for SqliteConnection {
    async fn rotate_refresh_tokens(
        &mut self,
        rotations: &[Rotation<'_>],
        unlocked_at: Option<u64>,
    ) -> Result<u64, StoreError> {
        static UPDATE: BulkStatement = BulkStatement::new(
            "UPDATE grants SET refresh_hash = column2, previous_hash = column3, refreshed_at = column4, refresh_expires_at = column5,
             refresh_jkt = column6, late_retries = CASE WHEN unlocked.at IS NULL THEN column7 WHEN late_retries > 0 THEN -1 ELSE 0 END
             FROM (SELECT ? AS at) AS unlocked,",
            7,
            concat!(
                "AS rotations WHERE grants.id = column1 AND (unlocked.at IS NULL
                OR refresh_hash = column3 AND refresh_expires_at > unlocked.at AND ended_at IS NULL AND ends_at > unlocked.at AND ",
                is_user_active_sql!(),
                ")"
            ),
        );
        let mut values = PaddedValues::new();
        values.bind(unlocked_at.map(to_sql));
        for Rotation { grant_id, state, next } in rotations {
            values.begin_row().bind(*grant_id).bind(state.current.as_bytes().to_vec());
            values.bind(state.previous.map(|hash| hash.as_bytes().to_vec())).bind(state.refreshed_at.map(to_sql));
            values.bind(to_sql(next.expires_at)).bind(next.jkt.as_deref());
            values.bind(late_retries_to_sql(state.late_retries));
        }
        Ok(UPDATE.query(rotations.len(), values)?.execute(self).await?.rows_affected())
    }
}

impl RotateRefreshTokens for PgConnection {
    /// Locks the grants in the order of `Tx::lock_active_grants`. A statement that waited for a
    /// lock sees what the other transaction committed.
    async fn rotate_refresh_tokens(
        &mut self,
        rotations: &[Rotation<'_>],
        unlocked_at: Option<u64>,
    ) -> Result<u64, StoreError> {
        let update = sqlx::query(concat!(
            "WITH locked AS MATERIALIZED (SELECT grants.id FROM grants JOIN UNNEST($1::text[]) AS rotations (id) USING (id)
                ORDER BY grants.id COLLATE \"C\" FOR NO KEY UPDATE OF grants)
             UPDATE grants SET refresh_hash = current, previous_hash = previous, refreshed_at = at,
                refresh_expires_at = expires_at, refresh_jkt = jkt,
                late_retries = CASE WHEN $7::bigint IS NULL THEN late WHEN late_retries > 0 THEN -1 ELSE 0 END
             FROM UNNEST($1::text[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::text[], $8::bigint[])
                AS rotations (grant_id, current, previous, at, expires_at, jkt, late)
             WHERE (SELECT COUNT(*) FROM locked) > 0 AND grants.id = grant_id AND ($7::bigint IS NULL
                OR refresh_hash = previous AND refresh_expires_at > $7 AND ended_at IS NULL AND ends_at > $7 AND ",
            is_user_active_sql!(),
            ")"
        ));
        let update = update
            .bind(column(rotations, |rotation| rotation.grant_id))
            .bind(column(rotations, |rotation| rotation.state.current.as_bytes().to_vec()))
            .bind(column(rotations, |rotation| rotation.state.previous.map(|hash| hash.as_bytes().to_vec())))
            .bind(column(rotations, |rotation| rotation.state.refreshed_at.map(to_sql)))
            .bind(column(rotations, |rotation| to_sql(rotation.next.expires_at)))
            .bind(column(rotations, |rotation| rotation.next.jkt.as_deref()))
            .bind(unlocked_at.map(to_sql))
            .bind(column(rotations, |rotation| late_retries_to_sql(rotation.state.late_retries)));
        Ok(update.execute(self).await?.rows_affected())
    }
}
