//! Access tokens that are shown to this origin itself (RFC 6750, RFC 9449 §7), and tokens that are
//! shown to it to be judged.

use std::sync::Arc;

use axum::Json;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tollgate_keys::IssueError;
use tollgate_model::{AccessToken, Confirmation};
use tollgate_storage::{StoreError, Versions, WriteError};

use super::caller::Caller;
use super::certificate::Certificate;
use super::dpop::{self, ProofError};
use crate::{App, Refusal};

/// The challenge to those who must prove that they have a key (RFC 9449 §7.1).
const DPOP: &str = "DPoP realm=\"tollgate\", algs=\"EdDSA ES256 RS256\"";

/// The record of an access token that is good this moment: of this origin, not expired, not
/// revoked.
pub(crate) async fn good(app: &App, unverified_token: &str) -> Result<Option<Arc<AccessToken>>, StoreError> {
    good_as_of(app, unverified_token, app.cache.versions().await?).await
}

/// As [`good`], for a request that was judged by the state `now` already.
pub(crate) async fn good_as_of(
    app: &App,
    unverified_token: &str,
    now: Versions,
) -> Result<Option<Arc<AccessToken>>, StoreError> {
    let token = match app.cache.valid_token(unverified_token, now) {
        Some(token) => Some(token),
        None => Box::pin(unrevoked(app, unverified_token, now)).await?,
    };
    Ok(token.filter(|token| app.clock.now() < token.expires_at))
}

/// The record of an access token that is not revoked, as the database has it as of `now` or later.
async fn unrevoked(app: &App, unverified_token: &str, now: Versions) -> Result<Option<Arc<AccessToken>>, StoreError> {
    let Some(recognised) = app.keys.verify_token(unverified_token, &app.issuer).await? else {
        return Ok(None);
    };
    let token = app.store.find_unrevoked_token(&recognised).await?.map(Arc::new);
    if let Some(token) = &token {
        app.cache.insert_valid_token(unverified_token, now, Arc::clone(token));
    }
    Ok(token)
}

/// What the bearer of a token is told, beside the challenge.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Refused {
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

/// Why the bearer of a token is refused.
#[derive(Debug)]
pub(crate) enum BearerRefusal {
    /// There is no token (RFC 6750 §3.1: then nothing more is said).
    Missing,
    /// There are two, or what there is cannot be read.
    Malformed,
    /// It is not good, or shown by somebody who does not have its key.
    Invalid,
    /// The same of one that came as one that a proof goes with, or needs one (RFC 9449 §7.1).
    Unproven,
    /// It lacks this scope value.
    Scope(String),
    /// The proof that comes with it is not good.
    Proof(&'static str),
    /// The proof must carry this nonce.
    UseNonce(HeaderValue),
    /// Our own trouble; the log says which.
    Ours,
}

impl From<StoreError> for BearerRefusal {
    fn from(error: StoreError) -> BearerRefusal {
        tracing::error!(%error, "the store failed");
        BearerRefusal::Ours
    }
}

impl From<IssueError> for BearerRefusal {
    fn from(error: IssueError) -> BearerRefusal {
        tracing::error!(%error, "an answer could not be signed");
        BearerRefusal::Ours
    }
}

impl From<ProofError> for BearerRefusal {
    fn from(error: ProofError) -> BearerRefusal {
        match error {
            ProofError::Invalid(problem) => BearerRefusal::Proof(problem),
            ProofError::UseNonce(nonce) => BearerRefusal::UseNonce(nonce),
            ProofError::Write(WriteError::Busy) => BearerRefusal::Ours,
            ProofError::Write(error) => {
                tracing::error!(%error, "the store failed");
                BearerRefusal::Ours
            }
        }
    }
}

/// The token that a request shows, proven to be shown by whom it is bound to.
pub(crate) async fn shown(
    app: &App,
    caller: &Caller,
    method: &str,
    path: &str,
) -> Result<Arc<AccessToken>, BearerRefusal> {
    let (by_proof, unverified_token) = presented(caller)?;
    let invalid = || if by_proof { BearerRefusal::Unproven } else { BearerRefusal::Invalid };
    let token = good(app, unverified_token).await?.ok_or_else(invalid)?;
    match &token.details.cnf {
        None if by_proof => return Err(BearerRefusal::Unproven),
        None => {}
        Some(Confirmation::Key(jkt)) => {
            let request = dpop::Request { method, path, token: Some(unverified_token) };
            let proven = dpop::proven(app, &caller.headers, &request).await?;
            // RFC 9449 §7.1: a bound token that is shown as Bearer is refused, too.
            if !by_proof || proven.as_ref() != Some(jkt) {
                return Err(BearerRefusal::Unproven);
            }
        }
        Some(Confirmation::Certificate(thumbprint)) => {
            let certificate = Certificate::of(caller, &app.grants).map_err(|_| BearerRefusal::Malformed)?;
            if certificate.is_none_or(|certificate| certificate.thumbprint() != *thumbprint) {
                return Err(BearerRefusal::Invalid);
            }
        }
    }
    Ok(token)
}

/// The one token of the `Authorization` header, and whether a proof comes with it.
fn presented(caller: &Caller) -> Result<(bool, &str), BearerRefusal> {
    let mut values = caller.headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Err(BearerRefusal::Missing),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(BearerRefusal::Malformed),
    };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(BearerRefusal::Malformed)?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Ok((false, token.trim())),
        "dpop" => Ok((true, token.trim())),
        _ => Err(BearerRefusal::Missing),
    }
}

impl IntoResponse for BearerRefusal {
    fn into_response(self) -> Response {
        let (status, error, challenge) = match &self {
            BearerRefusal::Missing => (StatusCode::UNAUTHORIZED, "", "Bearer realm=\"tollgate\"".to_owned()),
            BearerRefusal::Malformed => {
                (StatusCode::BAD_REQUEST, "invalid_request", "Bearer realm=\"tollgate\"".to_owned())
            }
            BearerRefusal::Invalid => {
                (StatusCode::UNAUTHORIZED, "invalid_token", "Bearer realm=\"tollgate\"".to_owned())
            }
            BearerRefusal::Unproven => (StatusCode::UNAUTHORIZED, "invalid_token", DPOP.to_owned()),
            BearerRefusal::Scope(scope) => {
                (StatusCode::FORBIDDEN, "insufficient_scope", format!("Bearer realm=\"tollgate\", scope=\"{scope}\""))
            }
            BearerRefusal::Proof(_) => (StatusCode::UNAUTHORIZED, "invalid_dpop_proof", DPOP.to_owned()),
            BearerRefusal::UseNonce(_) => (StatusCode::UNAUTHORIZED, "use_dpop_nonce", DPOP.to_owned()),
            BearerRefusal::Ours => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", String::new()),
        };
        if let BearerRefusal::Proof(problem) = &self {
            tracing::debug!(problem, "a DPoP proof is not good");
        }
        let refused = Refused { error: Some(error).filter(|error| !error.is_empty()) };
        let mut response = (status, Json(refused)).into_response();
        response.extensions_mut().insert(Refusal(if error.is_empty() { "no_token" } else { error }));
        let headers = response.headers_mut();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            return response;
        }
        let challenge = if error.is_empty() { challenge } else { format!("{challenge}, error=\"{error}\"") };
        headers.extend(HeaderValue::try_from(challenge).ok().map(|challenge| (WWW_AUTHENTICATE, challenge)));
        if let BearerRefusal::UseNonce(nonce) = self {
            headers.insert(HeaderName::from_static("dpop-nonce"), nonce);
        }
        response
    }
}
