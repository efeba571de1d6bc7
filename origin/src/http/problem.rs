//! Errors of the edges' API: `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::feed::FeedError;

/// A refused request of an edge, or of nobody in particular.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
}

#[derive(Serialize)]
struct Body<'a> {
    status: u16,
    title: &'a str,
    detail: &'a str,
}

impl Problem {
    pub(super) fn bad_request(detail: &str) -> Problem {
        Problem { status: StatusCode::BAD_REQUEST, detail: detail.to_owned() }
    }

    pub(super) fn not_found() -> Problem {
        Problem { status: StatusCode::NOT_FOUND, detail: "there is nothing at this path".to_owned() }
    }
}

impl From<FeedError> for Problem {
    fn from(error: FeedError) -> Problem {
        let status = match &error {
            FeedError::Gone => StatusCode::GONE,
            FeedError::Ahead { .. } => StatusCode::CONFLICT,
            FeedError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            FeedError::Build(_) | FeedError::Config(_) | FeedError::Interrupted => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_client_error() {
            return Problem { status, detail: error.to_string() };
        }
        tracing::error!(%error, "an edge could not be answered");
        Problem { status, detail: "the feed cannot be read now".to_owned() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = Body { status: self.status.as_u16(), title, detail: &self.detail };
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
