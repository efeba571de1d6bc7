//! `/admin/api/routes`: the rules of the edges, by path and method.

use axum::Json;
use axum::body::Bytes;
use axum::http::StatusCode;
use serde::Deserialize;
use tollgate_model::{Malformed, OnStale, Route, RouteView, Scope};

use super::request::{Administrator, parse_body};
use crate::openapi::responses::{AdminErrors, BadBody, Conflict, NotFound};
use crate::problem::Problem;

/// A rule; to delete one, its path and methods.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = WantedRule)]
#[serde(deny_unknown_fields)]
struct RouteBody {
    path: String,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    #[schema(value_type = String)]
    scope: Scope,
    #[serde(default)]
    public: bool,
    on_stale: Option<String>,
    on_not_covered: Option<String>,
}

/// Lists all rules.
#[utoipa::path(
    get, path = "/admin/api/routes",
    responses((status = 200, description = "Rules", body = Vec<RouteView>), AdminErrors),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn list(admin: Administrator) -> Result<Json<Vec<RouteView>>, Problem> {
    Ok(Json(admin.commands.list_routes().await?.iter().map(RouteView::from).collect()))
}

/// Adds a rule.
#[utoipa::path(
    post, path = "/admin/api/routes",
    request_body(content = RouteBody, content_type = "application/json"),
    responses((status = 201, description = "The rule", body = RouteView), BadBody, AdminErrors, Conflict),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn create(admin: Administrator, body: Bytes) -> Result<(StatusCode, Json<RouteView>), Problem> {
    let route = parse_route(&body)?;
    admin.commands.create_route(&admin.by, &route).await?;
    Ok((StatusCode::CREATED, Json(RouteView::from(&route))))
}

/// Deletes the rule with this path and these methods.
#[utoipa::path(
    delete, path = "/admin/api/routes",
    request_body(content = RouteBody, content_type = "application/json"),
    responses((status = 204, description = "Deleted"), BadBody, AdminErrors, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn delete(admin: Administrator, body: Bytes) -> Result<StatusCode, Problem> {
    admin.commands.delete_route(&admin.by, &parse_route(&body)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn parse_route(body: &[u8]) -> Result<Route, Problem> {
    let rule: RouteBody = parse_body(body, "a rule")?;
    let invalid = |error: Malformed| Problem::bad_request(&error.to_string());
    let policy = |text: Option<String>| text.map_or(Ok(OnStale::Deny), |text| text.parse()).map_err(invalid);
    let on_stale = policy(rule.on_stale)?;
    let route = Route::new(&rule.path, &rule.methods, rule.scope, rule.public, on_stale).map_err(invalid)?;
    Ok(route.on_not_covered(policy(rule.on_not_covered)?))
}
