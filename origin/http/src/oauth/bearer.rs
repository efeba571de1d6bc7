//! Bearer authentication at this origin's own endpoints (RFC 6750, RFC 9449 §7), and lookup of
//! presented access tokens.

use std::sync::Arc;

use axum::Json;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tollgate_model::encoding::from_base64url;
use tollgate_model::{AccessToken, ClientId, Confirmation, TokenAlg};
use tollgate_services::cache::RegistrationCache;
use tollgate_services::signing_keys::{SigningError, SigningKeys};
use tollgate_storage::{Store, StoreError, Versions, WriteError};
use tollgate_system::Clock;

use super::caller::Caller;
use super::dpop::{self, ProofError, ProofVerifier};
use crate::Refusal;
use crate::extract::proxies::Proxies;
use crate::issuer::Issuer;
use crate::refused_request::RefusedRequest;
use crate::request_context::note_token;

/// Challenge that asks for a DPoP proof (RFC 9449 §7.1).
const DPOP_CHALLENGE: &str = "DPoP realm=\"tollgate\", algs=\"EdDSA Ed25519 ES256 PS256 RS256\"";

/// Authenticates the bearers of access tokens, and finds tokens. It reads nothing else of the
/// database for its callers.
pub(crate) struct BearerAuthenticator {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) cache: RegistrationCache,
    pub(crate) keys: SigningKeys,
    pub(crate) proofs: Arc<ProofVerifier>,
    pub(crate) proxies: Arc<Proxies>,
}

impl BearerAuthenticator {
    /// Finds the record of an access token that is active: issued by this origin, not expired, not
    /// revoked.
    pub(crate) async fn find_active_token(
        &self,
        unverified_token: &str,
    ) -> Result<Option<Arc<AccessToken>>, StoreError> {
        self.find_active_token_as_of(unverified_token, self.cache.versions().await?).await
    }

    /// As [`Self::find_active_token`], for a request that was decided by the data of `now` already.
    pub(crate) async fn find_active_token_as_of(
        &self,
        unverified_token: &str,
        now: Versions,
    ) -> Result<Option<Arc<AccessToken>>, StoreError> {
        let token = match self.cache.valid_token(unverified_token, now) {
            Some(token) => Some(token),
            None => Box::pin(self.find_unrevoked(unverified_token, now)).await?,
        };
        Ok(token.filter(|token| self.clock.now() < token.expires_at))
    }

    /// Finds the record of an access token that is not revoked, in the data of `now` or newer.
    async fn find_unrevoked(
        &self,
        unverified_token: &str,
        now: Versions,
    ) -> Result<Option<Arc<AccessToken>>, StoreError> {
        let Some(recognised) = self.keys.verify_token(unverified_token, &self.issuer.url).await? else {
            return Ok(None);
        };
        let token = self.store.find_unrevoked_token(&recognised).await?.map(Arc::new);
        if let Some(token) = &token {
            self.cache.insert_valid_token(unverified_token, now, Arc::clone(token));
        }
        Ok(token)
    }

    /// Authenticates the bearer of an access token, including the proof of a bound one.
    pub(crate) async fn authenticate(
        &self,
        caller: &Caller,
        method: &str,
        path: &str,
    ) -> Result<Arc<AccessToken>, BearerRefusal> {
        self.authenticate_with(caller, None, method, path).await
    }

    /// As [`Self::authenticate`], where the token may be in the form of the request (RFC 6750
    /// §2.2).
    pub(crate) async fn authenticate_with(
        &self,
        caller: &Caller,
        in_form: Option<&str>,
        method: &str,
        path: &str,
    ) -> Result<Arc<AccessToken>, BearerRefusal> {
        let (by_proof, unverified_token) = match in_form {
            None => parse_authorization(caller)?,
            // RFC 6750 §2: a client uses one method in a request.
            Some(_) if caller.headers.contains_key(AUTHORIZATION) => return Err(BearerRefusal::Malformed),
            Some(token) => (false, token),
        };
        let invalid = || if by_proof { BearerRefusal::Unproven } else { BearerRefusal::Invalid };
        let token = self.find_active_token(unverified_token).await?.ok_or_else(invalid)?;
        note_token(&token);
        match &token.details.cnf {
            None if by_proof => return Err(BearerRefusal::Unproven),
            None => {}
            Some(Confirmation::Key(jkt)) => {
                let request = dpop::Request { method, path, token: Some(unverified_token) };
                let proof = self.proofs.verify(&caller.headers, &request).await?;
                // RFC 9449 §7.1: a bound token is refused with the scheme `Bearer`, too.
                let proof = proof.filter(|proof| by_proof && proof.thumbprint == *jkt);
                self.check_algorithm(&token.client, proof.ok_or(BearerRefusal::Unproven)?.algorithm).await?;
            }
            Some(Confirmation::Certificate(thumbprint)) => {
                let certificate = caller.certificate(&self.proxies).map_err(|_| BearerRefusal::Malformed)?;
                if certificate.is_none_or(|certificate| certificate.thumbprint() != *thumbprint) {
                    return Err(BearerRefusal::Invalid);
                }
            }
        }
        Ok(token)
    }

    /// All claims of a token that [`Self::authenticate`] returned for this caller, as JSON: those
    /// of the JWT, or those of the record of an opaque token.
    pub(crate) fn claims_json(&self, caller: &Caller, token: &AccessToken) -> Option<String> {
        if token.opaque.is_some() {
            return serde_json::to_string(&token.claims(&self.issuer.url)).ok();
        }
        let (_, jwt) = parse_authorization(caller).ok()?;
        String::from_utf8(from_base64url(jwt.split('.').nth(1)?)?).ok()
    }

