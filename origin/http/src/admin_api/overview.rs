//! `/admin/api/overview`: key figures of the origin.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use tollgate_services::admin::Overview;

use super::auth::authenticate;
use crate::AppState;
use crate::openapi::responses::AdminErrors;
use crate::problem::Problem;

/// Counters of this process in the last hour, edges, and active signing keys.
#[utoipa::path(
    get, path = "/admin/api/overview",
    responses((status = 200, description = "Overview", body = Overview), AdminErrors),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn get(State(app): State<AppState>, headers: HeaderMap) -> Result<Json<Overview>, Problem> {
    authenticate(&app, &headers).await?;
    Ok(Json(app.admin.overview().await?))
}
