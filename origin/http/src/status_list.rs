//! `GET /oauth/status/{list}` and `GET /oauth/status`: token status lists for third-party verifiers
//! (draft-ietf-oauth-status-list §8 and §9). Public, as in the draft: a list says nothing without a
//! token that refers to it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tollgate_services::status_lists::{MEDIA_TYPE, STATUS_LIST_TTL, StatusLists};
use tollgate_system::Clock;

use super::edge_api::snapshot::matching_etag;
use super::oauth::parameters::Parameters;
use super::problem::Problem;
use crate::extract::header_list;
use crate::openapi::responses::{BadRequest, NotFound, Unavailable};
use crate::problem;

/// The issuer's status lists.
pub(super) struct PublishedStatusLists {
    pub(super) lists: StatusLists,
    pub(super) clock: Clock,
}

/// Status list aggregation (§9.3).
#[derive(Serialize, utoipa::ToSchema)]
struct Aggregation {
    status_lists: Vec<String>,
}

/// Token status list (draft-ietf-oauth-status-list).
#[utoipa::path(
    get, path = "/oauth/status/{list}",
    params(("list" = String, Path, description = "Number of the list")),
    responses(
        (status = 200, description = "Signed status list", body = String, content_type = "application/statuslist+jwt"),
        (status = 304, description = "Not modified"),
        BadRequest, NotFound, Unavailable,
        (
            status = 406,
            description = "Another media type is requested",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
        (
            status = 501,
            description = "A historical list (`time`) is requested",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
        (
            status = 500,
            description = "The list cannot be built",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(super) async fn get(
    State(published): State<Arc<PublishedStatusLists>>,
    Path(list): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Parameters::from_form(query.as_deref().unwrap_or_default());
    let query = query.map_err(|error| Problem::bad_request(&error.to_string()))?;
    if query.get("time").is_some() {
        // §8.4: a current list must not be mistaken for a historical one.
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "historical status lists are not available"));
    }
    if !accepts(&headers) {
        return Err(Problem::new(
            StatusCode::NOT_ACCEPTABLE,
            "status lists are available as application/statuslist+jwt only",
        ));
    }
    // One spelling for each list: "07" would be a second cache key of the same list.
    let number = list.parse::<u64>().ok().filter(|number| number.to_string() == list).ok_or_else(Problem::not_found)?;
    let signed = published.lists.get(number, published.clock.now()).await?.ok_or_else(Problem::not_found)?;
    let common = [
        (CACHE_CONTROL, format!("public, max-age={STATUS_LIST_TTL}")),
        (VARY, "accept, accept-encoding".to_owned()),
        // §8.1: browsers verify tokens too.
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned()),
    ];
    if let Some(etag) = matching_etag(&headers, &signed.etag) {
        return Ok((StatusCode::NOT_MODIFIED, common, [(ETAG, etag)]).into_response());
    }
    Ok((common, [(CONTENT_TYPE, MEDIA_TYPE)], [(ETAG, signed.etag.clone())], signed.token.clone()).into_response())
}

/// URLs of all status lists.
#[utoipa::path(
    get, path = "/oauth/status",
    responses(
        (status = 200, description = "URLs", body = Aggregation),
        Unavailable,
        (
            status = 500,
            description = "The list cannot be built",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(super) async fn all(State(published): State<Arc<PublishedStatusLists>>) -> Result<impl IntoResponse, Problem> {
    let status_lists = published.lists.list_uris().await?;
    let headers =
        [(CACHE_CONTROL, format!("public, max-age={STATUS_LIST_TTL}")), (ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned())];
    Ok((headers, Json(Aggregation { status_lists })))
}

/// Whether the request accepts a list as JWT; it does without `Accept` (RFC 9110 §12.5.1).
fn accepts(headers: &HeaderMap) -> bool {
    let is_accepted = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let is_refused = parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        !is_refused && matches!(essence.as_str(), "*/*" | "application/*" | MEDIA_TYPE)
    };
    !headers.contains_key(ACCEPT) || header_list::members(headers, ACCEPT).any(is_accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_header_is_read_as_media_ranges() {
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
