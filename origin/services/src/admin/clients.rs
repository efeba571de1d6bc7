//! Clients and their secrets.

use serde_json::Value;
use tollgate_model::client::checked_secret;
use tollgate_model::{Actor, AuthMethod, Client, ClientId, ClientMetadata, Secret, SecretKind, StoredSecret};
use tollgate_storage::Search;
use tollgate_system::rng;
use zeroize::Zeroizing;

use super::{AdminError, Administration};

/// Seconds for which a replaced secret stays valid: a day, so that deployments can follow.
pub const SECRET_OVERLAP: u64 = 24 * 60 * 60;

const NOT_FOUND: AdminError = AdminError::NotFound("there is no client with that id");

impl Administration {
    /// A page of clients.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn search_clients(&self, search: &Search) -> Result<Vec<Client>, AdminError> {
        Ok(self.store.search_clients(search).await?)
    }

    /// The client of this id.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn get_client(&self, id: &str) -> Result<Client, AdminError> {
        let id: ClientId = id.parse().map_err(|_| NOT_FOUND)?;
        self.store.find_client(&id).await?.ok_or(NOT_FOUND)
    }

    /// Registers a client, under a random id unless one is requested, and returns its secret if it
    /// has one.
    ///
    /// # Errors
    /// When the id is taken, or the database or the random source fails.
    pub async fn create_client(
        &self,
        by: &Actor,
        id: Option<ClientId>,
        metadata: ClientMetadata,
    ) -> Result<(Client, Option<Secret>), AdminError> {
        let id = match id {
            Some(id) => id,
            None => ClientId::from_random(&rng::random()?),
        };
        let now = self.clock.now();
        let client = Client::new(id, metadata, now);
        let secret = match has_secret(&client) {
            true => Some(Secret::new(SecretKind::Client, &rng::random()?)),
            false => None,
        };
        let client = match &secret {
            Some(secret) => client.with_secret(secret, now),
            None => client,
        };
        self.store.with_actor(by).create_client(&client).await?;
        tracing::info!(client = %client.id, by = by.as_str(), "registered a client");
        Ok((client, secret))
    }

    /// Replaces all metadata of a client.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_client(
        &self,
        by: &Actor,
        client: &Client,
        metadata: &ClientMetadata,
    ) -> Result<Client, AdminError> {
        self.store.with_actor(by).update_client(&client.id, metadata).await?;
        tracing::info!(client = %client.id, by = by.as_str(), "changed a client");
        self.get_client(client.id.as_str()).await
    }

    /// Disables a client, and ends its grants and tokens.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn disable_client(&self, by: &Actor, client: &Client) -> Result<Client, AdminError> {
        let termination = self.termination(by, "the client was disabled");
        let disabled = self.store.disable_client(&client.id, &termination).await?;
        tracing::info!(client = %client.id, by = by.as_str(), "disabled a client");
        disabled.ok_or(NOT_FOUND)
    }

    /// Lets a disabled client authenticate again. What was revoked stays revoked.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn enable_client(&self, by: &Actor, client: &Client) -> Result<Client, AdminError> {
        let enabled = self.store.with_actor(by).enable_client(&client.id).await?;
        tracing::info!(client = %client.id, by = by.as_str(), "enabled a client");
        enabled.ok_or(NOT_FOUND)
    }

    /// Generates a new secret for a client; the previous one stays valid for [`SECRET_OVERLAP`].
    ///
    /// # Errors
    /// [`AdminError::Conflict`] for a client without a secret, or when the database or the random
    /// source fails.
    pub async fn rotate_client_secret(&self, by: &Actor, client: &Client) -> Result<(Client, Secret), AdminError> {
        require_secret(client)?;
        let (secret, now) = (Secret::new(SecretKind::Client, &rng::random()?), self.clock.now());
        self.replace_client_secret(by, client, &StoredSecret::generated(&secret, now), now).await?;
        tracing::info!(client = %client.id, by = by.as_str(), "rotated a client's secret");
        Ok((self.get_client(client.id.as_str()).await?, secret))
    }

    /// Gives a client a secret that a person chose; the previous one stays valid for
    /// [`SECRET_OVERLAP`].
    ///
    /// # Errors
    /// [`AdminError::Conflict`] for a client without a secret, [`AdminError::Invalid`] for a secret
    /// that is too short, or when it cannot be hashed or the database fails.
    pub async fn set_client_secret(
        &self,
        by: &Actor,
        client: &Client,
        secret: Zeroizing<String>,
    ) -> Result<Client, AdminError> {
        require_secret(client)?;
        checked_secret(&secret).map_err(|error| AdminError::invalid(&error))?;
        let now = self.clock.now();
        let stored = StoredSecret::chosen(self.passwords.hash(secret).await?, rng::random()?, now);
        self.replace_client_secret(by, client, &stored, now).await?;
        tracing::info!(client = %client.id, by = by.as_str(), "set a client's secret");
        self.get_client(client.id.as_str()).await
    }

    async fn replace_client_secret(
        &self,
        by: &Actor,
        client: &Client,
        secret: &StoredSecret,
        now: u64,
    ) -> Result<(), AdminError> {
        let previous_until = now.saturating_add(SECRET_OVERLAP);
        self.store.with_actor(by).rotate_secret(&client.id, secret, previous_until).await?;
        Ok(())
    }
}

/// Parses the metadata of a client (RFC 7591 section 2).
///
/// # Errors
/// [`AdminError::Invalid`].
pub fn parse_client_metadata(members: Value) -> Result<ClientMetadata, AdminError> {
    let metadata: ClientMetadata = serde_json::from_value(members).map_err(|error| invalid_client(&error))?;
    metadata.checked().map_err(|error| invalid_client(&error))
}

/// The error of a client that cannot be registered as it is described.
pub fn invalid_client(error: &dyn std::fmt::Display) -> AdminError {
    AdminError::Invalid(format!("the client cannot be registered: {error}"))
}

/// Whether a client authenticates by a shared secret.
#[must_use]
pub fn has_secret(client: &Client) -> bool {
    matches!(client.metadata.auth_method, AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost)
}

fn require_secret(client: &Client) -> Result<(), AdminError> {
    match has_secret(client) {
        true => Ok(()),
        false => Err(AdminError::Conflict("the client does not authenticate by a secret".to_owned())),
    }
}
