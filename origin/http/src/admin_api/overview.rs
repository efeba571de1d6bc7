//! `/admin/api/overview`: key figures of the origin.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use tollgate_services::admin::Overview;

use super::auth::{AdminApi, authenticate};
use crate::openapi::responses::AdminErrors;
use crate::problem::Problem;

/// Counters of this process in the last hour, edges, and active signing keys.
#[utoipa::path(
    get, path = "/admin/api/overview",
    responses((status = 200, description = "Overview", body = Overview), AdminErrors),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn get(State(api): State<Arc<AdminApi>>, headers: HeaderMap) -> Result<Json<Overview>, Problem> {
    authenticate(&api, &headers).await?;
    Ok(Json(api.commands.overview().await?))
}
