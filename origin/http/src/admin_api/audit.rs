//! `/admin/api/audit`: the audit log.

use axum::Json;
use axum::response::Response;
use serde::Serialize;
use tollgate_model::{AuditFilter, AuditView, Malformed};
use tollgate_services::admin::Registry;

use super::audit_export;
use super::request::{AdminQuery, Administrator};
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
pub(crate) async fn list(admin: Administrator, query: AdminQuery) -> Result<Json<AuditPage>, Problem> {
    Ok(Json(page(&admin.commands, &parse_filter(&query)?).await?))
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
pub(crate) async fn export(admin: Administrator, query: AdminQuery) -> Result<Response, Problem> {
    let format = query.get("format").unwrap_or_default().parse::<audit_export::Format>();
    let format = format.map_err(|error| Problem::bad_request(&error.to_string()))?;
    let filter = parse_filter(&query)?;
    audit_export::export(admin.commands.store.clone(), filter, format).await
}

/// A page of the entries that match a filter.
async fn page(registry: &Registry, filter: &AuditFilter) -> Result<AuditPage, Problem> {
    let (found, next) = registry.list_audit_entries(filter).await?;
    Ok(AuditPage { entries: found.into_iter().map(AuditView::from).collect(), next })
}

fn parse_filter(query: &AdminQuery) -> Result<AuditFilter, Problem> {
    let invalid = |error: Malformed| Problem::bad_request(&error.to_string());
    Ok(AuditFilter {
        kind: query.get("kind").map(str::parse).transpose().map_err(invalid)?,
        action: query.get("action").map(str::parse).transpose().map_err(invalid)?,
        actor: query.get("actor").map(str::to_owned),
        target: query.get("target").map(str::to_owned),
        since: query.number("since")?,
        until: query.number("until")?,
        after: query.number("after")?,
        below: query.number("below")?,
        newest_first: query.flag("newest_first")?,
        limit: match query.number("limit")? {
            Some(0) => return Err(Problem::bad_request("limit must be at least 1")),
            limit => limit,
        },
    })
}
