//! `/admin/api/audit`: who did what.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use tollgate_model::{AuditFilter, AuditView, Malformed};
use tollgate_storage::MAX_AUDIT_PAGE;

use super::audit_export;
use super::auth::authenticate;
use crate::oauth::parameters::Parameters;
use crate::openapi::refusals::{AuditFile, BadRequest, NotAdmin};
use crate::problem::Problem;
use crate::{App, AppState};

/// A page of the audit log.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct AuditPage {
    pub(crate) entries: Vec<AuditView>,
    /// What to give as `after` for the next page, or as `below` with the newest first; none when
    /// this is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<u64>,
}

/// The lines of the audit log that the query lets through.
#[utoipa::path(
    get, path = "/admin/api/audit",
    params(
        ("kind" = Option<String>, Query, description = "About this kind alone, such as client or user"),
        ("action" = Option<String>, Query, description = "Of this action alone, such as create or revoke"),
        ("actor" = Option<String>, Query, description = "By this actor alone, such as cli:alice"),
        ("target" = Option<String>, Query, description = "About what has this name alone"),
        ("since" = Option<u64>, Query, description = "Of this Unix second or later"),
        ("until" = Option<u64>, Query, description = "Of this Unix second or earlier"),
        ("after" = Option<u64>, Query, description = "Those after this number"),
        ("below" = Option<u64>, Query, description = "Those before this number"),
        ("newest_first" = Option<bool>, Query, description = "The newest first"),
        ("limit" = Option<u64>, Query, description = "So many at most, up to 1000"),
    ),
    responses((status = 200, description = "A page", body = AuditPage), BadRequest, NotAdmin),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn audit(
    State(app): State<AppState>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<AuditPage>, Problem> {
    authenticate(&app, &headers).await?;
    let query = Parameters::from_form(query.as_deref().unwrap_or_default()).and_then(Parameters::storable);
    let query = query.map_err(|error| Problem::bad_request(&error.to_string()))?;
    Ok(Json(page(&app, &filter(&query)?).await?))
}

/// All lines that the query lets through, the oldest first, as a file.
#[utoipa::path(
    get, path = "/admin/api/audit/export",
    params(
        ("format" = String, Query, description = "jsonl or csv"),
        ("kind" = Option<String>, Query, description = "About this kind alone, such as client or user"),
        ("action" = Option<String>, Query, description = "Of this action alone, such as create or revoke"),
        ("actor" = Option<String>, Query, description = "By this actor alone, such as cli:alice"),
        ("target" = Option<String>, Query, description = "About what has this name alone"),
        ("since" = Option<u64>, Query, description = "Of this Unix second or later"),
        ("until" = Option<u64>, Query, description = "Of this Unix second or earlier"),
    ),
    responses(AuditFile, BadRequest, NotAdmin),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn export(
    State(app): State<AppState>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    authenticate(&app, &headers).await?;
    let query = Parameters::from_form(query.as_deref().unwrap_or_default()).and_then(Parameters::storable);
    let query = query.map_err(|error| Problem::bad_request(&error.to_string()))?;
    let format = query.get("format").unwrap_or_default().parse::<audit_export::Format>();
    let format = format.map_err(|error| Problem::bad_request(&error.to_string()))?;
    let filter = filter(&query)?;
    audit_export::export(app, filter, format).await
}

/// The page that a filter asks for.
pub(crate) async fn page(app: &App, filter: &AuditFilter) -> Result<AuditPage, Problem> {
    let found = app.store.list_audit_entries(filter).await?;
    let full = filter.limit.unwrap_or(MAX_AUDIT_PAGE).min(MAX_AUDIT_PAGE);
    let next = found.last().filter(|_| found.len() as u64 == full).map(|entry| entry.number);
    Ok(AuditPage { entries: found.into_iter().map(AuditView::from).collect(), next })
}

/// The filter that a query describes. An empty value, as forms send it, is none.
pub(crate) fn filter(query: &Parameters) -> Result<AuditFilter, Problem> {
    let given = |name: &str| query.get(name).filter(|value| !value.is_empty());
    let number = |name: &str| {
        let number = given(name).map(str::parse::<u64>).transpose();
        number.map_err(|_| Problem::bad_request(&format!("{name} must be a whole number")))
    };
    let unknown = |error: Malformed| Problem::bad_request(&error.to_string());
    Ok(AuditFilter {
        kind: given("kind").map(str::parse).transpose().map_err(unknown)?,
        action: given("action").map(str::parse).transpose().map_err(unknown)?,
        actor: given("actor").map(str::to_owned),
        target: given("target").map(str::to_owned),
        since: number("since")?,
        until: number("until")?,
        after: number("after")?,
        below: number("below")?,
        newest_first: match given("newest_first") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Problem::bad_request("newest_first must be true or false")),
        },
        limit: match number("limit")? {
            Some(0) => return Err(Problem::bad_request("limit must be at least 1")),
            limit => limit,
        },
    })
}
