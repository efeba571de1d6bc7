//! `GET /edge/v1/snapshot`: everything an edge needs, signed. Public, for it holds no secrets: identifiers of revoked
//! tokens are hashes, keys are public ones.

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::problem::Problem;
use crate::ambient;

pub(super) async fn get(State(app): State<AppState>, headers: HeaderMap) -> Result<Response, Problem> {
    let snapshot = app.publisher.snapshot(ambient::now_ms()).await?;
    let common = [(ETAG, snapshot.etag.clone()), (CACHE_CONTROL, "no-cache".to_owned())];
    if names(&headers, &snapshot.etag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let media_type = [(CONTENT_TYPE, "application/octet-stream")];
    Ok((common, media_type, snapshot.bytes.clone()).into_response())
}

/// Whether `If-None-Match` names this tag; compared weakly, as RFC 9110 §13.1.2 asks.
fn names(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
    tags.any(|tag| tag == etag || tag == "*")
}
