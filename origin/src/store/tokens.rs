//! The record of issued tokens.

use super::rows::TokenRow;
use super::{Store, StoreError, to_sql};
use crate::domain::{AccessToken, TokenId};

impl Store {
    /// Records a token. It may be handed out only after this has returned.
    ///
    /// # Errors
    /// When the database fails; the token must not be handed out then.
    pub async fn record_token(&self, token: &AccessToken) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        each!(&mut tx, connection => {
            sqlx::query(
                "INSERT INTO tokens (id, client_id, subject, scope, audience, issued_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(token.id.as_str())
            .bind(token.client.as_str())
            .bind(&token.subject)
            .bind(token.scope.to_string())
            .bind(token.audience.as_str())
            .bind(to_sql(token.issued_at))
            .bind(to_sql(token.expires_at))
            .execute(connection)
            .await?;
        });
        tx.commit().await
    }

    /// The record of a token, if it was issued here and is not long expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn token(&self, id: &TokenId) -> Result<Option<AccessToken>, StoreError> {
        let row = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, TokenRow>("SELECT * FROM tokens WHERE id = $1")
                .bind(id.as_str())
                .fetch_optional(connection)
                .await?
        });
        row.map(AccessToken::try_from).transpose()
    }

    /// The record of a token that is not revoked, in one statement, so that both are of one moment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unrevoked_token(&self, id: &TokenId) -> Result<Option<AccessToken>, StoreError> {
        let row = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, TokenRow>(
                "SELECT * FROM tokens
                 WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM revocations WHERE token_id = $1)",
            )
            .bind(id.as_str())
            .fetch_optional(connection)
            .await?
        });
        row.map(AccessToken::try_from).transpose()
    }
}
