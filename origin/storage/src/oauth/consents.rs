//! Consent that users gave to clients, one row per audience: see [`Consent`].

use tollgate_model::{Access, ClientId, Consent, ConsentedAccess, Grant, Scope, UserId};

use crate::database::Tx;
use crate::database::values::{from_json, to_json, to_sql};
use crate::error::StoreError;
use crate::store::Store;

impl Store {
    /// What a client may have without asking the user again.
    pub async fn get_consent(&self, user: &UserId, client: &ClientId) -> Result<Consent, StoreError> {
        self.begin_read().await?.consent(user, client).await
    }
}

impl Tx {
    async fn consent(&mut self, user: &UserId, client: &ClientId) -> Result<Consent, StoreError> {
        let rows: Vec<(String, String, Option<String>)> = with_connection!(&mut *self, connection => {
            sqlx::query_as("SELECT audience, scope, details FROM consented_access WHERE user_id = $1 AND client_id = $2")
                .bind(user.as_str())
                .bind(client.as_str())
                .fetch_all(connection)
                .await?
        });
        let corrupt = StoreError::corrupt("consented_access");
        let read = |(audience, scope, details): (String, String, Option<String>)| {
            let details = details.map(|details| from_json(&details, "consented_access")).transpose()?;
            let agreed = ConsentedAccess {
                scope: Scope::parse(&scope).map_err(&corrupt)?,
                details: details.unwrap_or_default(),
            };
            Ok((audience.parse().map_err(&corrupt)?, agreed))
        };
        rows.into_iter().map(read).collect()
    }

    /// Adds to the consent of the grant's user.
    pub(crate) async fn add_consent(&mut self, grant: &Grant, access: &Access) -> Result<(), StoreError> {
        let before = self.consent(&grant.user, &grant.client).await?;
        let count = before.iter().count();
        let after = before.with(access);
        if after.iter().count() < count {
            self.delete_consents(&grant.user, Some(&grant.client)).await?;
        }
        for (audience, agreed) in after.iter().filter(|(audience, _)| access.audience.has(audience.as_str())) {
            let details = if agreed.details.is_empty() { None } else { Some(to_json(&agreed.details)?) };
            with_connection!(&mut *self, connection => {
                sqlx::query(
                    "INSERT INTO consented_access (user_id, client_id, audience, scope, details, agreed_at)
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (user_id, client_id, audience) DO UPDATE
                     SET scope = excluded.scope, details = excluded.details, agreed_at = excluded.agreed_at",
                )
                .bind(grant.user.as_str())
                .bind(grant.client.as_str())
                .bind(audience.as_str())
                .bind(agreed.scope.as_str())
                .bind(details)
                .bind(to_sql(grant.created_at))
                .execute(connection)
                .await?;
            });
        }
        Ok(())
    }

    /// Deletes a user's consent for one client, or for all, so that the user is asked again.
    pub(crate) async fn delete_consents(&mut self, user: &UserId, client: Option<&ClientId>) -> Result<(), StoreError> {
        with_connection!(&mut *self, connection => {
            sqlx::query("DELETE FROM consented_access WHERE user_id = $1 AND client_id = COALESCE($2, client_id)")
                .bind(user.as_str())
                .bind(client.map(ClientId::as_str))
                .execute(connection)
                .await?;
        });
        Ok(())
    }
}
