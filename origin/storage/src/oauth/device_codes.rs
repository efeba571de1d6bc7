//! Device codes (RFC 8628). They are redeemed in a [`Batch`](crate::Batch).

use tollgate_model::{AuditAction, AuditKind, DeviceCode, DeviceStatus, Grant, SecretHash};

use crate::database::values::{from_json, from_sql, secret_hash, to_json, to_sql};
use crate::error::StoreError;
use crate::oauth::grants::{GrantRow, grant_columns};
use crate::store::Store;

#[derive(sqlx_macros::FromRow)]
struct DeviceRow {
    hash: Vec<u8>,
    user_code: Vec<u8>,
    client_id: String,
    access: String,
    sender: String,
    requested_at: i64,
    granted: Option<String>,
    denied_at: Option<i64>,
    redeemed_at: Option<i64>,
    expires_at: i64,
    interval: i64,
    polled_at_ms: i64,
}

impl DeviceRow {
    fn into_device_code(self, grant: Option<Grant>) -> Result<DeviceCode, StoreError> {
        let status = match (grant, self.redeemed_at, self.denied_at) {
            (Some(grant), Some(_), _) => DeviceStatus::Redeemed(Box::new(grant)),
            (Some(grant), None, _) => DeviceStatus::Approved(Box::new(grant)),
            (None, _, Some(_)) => DeviceStatus::Denied,
            (None, _, None) => DeviceStatus::Pending,
        };
        Ok(DeviceCode {
            hash: secret_hash(&self.hash, "device_codes")?,
            user_code: secret_hash(&self.user_code, "device_codes")?,
            client: self.client_id.parse().map_err(StoreError::corrupt("device_codes"))?,
            access: from_json(&self.access, "device_codes")?,
            sender: from_json(&self.sender, "device_codes")?,
            requested_at: from_sql(self.requested_at),
            status,
            expires_at: from_sql(self.expires_at),
            interval: from_sql(self.interval),
            polled_at_ms: from_sql(self.polled_at_ms),
        })
    }
}

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT hash, user_code, client_id, access, sender, requested_at, grant_id AS granted, denied_at, redeemed_at, expires_at,
             \"interval\", polled_at_ms FROM device_codes ",
            $tail
        )
    };
}

impl Store {
    /// Creates a device code. Returns false if the user code is in use: the caller must generate
    /// another.
    pub async fn create_device_code(&self, code: &DeviceCode) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        let inserted = with_connection!(&mut tx, connection => {
            sqlx::query(
                "INSERT INTO device_codes
                 (hash, user_code, client_id, access, sender, requested_at, expires_at, \"interval\", polled_at_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
            )
            .bind(code.hash.as_bytes().as_slice())
            .bind(code.user_code.as_bytes().as_slice())
            .bind(code.client.as_str())
            .bind(to_json(&code.access)?)
            .bind(to_json(&code.sender)?)
            .bind(to_sql(code.requested_at))
            .bind(to_sql(code.expires_at))
            .bind(to_sql(code.interval))
            .bind(to_sql(code.polled_at_ms))
            .execute(connection)
            .await?
            .rows_affected()
        });
        tx.commit().await?;
        Ok(inserted > 0)
    }

    pub async fn find_device_code(&self, hash: &SecretHash) -> Result<Option<DeviceCode>, StoreError> {
        let row = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, DeviceRow>(select!("WHERE hash = $1"))
                .bind(hash.as_bytes().as_slice())
                .fetch_optional(connection)
                .await?
        });
        self.with_grant(row).await
    }

    pub async fn find_device_code_by_user_code(
        &self,
        user_code: &SecretHash,
    ) -> Result<Option<DeviceCode>, StoreError> {
        let row = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, DeviceRow>(select!("WHERE user_code = $1"))
                .bind(user_code.as_bytes().as_slice())
                .fetch_optional(connection)
                .await?
        });
        self.with_grant(row).await
    }

    async fn with_grant(&self, row: Option<DeviceRow>) -> Result<Option<DeviceCode>, StoreError> {
        let Some(row) = row else {
            return Ok(None);
        };
        let Some(id) = &row.granted else {
            return row.into_device_code(None).map(Some);
        };
        let grant = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, GrantRow>(concat!("SELECT ", grant_columns!(), "FROM grants g WHERE g.id = $1"))
                .bind(id)
                .fetch_optional(connection)
                .await?
        });
        row.into_device_code(grant.map(Grant::try_from).transpose()?).map(Some)
    }

    /// Records a poll, and the interval that the device must wait from now on. Returns false if the
    /// device has polled again since `code` was read.
    pub async fn record_device_poll(&self, code: &DeviceCode, interval: u64, now_ms: u64) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        let updated = with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE device_codes SET \"interval\" = $2, polled_at_ms = $3 WHERE hash = $1 AND polled_at_ms = $4")
                .bind(code.hash.as_bytes().as_slice())
                .bind(to_sql(interval))
                .bind(to_sql(now_ms))
                .bind(to_sql(code.polled_at_ms))
                .execute(connection)
                .await?
                .rows_affected()
        });
        tx.commit().await?;
        Ok(updated > 0)
    }

    /// Records that the user approved a device. Returns false if it was decided before or has
    /// expired, or if the user or the client was disabled.
    pub async fn approve_device_code(&self, hash: &SecretHash, grant: &Grant) -> Result<bool, StoreError> {
        // As in `Store::create_code`, a revocation that is acknowledged before the commit applies
        // to the grant.
        let mut tx = self.begin_write_in_epoch().await?;
        if !tx.insert_grant(grant).await? {
            return Ok(false);
        }
        let updated = with_connection!(&mut tx, connection => {
            sqlx::query(
                "UPDATE device_codes SET grant_id = $2
                 WHERE hash = $1 AND grant_id IS NULL AND denied_at IS NULL AND expires_at > $3",
            )
            .bind(hash.as_bytes().as_slice())
            .bind(grant.id.as_str())
            .bind(to_sql(grant.created_at))
            .execute(connection)
            .await?
            .rows_affected()
        });
        if updated == 0 {
            return Ok(false);
        }
        tx.write_audit_entries(&[self.grant_entry(AuditAction::ApproveDevice, grant)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Records that the user denied a device. Returns false if it was decided before or has
    /// expired.
    pub async fn deny_device_code(&self, hash: &SecretHash, now: u64) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        let client = with_connection!(&mut tx, connection => {
            sqlx::query_scalar::<_, String>(
                "UPDATE device_codes SET denied_at = $2
                 WHERE hash = $1 AND grant_id IS NULL AND denied_at IS NULL AND expires_at > $2 RETURNING client_id",
            )
            .bind(hash.as_bytes().as_slice())
            .bind(to_sql(now))
            .fetch_optional(connection)
            .await?
        });
        if let Some(client) = &client {
            tx.write_audit_entries(&[self.audit_entry(AuditAction::Deny, AuditKind::CLIENT, client)]).await?;
        }
        tx.commit().await?;
        Ok(client.is_some())
    }
}
