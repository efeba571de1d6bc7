//! Stored signing keys and their schedule.

use std::collections::BTreeSet;

use tollgate_core::RevocationKind;
use tollgate_model::{AuditAction, AuditKind, NewAuditEntry, StoredKey};

use crate::database::Tx;
use crate::database::values::{from_sql, to_sql};
use crate::error::StoreError;
use crate::store::Store;

/// All keys, read in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKeys {
    /// Version of what edges depend on; if it has not changed, neither have the keys.
    pub version: u64,
    /// Current and former keys, oldest first.
    pub keys: Vec<StoredKey>,
    /// Names of the revoked keys, including those of audiences.
    pub revoked: BTreeSet<String>,
}

#[derive(sqlx_macros::FromRow)]
pub(crate) struct KeyRow {
    kid: String,
    purpose: String,
    alg: String,
    sealed: Vec<u8>,
    created_at: i64,
    ahead: i64,
    published_at: Option<i64>,
    signs_from: Option<i64>,
    retires_at: Option<i64>,
    gone_at: Option<i64>,
}

impl From<KeyRow> for StoredKey {
    fn from(row: KeyRow) -> StoredKey {
        StoredKey {
            kid: row.kid,
            purpose: row.purpose,
            alg: row.alg,
            sealed: row.sealed,
            created_at: from_sql(row.created_at),
            ahead: from_sql(row.ahead),
            published_at: row.published_at.map(from_sql),
            signs_from: row.signs_from.map(from_sql),
            retires_at: row.retires_at.map(from_sql),
            gone_at: row.gone_at.map(from_sql),
        }
    }
}

impl Store {
    /// All keys, oldest first.
    pub async fn list_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.begin_read().await?.keys().await
    }

    /// All keys, and which of them are revoked.
    pub async fn get_stored_keys(&self) -> Result<StoredKeys, StoreError> {
        let mut tx = self.begin_read().await?;
        let version = with_connection!(&mut tx, connection => {
            sqlx::query_scalar::<_, i64>("SELECT version FROM feed").fetch_optional(connection).await?
        });
        let keys = tx.keys().await?;
        let revoked = tx.revoked_key_names().await?;
        Ok(StoredKeys { version: version.map_or(0, from_sql), keys, revoked })
    }

    /// Stores the first set of keys. Returns false and stores nothing if keys exist: another
    /// process that started on the same database may have been first.
    pub async fn create_first_keys(&self, keys: &[StoredKey]) -> Result<bool, StoreError> {
        let change = |stored: &[StoredKey], _: &BTreeSet<String>| match stored {
            [] => keys.to_vec(),
            _ => Vec::new(),
        };
        Ok(!self.update_keys(change).await?.is_empty())
    }

    /// Writes the keys that `change` returns for the stored keys and the names of the revoked ones,
    /// and returns them. Other transactions change no key meanwhile.
    pub async fn update_keys(
        &self,
        change: impl FnOnce(&[StoredKey], &BTreeSet<String>) -> Vec<StoredKey>,
    ) -> Result<Vec<StoredKey>, StoreError> {
        let mut tx = self.begin_write().await?;
        // Locks the row of `feed` before the keys, as every transaction that locks both.
        tx.bump_version().await?;
        tx.lock_keys().await?;
        let stored = tx.keys().await?;
        let changed = change(&stored, &tx.revoked_key_names().await?);
        if changed.is_empty() {
            return Ok(changed);
        }
        let notes: Vec<NewAuditEntry> = changed.iter().map(|key| self.key_entry(key, &stored)).collect();
        tx.write_keys(&changed).await?;
        tx.write_audit_entries(&notes).await?;
        self.commit_and_notify(tx).await?;
        Ok(changed)
    }

    /// The audit entry of a key that was created, destroyed, or rescheduled.
    fn key_entry(&self, key: &StoredKey, stored: &[StoredKey]) -> NewAuditEntry {
        let action = match (stored.iter().any(|other| other.kid == key.kid), key.gone_at) {
            (false, _) => AuditAction::Create,
            (true, Some(_)) => AuditAction::Remove,
            (true, None) => AuditAction::Update,
        };
        self.audit_entry(action, AuditKind::KEY, &key.kid).with_detail(&format!("{} {}", key.purpose, key.alg))
    }

    /// Unix second at which the last recorded token of this key expires.
    pub async fn find_last_expiry(&self, kid: &str) -> Result<Option<u64>, StoreError> {
        let mut tx = self.begin_read().await?;
        tx.allow_long_statements().await?;
        let last = with_connection!(&mut tx, connection => {
            sqlx::query_scalar::<_, Option<i64>>("SELECT max(expires_at) FROM tokens WHERE key_id = $1")
                .bind(kid)
                .fetch_one(connection)
                .await?
        });
        Ok(last.map(from_sql))
    }

    /// Unix second at which the last recorded token of any key with this name prefix expires.
    pub async fn find_last_expiry_by_prefix(&self, prefix: &str) -> Result<Option<u64>, StoreError> {
        let mut tx = self.begin_read().await?;
        tx.allow_long_statements().await?;
        let last = with_connection!(&mut tx, connection => {
            sqlx::query_scalar::<_, Option<i64>>("SELECT max(expires_at) FROM tokens WHERE substr(key_id, 1, $2) = $1")
                .bind(prefix)
                .bind(i32::try_from(prefix.chars().count()).unwrap_or(i32::MAX))
                .fetch_one(connection)
                .await?
        });
        Ok(last.map(from_sql))
    }
}

