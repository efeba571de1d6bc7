//! `/admin/api/routes`: the rules of the edges, by host, path and method.

use axum::Json;
use axum::body::Bytes;
use axum::http::StatusCode;
use tollgate_model::{Malformed, Route, RouteDocument};

use super::request::{Administrator, parse_body};
use crate::openapi::responses::{AdminErrors, BadBody, Conflict, NotFound};
use crate::problem::Problem;

/// Lists all rules.
#[utoipa::path(
    get, path = "/admin/api/routes",
    responses((status = 200, description = "Rules", body = Vec<RouteDocument>), AdminErrors),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn list(admin: Administrator) -> Result<Json<Vec<RouteDocument>>, Problem> {
    Ok(Json(admin.commands.list_routes().await?.iter().map(|route| route.document().clone()).collect()))
}

/// Adds a rule.
#[utoipa::path(
    post, path = "/admin/api/routes",
    request_body(content = RouteDocument, content_type = "application/json"),
    responses((status = 201, description = "The rule", body = RouteDocument), BadBody, AdminErrors, Conflict),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn create(admin: Administrator, body: Bytes) -> Result<(StatusCode, Json<RouteDocument>), Problem> {
    let route = parse_route(&body)?;
    admin.commands.create_route(&admin.by, &route).await?;
    Ok((StatusCode::CREATED, Json(route.document().clone())))
}

/// Deletes the rule with this path, these methods and these hosts.
#[utoipa::path(
    delete, path = "/admin/api/routes",
    request_body(content = RouteDocument, content_type = "application/json"),
    responses((status = 204, description = "Deleted"), BadBody, AdminErrors, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn delete(admin: Administrator, body: Bytes) -> Result<StatusCode, Problem> {
    admin.commands.delete_route(&admin.by, &parse_route(&body)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn parse_route(body: &[u8]) -> Result<Route, Problem> {
    let document: RouteDocument = parse_body(body, "a rule")?;
    Route::try_from(document).map_err(|error: Malformed| Problem::bad_request(&error.to_string()))
}
