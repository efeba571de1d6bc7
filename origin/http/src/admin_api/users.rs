//! `/admin/api/users`: users and their passwords.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tollgate_model::{UserClaims, UserName, UserView};
use tollgate_services::admin::{NewUser, UserProfile};
use zeroize::Zeroizing;

use super::lists;
use super::request::{AdminQuery, Administrator, parse_body};
use crate::openapi::responses::{AdminErrors, BadBody, BadRequest, Conflict, NotFound};
use crate::problem::Problem;

/// A user to register. Without a password, the user cannot sign in yet.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewUser)]
struct NewUserBody {
    #[schema(value_type = String)]
    name: UserName,
    password: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    claims: Option<Value>,
    external_id: Option<String>,
    #[serde(default)]
    is_admin: bool,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    password: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Administrator)]
struct AdministratorBody {
    is_admin: bool,
}

/// A change of a user.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the body in the OpenAPI document")]
struct UserPatch {
    name: Option<String>,
    #[schema(value_type = Option<Object>)]
    claims: Option<Value>,
    external_id: Option<String>,
    is_admin: Option<bool>,
}

/// Lists users, oldest first. `Link` has the URL of the next page.
#[utoipa::path(
    get, path = "/admin/api/users",
    params(
        ("search" = Option<String>, Query, description = "Part of a name or ID"),
        ("after" = Option<String>, Query, description = "Users after this ID"),
        ("limit" = Option<u64>, Query, description = "Page size, 1 to 1000"),
    ),
    responses(
        (status = 200, description = "A page", body = Vec<UserView>, headers(("Link" = String))),
        BadRequest, AdminErrors,
    ),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn list(admin: Administrator, query: AdminQuery) -> Result<(HeaderMap, Json<Vec<UserView>>), Problem> {
    let search = lists::parse_search(&query)?;
    let users = admin.commands.search_users(&search).await?;
    let last = users.last().map(|user| user.id.as_str());
    let next = lists::next_page_link(&admin.issuer, "/admin/api/users", &search, users.len(), last);
    Ok((next, Json(users.iter().map(UserView::from).collect())))
}

/// Registers a user.
#[utoipa::path(
    post, path = "/admin/api/users",
    request_body(content = NewUserBody, content_type = "application/json"),
    responses((status = 201, description = "The user", body = UserView), BadBody, AdminErrors, Conflict),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn create(admin: Administrator, body: Bytes) -> Result<(StatusCode, Json<UserView>), Problem> {
    let new: NewUserBody = parse_body(&body, "a user")?;
    let claims = UserClaims::parse(&new.claims.map_or_else(|| "{}".to_owned(), |claims| claims.to_string()));
    let user = NewUser {
        name: new.name,
        password: new.password.map(Zeroizing::new),
        claims: claims.map_err(|error| Problem::bad_request(&error.to_string()))?,
        external_id: new.external_id,
        is_admin: new.is_admin,
    };
    let user = admin.commands.create_user(&admin.by, user).await?;
    Ok((StatusCode::CREATED, Json(UserView::from(&user))))
}

/// Shows a user.
#[utoipa::path(
    get, path = "/admin/api/users/{id}",
    params(("id" = String, Path, description = "User ID")),
    responses((status = 200, description = "The user", body = UserView), AdminErrors, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn show(admin: Administrator, Path(id): Path<String>) -> Result<Json<UserView>, Problem> {
    Ok(Json(UserView::from(&admin.commands.get_user(&id).await?)))
}

/// Changes single members of a user.
///
/// The body is a merge patch (RFC 7396): a member that it lacks stays as it is, `null` removes a
/// claim or the external ID. Concurrent changes of other members are kept.
#[utoipa::path(
    patch, path = "/admin/api/users/{id}",
    params(("id" = String, Path, description = "User ID")),
    request_body(content = UserPatch, content_type = "application/json"),
    responses((status = 200, description = "The user", body = UserView), BadBody, AdminErrors, NotFound, Conflict),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn patch(
    admin: Administrator,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<UserView>, Problem> {
    let patch: Value = parse_body(&body, "a change of a user")?;
    let change = |profile: &UserProfile| profile.patched(patch.clone());
    Ok(Json(UserView::from(&admin.commands.change_user(&admin.by, &id, change).await?)))
}

/// Sets the password of a user and ends all of their browser sessions.
#[utoipa::path(
    put, path = "/admin/api/users/{id}/password",
    params(("id" = String, Path, description = "User ID")),
    request_body(content = NewPassword, content_type = "application/json"),
    responses((status = 204, description = "Password set"), BadBody, AdminErrors, NotFound, Conflict),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn set_password(
    admin: Administrator,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let user = admin.commands.get_user(&id).await?;
    let new: NewPassword = parse_body(&body, "a password")?;
    admin.commands.set_password(&admin.by, &user, Zeroizing::new(new.password)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Disables a user and revokes their grants.
#[utoipa::path(
    delete, path = "/admin/api/users/{id}",
    params(("id" = String, Path, description = "User ID")),
    responses((status = 200, description = "The user", body = UserView), AdminErrors, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn disable(admin: Administrator, Path(id): Path<String>) -> Result<Json<UserView>, Problem> {
    let user = admin.commands.get_user(&id).await?;
    Ok(Json(UserView::from(&admin.commands.disable_user(&admin.by, &user).await?)))
}

/// Enables a disabled user.
#[utoipa::path(
    post, path = "/admin/api/users/{id}/enable",
    params(("id" = String, Path, description = "User ID")),
    responses((status = 200, description = "The user", body = UserView), AdminErrors, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn enable(admin: Administrator, Path(id): Path<String>) -> Result<Json<UserView>, Problem> {
    let user = admin.commands.get_user(&id).await?;
    Ok(Json(UserView::from(&admin.commands.enable_user(&admin.by, &user).await?)))
}

/// Grants or withdraws the right to use the console.
#[utoipa::path(
    put, path = "/admin/api/users/{id}/admin",
    params(("id" = String, Path, description = "User ID")),
    request_body(content = AdministratorBody, content_type = "application/json"),
    responses((status = 200, description = "The user", body = UserView), BadBody, AdminErrors, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn set_admin(
    admin: Administrator,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<UserView>, Problem> {
    let user = admin.commands.get_user(&id).await?;
    let requested: AdministratorBody = parse_body(&body, "a role")?;
    Ok(Json(UserView::from(&admin.commands.set_admin(&admin.by, &user, requested.is_admin).await?)))
}
