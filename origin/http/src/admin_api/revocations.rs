//! `/admin/api/revocations`: revocations. Responses are sent after the commit.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tollgate_core::RevocationKind;
use tollgate_model::RevocationView;
use tollgate_services::admin::{RevocationRequest, parse_reason};
use tollgate_storage::RevocationFilter;

use super::request::{AdminQuery, Administrator, parse_body};
use crate::openapi::responses::{AdminErrors, BadBody, BadRequest, NotFound};
use crate::problem::Problem;

const DEFAULT_PAGE_SIZE: u64 = 100;

/// What to revoke: a kind with a name, a token, or everything issued before a time.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = WantedRevocation)]
#[serde(deny_unknown_fields)]
struct RevocationBody {
    kind: Option<String>,
    name: Option<String>,
    token: Option<String>,
    before: Option<u64>,
    reason: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Revocations)]
pub(crate) struct RevocationsPage {
    revocations: Vec<RevocationView>,
    /// Value of `below` for the next page; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// Revokes tokens.
#[utoipa::path(
    post, path = "/admin/api/revocations",
    request_body(content = RevocationBody, content_type = "application/json"),
    responses(
        (status = 200, description = "Revoked before", body = RevocationView),
        (status = 201, description = "Revoked", body = RevocationView, headers(("Location" = String))),
        BadBody, AdminErrors, NotFound,
    ),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn create(admin: Administrator, body: Bytes) -> Result<Response, Problem> {
    let body: RevocationBody = parse_body(&body, "a revocation")?;
    let RevocationBody { kind, name, token, before, reason } = body;
    let reason = parse_reason(reason.as_deref())?;
    let target = admin.commands.resolve_target(RevocationRequest { kind, name, token, before }).await?;
    let revoked = admin.commands.revoke(admin.commands.prepare_revocation(&admin.by, target, reason).await?).await?;
    let revocation = &revoked.revocation;
    let location = admin.issuer.issuer_path(&format!("/admin/api/revocations/{}", revocation.number));
    let status = if revoked.is_new_to_edges { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = (status, Json(RevocationView::new(revocation, admin.commands.clock.now()))).into_response();
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Lists revocations, newest first.
#[utoipa::path(
    get, path = "/admin/api/revocations",
    params(
        ("kind" = Option<String>, Query, description = "token, session, subject, client, key or everything"),
        ("name" = Option<String>, Query, description = "Only revocations of this name"),
        ("all" = Option<bool>, Query, description = "Include expired and lifted ones"),
        ("below" = Option<u64>, Query, description = "Revocations with a lower number"),
        ("limit" = Option<u64>, Query, description = "Page size, 1 to 1000"),
    ),
    responses((status = 200, description = "A page", body = RevocationsPage), BadRequest, AdminErrors),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn list(admin: Administrator, query: AdminQuery) -> Result<Json<RevocationsPage>, Problem> {
    let kind =
        match query.get("kind") {
            Some(name) => Some(RevocationKind::from_name(name).ok_or_else(|| {
                Problem::bad_request("kind must be token, session, subject, client, key or everything")
            })?),
            None => None,
        };
    let name = query.get("name").map(str::to_owned);
    let listing = RevocationFilter {
        kind,
        name,
        include_inactive: query.flag("all")?,
        below: query.number("below")?,
        limit: query.number("limit")?.unwrap_or(DEFAULT_PAGE_SIZE),
    };
    let (found, next) = admin.commands.list_revocations(&listing).await?;
    let now = admin.commands.clock.now();
    let revocations = found.iter().map(|revocation| RevocationView::new(revocation, now)).collect();
    Ok(Json(RevocationsPage { revocations, next }))
}

/// Shows a revocation.
#[utoipa::path(
    get, path = "/admin/api/revocations/{number}",
    params(("number" = String, Path, description = "Number of the revocation")),
    responses((status = 200, description = "The revocation", body = RevocationView), AdminErrors, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn show(admin: Administrator, Path(number): Path<String>) -> Result<Json<RevocationView>, Problem> {
    Ok(Json(RevocationView::new(&admin.commands.get_revocation(&number).await?, admin.commands.clock.now())))
}

/// Lifts a revocation. One that is lifted already does not change.
#[utoipa::path(
    delete, path = "/admin/api/revocations/{number}",
    params(
        ("number" = String, Path, description = "Number of the revocation"),
        ("reason" = Option<String>, Query, description = "Reason"),
    ),
    responses((status = 200, description = "The revocation", body = RevocationView), BadRequest, AdminErrors, NotFound),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn reinstate(
    admin: Administrator,
    Path(number): Path<String>,
    query: AdminQuery,
) -> Result<Json<RevocationView>, Problem> {
    let reason = parse_reason(query.get("reason"))?;
    let revocation = admin.commands.get_revocation(&number).await?;
    let revocation = admin.commands.reinstate(&admin.by, &revocation, reason).await?;
    Ok(Json(RevocationView::new(&revocation, admin.commands.clock.now())))
}
