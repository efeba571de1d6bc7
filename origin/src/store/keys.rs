//! Stored keys.

use super::rows::KeyRow;
use super::{Either, Store, StoreError, to_sql};
use crate::keys::StoredKey;

impl Store {
    /// All keys, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        let rows = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, KeyRow>("SELECT * FROM keys ORDER BY created_at, kid").fetch_all(connection).await?
        });
        Ok(rows.into_iter().map(StoredKey::from).collect())
    }

    /// Stores the first set of keys. False, and nothing stored, when there are keys already: another process that starts on
    /// the same database may have been first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_first_keys(&self, keys: &[StoredKey]) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        // On SQLite the transaction holds the write lock already.
        if let Either::Postgres(transaction) = &mut tx {
            sqlx::query("LOCK TABLE keys IN EXCLUSIVE MODE").execute(&mut **transaction).await?;
        }
        let present = each!(&mut tx, connection => {
            sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM keys").fetch_one(connection).await?
        });
        if present > 0 {
            return Ok(false);
        }
        for key in keys {
            each!(&mut tx, connection => {
                sqlx::query("INSERT INTO keys (kid, purpose, alg, sealed, created_at) VALUES ($1, $2, $3, $4, $5)")
                    .bind(&key.kid)
                    .bind(&key.purpose)
                    .bind(&key.alg)
                    .bind(&key.sealed)
                    .bind(to_sql(key.created_at))
                    .execute(connection)
                    .await?;
            });
        }
        tx.bump_version().await?;
        self.commit_news(tx).await?;
        Ok(true)
    }
}
