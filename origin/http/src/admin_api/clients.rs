//! `/admin/api/clients`: clients and their secrets.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tollgate_model::client::secret_warning;
use tollgate_model::{Client, ClientId, ClientMetadata, ClientView, Secret, text};
use tollgate_services::admin::{
    NewSecret, RefusalView, SECRET_OVERLAP, invalid_client, parse_client_metadata, patch_client_metadata,
};
use zeroize::Zeroizing;

use super::lists;
use super::request::{AdminQuery, Administrator};
use crate::openapi::responses::{AdminErrors, BadBody, BadRequest, Conflict, NotFound};
use crate::problem::Problem;

/// A secret chosen by the administrator.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ChosenSecret {
    client_secret: String,
}

/// Lists clients, oldest first. `Link` has the URL of the next page.
#[utoipa::path(
    get, path = "/admin/api/clients",
    params(
        ("search" = Option<String>, Query, description = "Part of a name or ID"),
        ("after" = Option<String>, Query, description = "Clients after this ID"),
        ("limit" = Option<u64>, Query, description = "Page size, 1 to 1000"),
    ),
    responses(
        (status = 200, description = "A page", body = Vec<ClientView>, headers(("Link" = String))),
        BadRequest, AdminErrors,
    ),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn list(
    admin: Administrator,
    query: AdminQuery,
) -> Result<(HeaderMap, Json<Vec<ClientView>>), Problem> {
    let search = lists::parse_search(&query)?;
    let clients = admin.commands.search_clients(&search).await?;
    let last = clients.last().map(|client| client.id.as_str());
    let next = lists::next_page_link(&admin.issuer, "/admin/api/clients", &search, clients.len(), last);
    Ok((next, Json(clients.iter().map(ClientView::from).collect())))
}

/// Registers a client.
///
/// The body is client metadata (RFC 7591), optionally with a `client_id`.
#[utoipa::path(
    post, path = "/admin/api/clients",
    request_body(content = ClientMetadata, content_type = "application/json"),
    responses(
        (status = 201, description = "The client, with its secret", body = ClientView),
        BadBody, AdminErrors, Conflict,
    ),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn create(admin: Administrator, body: Bytes) -> Result<(StatusCode, Json<ClientView>), Problem> {
    let (id, metadata) = parse_client(&body)?;
    let (client, secret) = admin.commands.create_client(&admin.by, id, metadata, NewSecret::Generated).await?;
    Ok((StatusCode::CREATED, Json(view_with_secret(&client, secret.as_ref()))))
}

