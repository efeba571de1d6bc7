//! Authorization requests that wait for the user or were pushed (RFC 9126), and counters of
//! attempts.

use tollgate_model::encoding::from_base64url;
use tollgate_model::{AuthorizationRequest, SecretHash};

use crate::database::values::{from_json, from_sql, to_json, to_sql};
use crate::error::StoreError;
use crate::store::Store;

/// Seconds for which a request is kept after the user has decided.
const DECIDED_REQUEST_LIFETIME: u64 = 30;

impl Store {
    /// Stores an authorization request under the hash of its handle: a pushed one, or one whose
    /// user is signing in.
    pub async fn save_authorization_request(
        &self,
        hash: &SecretHash,
        request: &AuthorizationRequest,
        pushed: bool,
        expires_at: u64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        with_connection!(&mut tx, connection => {
            sqlx::query(
                "INSERT INTO authorization_requests (hash, pushed, request, expires_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (hash) DO UPDATE SET request = excluded.request",
            )
            .bind(hash.as_bytes().as_slice())
            .bind(pushed)
            .bind(to_json(request)?)
            .bind(to_sql(expires_at))
            .execute(connection)
            .await?;
        });
        tx.commit().await
    }

    /// The request of a user who is signing in, unless it has expired at the Unix second `now`.
    pub async fn find_authorization_request(
        &self,
        hash: &SecretHash,
        now: u64,
    ) -> Result<Option<AuthorizationRequest>, StoreError> {
        self.find_request(hash, false, now).await
    }

    /// The pushed request that was not used up, unless it has expired at the Unix second `now`.
    /// [`Store::complete_authorization_request`] uses it up.
    pub async fn find_pushed_request(
        &self,
        hash: &SecretHash,
        now: u64,
    ) -> Result<Option<AuthorizationRequest>, StoreError> {
        self.find_request(hash, true, now).await
    }

    async fn find_request(
        &self,
        hash: &SecretHash,
        pushed: bool,
        now: u64,
    ) -> Result<Option<AuthorizationRequest>, StoreError> {
        let request = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_scalar::<_, String>(
                "SELECT request FROM authorization_requests WHERE hash = $1 AND pushed = $2 AND expires_at > $3",
            )
            .bind(hash.as_bytes().as_slice())
            .bind(pushed)
            .bind(to_sql(now))
            .fetch_optional(connection)
            .await?
        });
        request.map(|request| from_json(&request, "authorization_requests")).transpose()
    }

    /// The request that a user has decided, unless it has expired at the Unix second `now`. It then
    /// expires after half a minute, not immediately: a second click may submit the form
    /// again, and the browser follows the response to the last submission. The request that was
    /// pushed is used up immediately (RFC 9126 §7.3).
    pub async fn complete_authorization_request(
        &self,
        hash: &SecretHash,
        now: u64,
    ) -> Result<Option<AuthorizationRequest>, StoreError> {
        let mut tx = self.begin_write().await?;
        let request = with_connection!(&mut tx, connection => {
            sqlx::query_scalar::<_, String>(
                "UPDATE authorization_requests SET expires_at = CASE WHEN expires_at < $4 THEN expires_at ELSE $4 END
                 WHERE hash = $1 AND pushed = $2 AND expires_at > $3 RETURNING request",
            )
            .bind(hash.as_bytes().as_slice())
            .bind(false)
            .bind(to_sql(now))
            .bind(to_sql(now.saturating_add(DECIDED_REQUEST_LIFETIME)))
            .fetch_optional(connection)
            .await?
        });
        let request: Option<AuthorizationRequest> =
            request.map(|request| from_json(&request, "authorization_requests")).transpose()?;
        if let Some(pushed) = request.as_ref().and_then(|request| from_base64url(request.pushed.as_ref()?)) {
            with_connection!(&mut tx, connection => {
                sqlx::query("DELETE FROM authorization_requests WHERE hash = $1 AND pushed = $2")
                    .bind(pushed)
                    .bind(true)
                    .execute(connection)
                    .await?;
            });
        }
        tx.commit().await?;
        Ok(request)
    }

    /// Counts an attempt, and returns the number of attempts in the current window, which begins
    /// with its first attempt and lasts `seconds`.
    pub async fn count_attempt(&self, name: &str, seconds: u64, now: u64) -> Result<u64, StoreError> {
        let mut tx = self.begin_write().await?;
        let count = with_connection!(&mut tx, connection => {
            sqlx::query_scalar::<_, i64>(
                "INSERT INTO attempts (name, began_at, count) VALUES ($1, $2, 1) ON CONFLICT (name) DO UPDATE SET
                 count = CASE WHEN attempts.began_at + $3 > $2 THEN attempts.count + 1 ELSE 1 END,
                 began_at = CASE WHEN attempts.began_at + $3 > $2 THEN attempts.began_at ELSE $2 END
                 RETURNING count",
            )
            .bind(name)
            .bind(to_sql(now))
            .bind(to_sql(seconds))
            .fetch_one(connection)
            .await?
        });
        tx.commit().await?;
        Ok(from_sql(count))
    }

    /// Takes back a counted attempt.
    pub async fn refund_attempt(&self, name: &str) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE attempts SET count = count - 1 WHERE name = $1 AND count > 0")
                .bind(name)
                .execute(connection)
                .await?;
        });
        tx.commit().await
    }
}