    /// Checks that a proof of this client may be signed with the algorithm. Only the algorithm that
    /// a profile forbids needs a lookup.
    async fn check_algorithm(&self, client: &ClientId, alg: &'static str) -> Result<(), BearerRefusal> {
        if alg != TokenAlg::Rs256.as_str() {
            return Ok(());
        }
        let client = self.cache.client(client, self.cache.versions().await?).await?.ok_or(BearerRefusal::Unproven)?;
        client.metadata.check_signature_algorithm(alg).map_err(BearerRefusal::Proof)
    }
}

/// Error body of a bearer endpoint.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Refused {
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

/// Why a bearer is refused.
#[derive(Debug)]
pub(crate) enum BearerRefusal {
    /// No token (RFC 6750 §3.1: the challenge has no error then).
    Missing,
    /// Two tokens, or an unreadable header.
    Malformed,
    /// Inactive token, or the sender does not have its key.
    Invalid,
    /// The same for a token sent with the scheme `DPoP`, or that needs it (RFC 9449 §7.1).
    Unproven,
    /// The token lacks a scope value.
    Scope {
        required: String,
        /// The scope that the token has.
        granted: String,
    },
    /// The token does not meet a rule of the route.
    Rule(tollgate_core::Refusal),
    /// Invalid DPoP proof.
    Proof(&'static str),
    /// The proof must contain this nonce.
    UseNonce(HeaderValue),
    /// Failure of this server; the log has the details.
    Ours,
}

impl From<StoreError> for BearerRefusal {
    fn from(error: StoreError) -> BearerRefusal {
        tracing::error!(%error, "the store failed");
        BearerRefusal::Ours
    }
}

impl From<SigningError> for BearerRefusal {
    fn from(error: SigningError) -> BearerRefusal {
        match error {
            // Under overload, a line for each request would add to it.
            SigningError::Busy => tracing::debug!("too busy"),
            error => tracing::error!(%error, "an answer could not be signed"),
        }
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

/// The token of the `Authorization` header, and whether its scheme is `DPoP`.
fn parse_authorization(caller: &Caller) -> Result<(bool, &str), BearerRefusal> {
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

impl BearerRefusal {
    /// What the log says of the refused request. None without a token, which is how clients ask
    /// whether one is needed, and for failures of this server.
    fn refused_request(&self, error: &'static str) -> Option<RefusedRequest> {
        let refused = RefusedRequest::new(error, self.reason()?);
        match self {
            BearerRefusal::Scope { granted, .. } => Some(RefusedRequest { received: Some(granted.clone()), ..refused }),
            _ => Some(refused),
        }
    }

    fn reason(&self) -> Option<String> {
        match self {
            BearerRefusal::Missing | BearerRefusal::UseNonce(_) | BearerRefusal::Ours => None,
            BearerRefusal::Malformed => Some("the Authorization header or the certificate cannot be read".to_owned()),
            BearerRefusal::Invalid => {
                Some("the access token is unknown, expired, revoked, or not for this endpoint".to_owned())
            }
            BearerRefusal::Unproven => {
                Some("the access token is unknown, expired or revoked, or its DPoP key is not proven".to_owned())
            }
            BearerRefusal::Scope { required, .. } => Some(format!("the access token lacks the scope {required}")),
            BearerRefusal::Rule(refusal) => Some(refusal.to_string()),
            BearerRefusal::Proof(problem) => Some((*problem).to_owned()),
        }
    }
}

/// Status, error and challenge for a token that does not meet a rule of the route, as edges answer.
fn refused_by_rule(refusal: &tollgate_core::Refusal) -> (StatusCode, &'static str, String) {
    let mut challenge = "Bearer realm=\"tollgate\"".to_owned();
    match refusal {
        tollgate_core::Refusal::InsufficientAuthentication { acr_values, max_age } => {
            if !acr_values.is_empty() {
                challenge.push_str(&format!(", acr_values=\"{acr_values}\""));
            }
            if let Some(seconds) = max_age {
                challenge.push_str(&format!(", max_age=\"{seconds}\""));
            }
            (StatusCode::UNAUTHORIZED, "insufficient_user_authentication", challenge)
        }
        tollgate_core::Refusal::InsufficientScope { required } => {
            challenge.push_str(&format!(", scope=\"{required}\""));
            (StatusCode::FORBIDDEN, "insufficient_scope", challenge)
        }
        _ => (StatusCode::FORBIDDEN, "insufficient_scope", challenge),
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
            BearerRefusal::Unproven => (StatusCode::UNAUTHORIZED, "invalid_token", DPOP_CHALLENGE.to_owned()),
            BearerRefusal::Scope { required, .. } => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                format!("Bearer realm=\"tollgate\", scope=\"{required}\""),
            ),
            BearerRefusal::Rule(refusal) => refused_by_rule(refusal),
            BearerRefusal::Proof(_) => (StatusCode::UNAUTHORIZED, "invalid_dpop_proof", DPOP_CHALLENGE.to_owned()),
            BearerRefusal::UseNonce(_) => (StatusCode::UNAUTHORIZED, "use_dpop_nonce", DPOP_CHALLENGE.to_owned()),
            BearerRefusal::Ours => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", String::new()),
        };
        if let BearerRefusal::Proof(problem) = &self {
            tracing::debug!(problem, "a DPoP proof is not good");
        }
        let refused = Refused { error: Some(error).filter(|error| !error.is_empty()) };
        let mut response = (status, Json(refused)).into_response();
        response.extensions_mut().insert(Refusal(if error.is_empty() { "no_token" } else { error }));
        if let Some(refused) = self.refused_request(error) {
            response.extensions_mut().insert(refused);
        }
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
