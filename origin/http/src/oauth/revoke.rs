//! `POST /oauth/revoke` and `/revoke` (RFC 7009). The response is sent after the commit: every edge
//! refuses the token as soon as the delta arrives.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use tollgate_model::{Actor, Client, GrantError, NewRevocation, SecretKind, Target};
use tollgate_services::signing_keys::SigningKeys;
use tollgate_storage::{Store, Writer};
use tollgate_system::Clock;

use super::caller::Caller;
use super::client_auth::{ClientAuthenticator, authenticate};
use super::error::{OAuthError, OAuthRefusal};
use super::parameters::{FormOnly, FormOrJson, Parameters};
use crate::issuer::Issuer;
use crate::openapi::forms;

/// State of the revocation endpoint.
pub(crate) struct RevocationEndpoint {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) writer: Writer,
    pub(crate) keys: SigningKeys,
    pub(crate) clients: Arc<ClientAuthenticator>,
}

/// Revokes a token (RFC 7009).
#[utoipa::path(
    post, path = "/oauth/revoke",
    request_body(content = forms::OneTokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "It is revoked, or never was there"), OAuthError),
    security(("client" = []), ("certificate" = []), ()),
)]
pub(crate) async fn post_form(
    State(endpoint): State<Arc<RevocationEndpoint>>,
    FormOnly(caller, form): FormOnly,
) -> Result<StatusCode, OAuthRefusal> {
    revoke(&endpoint, &caller, &form, "/oauth/revoke").await.map_err(|error| OAuthRefusal::new(error, &form))
}

/// Revokes a token; short path.
#[utoipa::path(
    post, path = "/revoke",
    request_body(
        content((forms::OneTokenForm = "application/x-www-form-urlencoded"), (forms::OneTokenForm = "application/json")),
    ),
    responses((status = 200, description = "It is revoked, or never was there"), OAuthError),
    security(("client" = []), ("certificate" = []), ()),
)]
pub(crate) async fn post_form_or_json(
    State(endpoint): State<Arc<RevocationEndpoint>>,
    FormOrJson(caller, form): FormOrJson,
) -> Result<StatusCode, OAuthRefusal> {
    revoke(&endpoint, &caller, &form, "/revoke").await.map_err(|error| OAuthRefusal::new(error, &form))
}

/// The kind of a token follows from its form: a wrong `token_type_hint` has no effect (RFC 7009
/// §2.1).
async fn revoke(
    endpoint: &RevocationEndpoint,
    caller: &Caller,
    form: &Parameters,
    path: &str,
) -> Result<StatusCode, OAuthError> {
    let client = authenticate(&endpoint.clients, caller, form, path).await?.client;
    let unverified_token = form.required("token", "token is missing")?;
    match SecretKind::Refresh.is_well_formed(unverified_token) {
        true => revoke_grant(endpoint, &client, unverified_token).await,
        false => revoke_token(endpoint, &client, unverified_token).await,
    }
}

async fn revoke_token(
    endpoint: &RevocationEndpoint,
    client: &Client,
    unverified_token: &str,
) -> Result<StatusCode, OAuthError> {
    // An unknown token is no error (RFC 7009 §2.2): its holder wants it invalid, and it is.
    let Some(recognised) = endpoint.keys.verify_token(unverified_token, &endpoint.issuer.url).await? else {
        return Ok(StatusCode::OK);
    };
    // The token of another client stays valid. RFC 7009 §2.1 requires a refusal without saying how;
    // the 200 of an unknown token (§2.2) does not reveal that the token exists.
    let token = endpoint.store.find_verified_token(&recognised).await?;
    let Some(token) = token.filter(|token| token.client == client.id) else {
        return Ok(StatusCode::OK);
    };
    if let Some(revoke) = NewRevocation::token(&token, Actor::client(&client.id), None, endpoint.clock.now()) {
        let revoked = endpoint.writer.revoke(revoke).await?;
        tracing::info!(client = %client.id, token = %token.id, is_new_to_edges = revoked.is_new_to_edges, "revoked a token");
    }
    Ok(StatusCode::OK)
}

/// Revoking a refresh token revokes its grant and all its tokens (RFC 7009 §2.1).
async fn revoke_grant(
    endpoint: &RevocationEndpoint,
    client: &Client,
    unverified_token: &str,
) -> Result<StatusCode, OAuthError> {
    let Some(presented) = endpoint.keys.current().refresh_keys().parse(unverified_token) else {
        return Ok(StatusCode::OK);
    };
    let Some(grant) = endpoint.store.find_grant(&presented.grant).await?.filter(|grant| grant.client == client.id)
    else {
        return Ok(StatusCode::OK);
    };
    if grant.ended_at.is_none() {
        let target = Target::Session(grant.id.to_string());
        let revoke = NewRevocation::any(target, Actor::client(&client.id), None, endpoint.clock.now());
        endpoint.writer.revoke(revoke.map_err(|_| GrantError::Unknown)?).await?;
        tracing::info!(client = %client.id, grant = %grant.id, "revoked a grant");
    }
    Ok(StatusCode::OK)
}
