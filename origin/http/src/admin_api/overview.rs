//! `/admin/api/overview`: how the origin is doing.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use tollgate_services::admin::Overview;

use super::auth::authenticate;
use crate::AppState;
use crate::openapi::refusals::NotAdmin;
use crate::problem::Problem;

/// What this process counted in the last hour, the edges, and the keys that sign.
#[utoipa::path(
    get, path = "/admin/api/overview",
    responses((status = 200, description = "How it is doing", body = Overview), NotAdmin),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn get(State(app): State<AppState>, headers: HeaderMap) -> Result<Json<Overview>, Problem> {
    authenticate(&app, &headers).await?;
    Ok(Json(app.admin.overview().await?))
}
