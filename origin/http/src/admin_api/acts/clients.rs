//! Registering, changing, disabling and enabling clients, and their secrets.

use axum::http::StatusCode;
use serde_json::Value;
use tollgate_model::client::checked_secret;
use tollgate_model::{Actor, AuthMethod, Client, ClientId, ClientMetadata, Secret, SecretKind, StoredSecret};
use tollgate_storage::Search;
use tollgate_system::{clock, rng};
use zeroize::Zeroizing;

use crate::problem::Problem;
use crate::{App, ending};

/// How long the secret that is replaced stays good, in seconds: a day.
pub(crate) const OVERLAP: u64 = 24 * 60 * 60;

/// A page of clients.
pub(crate) async fn page(app: &App, search: &Search) -> Result<Vec<Client>, Problem> {
    Ok(app.store.search_clients(search).await?)
}

/// Reads what is to be registered of a client: the members of RFC 7591.
pub(crate) fn metadata(members: Value) -> Result<ClientMetadata, Problem> {
    let metadata: ClientMetadata = serde_json::from_value(members).map_err(|error| unusable(&error))?;
    metadata.checked().map_err(|error| unusable(&error))
}

/// Why a client cannot be registered as it is described.
pub(crate) fn unusable(error: &dyn std::fmt::Display) -> Problem {
    Problem::bad_request(&format!("the client cannot be registered: {error}"))
}

/// Registers a client, under a random id unless one is wanted, and gives its secret if it has one.
pub(crate) async fn register(
    app: &App,
    by: &Actor,
    id: Option<ClientId>,
    metadata: ClientMetadata,
) -> Result<(Client, Option<Secret>), Problem> {
    let id = match id {
        Some(id) => id,
        None => ClientId::from_random(&rng::random()?),
    };
    let now = clock::now();
    let client = Client::new(id, metadata, now);
    let secret = match has_secret(&client) {
        true => Some(Secret::new(SecretKind::Client, &rng::random()?)),
        false => None,
    };
    let client = match &secret {
        Some(secret) => client.with_secret(secret, now),
        None => client,
    };
    app.store.with_actor(by).create_client(&client).await?;
    tracing::info!(client = %client.id, by = by.as_str(), "registered a client");
    Ok((client, secret))
}

/// The client of this id.
pub(crate) async fn find(app: &App, id: &str) -> Result<Client, Problem> {
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "there is no client with that id");
    let id: ClientId = id.parse().map_err(|_| unknown())?;
    app.store.find_client(&id).await?.ok_or_else(unknown)
}

/// Replaces all that is registered of a client.
pub(crate) async fn update(
    app: &App,
    by: &Actor,
    client: &Client,
    metadata: &ClientMetadata,
) -> Result<Client, Problem> {
    app.store.with_actor(by).update_client(&client.id, metadata).await?;
    tracing::info!(client = %client.id, by = by.as_str(), "changed a client");
    find(app, client.id.as_str()).await
}

/// Disables a client, and ends what it was given.
pub(crate) async fn disable(app: &App, by: &Actor, client: &Client) -> Result<Client, Problem> {
    let disabled = app.store.disable_client(&client.id, &ending(by, "the client was disabled")).await?;
    tracing::info!(client = %client.id, by = by.as_str(), "disabled a client");
    disabled.ok_or_else(Problem::not_found)
}

/// Lets a client that was disabled authenticate again. What was revoked stays revoked.
pub(crate) async fn enable(app: &App, by: &Actor, client: &Client) -> Result<Client, Problem> {
    let enabled = app.store.with_actor(by).enable_client(&client.id).await?;
    tracing::info!(client = %client.id, by = by.as_str(), "enabled a client");
    enabled.ok_or_else(Problem::not_found)
}

/// Gives a client another secret; the one it has stays good for [`OVERLAP`].
pub(crate) async fn rotate_secret(app: &App, by: &Actor, client: &Client) -> Result<(Client, Secret), Problem> {
    if !has_secret(client) {
        return Err(Problem::new(StatusCode::CONFLICT, "the client does not authenticate by a secret"));
    }
    let (secret, now) = (Secret::new(SecretKind::Client, &rng::random()?), clock::now());
    let stored = StoredSecret::generated(&secret, now);
    app.store.with_actor(by).rotate_secret(&client.id, &stored, now.saturating_add(OVERLAP)).await?;
    tracing::info!(client = %client.id, by = by.as_str(), "gave a client another secret");
    Ok((find(app, client.id.as_str()).await?, secret))
}

/// Gives a client a secret that a person chose; the one it has stays good for [`OVERLAP`].
pub(crate) async fn choose_secret(
    app: &App,
    by: &Actor,
    client: &Client,
    secret: Zeroizing<String>,
) -> Result<Client, Problem> {
    if !has_secret(client) {
        return Err(Problem::new(StatusCode::CONFLICT, "the client does not authenticate by a secret"));
    }
    checked_secret(&secret).map_err(|error| Problem::bad_request(&error.to_string()))?;
    let now = clock::now();
    let stored = StoredSecret::chosen(app.password_hasher.hash(secret).await?, rng::random()?, now);
    app.store.with_actor(by).rotate_secret(&client.id, &stored, now.saturating_add(OVERLAP)).await?;
    tracing::info!(client = %client.id, by = by.as_str(), "set a client's secret");
    find(app, client.id.as_str()).await
}

/// Whether a client authenticates by a secret of ours.
pub(crate) fn has_secret(client: &Client) -> bool {
    matches!(client.metadata.auth_method, AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost)
}
