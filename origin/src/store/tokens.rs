//! The record of issued tokens. They are issued by way of a [`Batch`](super::Batch).

use super::rows::{TokenRow, fixed};
use super::{Store, StoreError, Tx};
use crate::domain::{AccessToken, SecretHash, TokenId};

impl Store {
    /// The record of a token, if it was issued here and is not long expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn token(&self, id: TokenId) -> Result<Option<AccessToken>, StoreError> {
        self.begin_read().await?.token(id).await
    }

    /// The id of the opaque token with this hash, if it was issued here and is not long expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn opaque_token(&self, hash: &SecretHash) -> Result<Option<TokenId>, StoreError> {
        let id = each!(&mut self.reader().await?, connection => {
            sqlx::query_scalar::<_, Vec<u8>>("SELECT id FROM tokens WHERE opaque = $1")
                .bind(hash.as_bytes().as_slice())
                .fetch_optional(connection)
                .await?
        });
        id.map(|id| Ok(TokenId::from_bytes(fixed(&id, "tokens")?))).transpose()
    }

    /// The record of a token that is not struck by any revocation, both as of one moment.
    ///
    /// # Errors
    /// When the database fails, or nobody served from it yet.
    pub async fn unrevoked_token(&self, id: TokenId) -> Result<Option<AccessToken>, StoreError> {
        let mut tx = self.begin_read().await?;
        let Some(token) = tx.token(id).await? else {
            return Ok(None);
        };
        let struck = tx.is_struck(&token).await?;
        Ok((!struck).then_some(token))
    }
}

impl Tx {
    async fn token(&mut self, id: TokenId) -> Result<Option<AccessToken>, StoreError> {
        let row = each!(&mut *self, connection => {
            sqlx::query_as::<_, TokenRow>("SELECT * FROM tokens WHERE id = $1")
                .bind(id.to_bytes())
                .fetch_optional(connection)
                .await?
        });
        row.map(AccessToken::try_from).transpose()
    }
}
