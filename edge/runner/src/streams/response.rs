//! Responses to exchanges that end before a response of the upstream has begun.

use super::exchange::StreamEnd;
use super::grpc;
use crate::response::{Body, MadeByRunner, full, json_error};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

/// The response to an exchange that the edge ends: an error as for a refused request, or of gRPC.
pub(crate) fn response_to_ended(end: StreamEnd, is_grpc: bool) -> http::Response<Body> {
    if is_grpc {
        let mut response = http::Response::new(full(""));
        response.extensions_mut().insert(MadeByRunner);
        *response.headers_mut() = grpc::trailers(end);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        return response;
    }
    match end {
        StreamEnd::Revoked | StreamEnd::Expired | StreamEnd::Unidentified => {
            let mut response = json_error(StatusCode::UNAUTHORIZED, "invalid_token", end.text());
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            response
        }
        StreamEnd::Stale | StreamEnd::TooMany | StreamEnd::Idle | StreamEnd::Shutdown => {
            let mut response = json_error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", end.text());
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
    }
}
