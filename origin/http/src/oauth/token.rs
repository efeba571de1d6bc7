//! `POST /oauth/token`, and `/token` which also accepts JSON (RFC 6749 §3.2): authenticates the
//! client and passes the request to its grant type.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use tollgate_model::GrantType;
use tollgate_storage::{StoreError, WriteError};

use super::caller::Caller;
use super::client_auth::{AuthenticatedClient, authenticate, authenticate_cached};
use super::dpop;
use super::error::{OAuthError, OAuthRefusal};
use super::grants;
use super::issue::TokenAnswer;
use super::parameters::{FormOnly, FormOrJson, Parameters};
use super::token_request::{TokenEndpoint, TokenRequest};
use crate::json;
use crate::openapi::forms;

/// How often a request is retried because its signing key was revoked meanwhile.
const MAX_KEY_RETRIES: usize = 4;

/// Typical bytes of an answer without its tokens: member names, scope, refresh token.
const ANSWER_OVERHEAD_BYTES: usize = 320;

/// Issues tokens (RFC 6749 §3.2).
#[utoipa::path(
    post, path = "/oauth/token",
    request_body(content = forms::TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Tokens", body = TokenAnswer), OAuthError),
    security(("client" = []), ("certificate" = []), ("client" = [], "dpop" = []), ("dpop" = []), ()),
)]
pub(crate) async fn post_form(
    State(endpoint): State<Arc<TokenEndpoint>>,
    FormOnly(caller, form): FormOnly,
) -> Result<Response, OAuthRefusal> {
    token(&endpoint, &caller, &form, "/oauth/token").await.map_err(|error| OAuthRefusal::new(error, &form))
}

/// Issues tokens; short path.
#[utoipa::path(
    post, path = "/token",
    request_body(
        content((forms::TokenForm = "application/x-www-form-urlencoded"), (forms::TokenForm = "application/json")),
    ),
    responses((status = 200, description = "Tokens", body = TokenAnswer), OAuthError),
    security(("client" = []), ("certificate" = []), ("client" = [], "dpop" = []), ("dpop" = []), ()),
)]
pub(crate) async fn post_form_or_json(
    State(endpoint): State<Arc<TokenEndpoint>>,
    FormOrJson(caller, form): FormOrJson,
) -> Result<Response, OAuthRefusal> {
    token(&endpoint, &caller, &form, "/token").await.map_err(|error| OAuthRefusal::new(error, &form))
}

async fn token(
    endpoint: &TokenEndpoint,
    caller: &Caller,
    form: &Parameters,
    path: &'static str,
) -> Result<Response, OAuthError> {
    if is_retry_safe(caller, form)
        && let Some(client) = authenticate_cached(&endpoint.clients, caller, form).await
    {
        let answer = answer(endpoint, caller, &client, form, path).await;
        // A refusal is decided again, by the current data.
        if answer.is_ok() || endpoint.cache.versions().await?.registrations == client.now.registrations {
            return answer;
        }
    }
    // In a box: the future of this rare path is larger than that of most requests.
    Box::pin(async {
        answer(endpoint, caller, &authenticate(&endpoint.clients, caller, form, path).await?, form, path).await
    })
    .await
}

/// Whether the request may be decided again from the start. True only if the transaction that
/// records the token is the first side effect and checks again everything that may have changed. A
/// request with a proof or a code consumes it, and one with other lookups does not qualify either.
fn is_retry_safe(caller: &Caller, form: &Parameters) -> bool {
    let grant_type = form.get("grant_type").and_then(|name| name.parse().ok());
    let is_such = matches!(grant_type, Some(GrantType::ClientCredentials | GrantType::RefreshToken));
    is_such && !caller.headers.contains_key("dpop")
}

async fn answer(
    endpoint: &TokenEndpoint,
    caller: &Caller,
    authenticated: &AuthenticatedClient,
    form: &Parameters,
    path: &'static str,
) -> Result<Response, OAuthError> {
    let grant_type = form.required("grant_type", "grant_type is missing")?;
    let grant_type: GrantType = grant_type.parse().map_err(|_| OAuthError::UnsupportedGrantType)?;
    let is_offered = match grant_type {
        GrantType::Password => endpoint.password_grant.is_some(),
        GrantType::Implicit => false,
        _ => true,
    };
    if !is_offered {
        return Err(OAuthError::UnsupportedGrantType);
    }
    if !authenticated.client.metadata.allows(grant_type) {
        return Err(OAuthError::UnauthorizedClient("this client is not registered for that grant_type"));
    }
    let proven = dpop::Request { method: "POST", path, token: None };
    let jkt = endpoint.proofs.verify_for(&authenticated.client.metadata, &caller.headers, &proven).await?;
    let has_proof = jkt.is_some();
    let request = TokenRequest { endpoint, caller: authenticated, sent_by: caller, form, jkt };
    let answer = grant_with_key_retry(grant_type, request).await?;
    endpoint.metrics.issued(grant_type.as_str());
    let tokens = answer.access_token.len() + answer.id_token.as_ref().map_or(0, String::len);
    let mut response = json::sized(&answer, tokens + ANSWER_OVERHEAD_BYTES);
    if has_proof {
        // RFC 9449 §8.2: the next nonce is sent before the current one expires.
        let nonce: HeaderValue = endpoint.proofs.nonce(endpoint.clock.now());
        response.headers_mut().insert(HeaderName::from_static("dpop-nonce"), nonce);
    }
    Ok(response)
}

/// Repeats a grant when its signing key was revoked meanwhile. Nothing was consumed then, and the
/// next key is there in a moment; that one may be revoked too, by an operator who revokes all.
async fn grant_with_key_retry(grant_type: GrantType, request: TokenRequest<'_>) -> Result<TokenAnswer, OAuthError> {
    for _ in 0..MAX_KEY_RETRIES {
        match grant(grant_type, request.clone()).await {
            Err(OAuthError::Write(WriteError::Store(StoreError::KeyRevoked(_)))) => {
                request.endpoint.keys.reload().await?
            }
            answer => return answer,
        };
    }
    grant(grant_type, request).await
}

async fn grant(grant_type: GrantType, request: TokenRequest<'_>) -> Result<TokenAnswer, OAuthError> {
    // In boxes: otherwise each request would reserve memory for the largest grant.
    match grant_type {
        GrantType::ClientCredentials => grants::client_credentials::grant(request).await,
        GrantType::RefreshToken => grants::refresh_token::grant(request).await,
        GrantType::AuthorizationCode => Box::pin(grants::authorization_code::grant(request)).await,
        GrantType::DeviceCode => Box::pin(grants::device_code::grant(request)).await,
        GrantType::TokenExchange => Box::pin(grants::token_exchange::grant(request)).await,
        GrantType::JwtBearer => Box::pin(grants::jwt_bearer::grant(request)).await,
        GrantType::Password => Box::pin(grants::password::grant(request)).await,
        GrantType::Implicit => Err(OAuthError::UnsupportedGrantType),
    }
}
