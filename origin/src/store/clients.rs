//! Clients.

use super::rows::ClientRow;
use super::{Store, StoreError, to_sql};
use crate::domain::{Client, ClientId, ClientStatus};

impl Store {
    /// Registers `client`.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when its id is taken.
    pub async fn insert_client(&self, client: &Client) -> Result<(), StoreError> {
        let audiences: Vec<&str> = client.audiences.iter().map(|audience| audience.as_str()).collect();
        let disabled_at = match client.status {
            ClientStatus::Active => None,
            ClientStatus::Disabled { at } => Some(to_sql(at)),
        };
        let mut tx = self.begin_write().await?;
        let inserted = each!(&mut tx, connection => {
            sqlx::query(
                "INSERT INTO clients (id, name, secret_hash, scope, audiences, token_alg, created_at, disabled_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING",
            )
            .bind(client.id.as_str())
            .bind(&client.name)
            .bind(client.secret.as_bytes().as_slice())
            .bind(client.scope.to_string())
            .bind(audiences.join(" "))
            .bind(client.alg.as_str())
            .bind(to_sql(client.created_at))
            .bind(disabled_at)
            .execute(connection)
            .await?
            .rows_affected()
        });
        if inserted == 0 {
            return Err(StoreError::Exists("client"));
        }
        tx.commit().await
    }

    /// The client with this id, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let row = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, ClientRow>("SELECT * FROM clients WHERE id = $1")
                .bind(id.as_str())
                .fetch_optional(connection)
                .await?
        });
        row.map(Client::try_from).transpose()
    }

    /// All clients, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        let rows = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, ClientRow>("SELECT * FROM clients ORDER BY created_at, id").fetch_all(connection).await?
        });
        rows.into_iter().map(Client::try_from).collect()
    }

    /// Disables a client and gives it as it is then; none when there is none of that id. One that is disabled already stays so
    /// since then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn disable_client(&self, id: &ClientId, now: u64) -> Result<Option<Client>, StoreError> {
        let mut tx = self.begin_write().await?;
        let row = each!(&mut tx, connection => {
            sqlx::query_as::<_, ClientRow>(
                "UPDATE clients SET disabled_at = COALESCE(disabled_at, $2) WHERE id = $1 RETURNING *",
            )
            .bind(id.as_str())
            .bind(to_sql(now))
            .fetch_optional(connection)
            .await?
        });
        let client = row.map(Client::try_from).transpose()?;
        tx.commit().await?;
        Ok(client)
    }
}
