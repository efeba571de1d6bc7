//! Responses of the runner itself and of the gate, and the type of all bodies.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use std::time::{SystemTime, UNIX_EPOCH};
use tollgate_gate::added_response_headers;

pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A body that is in memory.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Marks a response that the runner made itself, in its extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MadeByRunner;

/// An error of the runner itself, in the form of the gate's errors.
pub(crate) fn json_error(status: StatusCode, code: &str, description: &str) -> http::Response<Body> {
    from_runner(tollgate_gate::Response::error(status.as_u16(), code, description))
}

/// Converts a response that the runner made itself.
pub(crate) fn from_runner(made: tollgate_gate::Response) -> http::Response<Body> {
    let mut response = http::Response::new(full(made.body));
    response.extensions_mut().insert(MadeByRunner);
    *response.status_mut() = StatusCode::from_u16(made.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in made.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(&*name), HeaderValue::from_str(&value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Converts a response of the gate. An invalid status or header is an error of the component: 500.
pub(crate) fn from_gate(gate_response: crate::Response) -> http::Response<Body> {
    let converted = (|| {
        let mut response = http::Response::new(full(gate_response.body));
        *response.status_mut() = StatusCode::from_u16(gate_response.status).ok()?;
        for (name, value) in gate_response.headers {
            response
                .headers_mut()
                .append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(&value).ok()?);
        }
        Some(response)
    })();
    converted.unwrap_or_else(|| {
        json_error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "the gate's response is not valid HTTP")
    })
}

/// Adds the headers of a decision to the response: the upstream's, or the runner's own.
pub(crate) fn with_headers(mut response: http::Response<Body>, headers: &[(String, Vec<u8>)]) -> http::Response<Body> {
    for (name, value) in added_response_headers(headers, |name| response.headers().contains_key(name)) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Unix time in milliseconds.
#[expect(clippy::disallowed_methods, reason = "the runner's clock")]
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
