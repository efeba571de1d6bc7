//! Clients and their secrets.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_model::client::MAX_SECRETS;
use tollgate_model::{
    AuditAction, AuditKind, Client, ClientId, ClientMetadata, ClientStatus, SecretHash, StoredSecret,
};

use crate::database::values::{from_json, from_sql, secret_hash, to_json, to_sql};
use crate::database::{Either, Tx};
use crate::error::StoreError;
use crate::store::Store;

/// Selects a client once per secret, or once if it has none.
macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT c.id, c.metadata, c.registration, c.operator_metadata, c.created_at, c.disabled_at, s.hash AS secret,
             s.chosen AS secret_chosen, s.created_at AS secret_created_at, s.expires_at AS secret_expires_at
             FROM clients c LEFT JOIN client_secrets s ON s.client_id = c.id ",
            $tail
        )
    };
}
pub(crate) use select as client_select;

#[derive(sqlx_macros::FromRow)]
pub(crate) struct ClientRow {
    id: String,
    metadata: String,
    registration: Option<Vec<u8>>,
    operator_metadata: Option<String>,
    created_at: i64,
    disabled_at: Option<i64>,
    secret: Option<Vec<u8>>,
    secret_chosen: Option<String>,
    secret_created_at: Option<i64>,
    secret_expires_at: Option<i64>,
}

impl ClientRow {
    /// The client without its secrets, and the secret of this row.
    pub(crate) fn parts(self) -> Result<(Client, Option<StoredSecret>), StoreError> {
        let client = Client {
            id: self.id.parse().map_err(StoreError::corrupt("clients"))?,
            metadata: from_json(&self.metadata, "clients")?,
            secrets: Vec::new(),
            registration: self.registration.map(|hash| secret_hash(&hash, "clients")).transpose()?,
            operator_metadata: self.operator_metadata.map(|text| from_json(&text, "clients")).transpose()?,
            status: match self.disabled_at {
                None => ClientStatus::Active,
                Some(at) => ClientStatus::Disabled { at: from_sql(at) },
            },
            created_at: from_sql(self.created_at),
        };
        let secret = self.secret.zip(self.secret_created_at).map(|(hash, created_at)| {
            let (chosen, expires_at) = (self.secret_chosen, self.secret_expires_at);
            StoredSecret::try_from(SecretRow { hash, chosen, created_at, expires_at })
        });
        Ok((client, secret.transpose()?))
    }
}

#[derive(sqlx_macros::FromRow)]
pub(crate) struct SecretRow {
    hash: Vec<u8>,
    chosen: Option<String>,
    created_at: i64,
    expires_at: Option<i64>,
}

impl TryFrom<SecretRow> for StoredSecret {
    type Error = StoreError;

    fn try_from(row: SecretRow) -> Result<StoredSecret, StoreError> {
        Ok(StoredSecret {
            hash: secret_hash(&row.hash, "client_secrets")?,
            argon2_hash: row.chosen,
            created_at: from_sql(row.created_at),
            expires_at: row.expires_at.map(from_sql),
        })
    }
}

