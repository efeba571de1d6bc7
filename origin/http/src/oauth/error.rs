//! Maps errors of OAuth endpoints to responses (RFC 6749 §5.2 and its extensions).

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tollgate_keys::IssueError;
use tollgate_model::authorization::RequestParameters;
use tollgate_model::{AccessError, AuthorizationError, GrantError, MetadataError};
use tollgate_services::password_hashing::PasswordHashingError;
use tollgate_services::rate_limit::LimitExceeded;
use tollgate_services::signing_keys::SigningError;
use tollgate_storage::{StoreError, WriteError};

use super::form_encoding::ParameterError;
use crate::Refusal;
use crate::ratelimit_headers::insert_refusal_headers;
use crate::refused_request::RefusedRequest;

/// Error of an OAuth endpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OAuthError {
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error(transparent)]
    Parameters(#[from] ParameterError),
    /// Unknown client, wrong secret, disabled client or no credentials: the response does not
    /// reveal which.
    #[error("the client could not be authenticated")]
    InvalidClient,
    #[error("{0}")]
    UnauthorizedClient(&'static str),
    #[error("there is no such grant_type here")]
    UnsupportedGrantType,
    #[error(transparent)]
    InvalidGrant(#[from] GrantError),
    /// Invalid assertion or token that was presented as a grant.
    #[error("{0}")]
    BadGrant(&'static str),
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("the user has not decided yet")]
    AuthorizationPending,
    #[error("ask less often: five more seconds must lie between two requests from now on")]
    SlowDown,
    #[error("the user refused")]
    AccessDenied,
    #[error("the device code is expired")]
    ExpiredToken,
    #[error("{0}")]
    InvalidDpopProof(&'static str),
    /// Contains the nonce to use.
    #[error("the DPoP proof must carry a nonce of this server")]
    UseDpopNonce(HeaderValue),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error("the store does not answer; try again")]
    Store(StoreError),
    #[error("the store does not answer; try again")]
    Write(WriteError),
    /// A rate limit was exceeded.
    #[error(transparent)]
    LimitExceeded(#[from] LimitExceeded),
    #[error("the secret cannot be checked now; try again")]
    PasswordHashing(#[from] PasswordHashingError),
    #[error("the token could not be made; try again")]
    Signing(SigningError),
    #[error("the token could not be made; try again")]
    Randomness(#[from] getrandom::Error),
}

impl From<IssueError> for OAuthError {
    fn from(error: IssueError) -> OAuthError {
        match error {
            // The request is impossible; this server did not fail.
            IssueError::SeveralAudiences => AccessError::TooMany.into(),
            error => OAuthError::Signing(error.into()),
        }
    }
}

impl From<SigningError> for OAuthError {
    fn from(error: SigningError) -> OAuthError {
        match error {
            SigningError::Issue(error) => error.into(),
            error => OAuthError::Signing(error),
        }
    }
}

impl From<StoreError> for OAuthError {
    fn from(error: StoreError) -> OAuthError {
        match error {
            // The user was disabled during the request; this server did not fail.
            StoreError::UserDisabled => GrantError::Ended.into(),
            error => OAuthError::Store(error),
        }
    }
}

impl From<WriteError> for OAuthError {
    fn from(error: WriteError) -> OAuthError {
        match error {
            WriteError::Store(error @ StoreError::UserDisabled) => error.into(),
            error => OAuthError::Write(error),
        }
    }
}

/// RFC 6749 §5.2
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = OAuthError)]
pub(crate) struct Body {
    #[schema(value_type = String)]
    error: &'static str,
    error_description: String,
}

impl OAuthError {
    fn wire(&self) -> (StatusCode, &'static str) {
        let bad = StatusCode::BAD_REQUEST;
        match self {
            OAuthError::InvalidRequest(_) | OAuthError::Parameters(_) => (bad, "invalid_request"),
            OAuthError::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
            OAuthError::UnauthorizedClient(_) => (bad, "unauthorized_client"),
            OAuthError::UnsupportedGrantType => (bad, "unsupported_grant_type"),
            OAuthError::InvalidGrant(_) | OAuthError::BadGrant(_) => (bad, "invalid_grant"),
            OAuthError::Authorization(error) => (bad, error.code()),
            OAuthError::Access(error) => (bad, AuthorizationError::Access(error.clone()).code()),
            // RFC 8628 §3.5
            OAuthError::AuthorizationPending => (bad, "authorization_pending"),
            OAuthError::SlowDown => (bad, "slow_down"),
            OAuthError::AccessDenied => (bad, "access_denied"),
            OAuthError::ExpiredToken => (bad, "expired_token"),
            // RFC 9449 §5 and §8
            OAuthError::InvalidDpopProof(_) => (bad, "invalid_dpop_proof"),
            OAuthError::UseDpopNonce(_) => (bad, "use_dpop_nonce"),
            // RFC 7591 §3.2.2
            OAuthError::Metadata(MetadataError::RedirectUri(_) | MetadataError::RedirectUriValue(_)) => {
                (bad, "invalid_redirect_uri")
            }
            OAuthError::Metadata(_) => (bad, "invalid_client_metadata"),
            // RFC 6585 §4; no OAuth error code fits better.
            OAuthError::LimitExceeded(_) => (StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable"),
            // RFC 7009 §2.2.1 asks for 503 and Retry-After; the code is RFC 6749 §4.1.2.1's.
            OAuthError::Store(_)
            | OAuthError::Write(_)
            | OAuthError::PasswordHashing(_)
            | OAuthError::Signing(_)
            | OAuthError::Randomness(_) => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
        }
    }

    fn log(&self) {
        match self {
            // Outages are logged when they begin and end, failed transactions by the writer: not
            // once a request.
            OAuthError::Store(error) if error.is_known_outage() => tracing::debug!(%error, "the store failed"),
            OAuthError::Write(error @ WriteError::Database) => tracing::debug!(%error, "the store failed"),
            OAuthError::Store(error) => tracing::error!(%error, "the store failed"),
            // Under overload, a line for each request would add to it.
            OAuthError::Write(WriteError::Busy)
            | OAuthError::PasswordHashing(PasswordHashingError::Busy)
            | OAuthError::Signing(SigningError::Busy) => tracing::debug!("too busy"),
            OAuthError::Write(error) => tracing::error!(%error, "the store failed"),
            OAuthError::PasswordHashing(error) => tracing::error!(%error, "a secret could not be checked"),
            OAuthError::Signing(error) => tracing::error!(%error, "a token could not be signed"),
            OAuthError::Randomness(error) => tracing::error!(%error, "the system has no randomness"),
            // Logged with the request, where secrets that a reason quotes are hidden.
            _ => {}
        }
    }
}

impl OAuthError {
    /// What the log says of the refused request. None for failures of this server, and for answers
    /// that are a step of the protocol or a user's decision.
    fn refused_request(&self) -> Option<RefusedRequest> {
        let is_mistake = !matches!(
            self,
            OAuthError::AuthorizationPending
                | OAuthError::UseDpopNonce(_)
                | OAuthError::AccessDenied
                | OAuthError::LimitExceeded(_)
        );
        let (status, error) = self.wire();
        if !is_mistake || !status.is_client_error() {
            return None;
        }
        let refused = RefusedRequest::new(error, self.to_string());
        match self {
            OAuthError::Metadata(MetadataError::Member(wrong) | MetadataError::RedirectUriValue(wrong)) => {
                Some(refused.with_member(wrong))
            }
            _ => Some(refused),
        }
    }
}

/// The error of a request whose parameters are known: the log shows what was received.
pub(crate) struct OAuthRefusal {
    error: OAuthError,
    refused: Option<RefusedRequest>,
}

impl OAuthRefusal {
    pub(crate) fn new(error: OAuthError, parameters: &impl RequestParameters) -> OAuthRefusal {
        let refused = error.refused_request().map(|refused| refused.with_request(parameters));
        OAuthRefusal { error, refused }
    }
}

impl IntoResponse for OAuthRefusal {
    fn into_response(self) -> Response {
        let mut response = self.error.into_response();
        if let Some(refused) = self.refused {
            response.extensions_mut().insert(refused);
        }
        response
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        self.log();
        let (status, error) = self.wire();
        let mut response = (status, Json(Body { error, error_description: self.to_string() })).into_response();
        response.extensions_mut().insert(Refusal(error));
        if let Some(refused) = self.refused_request() {
            response.extensions_mut().insert(refused);
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 §11.6.1: a 401 always contains a challenge, whichever method the client
            // used.
            let challenge = HeaderValue::from_static("Basic realm=\"tollgate\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let OAuthError::LimitExceeded(refusal) = &self {
            insert_refusal_headers(refusal, &mut response);
        }
        if let OAuthError::UseDpopNonce(nonce) = self {
            response.headers_mut().insert(HeaderName::from_static("dpop-nonce"), nonce);
        }
        response
    }
}
