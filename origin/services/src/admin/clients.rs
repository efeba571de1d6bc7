//! Clients and their secrets.

use serde_json::Value;
use tollgate_model::client::checked_secret;
use tollgate_model::{Actor, AuthMethod, Client, ClientId, ClientMetadata, Secret, SecretKind, StoredSecret};
use tollgate_storage::{Search, StoreError};
use tollgate_system::rng;
use zeroize::Zeroizing;

use super::{AdminError, MAX_CHANGE_ATTEMPTS, Registry};
use crate::signing_keys::{AlgorithmError, with_available_algorithms};

/// Seconds for which a replaced secret stays valid: a day, so that deployments can follow.
pub const SECRET_OVERLAP: u64 = 24 * 60 * 60;

/// A new secret of a client.
pub enum NewSecret {
    /// A random one.
    Generated,
    /// One that a person chose.
    Chosen(Zeroizing<String>),
}

impl Registry {
    /// All clients, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_clients(&self) -> Result<Vec<Client>, AdminError> {
        Ok(self.store.list_clients().await?)
    }

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
        let parsed: ClientId = id.parse().map_err(|_| not_found(id))?;
        self.store.find_client(&parsed).await?.ok_or_else(|| not_found(id))
    }

    /// Registers a client, under a random id unless one is requested, and returns its secret if one
    /// was generated.
    ///
    /// # Errors
    /// When the id is taken, a secret is chosen that is too short or that the client would not use,
    /// or the database or the random source fails.
    pub async fn create_client(
        &self,
        by: &Actor,
        id: Option<ClientId>,
        metadata: ClientMetadata,
        secret: NewSecret,
    ) -> Result<(Client, Option<Secret>), AdminError> {
        let metadata = self.checked_new_client(metadata).await?;
        let id = match id {
            Some(id) => id,
            None => ClientId::from_random(&rng::random()?),
        };
        let now = self.clock.now();
        let mut client = Client::new(id, metadata, now);
        let secret = match (has_secret(&client), secret) {
            (false, NewSecret::Generated) => None,
            (false, NewSecret::Chosen(_)) => {
                return Err(AdminError::Invalid("the client does not authenticate by a secret".to_owned()));
            }
            (true, secret) => {
                let (stored, generated) = self.store_form(secret, now).await?;
                client.secrets.push(stored);
                generated
            }
        };
        self.store.with_actor(by).create_client(&client).await?;
        tracing::info!(client = %client.id, by = by.as_str(), "registered a client");
        Ok((client, secret))
    }

    /// Replaces all metadata of a client.
    ///
    /// # Errors
    /// [`AdminError::Invalid`] for a new redirect URI that may not be used, or when the database
    /// fails.
    pub async fn update_client(
        &self,
        by: &Actor,
        client: &Client,
        metadata: &ClientMetadata,
    ) -> Result<Client, AdminError> {
        self.check_new_redirect_uris(metadata, &client.metadata)?;
        let metadata = self.checked_for_issuer(metadata.clone()).await?;
        self.store.with_actor(by).update_client(&client.id, &metadata).await?;
        tracing::info!(client = %client.id, by = by.as_str(), "changed a client");
        self.get_client(client.id.as_str()).await
    }

    /// Changes single members of a client's metadata. A change that another administrator or the
    /// client itself makes at the same time is kept: then `change` is applied again.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], those of `change`, or when the database fails.
    pub async fn change_client(
        &self,
        by: &Actor,
        id: &str,
        change: impl Fn(&ClientMetadata) -> Result<ClientMetadata, AdminError> + Send + Sync,
    ) -> Result<Client, AdminError> {
        for _ in 0..MAX_CHANGE_ATTEMPTS {
            let client = self.get_client(id).await?;
            let metadata = change(&client.metadata)?.checked().map_err(|error| invalid_client(&error))?;
            if metadata == client.metadata {
                return Ok(client);
            }
            self.check_new_redirect_uris(&metadata, &client.metadata)?;
            let metadata = self.checked_for_issuer(metadata).await?;
            match self.store.with_actor(by).change_client(&client, &metadata).await {
                Err(StoreError::ConcurrentModification) => {}
                outcome => {
                    outcome?;
                    tracing::info!(client = %client.id, by = by.as_str(), "changed a client");
                    return self.get_client(id).await;
                }
            }
        }
        Err(AdminError::changing())
    }

    /// Disables a client, and ends its grants and tokens.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn disable_client(&self, by: &Actor, client: &Client) -> Result<Client, AdminError> {
        let termination = self.termination(by, "the client was disabled");
        let disabled = self.store.disable_client(&client.id, &termination).await?;
        tracing::info!(client = %client.id, by = by.as_str(), "disabled a client");
        disabled.ok_or_else(|| not_found(client.id.as_str()))
    }

    /// Lets a disabled client authenticate again. What was revoked stays revoked.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn enable_client(&self, by: &Actor, client: &Client) -> Result<Client, AdminError> {
        let enabled = self.store.with_actor(by).enable_client(&client.id).await?;
        tracing::info!(client = %client.id, by = by.as_str(), "enabled a client");
        enabled.ok_or_else(|| not_found(client.id.as_str()))
    }

    /// Generates a new secret for a client; the previous one stays valid for `overlap` seconds.
    ///
    /// # Errors
    /// [`AdminError::Conflict`] for a client without a secret, or when the database or the random
    /// source fails.
    pub async fn rotate_client_secret(
        &self,
        by: &Actor,
        client: &Client,
        overlap: u64,
    ) -> Result<(Client, Option<Secret>), AdminError> {
        self.replace_client_secret(by, client, NewSecret::Generated, overlap).await
    }

    /// Gives a client a secret that a person chose; the previous one stays valid for `overlap`
    /// seconds.
    ///
    /// # Errors
    /// [`AdminError::Conflict`] for a client without a secret, [`AdminError::Invalid`] for a secret
    /// that is too short, or when it cannot be hashed or the database fails.
    pub async fn set_client_secret(
        &self,
        by: &Actor,
        client: &Client,
        secret: Zeroizing<String>,
        overlap: u64,
    ) -> Result<Client, AdminError> {
        Ok(self.replace_client_secret(by, client, NewSecret::Chosen(secret), overlap).await?.0)
    }

    async fn replace_client_secret(
        &self,
        by: &Actor,
        client: &Client,
        secret: NewSecret,
        overlap: u64,
    ) -> Result<(Client, Option<Secret>), AdminError> {
        require_secret(client)?;
        let now = self.clock.now();
        let (stored, generated) = self.store_form(secret, now).await?;
        self.store.with_actor(by).rotate_secret(&client.id, &stored, now.saturating_add(overlap)).await?;
        let is_generated = generated.is_some();
        tracing::info!(client = %client.id, by = by.as_str(), is_generated, "replaced a client's secret");
        Ok((self.get_client(client.id.as_str()).await?, generated))
    }

    /// Checks that a client with this metadata may be registered here, and returns it as it counts.
    pub(super) async fn checked_new_client(&self, metadata: ClientMetadata) -> Result<ClientMetadata, AdminError> {
        self.check_new_redirect_uris(&metadata, &ClientMetadata::default())?;
        self.checked_for_issuer(metadata).await
    }

    /// Checks that responses may be sent to the redirect URIs that `before` does not have. Those
    /// that were allowed once may stay; requests with them are refused.
    fn check_new_redirect_uris(&self, metadata: &ClientMetadata, before: &ClientMetadata) -> Result<(), AdminError> {
        for uri in metadata.all_redirect_uris() {
            if !before.all_redirect_uris().any(|own| own == uri) {
                uri.check(self.http_redirects).map_err(|error| invalid_client(&format_args!("{uri}: {error}")))?;
            }
        }
        Ok(())
    }

    /// The metadata as this issuer can serve it: a client must not contradict the profile of the
    /// issuer, which must have keys for all that it signs for the client.
    pub(super) async fn checked_for_issuer(&self, metadata: ClientMetadata) -> Result<ClientMetadata, AdminError> {
        metadata.clone().under(self.profile).map_err(|rule| invalid_client(&rule))?;
        with_available_algorithms(&self.store, metadata).await.map_err(|error| match error {
            AlgorithmError::NoKey(_) => invalid_client(&error),
            AlgorithmError::Store(error) => error.into(),
        })
    }

    /// A new secret as it is stored, and itself if it was generated and must be shown.
    pub(super) async fn store_form(
        &self,
        secret: NewSecret,
        now: u64,
    ) -> Result<(StoredSecret, Option<Secret>), AdminError> {
        match secret {
            NewSecret::Generated => {
                let secret = Secret::new(SecretKind::Client, &rng::random()?);
                Ok((StoredSecret::generated(&secret, now), Some(secret)))
            }
            NewSecret::Chosen(secret) => {
                checked_secret(&secret).map_err(|error| AdminError::invalid(&error))?;
                Ok((StoredSecret::chosen(self.passwords.hash(secret).await?, rng::random()?, now), None))
            }
        }
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

/// Fingerprint, by which a form finds out whether the client was changed since it was opened.
#[must_use]
pub fn client_version(metadata: &ClientMetadata) -> String {
    super::version(metadata)
}

/// Applies a merge patch (RFC 7396) to the metadata of a client. It is not checked.
///
/// # Errors
/// [`AdminError::Invalid`] for a patch that is no object, gives a member an unusable value, or
/// names a member that is no client metadata.
pub fn patch_client_metadata(metadata: &ClientMetadata, patch: Value) -> Result<ClientMetadata, AdminError> {
    super::patched(metadata, patch).map_err(|error| invalid_client(&error))
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

fn not_found(id: &str) -> AdminError {
    AdminError::not_found("client", id)
}

fn require_secret(client: &Client) -> Result<(), AdminError> {
    match has_secret(client) {
        true => Ok(()),
        false => Err(AdminError::Conflict(format!("client {} does not authenticate by a secret", client.id))),
    }
}
