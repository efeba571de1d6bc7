//! Errors as `application/problem+json` (RFC 9457), for all endpoints but OAuth and pages.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tollgate_services::admin::AdminError;
use tollgate_services::password_hashing::PasswordHashingError;
use tollgate_services::rate_limit::LimitExceeded;
use tollgate_services::revocation_feed::FeedError;
use tollgate_services::signing_keys::SigningKeysError;
use tollgate_services::status_lists::StatusListBuildError;
use tollgate_storage::{StoreError, WriteError};

use crate::ratelimit_headers::insert_refusal_headers;

/// An error response.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    challenge: Option<HeaderValue>,
    refusal: Option<LimitExceeded>,
}

/// Problem details (RFC 9457 §3).
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Body {
    status: u16,
    #[schema(value_type = String)]
    title: &'static str,
    detail: String,
}

impl Problem {
    pub fn new(status: StatusCode, detail: &str) -> Problem {
        Problem { status, detail: detail.to_owned(), challenge: None, refusal: None }
    }

    /// Adds `WWW-Authenticate` (RFC 9110 §11.6.1).
    pub(super) fn with_challenge(self, challenge: HeaderValue) -> Problem {
        Problem { challenge: Some(challenge), ..self }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn bad_request(detail: &str) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn not_found() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path")
    }
}

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Problem {
        let status = match error {
            AdminError::NotFound(_) => StatusCode::NOT_FOUND,
            AdminError::Invalid(_) => StatusCode::BAD_REQUEST,
            AdminError::Conflict(_) => StatusCode::CONFLICT,
            AdminError::Store(error) => return error.into(),
            AdminError::Write(error) => return error.into(),
            AdminError::Keys(error) => return error.into(),
            AdminError::Hashing(error) => return error.into(),
            AdminError::Random(error) => return error.into(),
        };
        Problem::new(status, &error.to_string())
    }
}

impl From<LimitExceeded> for Problem {
    fn from(refusal: LimitExceeded) -> Problem {
        Problem { refusal: Some(refusal), ..Problem::new(StatusCode::TOO_MANY_REQUESTS, &refusal.to_string()) }
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Problem {
        // The writer has logged failures of the database.
        if !matches!(error, WriteError::Busy | WriteError::Database) {
            tracing::error!(%error, "the store failed");
        }
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer; try again")
    }
}

impl From<FeedError> for Problem {
    fn from(error: FeedError) -> Problem {
        let status = feed_error_status(&error);
        if status.is_client_error() {
            return Problem::new(status, &error.to_string());
        }
        // An error of many requests was logged once.
        if !matches!(error, FeedError::Shared(_)) {
            tracing::error!(%error, "the revocation feed failed");
        }
        Problem::new(status, "the feed cannot be read now")
    }
}

fn feed_error_status(error: &FeedError) -> StatusCode {
    match error {
        FeedError::Gone => StatusCode::GONE,
        FeedError::Ahead { .. } => StatusCode::CONFLICT,
        FeedError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        FeedError::Build(_) | FeedError::Config(_) | FeedError::Interrupted | FeedError::Superseded => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        FeedError::Shared(error) => feed_error_status(error),
    }
}

impl From<SigningKeysError> for Problem {
    fn from(error: SigningKeysError) -> Problem {
        Problem::from(StoreError::from(error))
    }
}

impl From<getrandom::Error> for Problem {
    fn from(error: getrandom::Error) -> Problem {
        tracing::error!(%error, "the system has no randomness");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the system has no randomness; try again")
    }
}

impl From<PasswordHashingError> for Problem {
    fn from(error: PasswordHashingError) -> Problem {
        if !matches!(error, PasswordHashingError::Busy) {
            tracing::error!(%error, "password hashing failed");
        }
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the password cannot be hashed now; try again")
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        if let StoreError::AlreadyExists(what) = error {
            return Problem::new(StatusCode::CONFLICT, &format!("a {what} of that name already exists"));
        }
        if matches!(error, StoreError::NotAdministrator) {
            return Problem::new(StatusCode::FORBIDDEN, &error.to_string());
        }
        match error.is_known_outage() {
            // The begin and the end of an outage are logged elsewhere.
            true => tracing::debug!(%error, "the store failed"),
            false => tracing::error!(%error, "the store failed"),
        }
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer; try again")
    }
}

impl From<StatusListBuildError> for Problem {
    fn from(error: StatusListBuildError) -> Problem {
        match error {
            StatusListBuildError::Store(error) => Problem::from(error),
            error => {
                tracing::error!(%error, "building a status list failed");
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the status list could not be built")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = Body { status: self.status.as_u16(), title, detail: self.detail };
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(refusal) = self.refusal {
            insert_refusal_headers(&refusal, &mut response);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
