//! `GET /oauth/status/{list}` and `GET /oauth/status`: what is revoked, for verifiers of others
//! (draft-ietf-oauth-status-list, sections 8 and 9). Public, as the draft has it: a list says
//! nothing to whom no token is known.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tollgate_services::status_lists::{MEDIA_TYPE, STATUS_LIST_TTL};

use super::AppState;
use super::edge_api::snapshot::held;
use super::oauth::parameters::Parameters;
use super::problem::Problem;
use crate::openapi::refusals::{BadRequest, NotFound, Unavailable};
use crate::{header_list, problem};

/// Section 9.3.
#[derive(Serialize, utoipa::ToSchema)]
struct Aggregation {
    status_lists: Vec<String>,
}

/// The status of tokens (draft-ietf-oauth-status-list).
#[utoipa::path(
    get, path = "/oauth/status/{list}",
    params(("list" = String, Path, description = "The list's number")),
    responses(
        (status = 200, description = "The list, signed", body = String, content_type = "application/statuslist+jwt"),
        (status = 304, description = "It is the one held"),
        BadRequest, NotFound, Unavailable,
        (
            status = 406,
            description = "It is wanted in another form",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
        (
            status = 501,
            description = "A list of the past (`time`) is wanted",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
        (
            status = 500,
            description = "What is there cannot be read",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(super) async fn get(
    State(app): State<AppState>,
    Path(list): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Parameters::from_form(query.as_deref().unwrap_or_default());
    let query = query.map_err(|error| Problem::bad_request(&error.to_string()))?;
    if query.get("time").is_some() {
        // Section 8.4: who asks for the past and gets the present must not mistake it.
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "lists of the past are not kept"));
    }
    if !accepts(&headers) {
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "status lists are application/statuslist+jwt here"));
    }
    // One text a list: "07" would be another cache key for the same thing.
    let number = list.parse::<u64>().ok().filter(|number| number.to_string() == list).ok_or_else(Problem::not_found)?;
    let signed = app.status_lists.get(number, app.clock.now()).await?.ok_or_else(Problem::not_found)?;
    let common = [
        (CACHE_CONTROL, format!("public, max-age={STATUS_LIST_TTL}")),
        (VARY, "accept, accept-encoding".to_owned()),
        // Section 8.1: browsers verify tokens too.
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned()),
    ];
    if let Some(held) = held(&headers, &signed.etag) {
        return Ok((StatusCode::NOT_MODIFIED, common, [(ETAG, held)]).into_response());
    }
    Ok((common, [(CONTENT_TYPE, MEDIA_TYPE)], [(ETAG, signed.etag.clone())], signed.token.clone()).into_response())
}

/// The status lists there are.
#[utoipa::path(
    get, path = "/oauth/status",
    responses(
        (status = 200, description = "Their addresses", body = Aggregation),
        Unavailable,
        (
            status = 500,
            description = "What is there cannot be read",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(super) async fn all(State(app): State<AppState>) -> Result<impl IntoResponse, Problem> {
    let status_lists = app.status_lists.list_uris().await?;
    let headers =
        [(CACHE_CONTROL, format!("public, max-age={STATUS_LIST_TTL}")), (ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned())];
    Ok((headers, Json(Aggregation { status_lists })))
}

/// Whether the request takes a list as JWT. Without the header it takes anything (RFC 9110 section
/// 12.5.1).
fn accepts(headers: &HeaderMap) -> bool {
    let takes = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused = parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        !refused && matches!(essence.as_str(), "*/*" | "application/*" | MEDIA_TYPE)
    };
    !headers.contains_key(ACCEPT) || header_list::members(headers, ACCEPT).any(takes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_is_read_as_media_ranges() {
        let accepts = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, text.parse().expect("a header"));
            accepts(&headers)
        };
        assert!(super::accepts(&HeaderMap::new()));
        for text in
            ["*/*", "application/*", "application/statuslist+jwt", "text/html, Application/StatusList+JWT;q=0.5"]
        {
            assert!(accepts(text), "{text}");
        }
        for text in ["application/statuslist+cwt", "text/html", "*/*;q=0", ""] {
            assert!(!accepts(text), "{text}");
        }
    }
}