impl Tx {
    pub(crate) async fn keys(&mut self) -> Result<Vec<StoredKey>, StoreError> {
        let rows = with_connection!(&mut *self, connection => {
            sqlx::query_as::<_, KeyRow>("SELECT * FROM keys ORDER BY created_at, kid").fetch_all(connection).await?
        });
        Ok(rows.into_iter().map(StoredKey::from).collect())
    }

    /// Locks the keys against changes. On SQLite the transaction has the write lock already.
    pub(crate) async fn lock_keys(&mut self) -> Result<(), StoreError> {
        self.execute_on_postgres("LOCK TABLE keys IN EXCLUSIVE MODE").await
    }

    async fn revoked_key_names(&mut self) -> Result<BTreeSet<String>, StoreError> {
        let names = with_connection!(&mut *self, connection => {
            sqlx::query_scalar::<_, String>("SELECT name FROM revocations WHERE kind = $1 AND lifted_at IS NULL")
                .bind(i64::from(RevocationKind::Key.to_byte()))
                .fetch_all(connection)
                .await?
        });
        Ok(names.into_iter().collect())
    }

    /// Inserts keys, or updates those with the same names.
    pub(crate) async fn write_keys(&mut self, keys: &[StoredKey]) -> Result<(), StoreError> {
        for key in keys {
            with_connection!(&mut *self, connection => {
                sqlx::query(
                    "INSERT INTO keys
                     (kid, purpose, alg, sealed, created_at, ahead, published_at, signs_from, retires_at, gone_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                     ON CONFLICT (kid) DO UPDATE SET sealed = excluded.sealed, ahead = excluded.ahead,
                         published_at = excluded.published_at, signs_from = excluded.signs_from,
                         retires_at = excluded.retires_at, gone_at = excluded.gone_at",
                )
                .bind(&key.kid)
                .bind(&key.purpose)
                .bind(&key.alg)
                .bind(&key.sealed)
                .bind(to_sql(key.created_at))
                .bind(to_sql(key.ahead))
                .bind(key.published_at.map(to_sql))
                .bind(key.signs_from.map(to_sql))
                .bind(key.retires_at.map(to_sql))
                .bind(key.gone_at.map(to_sql))
                .execute(connection)
                .await?;
            });
        }
        Ok(())
    }
}
