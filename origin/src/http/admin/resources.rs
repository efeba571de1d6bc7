//! `/admin/api/resources`: resource servers, with the words for their scope values.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};

use super::acts::resources as acts;
use super::auth::authenticate;
use crate::domain::Resource;
use crate::http::AppState;
use crate::http::oauth::parameters::Parameters;
use crate::http::openapi::refusals::{BadBody, BadRequest, NotAdmin, NotFound};
use crate::http::problem::Problem;

/// All resource servers.
#[utoipa::path(
    get, path = "/admin/api/resources",
    responses((status = 200, description = "Resource servers", body = Vec<Resource>), NotAdmin),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(in crate::http) async fn list(
    State(app): State<AppState>,
    headers: HeaderMap,
) -> Result<Json<Vec<Resource>>, Problem> {
    authenticate(&app, &headers).await?;
    Ok(Json(app.store.resources().await?))
}

/// Registers a resource server, or replaces the one of that audience.
#[utoipa::path(
    put, path = "/admin/api/resources",
    request_body(content = Resource, content_type = "application/json"),
    responses((status = 200, description = "The resource server", body = Resource), BadBody, NotAdmin),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(in crate::http) async fn put(
    State(app): State<AppState>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Resource>, Problem> {
    let by = authenticate(&app, &headers).await?;
    let resource: Resource = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(&format!("the body is not a resource server: {error}")))?;
    Ok(Json(acts::put(&app, &by, resource).await?))
}

/// Removes a resource server.
#[utoipa::path(
    delete, path = "/admin/api/resources",
    params(("audience" = String, Query, description = "Its audience")),
    responses((status = 204, description = "It is gone"), BadRequest, NotAdmin, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(in crate::http) async fn delete(
    State(app): State<AppState>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    let by = authenticate(&app, &headers).await?;
    let query = Parameters::from_form(query.as_deref().unwrap_or_default());
    let query = query.map_err(|error| Problem::bad_request(&error.to_string()))?;
    let audience = query.get("audience").ok_or_else(|| Problem::bad_request("audience is missing"))?;
    acts::delete(&app, &by, audience).await?;
    Ok(StatusCode::NO_CONTENT)
}
