//! `POST /oauth/revoke` and `/revoke` (RFC 7009). The answer comes after the commit: who has it may rely on every edge
//! refusing the token as soon as news reaches it.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::AppState;
use super::client_auth::authenticate;
use super::oauth_error::OAuthError;
use super::parameters::{FormOnly, FormOrJson, Parameters};
use crate::ambient;
use crate::domain::{Actor, Revoke};

pub(super) async fn post_form(
    State(app): State<AppState>,
    headers: HeaderMap,
    FormOnly(form): FormOnly,
) -> Result<StatusCode, OAuthError> {
    revoke(&app, &headers, &form).await
}

pub(super) async fn post_form_or_json(
    State(app): State<AppState>,
    headers: HeaderMap,
    FormOrJson(form): FormOrJson,
) -> Result<StatusCode, OAuthError> {
    revoke(&app, &headers, &form).await
}

async fn revoke(app: &AppState, headers: &HeaderMap, form: &Parameters) -> Result<StatusCode, OAuthError> {
    let client = authenticate(&app.store, headers, form).await?;
    let unverified_token = form.get("token").ok_or(OAuthError::InvalidRequest("token is missing"))?;
    // An unknown or foreign token is no error (RFC 7009 §2.2): its holder wants it gone, and for us it never was there.
    let Some(id) = app.keys.recognise(unverified_token, &app.issuer).await? else {
        return Ok(StatusCode::OK);
    };
    // Another client's token stays as it is. RFC 7009 §2.1 says that the request is refused, and leaves open how; the same
    // 200 as for an unknown token (§2.2) refuses it without telling a stranger that the token exists.
    let Some(token) = app.store.token(id).await?.filter(|token| token.client == client.id) else {
        return Ok(StatusCode::OK);
    };
    if let Some(revoke) = Revoke::token(&token, Actor::client(&client.id), None, ambient::now()) {
        let revoked = app.writer.revoke(revoke).await?;
        tracing::info!(client = %client.id, token = %id, is_news = revoked.is_news, "revoked a token");
    }
    Ok(StatusCode::OK)
}
