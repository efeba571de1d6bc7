//! Records of issued tokens. Tokens are issued in a [`Batch`](crate::Batch).

use tollgate_keys::{TokenRecordKey, VerifiedToken};
use tollgate_model::{AccessToken, Scope, TokenId};

use crate::database::Tx;
use crate::database::bulk::{padded_with_last, statement_chunks};
use crate::database::values::{fixed_bytes, from_json, from_sql, secret_hash};
use crate::error::StoreError;
use crate::store::Store;

#[derive(sqlx_macros::FromRow)]
pub(crate) struct TokenRow {
    number: i64,
    id: Vec<u8>,
    client_id: String,
    subject: String,
    session: Option<String>,
    key_id: String,
    scope: String,
    audience: String,
    details: Option<String>,
    opaque: Option<Vec<u8>>,
    issued_at: i64,
    expires_at: i64,
}

impl TryFrom<TokenRow> for AccessToken {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<AccessToken, StoreError> {
        let corrupt = StoreError::corrupt("tokens");
        Ok(AccessToken {
            id: TokenId::from_bytes(fixed_bytes(&row.id, "tokens")?),
            number: from_sql(row.number),
            client: row.client_id.parse().map_err(&corrupt)?,
            subject: row.subject,
            session: row.session,
            key_id: row.key_id,
            scope: Scope::parse(&row.scope).map_err(&corrupt)?,
            audience: row.audience.parse().map_err(&corrupt)?,
            details: row.details.map(|details| from_json(&details, "tokens")).transpose()?.unwrap_or_default(),
            opaque: row.opaque.map(|hash| secret_hash(&hash, "tokens")).transpose()?,
            issued_at: from_sql(row.issued_at),
            expires_at: from_sql(row.expires_at),
        })
    }
}

impl Store {
    /// The record of the token with this id, until it is swept. For a presented token, use
    /// [`Store::find_verified_token`].
    pub async fn find_token(&self, id: TokenId) -> Result<Option<AccessToken>, StoreError> {
        Ok(self.begin_read().await?.tokens(&[id]).await?.pop())
    }

    /// The record of a presented token, until it is swept.
    pub async fn find_verified_token(&self, token: &VerifiedToken) -> Result<Option<AccessToken>, StoreError> {
        self.begin_read().await?.find_verified_token(token).await
    }

    /// The record of a presented token, if no revocation applies to it; both are read in one
    /// transaction.
    ///
    /// # Errors
    /// When the database fails, or has no issuer yet.
    pub async fn find_unrevoked_token(&self, token: &VerifiedToken) -> Result<Option<AccessToken>, StoreError> {
        let mut tx = self.begin_read().await?;
        let token = tx.find_verified_token(token).await?;
        tx.unless_revoked(token).await
    }

    /// The record of a token by its key, if no revocation applies to it; both are read in one
    /// transaction. For an edge, which has the token and verified it.
    ///
    /// # Errors
    /// When the database fails, or has no issuer yet.
    pub async fn find_unrevoked_record(&self, key: TokenRecordKey<'_>) -> Result<Option<AccessToken>, StoreError> {
        let mut tx = self.begin_read().await?;
        let token = tx.find_token_record(key).await?;
        tx.unless_revoked(token).await
    }
}

impl Tx {
    async fn find_verified_token(&mut self, token: &VerifiedToken) -> Result<Option<AccessToken>, StoreError> {
        let record = self.find_token_record(token.record_key()).await?;
        Ok(record.filter(|record| token.matches_record(record)))
    }

    /// The record, if no revocation applies to it.
    async fn unless_revoked(&mut self, record: Option<AccessToken>) -> Result<Option<AccessToken>, StoreError> {
        let Some(record) = record else { return Ok(None) };
        let is_revoked = self.is_token_revoked(&record).await?;
        Ok((!is_revoked).then_some(record))
    }

    async fn find_token_record(&mut self, key: TokenRecordKey<'_>) -> Result<Option<AccessToken>, StoreError> {
        let (by_key, key) = match key {
            TokenRecordKey::Id(id) => ("SELECT * FROM tokens WHERE id = $1", id.to_bytes()),
            TokenRecordKey::Opaque(hash) => ("SELECT * FROM tokens WHERE opaque = $1", hash.as_bytes().to_vec()),
        };
        let row = with_connection!(&mut *self, connection => {
            sqlx::query_as::<_, TokenRow>(by_key).bind(key).fetch_optional(connection).await?
        });
        row.map(AccessToken::try_from).transpose()
    }

    /// The records of the tokens with these ids, until they are swept, in any order.
    pub(crate) async fn tokens(&mut self, ids: &[TokenId]) -> Result<Vec<AccessToken>, StoreError> {
        let mut tokens = Vec::with_capacity(ids.len());
        for ids in statement_chunks(ids) {
            let rows: Vec<TokenRow> = with_connection!(&mut *self, connection => {
                let mut query = sqlx::QueryBuilder::new("SELECT * FROM tokens WHERE id IN (");
                let mut list = query.separated(", ");
                for id in padded_with_last(ids) {
                    list.push_bind(id.to_bytes());
                }
                query.push(")").build_query_as().fetch_all(connection).await?
            });
            tokens.extend(rows.into_iter().map(AccessToken::try_from).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(tokens)
    }
}