/// Shows a client.
#[utoipa::path(
    get, path = "/admin/api/clients/{id}",
    params(("id" = String, Path, description = "Client ID")),
    responses((status = 200, description = "The client", body = ClientView), AdminErrors, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn show(admin: Administrator, Path(id): Path<String>) -> Result<Json<ClientView>, Problem> {
    Ok(Json(ClientView::from(&admin.commands.get_client(&id).await?)))
}

/// Replaces all metadata of a client.
#[utoipa::path(
    put, path = "/admin/api/clients/{id}",
    params(("id" = String, Path, description = "Client ID")),
    request_body(content = ClientMetadata, content_type = "application/json"),
    responses((status = 200, description = "The client", body = ClientView), BadBody, AdminErrors, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn update(
    admin: Administrator,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<ClientView>, Problem> {
    let client = admin.commands.get_client(&id).await?;
    let (named_id, metadata) = parse_client(&body)?;
    if named_id.is_some_and(|id| id != client.id) {
        return Err(Problem::bad_request("client_id differs from the client ID in the path"));
    }
    Ok(Json(ClientView::from(&admin.commands.update_client(&admin.by, &client, &metadata).await?)))
}

/// Changes single members of a client's metadata.
///
/// The body is a merge patch (RFC 7396): a member that it lacks stays as it is, `null` resets a
/// member to its default, a list replaces the list. Concurrent changes of other members are kept.
#[utoipa::path(
    patch, path = "/admin/api/clients/{id}",
    params(("id" = String, Path, description = "Client ID")),
    request_body(content = ClientMetadata, content_type = "application/json"),
    responses((status = 200, description = "The client", body = ClientView), BadBody, AdminErrors, NotFound, Conflict),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn patch(
    admin: Administrator,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<ClientView>, Problem> {
    let patch: Value = text::json(&body).map_err(|error| invalid_client(&error))?;
    let change = |metadata: &ClientMetadata| patch_client_metadata(metadata, patch.clone());
    Ok(Json(ClientView::from(&admin.commands.change_client(&admin.by, &id, change).await?)))
}

/// Disables a client.
#[utoipa::path(
    delete, path = "/admin/api/clients/{id}",
    params(("id" = String, Path, description = "Client ID")),
    responses((status = 200, description = "The client", body = ClientView), AdminErrors, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn disable(admin: Administrator, Path(id): Path<String>) -> Result<Json<ClientView>, Problem> {
    let client = admin.commands.get_client(&id).await?;
    Ok(Json(ClientView::from(&admin.commands.disable_client(&admin.by, &client).await?)))
}

/// Enables a disabled client. Its revoked tokens stay revoked.
#[utoipa::path(
    post, path = "/admin/api/clients/{id}/enable",
    params(("id" = String, Path, description = "Client ID")),
    responses((status = 200, description = "The client", body = ClientView), AdminErrors, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn enable(admin: Administrator, Path(id): Path<String>) -> Result<Json<ClientView>, Problem> {
    let client = admin.commands.get_client(&id).await?;
    Ok(Json(ClientView::from(&admin.commands.enable_client(&admin.by, &client).await?)))
}

/// Generates another secret for a client. The previous one stays valid for a day.
#[utoipa::path(
    post, path = "/admin/api/clients/{id}/secret",
    params(("id" = String, Path, description = "Client ID")),
    responses(
        (status = 200, description = "The client, with its new secret", body = ClientView),
        AdminErrors, NotFound, Conflict,
    ),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn rotate_secret(admin: Administrator, Path(id): Path<String>) -> Result<Json<ClientView>, Problem> {
    let client = admin.commands.get_client(&id).await?;
    let (client, secret) = admin.commands.rotate_client_secret(&admin.by, &client, SECRET_OVERLAP).await?;
    Ok(Json(view_with_secret(&client, secret.as_ref())))
}

/// Sets a chosen secret of 16 to 256 printable ASCII characters. The previous one stays valid for a
/// day.
#[utoipa::path(
    put, path = "/admin/api/clients/{id}/secret",
    params(("id" = String, Path, description = "Client ID")),
    request_body(content = ChosenSecret, content_type = "application/json"),
    responses((status = 200, description = "The client", body = ClientView), BadBody, AdminErrors, NotFound, Conflict),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn set_secret(
    admin: Administrator,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<ClientView>, Problem> {
    let client = admin.commands.get_client(&id).await?;
    let chosen: ChosenSecret = text::json(&body).map_err(|error| invalid_client(&error))?;
    let chosen = Zeroizing::new(chosen.client_secret);
    let warnings = secret_warning(&chosen).map(str::to_owned).into_iter().collect();
    let client = admin.commands.set_client_secret(&admin.by, &client, chosen, SECRET_OVERLAP).await?;
    Ok(Json(ClientView { warnings, ..ClientView::from(&client) }))
}

/// Lists the last refused requests of a client, newest first.
///
/// Each process keeps its own, at most 20 of a client, and forgets them when it stops.
#[utoipa::path(
    get, path = "/admin/api/clients/{id}/refusals",
    params(("id" = String, Path, description = "Client ID")),
    responses((status = 200, description = "Refused requests", body = Vec<RefusalView>), AdminErrors, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn refusals(admin: Administrator, Path(id): Path<String>) -> Result<Json<Vec<RefusalView>>, Problem> {
    Ok(Json(admin.commands.list_refusals(&admin.commands.get_client(&id).await?)))
}

/// A client with its new secret, which is shown only once.
fn view_with_secret(client: &Client, secret: Option<&Secret>) -> ClientView {
    let client_secret = secret.map(|secret| secret.reveal().to_owned());
    ClientView { client_secret, ..ClientView::from(client) }
}

fn parse_client(body: &[u8]) -> Result<(Option<ClientId>, ClientMetadata), Problem> {
    let mut members: Value = text::json(body).map_err(|error| invalid_client(&error))?;
    let id = members.as_object_mut().and_then(|members| members.remove("client_id"));
    let id = id.map(serde_json::from_value).transpose().map_err(|error| invalid_client(&error))?;
    Ok((id, parse_client_metadata(members)?))
}
