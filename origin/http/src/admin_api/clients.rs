//! `/admin/api/clients`: registering, showing, changing, disabling and enabling clients, and their
//! secrets.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tollgate_model::{Client, ClientId, ClientMetadata, ClientView, Secret, text};
use tollgate_services::admin::{invalid_client, parse_client_metadata};
use zeroize::Zeroizing;

use super::auth::authenticate;
use super::lists;
use crate::AppState;
use crate::openapi::refusals::{BadBody, BadRequest, Conflict, NotAdmin, NotFound};
use crate::problem::Problem;

/// A secret that somebody chose.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ChosenSecret {
    client_secret: String,
}

/// The clients, the oldest first. `Link` leads to the next page, if there may be one.
#[utoipa::path(
    get, path = "/admin/api/clients",
    params(
        ("search" = Option<String>, Query, description = "Part of a name or an id"),
        ("after" = Option<String>, Query, description = "Those after the one with this id"),
        ("limit" = Option<u64>, Query, description = "1 to 1000"),
    ),
    responses(
        (status = 200, description = "A page", body = Vec<ClientView>, headers(("Link" = String))),
        BadRequest, NotAdmin,
    ),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<(HeaderMap, Json<Vec<ClientView>>), Problem> {
    authenticate(&app, &headers).await?;
    let search = lists::asked(query.as_deref())?;
    let found = app.admin.search_clients(&search).await?;
    let last = found.last().map(|client| client.id.as_str());
    let next = lists::next(&app, "/admin/api/clients", &search, found.len(), last);
    Ok((next, Json(found.iter().map(ClientView::from).collect())))
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
pub(crate) async fn create(
    State(app): State<AppState>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<ClientView>), Problem> {
    let by = authenticate(&app, &headers).await?;
    let (id, metadata) = read(&body)?;
    let (client, secret) = app.admin.create_client(&by, id, metadata).await?;
    Ok((StatusCode::CREATED, Json(view(&client, secret.as_ref()))))
}

/// One client.
#[utoipa::path(
    get, path = "/admin/api/clients/{id}",
    params(("id" = String, Path, description = "The client's id")),
    responses((status = 200, description = "The client", body = ClientView), NotAdmin, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn show(
    State(app): State<AppState>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<ClientView>, Problem> {
    authenticate(&app, &headers).await?;
    Ok(Json(ClientView::from(&app.admin.get_client(&id).await?)))
}

/// Replaces all of the metadata.
#[utoipa::path(
    put, path = "/admin/api/clients/{id}",
    params(("id" = String, Path, description = "The client's id")),
    request_body(content = ClientMetadata, content_type = "application/json"),
    responses((status = 200, description = "The client", body = ClientView), BadBody, NotAdmin, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn update(
    State(app): State<AppState>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<ClientView>, Problem> {
    let by = authenticate(&app, &headers).await?;
    let client = app.admin.get_client(&id).await?;
    let (named, metadata) = read(&body)?;
    if named.is_some_and(|named| named != client.id) {
        return Err(Problem::bad_request("client_id is not the one of the path"));
    }
    Ok(Json(ClientView::from(&app.admin.update_client(&by, &client, &metadata).await?)))
}

/// Disables a client.
#[utoipa::path(
    delete, path = "/admin/api/clients/{id}",
    params(("id" = String, Path, description = "The client's id")),
    responses((status = 200, description = "The client", body = ClientView), NotAdmin, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn disable(
    State(app): State<AppState>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<ClientView>, Problem> {
    let by = authenticate(&app, &headers).await?;
    let client = app.admin.get_client(&id).await?;
    Ok(Json(ClientView::from(&app.admin.disable_client(&by, &client).await?)))
}

/// Lets a client that was disabled authenticate again. What was revoked stays revoked.
#[utoipa::path(
    post, path = "/admin/api/clients/{id}/enable",
    params(("id" = String, Path, description = "The client's id")),
    responses((status = 200, description = "The client", body = ClientView), NotAdmin, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn enable(
    State(app): State<AppState>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<ClientView>, Problem> {
    let by = authenticate(&app, &headers).await?;
    let client = app.admin.get_client(&id).await?;
    Ok(Json(ClientView::from(&app.admin.enable_client(&by, &client).await?)))
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
pub(crate) async fn rotate_secret(
    State(app): State<AppState>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<ClientView>, Problem> {
    let by = authenticate(&app, &headers).await?;
    let client = app.admin.get_client(&id).await?;
    let (client, secret) = app.admin.rotate_client_secret(&by, &client).await?;
    Ok(Json(view(&client, Some(&secret))))
}

/// Gives a client a secret that somebody chose, 16 to 256 printable ASCII characters; the one it
/// has stays good for a day.
#[utoipa::path(
    put, path = "/admin/api/clients/{id}/secret",
    params(("id" = String, Path, description = "The client's id")),
    request_body(content = ChosenSecret, content_type = "application/json"),
    responses((status = 200, description = "The client", body = ClientView), BadBody, NotAdmin, NotFound, Conflict),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn choose_secret(
    State(app): State<AppState>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<ClientView>, Problem> {
    let by = authenticate(&app, &headers).await?;
    let client = app.admin.get_client(&id).await?;
    let chosen: ChosenSecret = text::json(&body).map_err(|error| invalid_client(&error))?;
    let chosen = Zeroizing::new(chosen.client_secret);
    Ok(Json(ClientView::from(&app.admin.set_client_secret(&by, &client, chosen).await?)))
}

/// A client with its secret, the one time it is shown.
fn view(client: &Client, secret: Option<&Secret>) -> ClientView {
    let client_secret = secret.map(|secret| secret.reveal().to_owned());
    ClientView { client_secret, ..ClientView::from(client) }
}

fn read(body: &[u8]) -> Result<(Option<ClientId>, ClientMetadata), Problem> {
    let mut members: Value = text::json(body).map_err(|error| invalid_client(&error))?;
    let id = members.as_object_mut().and_then(|members| members.remove("client_id"));
    let id = id.map(serde_json::from_value).transpose().map_err(|error| invalid_client(&error))?;
    Ok((id, parse_client_metadata(members)?))
}
