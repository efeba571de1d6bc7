//! `/admin/api/users`: registering, showing and disabling users, and their passwords.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tollgate_model::{UserClaims, UserName, UserView, text};
use tollgate_services::admin::NewUser;
use zeroize::Zeroizing;

use super::auth::authenticate;
use super::lists;
use crate::AppState;
use crate::openapi::refusals::{BadBody, BadRequest, Conflict, NotAdmin, NotFound};
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
struct Administrator {
    is_admin: bool,
}

/// The users, the oldest first. `Link` leads to the next page, if there may be one.
#[utoipa::path(
    get, path = "/admin/api/users",
    params(
        ("search" = Option<String>, Query, description = "Part of a name or an id"),
        ("after" = Option<String>, Query, description = "Those after the one with this id"),
        ("limit" = Option<u64>, Query, description = "1 to 1000"),
    ),
    responses(
        (status = 200, description = "A page", body = Vec<UserView>, headers(("Link" = String))),
        BadRequest, NotAdmin,
    ),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<(HeaderMap, Json<Vec<UserView>>), Problem> {
    authenticate(&app, &headers).await?;
    let search = lists::asked(query.as_deref())?;
    let found = app.admin.search_users(&search).await?;
    let last = found.last().map(|user| user.id.as_str());
    let next = lists::next(&app, "/admin/api/users", &search, found.len(), last);
    Ok((next, Json(found.iter().map(UserView::from).collect())))
}

/// Registers a user.
#[utoipa::path(
    post, path = "/admin/api/users",
    request_body(content = NewUserBody, content_type = "application/json"),
    responses((status = 201, description = "The user", body = UserView), BadBody, NotAdmin, Conflict),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn create(
    State(app): State<AppState>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<UserView>), Problem> {
    let by = authenticate(&app, &headers).await?;
    let new: NewUserBody = read(&body)?;
    let claims = UserClaims::parse(&new.claims.map_or_else(|| "{}".to_owned(), |claims| claims.to_string()));
    let user = NewUser {
        name: new.name,
        password: new.password.map(Zeroizing::new),
        claims: claims.map_err(|error| Problem::bad_request(&error.to_string()))?,
        external_id: new.external_id,
        is_admin: new.is_admin,
    };
    let user = app.admin.create_user(&by, user).await?;
    Ok((StatusCode::CREATED, Json(UserView::from(&user))))
}

/// One user.
#[utoipa::path(
    get, path = "/admin/api/users/{id}",
    params(("id" = String, Path, description = "The user's id")),
    responses((status = 200, description = "The user", body = UserView), NotAdmin, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn show(
    State(app): State<AppState>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<UserView>, Problem> {
    authenticate(&app, &headers).await?;
    Ok(Json(UserView::from(&app.admin.get_user(&id).await?)))
}

/// Sets a password, and signs out every browser of the user.
#[utoipa::path(
    put, path = "/admin/api/users/{id}/password",
    params(("id" = String, Path, description = "The user's id")),
    request_body(content = NewPassword, content_type = "application/json"),
    responses((status = 204, description = "It is set"), BadBody, NotAdmin, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn password(
    State(app): State<AppState>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let by = authenticate(&app, &headers).await?;
    let user = app.admin.get_user(&id).await?;
    let new: NewPassword = read(&body)?;
    app.admin.set_password(&by, &user, Zeroizing::new(new.password)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Disables a user, and revokes what they gave.
#[utoipa::path(
    delete, path = "/admin/api/users/{id}",
    params(("id" = String, Path, description = "The user's id")),
    responses((status = 200, description = "The user", body = UserView), NotAdmin, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn disable(
    State(app): State<AppState>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<UserView>, Problem> {
    let by = authenticate(&app, &headers).await?;
    let user = app.admin.get_user(&id).await?;
    Ok(Json(UserView::from(&app.admin.disable_user(&by, &user).await?)))
}

/// Lets a user who was disabled sign in again.
#[utoipa::path(
    post, path = "/admin/api/users/{id}/enable",
    params(("id" = String, Path, description = "The user's id")),
    responses((status = 200, description = "The user", body = UserView), NotAdmin, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn enable(
    State(app): State<AppState>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<UserView>, Problem> {
    let by = authenticate(&app, &headers).await?;
    let user = app.admin.get_user(&id).await?;
    Ok(Json(UserView::from(&app.admin.enable_user(&by, &user).await?)))
}

/// Says whether a user is an administrator, who may use the console.
#[utoipa::path(
    put, path = "/admin/api/users/{id}/admin",
    params(("id" = String, Path, description = "The user's id")),
    request_body(content = Administrator, content_type = "application/json"),
    responses((status = 200, description = "The user", body = UserView), BadBody, NotAdmin, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn set_admin(
    State(app): State<AppState>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<UserView>, Problem> {
    let by = authenticate(&app, &headers).await?;
    let user = app.admin.get_user(&id).await?;
    let wanted: Administrator = read(&body)?;
    Ok(Json(UserView::from(&app.admin.set_admin(&by, &user, wanted.is_admin).await?)))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    text::json(body).map_err(|error| Problem::bad_request(&format!("the body cannot be read: {error}")))
}
