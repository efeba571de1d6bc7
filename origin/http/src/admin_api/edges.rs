//! `/admin/api/edges`: registered edges and their sync progress.

use axum::Json;
use tollgate_model::EdgeView;

use super::request::Administrator;
use crate::openapi::responses::AdminErrors;
use crate::problem::Problem;

/// Lists registered edges with their sync progress, by name.
#[utoipa::path(
    get, path = "/admin/api/edges",
    responses((status = 200, description = "Edges", body = Vec<EdgeView>), AdminErrors),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn list(admin: Administrator) -> Result<Json<Vec<EdgeView>>, Problem> {
    Ok(Json(admin.commands.list_edges().await?.1))
}
