//! What waits for a browser, and what is counted meanwhile: authorization requests, and attempts at guessing.

use tollgate_model::{AuthorizationRequest, SecretHash};

use crate::database::values::{from_json, to_json, to_sql};
use crate::error::StoreError;
use crate::store::Store;

/// How long a request whose user has decided is still there, in seconds.
const ANSWERED_LIFETIME: u64 = 30;

impl Store {
    /// Keeps an authorization request under the hash of its handle: one that was pushed, or one whose user is signing in.
    ///
    /// # Errors
    /// When the database fails.
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

    /// The request whose user is signing in, if it is not over at the Unix second `now`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_authorization_request(
        &self,
        hash: &SecretHash,
        now: u64,
    ) -> Result<Option<AuthorizationRequest>, StoreError> {
        let request = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_scalar::<_, String>(
                "SELECT request FROM authorization_requests WHERE hash = $1 AND pushed = $2 AND expires_at > $3",
            )
            .bind(hash.as_bytes().as_slice())
            .bind(false)
            .bind(to_sql(now))
            .fetch_optional(connection)
            .await?
        });
        request.map(|request| from_json(&request, "authorization_requests")).transpose()
    }

    /// The request whose user has decided, if it is not over at the Unix second `now`. It is over a moment later: not at once, for the form
    /// may be sent again by a second click, and it is the answer to the last one that the browser follows.
    ///
    /// # Errors
    /// When the database fails.
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
            .bind(to_sql(now.saturating_add(ANSWERED_LIFETIME)))
            .fetch_optional(connection)
            .await?
        });
        tx.commit().await?;
        request.map(|request| from_json(&request, "authorization_requests")).transpose()
    }

    /// Takes a request away: whoever takes it first has it, and nobody has it again (RFC 9126 §7.3).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consume_authorization_request(
        &self,
        hash: &SecretHash,
        pushed: bool,
        now: u64,
    ) -> Result<Option<AuthorizationRequest>, StoreError> {
        let mut tx = self.begin_write().await?;
        let request = with_connection!(&mut tx, connection => {
            sqlx::query_scalar::<_, String>(
                "DELETE FROM authorization_requests WHERE hash = $1 AND pushed = $2 AND expires_at > $3 RETURNING request",
            )
            .bind(hash.as_bytes().as_slice())
            .bind(pushed)
            .bind(to_sql(now))
            .fetch_optional(connection)
            .await?
        });
        tx.commit().await?;
        request.map(|request| from_json(&request, "authorization_requests")).transpose()
    }

    /// Counts an attempt at something, and gives the number of those in the window of `seconds` that began with the first.
    ///
    /// # Errors
    /// When the database fails.
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
        Ok(crate::database::values::from_sql(count))
    }

    /// Gives back an attempt that was counted.
    ///
    /// # Errors
    /// When the database fails.
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
