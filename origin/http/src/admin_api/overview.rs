//! `/admin/api/overview`: key figures of the origin.

use axum::Json;
use tollgate_services::admin::Overview;

use super::request::Administrator;
use crate::openapi::responses::AdminErrors;
use crate::problem::Problem;

/// Counters of this process in the last hour, edges, and active signing keys.
#[utoipa::path(
    get, path = "/admin/api/overview",
    responses((status = 200, description = "Overview", body = Overview), AdminErrors),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn get(admin: Administrator) -> Result<Json<Overview>, Problem> {
    Ok(Json(admin.commands.overview().await?))
}
