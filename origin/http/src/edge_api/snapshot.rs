//! `GET /edge/v1/snapshot`: everything an edge needs, signed. Public, for it holds no secrets:
//! identifiers of revoked tokens are hashes, keys are public ones.
//!
//! It is sent plain or compressed. These are two representations, and a strong entity tag names one
//! (RFC 9110 §8.8.3): the compressed one has the plain one's tag with `-gzip` at its end.

use axum::extract::State;
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::AppState;
use crate::openapi::refusals::Unavailable;
use crate::problem::Problem;
use crate::{header_list, problem};

/// Everything that an edge needs, signed.
#[utoipa::path(
    get, path = "/edge/v1/snapshot",
    responses(
        (status = 200, description = "The snapshot", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "It is the one held"),
        Unavailable,
        (
            status = 500,
            description = "What is there cannot be read",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(crate) async fn get(State(app): State<AppState>, headers: HeaderMap) -> Result<Response, Problem> {
    let snapshot = app.feed.snapshot().await?;
    let common = [(CACHE_CONTROL, "no-cache"), (VARY, ACCEPT_ENCODING.as_str())];
    if let Some(held) = held(&headers, &snapshot.etag) {
        return Ok((StatusCode::NOT_MODIFIED, common, [(ETAG, held)]).into_response());
    }
    let media_type = [(CONTENT_TYPE, "application/octet-stream")];
    Ok((common, media_type, [(ETAG, snapshot.etag.clone())], snapshot.bytes.clone()).into_response())
}

/// Gives an answer that was compressed after [`get`] the tag of that representation.
pub(crate) async fn tag_encoded(mut response: Response) -> Response {
    if response.headers().contains_key(CONTENT_ENCODING)
        && let Some(plain) = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok())
        && let Ok(tag) = HeaderValue::try_from(encoded(plain))
    {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// The compressed representation's tag.
fn encoded(plain: &str) -> String {
    format!("{}-gzip\"", plain.trim_end_matches('"'))
}

/// The tag that `If-None-Match` names, of those this document has; compared weakly, as RFC 9110
/// §13.1.2 asks. Either is good whatever encoding is accepted now: who has one representation has
/// the snapshot.
pub(crate) fn held(headers: &HeaderMap, plain: &str) -> Option<String> {
    let mut tags = header_list::members(headers, IF_NONE_MATCH).map(|tag| tag.trim_start_matches("W/"));
    let encoded = encoded(plain);
    tags.find_map(|tag| match tag {
        "*" => Some(plain.to_owned()),
        tag => [plain, &encoded].contains(&tag).then(|| tag.to_owned()),
    })
}
