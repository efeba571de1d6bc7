//! `GET /edge/v1/snapshot`: the signed snapshot of rules, public keys and revocations. Public,
//! because it contains no secrets: identifiers of revoked tokens are hashes.
//!
//! A strong entity tag names one representation (RFC 9110 §8.8.3), so the compressed one has its
//! own tag: that of the plain one with the suffix `-gzip`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::edge_feed::EdgeFeed;
use crate::extract::header_list;
use crate::openapi::responses::Unavailable;
use crate::problem::{self, Problem};

/// Signed snapshot of rules, public keys and revocations.
#[utoipa::path(
    get, path = "/edge/v1/snapshot",
    responses(
        (status = 200, description = "Snapshot", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "Not modified"),
        Unavailable,
        (
            status = 500,
            description = "The snapshot cannot be built",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(crate) async fn get(State(feed): State<Arc<EdgeFeed>>, headers: HeaderMap) -> Result<Response, Problem> {
    let snapshot = feed.snapshot().await?;
    let common = [(CACHE_CONTROL, "no-cache"), (VARY, ACCEPT_ENCODING.as_str())];
    if let Some(etag) = matching_etag(&headers, &snapshot.etag) {
        return Ok((StatusCode::NOT_MODIFIED, common, [(ETAG, etag)]).into_response());
    }
    let media_type = [(CONTENT_TYPE, "application/octet-stream")];
    if let Some(compressed) = snapshot.gzip().filter(|_| accepts_gzip(&headers)) {
        let encoding = [(CONTENT_ENCODING, "gzip".to_owned()), (ETAG, compressed_etag(&snapshot.etag))];
        return Ok((common, media_type, encoding, compressed.clone()).into_response());
    }
    Ok((common, media_type, [(ETAG, snapshot.etag.clone())], snapshot.bytes.clone()).into_response())
}

/// Whether the client accepts gzip (RFC 9110 §12.5.3). `*` is not taken for it.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    header_list::members(headers, ACCEPT_ENCODING).any(|member| {
        let (coding, weight) = member.split_once(';').unwrap_or((member, ""));
        let is_refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.parse::<f64>() == Ok(0.0));
        coding.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

/// Replaces the entity tag of a compressed response.
pub(crate) async fn set_compressed_etag(mut response: Response) -> Response {
    if response.headers().contains_key(CONTENT_ENCODING)
        && let Some(plain) = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok())
        && let Ok(tag) = HeaderValue::try_from(compressed_etag(plain))
    {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// Entity tag of the compressed representation.
fn compressed_etag(plain: &str) -> String {
    format!("{}-gzip\"", plain.trim_end_matches('"'))
}

/// Finds the document's entity tag in `If-None-Match`, by weak comparison (RFC 9110 §13.1.2). The
/// tag of either representation matches, because the client then has the document.
pub(crate) fn matching_etag(headers: &HeaderMap, plain: &str) -> Option<String> {
    let mut tags = header_list::members(headers, IF_NONE_MATCH).map(|tag| tag.trim_start_matches("W/"));
    let compressed = compressed_etag(plain);
    tags.find_map(|tag| match tag {
        "*" => Some(plain.to_owned()),
        tag => [plain, &compressed].contains(&tag).then(|| tag.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_clients_that_name_it() {
        for (value, accepts) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("identity, gzip ; q=1", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("*", false),
            ("x-gzip", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(accepts_gzip(&headers), accepts, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
