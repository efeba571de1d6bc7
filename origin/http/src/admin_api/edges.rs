//! `/admin/api/edges`: registered edges and their sync progress.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use tollgate_model::EdgeView;

use super::auth::{AdminApi, authenticate};
use crate::openapi::responses::AdminErrors;
use crate::problem::Problem;

/// Lists registered edges with their sync progress, by name.
#[utoipa::path(
    get, path = "/admin/api/edges",
    responses((status = 200, description = "Edges", body = Vec<EdgeView>), AdminErrors),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn list(State(api): State<Arc<AdminApi>>, headers: HeaderMap) -> Result<Json<Vec<EdgeView>>, Problem> {
    authenticate(&api, &headers).await?;
    Ok(Json(api.commands.list_edges().await?.1))
}
