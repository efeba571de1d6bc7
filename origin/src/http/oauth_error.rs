//! The one table that maps errors of OAuth endpoints to the wire (RFC 6749 §5.2).

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::parameters::ParameterError;
use crate::domain::{GrantError, Malformed};
use crate::keys::IssueError;
use crate::store::{StoreError, WriteError};

/// Why an OAuth endpoint refuses.
#[derive(Debug, thiserror::Error)]
pub(super) enum OAuthError {
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error(transparent)]
    Parameters(#[from] ParameterError),
    /// Unknown client, wrong secret, disabled, or nothing presented: the answer does not tell which.
    #[error("the client could not be authenticated")]
    InvalidClient,
    #[error("the only grant type here is client_credentials")]
    UnsupportedGrantType,
    #[error(transparent)]
    InvalidScope(Malformed),
    #[error(transparent)]
    InvalidResource(Malformed),
    #[error(transparent)]
    Grant(#[from] GrantError),
    #[error("the store does not answer; try again")]
    Store(#[from] StoreError),
    #[error("the store does not answer; try again")]
    Write(#[from] WriteError),
    #[error("the token could not be made; try again")]
    Issue(#[from] IssueError),
    #[error("the token could not be made; try again")]
    Randomness(#[from] getrandom::Error),
}

#[derive(Serialize)]
struct Body {
    error: &'static str,
    error_description: String,
}

impl OAuthError {
    fn wire(&self) -> (StatusCode, &'static str) {
        match self {
            OAuthError::InvalidRequest(_) | OAuthError::Parameters(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            OAuthError::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
            OAuthError::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            OAuthError::InvalidScope(_) | OAuthError::Grant(GrantError::Scope) => {
                (StatusCode::BAD_REQUEST, "invalid_scope")
            }
            // RFC 8707 §2
            OAuthError::InvalidResource(_) | OAuthError::Grant(GrantError::Audience | GrantError::AudienceUnclear) => {
                (StatusCode::BAD_REQUEST, "invalid_target")
            }
            // RFC 7009 §2.2.1 asks for 503 and Retry-After; the code is RFC 6749 §4.1.2.1's.
            OAuthError::Store(_) | OAuthError::Write(_) | OAuthError::Issue(_) | OAuthError::Randomness(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
            }
        }
    }

    fn log(&self) {
        match self {
            OAuthError::Store(error) => tracing::error!(%error, "the store failed"),
            // When there is too much to do, a line for each is too much too.
            OAuthError::Write(WriteError::Busy) => tracing::debug!("too busy"),
            OAuthError::Write(error) => tracing::error!(%error, "the store failed"),
            OAuthError::Issue(error) => tracing::error!(%error, "a token could not be signed"),
            OAuthError::Randomness(error) => tracing::error!(%error, "the system has no randomness"),
            refused => tracing::debug!(reason = %refused, "refused"),
        }
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        self.log();
        let (status, error) = self.wire();
        let mut response = (status, Json(Body { error, error_description: self.to_string() })).into_response();
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 §11.6.1: a 401 always carries a challenge, whichever way the client tried.
            let challenge = HeaderValue::from_static("Basic realm=\"tollgate\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
