//! `/admin/api/audit`: the audit log.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use tollgate_model::{AuditFilter, AuditView, Malformed};
use tollgate_services::admin::Registry;

use super::audit_export;
use super::auth::{AdminApi, authenticate};
use crate::oauth::parameters::Parameters;
use crate::openapi::responses::{AdminErrors, AuditFile, BadRequest};
use crate::problem::Problem;

/// A page of the audit log.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct AuditPage {
    pub(crate) entries: Vec<AuditView>,
    /// Value of `after` for the next page, or of `below` with `newest_first`; none on the last
    /// page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<u64>,
}

/// Entries of the audit log that match the query.
#[utoipa::path(
    get, path = "/admin/api/audit",
    params(
        ("kind" = Option<String>, Query, description = "Only targets of this kind, such as client or user"),
        ("action" = Option<String>, Query, description = "Only this action, such as create or revoke"),
        ("actor" = Option<String>, Query, description = "Only this actor, such as cli:alice"),
        ("target" = Option<String>, Query, description = "Only the target of this name"),
        ("since" = Option<u64>, Query, description = "At or after this Unix second"),
        ("until" = Option<u64>, Query, description = "At or before this Unix second"),
        ("after" = Option<u64>, Query, description = "Entries after this number"),
        ("below" = Option<u64>, Query, description = "Entries before this number"),
        ("newest_first" = Option<bool>, Query, description = "Newest first"),
        ("limit" = Option<u64>, Query, description = "Page size, 1 to 1000"),
    ),
    responses((status = 200, description = "A page", body = AuditPage), BadRequest, AdminErrors),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn list(
    State(api): State<Arc<AdminApi>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<AuditPage>, Problem> {
    authenticate(&api, &headers).await?;
    let query = Parameters::from_form(query.as_deref().unwrap_or_default()).and_then(Parameters::storable);
    let query = query.map_err(|error| Problem::bad_request(&error.to_string()))?;
    Ok(Json(page(&api.commands, &parse_filter(&query)?).await?))
}

/// Downloads all entries that match the query, oldest first.
#[utoipa::path(
    get, path = "/admin/api/audit/export",
    params(
        ("format" = String, Query, description = "jsonl or csv"),
        ("kind" = Option<String>, Query, description = "Only targets of this kind, such as client or user"),
        ("action" = Option<String>, Query, description = "Only this action, such as create or revoke"),
        ("actor" = Option<String>, Query, description = "Only this actor, such as cli:alice"),
        ("target" = Option<String>, Query, description = "Only the target of this name"),
        ("since" = Option<u64>, Query, description = "At or after this Unix second"),
        ("until" = Option<u64>, Query, description = "At or before this Unix second"),
    ),
    responses(AuditFile, BadRequest, AdminErrors),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn export(
    State(api): State<Arc<AdminApi>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    authenticate(&api, &headers).await?;
    let query = Parameters::from_form(query.as_deref().unwrap_or_default()).and_then(Parameters::storable);
    let query = query.map_err(|error| Problem::bad_request(&error.to_string()))?;
    let format = query.get("format").unwrap_or_default().parse::<audit_export::Format>();
    let format = format.map_err(|error| Problem::bad_request(&error.to_string()))?;
    let filter = parse_filter(&query)?;
    audit_export::export(api.commands.store.clone(), filter, format).await
}

/// A page of the entries that match a filter.
async fn page(registry: &Registry, filter: &AuditFilter) -> Result<AuditPage, Problem> {
    let (found, next) = registry.list_audit_entries(filter).await?;
    Ok(AuditPage { entries: found.into_iter().map(AuditView::from).collect(), next })
}

/// Parses the filter. Empty values, as forms send them, count as missing.
pub(crate) fn parse_filter(query: &Parameters) -> Result<AuditFilter, Problem> {
    let value = |name: &str| query.get(name).filter(|value| !value.is_empty());
    let number = |name: &str| {
        let number = value(name).map(str::parse::<u64>).transpose();
        number.map_err(|_| Problem::bad_request(&format!("{name} must be a whole number")))
    };
    let invalid = |error: Malformed| Problem::bad_request(&error.to_string());
    Ok(AuditFilter {
        kind: value("kind").map(str::parse).transpose().map_err(invalid)?,
        action: value("action").map(str::parse).transpose().map_err(invalid)?,
        actor: value("actor").map(str::to_owned),
        target: value("target").map(str::to_owned),
        since: number("since")?,
        until: number("until")?,
        after: number("after")?,
        below: number("below")?,
        newest_first: match value("newest_first") {
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