impl Store {
    /// Creates a client.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] when its id is taken.
    pub async fn create_client(&self, client: &Client) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        if !tx.insert_client(client).await? {
            return Err(StoreError::AlreadyExists("client"));
        }
        tx.write_audit_entries(&[self.audit_entry(AuditAction::Create, AuditKind::CLIENT, client.id.as_str())]).await?;
        tx.commit().await
    }

    /// Creates clients in one transaction, and returns the positions of those whose id is taken.
    /// Commits if `commits` says so for their number.
    pub async fn import_clients(
        &self,
        clients: &[Client],
        commits: impl Fn(usize) -> bool,
    ) -> Result<BTreeSet<usize>, StoreError> {
        let mut tx = self.begin_write().await?;
        let (mut conflicts, mut lines) = (BTreeSet::new(), Vec::new());
        for (position, client) in clients.iter().enumerate() {
            match tx.insert_client(client).await? {
                true => lines.push(self.audit_entry(AuditAction::Create, AuditKind::CLIENT, client.id.as_str())),
                false => {
                    conflicts.insert(position);
                }
            }
        }
        if commits(conflicts.len()) {
            tx.write_audit_entries(&lines).await?;
            tx.commit().await?;
        }
        Ok(conflicts)
    }

    /// The client of this id, as it counts under the profile of this handle.
    pub async fn find_client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let rows = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, ClientRow>(select!("WHERE c.id = $1 ORDER BY s.created_at"))
                .bind(id.as_str())
                .fetch_all(connection)
                .await?
        });
        Ok(clients(rows)?.pop().map(|client| client.under(self.client_profile)))
    }

    /// The client whose registration access token this is (RFC 7592).
    pub async fn find_client_by_registration_token(&self, token: &SecretHash) -> Result<Option<Client>, StoreError> {
        let id = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_scalar::<_, String>("SELECT id FROM clients WHERE registration = $1")
                .bind(token.as_bytes().as_slice())
                .fetch_optional(connection)
                .await?
        });
        match id {
            Some(id) => self.find_client(&id.parse().map_err(StoreError::corrupt("clients"))?).await,
            None => Ok(None),
        }
    }

    /// All clients, oldest first.
    pub async fn list_clients(&self) -> Result<Vec<Client>, StoreError> {
        let rows = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, ClientRow>(select!("ORDER BY c.created_at, c.id, s.created_at"))
                .fetch_all(connection)
                .await?
        });
        clients(rows)
    }

    /// Replaces the metadata of a client on behalf of its operator. Returns false if it does not
    /// exist. A client that registered itself can register at most this from then on.
    pub async fn update_client(&self, id: &ClientId, metadata: &ClientMetadata) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        let updated = tx.write_operator_metadata(id, metadata).await?;
        if updated > 0 {
            tx.write_audit_entries(&[self.audit_entry(AuditAction::Update, AuditKind::CLIENT, id.as_str())]).await?;
        }
        tx.commit().await?;
        Ok(updated > 0)
    }

    /// Replaces the metadata of a client as [`Store::update_client`] does, if it is still that of
    /// `client`.
    ///
    /// # Errors
    /// [`StoreError::ConcurrentModification`] when it was changed since `client` was read.
    pub async fn change_client(&self, client: &Client, metadata: &ClientMetadata) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        tx.lock_client(&client.id).await?;
        let rows = with_connection!(&mut tx, connection => {
            sqlx::query_as::<_, ClientRow>(select!("WHERE c.id = $1"))
                .bind(client.id.as_str())
                .fetch_all(connection)
                .await?
        });
        if clients(rows)?.pop().is_none_or(|current| current.metadata != client.metadata) {
            return Err(StoreError::ConcurrentModification);
        }
        tx.write_operator_metadata(&client.id, metadata).await?;
        tx.write_audit_entries(&[self.audit_entry(AuditAction::Update, AuditKind::CLIENT, client.id.as_str())]).await?;
        tx.commit().await
    }

    /// Replaces the metadata of a client on its own behalf (RFC 7592).
    ///
    /// # Errors
    /// [`StoreError::ConcurrentModification`] when the operator disabled it or changed its metadata
    /// since `client` was read.
    pub async fn update_registration(&self, client: &Client, metadata: &ClientMetadata) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        tx.lock_client(&client.id).await?;
        let row = with_connection!(&mut tx, connection => {
            sqlx::query_as::<_, ClientRow>(select!("WHERE c.id = $1 AND c.disabled_at IS NULL"))
                .bind(client.id.as_str())
                .fetch_all(connection)
                .await?
        });
        if clients(row)?.pop().is_none_or(|now| now.operator_metadata != client.operator_metadata) {
            return Err(StoreError::ConcurrentModification);
        }
        with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE clients SET metadata = $2 WHERE id = $1")
                .bind(client.id.as_str())
                .bind(to_json(metadata)?)
                .execute(connection)
                .await?;
        });
        tx.write_audit_entries(&[self.audit_entry(AuditAction::Update, AuditKind::CLIENT, client.id.as_str())]).await?;
        tx.commit().await
    }

    /// Adds a secret to a client. Its newest secret expires at `old_until`, older ones expire now.
    /// Concurrent rotations are applied one after the other.
    ///
    /// # Errors
    /// When the client does not exist, or the database fails.
    pub async fn rotate_secret(&self, id: &ClientId, new: &StoredSecret, old_until: u64) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        tx.lock_client(id).await?;
        // The newest secret is the one without an expiry: several may have been created in one
        // second.
        let secrets = with_connection!(&mut tx, connection => {
            sqlx::query_as::<_, SecretRow>(
                "SELECT hash, chosen, created_at, expires_at FROM client_secrets WHERE client_id = $1
                 ORDER BY expires_at IS NOT NULL, created_at DESC, hash",
            )
            .bind(id.as_str())
            .fetch_all(connection)
            .await?
        });
        for (index, secret) in secrets.into_iter().enumerate() {
            let secret = StoredSecret::try_from(secret)?;
            let until = if index + 1 < MAX_SECRETS { old_until } else { 0 };
            with_connection!(&mut tx, connection => {
                sqlx::query(
                    "UPDATE client_secrets SET expires_at = $3 WHERE client_id = $1 AND hash = $2
                     AND (expires_at IS NULL OR expires_at > $3)",
                )
                .bind(id.as_str())
                .bind(secret.hash.as_bytes().as_slice())
                .bind(to_sql(until))
                .execute(connection)
                .await?;
            });
        }
        tx.insert_secret(id, new).await?;
        tx.write_audit_entries(&[self.audit_entry(AuditAction::RotateSecret, AuditKind::CLIENT, id.as_str())]).await?;
        tx.commit().await
    }

    /// Replaces the slow hash of a secret by a new hash of the same secret, if the stored hash has
    /// not changed.
    pub async fn rehash_secret(&self, id: &ClientId, old: &str, new: &str) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE client_secrets SET chosen = $3 WHERE client_id = $1 AND chosen = $2")
                .bind(id.as_str())
                .bind(old)
                .bind(new)
                .execute(connection)
                .await?;
        });
        tx.commit().await
    }

    /// Enables a disabled client and returns it; `None` if it does not exist. What was revoked
    /// stays revoked.
    pub async fn enable_client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let mut tx = self.begin_write().await?;
        let enabled = with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE clients SET disabled_at = NULL WHERE id = $1 AND disabled_at IS NOT NULL")
                .bind(id.as_str())
                .execute(connection)
                .await?
                .rows_affected()
        });
        if enabled > 0 {
            tx.write_audit_entries(&[self.audit_entry(AuditAction::Enable, AuditKind::CLIENT, id.as_str())]).await?;
        }
        tx.commit().await?;
        self.find_client(id).await
    }
}

