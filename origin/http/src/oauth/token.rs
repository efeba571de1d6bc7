//! `POST /oauth/token`, and `/token` for those who prefer JSON (RFC 6749 §3.2): authenticates the
//! client and hands the request to its grant.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use tollgate_model::GrantType;
use tollgate_storage::{StoreError, WriteError};

use super::caller::Caller;
use super::client_auth::{AuthenticatedClient, authenticate, from_memory};
use super::dpop;
use super::error::OAuthError;
use super::grants;
use super::issue::TokenAnswer;
use super::parameters::{FormOnly, FormOrJson, Parameters};
use crate::openapi::forms;
use crate::{App, AppState, json};

/// Keys that may be revoked under the hands of one request before it is told to try again.
const KEYS_TRIED: usize = 4;

/// Bytes of a usual answer beside its signed tokens: the names, the scope, a refresh token.
const ROOM_BESIDE_TOKENS: usize = 320;

/// What a grant decides on.
#[derive(Clone)]
pub(super) struct TokenRequest<'a> {
    pub(super) app: &'a App,
    pub(super) caller: &'a AuthenticatedClient,
    pub(super) form: &'a Parameters,
    /// The thumbprint of the key that the request proves to have (RFC 9449).
    pub(super) jkt: Option<String>,
}

/// Gives tokens (RFC 6749 §3.2).
#[utoipa::path(
    post, path = "/oauth/token",
    request_body(content = forms::TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Tokens", body = TokenAnswer), OAuthError),
    security(("client" = []), ("certificate" = []), ("client" = [], "dpop" = []), ("dpop" = []), ()),
)]
pub(crate) async fn post_form(
    State(app): State<AppState>,
    FormOnly(caller, form): FormOnly,
) -> Result<Response, OAuthError> {
    token(&app, &caller, &form, "/oauth/token").await
}

/// Gives tokens: the short name.
#[utoipa::path(
    post, path = "/token",
    request_body(
        content((forms::TokenForm = "application/x-www-form-urlencoded"), (forms::TokenForm = "application/json")),
    ),
    responses((status = 200, description = "Tokens", body = TokenAnswer), OAuthError),
    security(("client" = []), ("certificate" = []), ("client" = [], "dpop" = []), ("dpop" = []), ()),
)]
pub(crate) async fn post_form_or_json(
    State(app): State<AppState>,
    FormOrJson(caller, form): FormOrJson,
) -> Result<Response, OAuthError> {
    token(&app, &caller, &form, "/token").await
}

async fn token(app: &App, caller: &Caller, form: &Parameters, path: &'static str) -> Result<Response, OAuthError> {
    if may_be_judged_again(caller, form)
        && let Some(client) = from_memory(app, caller, form).await
    {
        let answer = answer(app, caller, &client, form, path).await;
        // Whatever is refused is refused by what holds now.
        if answer.is_ok() || app.cache.versions().await?.registrations == client.now.registrations {
            return answer;
        }
    }
    // Larger than what most requests take, and each carries room for the larger of both.
    Box::pin(async { answer(app, caller, &authenticate(app, caller, form, path).await?, form, path).await }).await
}

/// Whether nothing is done before the transaction that records the token, and that decides again on
/// all that may have changed: then the request may be judged again. What takes a proof or a code is
/// not so, nor what is looked up on the way.
fn may_be_judged_again(caller: &Caller, form: &Parameters) -> bool {
    let grant_type = form.get("grant_type").and_then(|name| name.parse().ok());
    let is_such = matches!(grant_type, Some(GrantType::ClientCredentials | GrantType::RefreshToken));
    is_such && !caller.headers.contains_key("dpop")
}

async fn answer(
    app: &App,
    caller: &Caller,
    authenticated: &AuthenticatedClient,
    form: &Parameters,
    path: &'static str,
) -> Result<Response, OAuthError> {
    let grant_type = form.required("grant_type", "grant_type is missing")?;
    let grant_type: GrantType = grant_type.parse().map_err(|_| OAuthError::UnsupportedGrantType)?;
    if !authenticated.client.metadata.allows(grant_type) {
        return Err(OAuthError::UnauthorizedClient("this client is not registered for that grant_type"));
    }
    let jkt = dpop::proven(app, &caller.headers, &dpop::Request { method: "POST", path, token: None }).await?;
    let has_proof = jkt.is_some();
    let request = TokenRequest { app, caller: authenticated, form, jkt };
    let answer = grant_by_a_good_key(grant_type, request).await?;
    app.metrics.issued(grant_type.as_str());
    let tokens = answer.access_token.len() + answer.id_token.as_ref().map_or(0, String::len);
    let mut response = json::sized(&answer, tokens + ROOM_BESIDE_TOKENS);
    if has_proof {
        // RFC 9449 §8.2: the next nonce comes before the old one ends.
        let nonce: HeaderValue = dpop::nonce(app, app.clock.now());
        response.headers_mut().insert(HeaderName::from_static("dpop-nonce"), nonce);
    }
    Ok(response)
}

/// Grants again when the key that was to sign is revoked while the request is under way. Nothing
/// was taken then, and there is another key, or will be in a moment; that one may be revoked, too,
/// by an operator who goes through them all.
async fn grant_by_a_good_key(grant_type: GrantType, request: TokenRequest<'_>) -> Result<TokenAnswer, OAuthError> {
    for _ in 0..KEYS_TRIED {
        match grant(grant_type, request.clone()).await {
            Err(OAuthError::Write(WriteError::Store(StoreError::KeyRevoked(_)))) => request.app.keys.reload().await?,
            answer => return answer,
        };
    }
    grant(grant_type, request).await
}

async fn grant(grant_type: GrantType, request: TokenRequest<'_>) -> Result<TokenAnswer, OAuthError> {
    // A request carries room for the largest of them: those that are asked for seldom have theirs
    // elsewhere.
    match grant_type {
        GrantType::ClientCredentials => grants::client_credentials::grant(request).await,
        GrantType::RefreshToken => grants::refresh_token::grant(request).await,
        GrantType::AuthorizationCode => Box::pin(grants::authorization_code::grant(request)).await,
        GrantType::DeviceCode => Box::pin(grants::device_code::grant(request)).await,
        GrantType::TokenExchange => Box::pin(grants::token_exchange::grant(request)).await,
        GrantType::JwtBearer => Box::pin(grants::jwt_bearer::grant(request)).await,
    }
}
