//! `/admin/api/clients`: registering, showing, changing and disabling clients, and their secrets.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::auth::authenticate;
use crate::ambient;
use crate::domain::{AuthMethod, Client, ClientId, ClientMetadata, ClientView, Secret, SecretKind, StoredSecret};
use crate::http::openapi::refusals::{BadBody, Conflict, NotAdmin, NotFound};
use crate::http::problem::Problem;
use crate::http::{App, AppState};

/// How long the secret that is replaced stays good, in seconds: a day.
const OVERLAP: u64 = 24 * 60 * 60;

/// All clients.
#[utoipa::path(
    get, path = "/admin/api/clients",
    responses((status = 200, description = "Clients", body = Vec<ClientView>), NotAdmin),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(in crate::http) async fn list(
    State(app): State<AppState>,
    headers: HeaderMap,
) -> Result<Json<Vec<ClientView>>, Problem> {
    authenticate(&app, &headers).await?;
    Ok(Json(app.store.clients().await?.iter().map(ClientView::from).collect()))
}

/// The body is the metadata of RFC 7591, with a `client_id` if one is wanted.
/// Registers a client.
#[utoipa::path(
    post, path = "/admin/api/clients",
    request_body(content = ClientMetadata, content_type = "application/json"),
    responses(
        (status = 201, description = "The client, with its secret", body = ClientView),
        BadBody, NotAdmin, Conflict,
    ),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(in crate::http) async fn create(
    State(app): State<AppState>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<ClientView>), Problem> {
    let by = authenticate(&app, &headers).await?;
    let (id, metadata) = read(&body)?;
    let id = match id {
        Some(id) => id,
        None => ClientId::from_random(&ambient::random()?),
    };
    let (client, now) = (Client::new(id, metadata, ambient::now()), ambient::now());
    let secret = Secret::new(SecretKind::Client, &ambient::random()?);
    let client = if has_secret(&client) { client.with_secret(&secret, now) } else { client };
    app.store.insert_client(&client).await?;
    tracing::info!(client = %client.id, by = by.as_str(), "registered a client");
    let client_secret = has_secret(&client).then(|| secret.reveal().to_owned());
    Ok((StatusCode::CREATED, Json(ClientView { client_secret, ..ClientView::from(&client) })))
}

/// One client.
#[utoipa::path(
    get, path = "/admin/api/clients/{id}",
    params(("id" = String, Path, description = "The client's id")),
    responses((status = 200, description = "The client", body = ClientView), NotAdmin, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(in crate::http) async fn show(
    State(app): State<AppState>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<ClientView>, Problem> {
    authenticate(&app, &headers).await?;
    Ok(Json(ClientView::from(&find(&app, &id).await?)))
}

/// Replaces all of the metadata.
#[utoipa::path(
    put, path = "/admin/api/clients/{id}",
    params(("id" = String, Path, description = "The client's id")),
    request_body(content = ClientMetadata, content_type = "application/json"),
    responses((status = 200, description = "The client", body = ClientView), BadBody, NotAdmin, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(in crate::http) async fn update(
    State(app): State<AppState>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<ClientView>, Problem> {
    let by = authenticate(&app, &headers).await?;
    let client = find(&app, &id).await?;
    let (named, metadata) = read(&body)?;
    if named.is_some_and(|named| named != client.id) {
        return Err(Problem::bad_request("client_id is not the one of the path"));
    }
    app.store.update_client(&client.id, &metadata).await?;
    tracing::info!(client = %client.id, by = by.as_str(), "changed a client");
    Ok(Json(ClientView::from(&find(&app, &id).await?)))
}

/// Disables a client.
#[utoipa::path(
    delete, path = "/admin/api/clients/{id}",
    params(("id" = String, Path, description = "The client's id")),
    responses((status = 200, description = "The client", body = ClientView), NotAdmin, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(in crate::http) async fn disable(
    State(app): State<AppState>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<ClientView>, Problem> {
    let by = authenticate(&app, &headers).await?;
    let client = find(&app, &id).await?;
    let disabled = app.store.disable_client(&client.id, ambient::now()).await?;
    tracing::info!(client = %client.id, by = by.as_str(), "disabled a client");
    disabled.map(|client| Json(ClientView::from(&client))).ok_or_else(Problem::not_found)
}

/// Gives a client another secret; the one it has stays good for a day.
#[utoipa::path(
    post, path = "/admin/api/clients/{id}/secret",
    params(("id" = String, Path, description = "The client's id")),
    responses(
        (status = 200, description = "The client, with its new secret", body = ClientView),
        NotAdmin, NotFound, Conflict,
    ),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(in crate::http) async fn rotate_secret(
    State(app): State<AppState>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<ClientView>, Problem> {
    let by = authenticate(&app, &headers).await?;
    let client = find(&app, &id).await?;
    if !has_secret(&client) {
        return Err(Problem::new(StatusCode::CONFLICT, "the client does not authenticate by a secret"));
    }
    let (secret, now) = (Secret::new(SecretKind::Client, &ambient::random()?), ambient::now());
    let stored = StoredSecret::made(&secret, now);
    app.store.rotate_secret(&client.id, &stored, now.saturating_add(OVERLAP)).await?;
    tracing::info!(client = %client.id, by = by.as_str(), "gave a client another secret");
    let client_secret = Some(secret.reveal().to_owned());
    Ok(Json(ClientView { client_secret, ..ClientView::from(&find(&app, &id).await?) }))
}

fn read(body: &[u8]) -> Result<(Option<ClientId>, ClientMetadata), Problem> {
    let unusable =
        |error: &dyn std::fmt::Display| Problem::bad_request(&format!("the client cannot be registered: {error}"));
    let mut members: Value = serde_json::from_slice(body).map_err(|error| unusable(&error))?;
    let id = members.as_object_mut().and_then(|members| members.remove("client_id"));
    let id = id.map(serde_json::from_value).transpose().map_err(|error| unusable(&error))?;
    let metadata: ClientMetadata = serde_json::from_value(members).map_err(|error| unusable(&error))?;
    Ok((id, metadata.checked().map_err(|error| unusable(&error))?))
}

fn has_secret(client: &Client) -> bool {
    matches!(client.metadata.auth_method, AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost)
}

async fn find(app: &App, id: &str) -> Result<Client, Problem> {
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "there is no client with that id");
    let id: ClientId = id.parse().map_err(|_| unknown())?;
    app.store.client(&id).await?.ok_or_else(unknown)
}
