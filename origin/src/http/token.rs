//! `POST /oauth/token`, and `/token` for those who prefer JSON: the client-credentials grant (RFC 6749 §4.4), answered with
//! an RFC 9068 access token.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;

use super::AppState;
use super::client_auth::authenticate;
use super::oauth_error::OAuthError;
use super::parameters::{FormOnly, FormOrJson, Parameters};
use crate::ambient;
use crate::domain::{Audience, Grant, Scope, TokenDraft};

/// RFC 6749 §5.1
#[derive(Serialize)]
pub(super) struct TokenAnswer {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

pub(super) async fn post_form(
    State(app): State<AppState>,
    headers: HeaderMap,
    FormOnly(form): FormOnly,
) -> Result<Json<TokenAnswer>, OAuthError> {
    issue(&app, &headers, &form).await
}

pub(super) async fn post_form_or_json(
    State(app): State<AppState>,
    headers: HeaderMap,
    FormOrJson(form): FormOrJson,
) -> Result<Json<TokenAnswer>, OAuthError> {
    issue(&app, &headers, &form).await
}

async fn issue(app: &AppState, headers: &HeaderMap, form: &Parameters) -> Result<Json<TokenAnswer>, OAuthError> {
    let client = authenticate(&app.store, headers, form).await?;
    match form.get("grant_type") {
        Some("client_credentials") => {}
        Some(_) => return Err(OAuthError::UnsupportedGrantType),
        None => return Err(OAuthError::InvalidRequest("grant_type is missing")),
    }
    let scope = form.get("scope").map(Scope::parse).transpose().map_err(OAuthError::InvalidScope)?;
    let resource = form.get("resource").map(str::parse::<Audience>).transpose().map_err(OAuthError::InvalidResource)?;
    let grant = Grant::client_credentials(&client, scope, resource, &app.default_audience)?;

    let keys = app.keys.to_sign(client.alg).await;
    let key_id = keys.key_id(client.alg, &grant.audience)?;
    let (random, now) = (ambient::random()?, ambient::now());
    let draft = TokenDraft::for_client(random, &client.id, grant, key_id, now, app.token_lifetime);
    // Only a recorded token can be revoked, and its record decides the epoch in its jti: so it is signed after the commit.
    let token = app.writer.issue(draft).await?;
    let access_token = match app.status_claim {
        true => keys.issue_with_status(&token, &app.issuer)?,
        false => keys.issue(&token, &app.issuer)?,
    };
    tracing::info!(client = %client.id, token = %token.id, audience = %token.audience, "issued a token");
    Ok(Json(TokenAnswer {
        access_token,
        token_type: "Bearer",
        expires_in: app.token_lifetime,
        scope: (!token.scope.is_empty()).then(|| token.scope.to_string()),
    }))
}
