//! Revoking and reinstating. The revocation and the delta that tells the edges are one transaction.

use sqlx::Row as _;
use tollgate_core::{Chain, Change, Delta, RevocationId};

use super::rows::fixed;
use super::watch::CHANNEL;
use super::{Either, Store, StoreError, Tx, from_sql, to_sql};
use crate::domain::{Revocation, TokenId};

impl Store {
    /// Revokes a token; false when it was revoked already, which changes nothing.
    ///
    /// # Errors
    /// When the database fails, or nobody served from it yet.
    pub async fn revoke(&self, revocation: &Revocation) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        let inserted = each!(&mut tx, connection => {
            sqlx::query(
                "INSERT INTO revocations (id, token_id, revoked_at, void_after)
                 VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            )
            .bind(revocation.id.as_bytes().as_slice())
            .bind(revocation.token.as_str())
            .bind(to_sql(revocation.revoked_at))
            .bind(to_sql(revocation.void_after))
            .execute(connection)
            .await?
            .rows_affected()
        });
        if inserted == 0 {
            return Ok(false);
        }
        tx.append_delta(revocation.id, Change::Revoke, revocation.void_after).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Lifts a token's revocation; false when it was not revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reinstate(&self, token: &TokenId) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        let lifted = each!(&mut tx, connection => {
            sqlx::query_as::<_, (Vec<u8>, i64)>("DELETE FROM revocations WHERE token_id = $1 RETURNING id, void_after")
                .bind(token.as_str())
                .fetch_optional(connection)
                .await?
        });
        let Some((id, void_after)) = lifted else {
            return Ok(false);
        };
        let id = RevocationId::from_bytes(fixed(&id, "revocations")?);
        tx.append_delta(id, Change::Reinstate, from_sql(void_after)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Whether a token is revoked now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_revoked(&self, token: &TokenId) -> Result<bool, StoreError> {
        let found = each!(&mut self.reader().await?, connection => {
            sqlx::query("SELECT 1 FROM revocations WHERE token_id = $1")
                .bind(token.as_str())
                .fetch_optional(connection)
                .await?
                .is_some()
        });
        Ok(found)
    }
}

impl Tx {
    /// Takes the next sequence and writes its delta. The update of the feed's one row holds a lock on it until the commit,
    /// so the next writer waits, and what this one rolls back was never taken.
    async fn append_delta(&mut self, id: RevocationId, change: Change, void_after: u64) -> Result<(), StoreError> {
        let taken = each!(&mut *self, connection => {
            let row = sqlx::query("UPDATE feed SET sequence = sequence + 1 RETURNING sequence, chain")
                .fetch_optional(connection)
                .await?;
            match row {
                Some(row) => Some((row.try_get::<i64, _>(0)?, row.try_get::<Vec<u8>, _>(1)?)),
                None => None,
            }
        });
        let (sequence, chain) = taken.ok_or(StoreError::NoIssuer)?;
        let delta = Delta { sequence: from_sql(sequence), id, change, expires_at: void_after };
        let chain = Chain::from_bytes(fixed(&chain, "feed")?).next(&delta);
        each!(&mut *self, connection => {
            sqlx::query("UPDATE feed SET chain = $1").bind(chain.as_bytes().as_slice()).execute(&mut *connection).await?;
            sqlx::query("INSERT INTO deltas (sequence, id, change, void_after, chain) VALUES ($1, $2, $3, $4, $5)")
                .bind(sequence)
                .bind(id.as_bytes().as_slice())
                .bind(i64::from(change.to_byte()))
                .bind(to_sql(void_after))
                .bind(chain.as_bytes().as_slice())
                .execute(connection)
                .await?;
        });
        self.notify().await
    }

    /// Counts a change of what edges depend on beside the deltas.
    pub(super) async fn bump_version(&mut self) -> Result<(), StoreError> {
        each!(&mut *self, connection => {
            sqlx::query("UPDATE feed SET version = version + 1").execute(connection).await?;
        });
        self.notify().await
    }

    /// Wakes the publishers of all origins at the commit. On SQLite they notice by themselves.
    async fn notify(&mut self) -> Result<(), StoreError> {
        if let Either::Postgres(transaction) = self {
            sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(&mut **transaction).await?;
        }
        Ok(())
    }
}
