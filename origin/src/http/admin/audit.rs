//! `/admin/api/audit`: who did what.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use serde::Serialize;

use super::auth::authenticate;
use crate::domain::AuditView;
use crate::http::AppState;
use crate::http::oauth::parameters::Parameters;
use crate::http::openapi::refusals::{BadRequest, NotAdmin};
use crate::http::problem::Problem;
use crate::store::MAX_AUDIT_PAGE;

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct AuditPage {
    entries: Vec<AuditView>,
    /// What to give as `after` for the next page; none when this is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// The lines after the one with the number `after`, of the Unix second `since` or later.
#[utoipa::path(
    get, path = "/admin/api/audit",
    params(
        ("after" = Option<u64>, Query, description = "Those after this number"),
        ("since" = Option<u64>, Query, description = "Those of this Unix second or later"),
    ),
    responses((status = 200, description = "A page", body = AuditPage), BadRequest, NotAdmin),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(in crate::http) async fn audit(
    State(app): State<AppState>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<AuditPage>, Problem> {
    authenticate(&app, &headers).await?;
    let query = Parameters::from_form(query.as_deref().unwrap_or_default());
    let query = query.map_err(|error| Problem::bad_request(&error.to_string()))?;
    let number = |name: &str| {
        let number = query.get(name).map(str::parse::<u64>).transpose();
        let number = number.map_err(|_| Problem::bad_request(&format!("{name} must be a whole number")));
        number.map(Option::unwrap_or_default)
    };
    let found = app.store.audit(number("after")?, number("since")?).await?;
    let next = found.last().filter(|_| found.len() as u64 == MAX_AUDIT_PAGE).map(|entry| entry.number);
    Ok(Json(AuditPage { entries: found.into_iter().map(AuditView::from).collect(), next }))
}
