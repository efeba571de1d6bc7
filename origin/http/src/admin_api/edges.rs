//! `/admin/api/edges`: how far the registered edges have come.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use tollgate_model::EdgeView;

use super::auth::authenticate;
use crate::AppState;
use crate::openapi::refusals::NotAdmin;
use crate::problem::Problem;

/// The edges that are pushed to, by name.
#[utoipa::path(
    get, path = "/admin/api/edges",
    responses((status = 200, description = "Edges", body = Vec<EdgeView>), NotAdmin),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn list(State(app): State<AppState>, headers: HeaderMap) -> Result<Json<Vec<EdgeView>>, Problem> {
    authenticate(&app, &headers).await?;
    Ok(Json(app.admin.list_edges().await?.1))
}
