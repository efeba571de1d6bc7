//! `/admin/api/resources`: resource servers and descriptions of their scope values.

use axum::Json;
use axum::body::Bytes;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_model::{Audience, Resource, Verifier};
use tollgate_services::admin::{patch_resource, resource_version};

use super::request::{AdminQuery, Administrator, parse_body};
use crate::openapi::responses::{AdminErrors, BadBody, BadRequest, Conflict, NotFound};
use crate::problem::Problem;

/// A registered resource server.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = RegisteredResource)]
pub(crate) struct ResourceView {
    #[serde(flatten)]
    resource: Resource,
    /// Changes with every change of the resource server. Send it back in `PUT` or `PATCH` to be
    /// refused if somebody else has changed the resource server meanwhile.
    version: String,
}

impl From<Resource> for ResourceView {
    fn from(resource: Resource) -> ResourceView {
        ResourceView { version: resource_version(&resource), resource }
    }
}

/// A resource server to register.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = ResourceRequest)]
struct ResourceRequest {
    #[serde(flatten)]
    resource: Resource,
    /// What verifies its tokens: `edge`, `generic`, `spring`, `node`, `python` or `dotnet`.
    /// Replaces algorithm, type and format.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    verifier: Option<Verifier>,
    /// The version to replace, as it was read; without it, whatever is registered is replaced.
    #[serde(default)]
    version: Option<String>,
}

/// Description of a scope value.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ScopeWords)]
struct ScopeDescription {
    /// Audience of the resource server.
    #[schema(value_type = String)]
    audience: Audience,
    value: String,
    /// Description on the consent page.
    words: String,
}

/// Lists resource servers.
#[utoipa::path(
    get, path = "/admin/api/resources",
    responses((status = 200, description = "Resource servers", body = Vec<ResourceView>), AdminErrors),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn list(admin: Administrator) -> Result<Json<Vec<ResourceView>>, Problem> {
    Ok(Json(admin.commands.list_resources().await?.into_iter().map(ResourceView::from).collect()))
}

/// Registers or replaces the resource server of an audience.
///
/// With the `version` that was read, a resource server that somebody else has changed since is not
/// replaced (409).
#[utoipa::path(
    put, path = "/admin/api/resources",
    request_body(content = ResourceRequest, content_type = "application/json"),
    responses((status = 200, description = "The resource server", body = ResourceView), BadBody, AdminErrors, NotFound, Conflict),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn put(admin: Administrator, body: Bytes) -> Result<Json<ResourceView>, Problem> {
    let ResourceRequest { mut resource, verifier, version } = parse_body(&body, "a resource server")?;
    if let Some(verifier) = verifier {
        resource.tokens = resource.tokens.with_preset(verifier);
    }
    let saved = match version {
        Some(version) => admin.commands.replace_resource(&admin.by, resource, &version).await?,
        None => admin.commands.save_resource(&admin.by, resource).await?,
    };
    Ok(Json(saved.into()))
}

/// Changes single members of a resource server.
///
/// The body is a merge patch (RFC 7396): a member that it lacks stays as it is, `null` removes a
/// scope value or the client that introspects. Concurrent changes of other members are kept, or
/// refused (409) if the patch has the `version` that was read.
#[utoipa::path(
    patch, path = "/admin/api/resources",
    params(("audience" = String, Query, description = "Audience of the resource server")),
    request_body(content = ResourceRequest, content_type = "application/json"),
    responses((status = 200, description = "The resource server", body = ResourceView), BadBody, AdminErrors, NotFound, Conflict),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn patch(admin: Administrator, query: AdminQuery, body: Bytes) -> Result<Json<ResourceView>, Problem> {
    let audience = query.required("audience")?;
    let patch: Value = parse_body(&body, "a change of a resource server")?;
    let change = |resource: &Resource| patch_resource(resource, patch.clone());
    Ok(Json(admin.commands.change_resource(&admin.by, audience, change).await?.into()))
}

/// Deletes a resource server.
#[utoipa::path(
    delete, path = "/admin/api/resources",
    params(("audience" = String, Query, description = "Audience of the resource server")),
    responses((status = 204, description = "Deleted"), BadRequest, AdminErrors, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn delete(admin: Administrator, query: AdminQuery) -> Result<StatusCode, Problem> {
    let audience = query.required("audience")?;
    admin.commands.delete_resource(&admin.by, audience).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets the description of one scope value of a resource server.
#[utoipa::path(
    put, path = "/admin/api/resources/scopes",
    request_body(content = ScopeDescription, content_type = "application/json"),
    responses((status = 200, description = "The resource server", body = ResourceView), BadBody, AdminErrors, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn set_scope(admin: Administrator, body: Bytes) -> Result<Json<ResourceView>, Problem> {
    let scope: ScopeDescription = parse_body(&body, "a scope description")?;
    let described =
        admin.commands.set_scope_description(&admin.by, &scope.audience, &scope.value, &scope.words).await?;
    Ok(Json(described.into()))
}

/// Deletes the description of one scope value of a resource server.
#[utoipa::path(
    delete, path = "/admin/api/resources/scopes",
    params(
        ("audience" = String, Query, description = "Audience of the resource server"),
        ("value" = String, Query, description = "Scope value"),
    ),
    responses((status = 204, description = "Deleted"), BadRequest, AdminErrors, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn delete_scope(admin: Administrator, query: AdminQuery) -> Result<StatusCode, Problem> {
    let (audience, value) = (query.required("audience")?, query.required("value")?);
    admin.commands.delete_scope_description(&admin.by, audience, value).await?;
    Ok(StatusCode::NO_CONTENT)
}
