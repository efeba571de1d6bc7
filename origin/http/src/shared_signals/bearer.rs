//! Authentication of receivers by an access token of this origin (RFC 6750).
//!
//! The issuer must be the audience of the token (RFC 9068 §4), so that an API to which a client
//! sends its tokens cannot read the client's streams.

use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tollgate_model::ClientId;
use tollgate_model::event_stream::{Stream, StreamName};
use tollgate_services::shared_signals::SCOPE_READ;
use tollgate_storage::StoreError;

use super::receivers::SignalReceivers;
use crate::problem::Problem;

/// Why a request of a receiver is refused.
#[derive(Debug)]
pub(crate) enum BearerError {
    /// No access token.
    Missing,
    /// Invalid, inactive or bound token, or another audience.
    Invalid,
    /// The token lacks the scope.
    Scope,
    /// The client has no such stream.
    NoStream,
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for BearerError {
    fn from(error: StoreError) -> BearerError {
        BearerError::Store(error)
    }
}

/// Authenticates the client by its access token.
pub(crate) async fn authenticate_receiver(
    receivers: &SignalReceivers,
    headers: &HeaderMap,
) -> Result<ClientId, BearerError> {
    let unverified_token = bearer_token(headers)?;
    let token = receivers.bearers.find_active_token(unverified_token).await?.ok_or(BearerError::Invalid)?;
    // A sender-constrained token sent as a bearer token may be stolen.
    if !token.audience.has(&receivers.issuer.url) || token.details.cnf.is_some() {
        return Err(BearerError::Invalid);
    }
    if !token.scope.values().any(|value| value == SCOPE_READ) {
        return Err(BearerError::Scope);
    }
    Ok(token.client.clone())
}

/// The client's stream of this name. Streams of other clients are reported as missing.
pub(crate) async fn find_own_stream(
    receivers: &SignalReceivers,
    client: &ClientId,
    name: &str,
) -> Result<Stream, BearerError> {
    let name: StreamName = name.parse().map_err(|_| BearerError::NoStream)?;
    let stream = receivers.store.find_stream(&name).await?;
    stream.filter(|stream| stream.client.as_ref() == Some(client)).ok_or(BearerError::NoStream)
}

/// The token of the only `Authorization: Bearer` header.
fn bearer_token(headers: &HeaderMap) -> Result<&str, BearerError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next().ok_or(BearerError::Missing)?, values.next()) else {
        return Err(BearerError::Invalid);
    };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(BearerError::Invalid)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(BearerError::Missing) }
}

impl IntoResponse for BearerError {
    fn into_response(self) -> Response {
        // RFC 6750 §3.1
        let (status, detail, challenge) = match self {
            BearerError::Missing => {
                (StatusCode::UNAUTHORIZED, "an access token is missing", r#"Bearer realm="tollgate""#)
            }
            BearerError::Invalid => (
                StatusCode::UNAUTHORIZED,
                "the access token is invalid, expired, revoked or for another audience",
                r#"Bearer realm="tollgate", error="invalid_token""#,
            ),
            BearerError::Scope => (
                StatusCode::FORBIDDEN,
                "the access token lacks the scope ssf.read",
                r#"Bearer realm="tollgate", error="insufficient_scope", scope="ssf.read""#,
            ),
            BearerError::NoStream => {
                return Problem::new(StatusCode::NOT_FOUND, "you have no such stream").into_response();
            }
            BearerError::Store(error) => return Problem::from(error).into_response(),
        };
        let mut response = Problem::new(status, detail).into_response();
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_bearer_token_is_accepted() {
        let mut headers = HeaderMap::new();
        assert!(matches!(bearer_token(&headers), Err(BearerError::Missing)));
        headers.insert(AUTHORIZATION, "bearer a.b.c".parse().expect("a header"));
        assert!(matches!(bearer_token(&headers), Ok("a.b.c")));
        headers.append(AUTHORIZATION, "Bearer d".parse().expect("a header"));
        assert!(matches!(bearer_token(&headers), Err(BearerError::Invalid)));
        headers.insert(AUTHORIZATION, "Basic YTpi".parse().expect("a header"));
        assert!(matches!(bearer_token(&headers), Err(BearerError::Missing)));
    }
}
