//! Answers of the host itself, and the body type that everything here streams.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use std::time::{SystemTime, UNIX_EPOCH};

/// Any error of a body on its way.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// Any body on its way.
pub(crate) type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A body that is already whole.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An answer of the host itself, in the form that the gate's errors have.
pub(crate) fn json_error(status: StatusCode, code: &str, description: &str) -> http::Response<Body> {
    let error = tollgate_gate::Response::error(status.as_u16(), code, description);
    let mut answer = http::Response::new(full(error.body));
    *answer.status_mut() = status;
    for (name, value) in error.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    answer
}

/// The gate's answer as it stands. A status or header that is none would be the component's fault, and is a 500.
pub(crate) fn from_gate(answer: crate::Response) -> http::Response<Body> {
    let built = (|| {
        let mut response = http::Response::new(full(answer.body));
        *response.status_mut() = StatusCode::from_u16(answer.status).ok()?;
        for (name, value) in answer.headers {
            response
                .headers_mut()
                .append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(&value).ok()?);
        }
        Some(response)
    })();
    built.unwrap_or_else(|| {
        json_error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "the gate's answer is not HTTP")
    })
}

/// The clock, in Unix milliseconds.
#[expect(clippy::disallowed_methods, reason = "the runner's clock")]
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