impl Tx {
    /// Makes other transactions that change the client wait until the commit. On SQLite they wait
    /// anyway.
    async fn lock_client(&mut self, id: &ClientId) -> Result<(), StoreError> {
        if let Either::Postgres(transaction) = self {
            supervised!(transaction, connection => {
                sqlx::query("SELECT id FROM clients WHERE id = $1 FOR NO KEY UPDATE")
                    .bind(id.as_str())
                    .execute(connection)
                    .await?;
            });
        }
        Ok(())
    }

    /// Writes metadata of the operator, and returns the number of clients changed: 0 or 1.
    async fn write_operator_metadata(&mut self, id: &ClientId, metadata: &ClientMetadata) -> Result<u64, StoreError> {
        Ok(with_connection!(&mut *self, connection => {
            sqlx::query(
                "UPDATE clients SET metadata = $2, operator_metadata = CASE WHEN registration IS NOT NULL THEN $2 END
                 WHERE id = $1",
            )
            .bind(id.as_str())
            .bind(to_json(metadata)?)
            .execute(connection)
            .await?
            .rows_affected()
        }))
    }

    /// Inserts a client with its secrets. Returns false if its id is taken.
    async fn insert_client(&mut self, client: &Client) -> Result<bool, StoreError> {
        let disabled_at = match client.status {
            ClientStatus::Active | ClientStatus::Excluded { .. } => None,
            ClientStatus::Disabled { at } => Some(to_sql(at)),
        };
        let inserted = with_connection!(&mut *self, connection => {
            sqlx::query(
                "INSERT INTO clients (id, metadata, registration, created_at, disabled_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(client.id.as_str())
            .bind(to_json(&client.metadata)?)
            .bind(client.registration.map(|hash| hash.as_bytes().to_vec()))
            .bind(to_sql(client.created_at))
            .bind(disabled_at)
            .execute(connection)
            .await?
            .rows_affected()
        });
        if inserted == 0 {
            return Ok(false);
        }
        for secret in &client.secrets {
            self.insert_secret(&client.id, secret).await?;
        }
        Ok(true)
    }

    async fn insert_secret(&mut self, client: &ClientId, secret: &StoredSecret) -> Result<(), StoreError> {
        with_connection!(&mut *self, connection => {
            sqlx::query(
                "INSERT INTO client_secrets (client_id, hash, created_at, expires_at, chosen) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(client.as_str())
            .bind(secret.hash.as_bytes().as_slice())
            .bind(to_sql(secret.created_at))
            .bind(secret.expires_at.map(to_sql))
            .bind(secret.argon2_hash.as_deref())
            .execute(connection)
            .await?;
        });
        Ok(())
    }
}

/// Groups rows of `select!` by client, in the order of the first row of each.
pub(crate) fn clients(rows: Vec<ClientRow>) -> Result<Vec<Client>, StoreError> {
    let mut clients: Vec<Client> = Vec::new();
    let mut places: BTreeMap<ClientId, usize> = BTreeMap::new();
    for row in rows {
        let (client, secret) = row.parts()?;
        let place = *places.entry(client.id.clone()).or_insert_with(|| {
            clients.push(client);
            clients.len() - 1
        });
        if let Some(client) = clients.get_mut(place) {
            client.secrets.extend(secret);
        }
    }
    Ok(clients)
}
