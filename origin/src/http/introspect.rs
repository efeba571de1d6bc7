//! `POST /oauth/introspect` (RFC 7662): what the store knows of a token, this moment.
//!
//! Any active client may ask about any token of this issuer. RFC 7662 §4 warns of clients that scan for tokens: there is
//! nothing to scan here, for a token must carry a signature of ours before the store is asked at all, and its `jti` is 128
//! random bits. Whoever can ask about a token holds it already.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;

use super::AppState;
use super::client_auth::authenticate;
use super::oauth_error::OAuthError;
use super::parameters::FormOnly;
use crate::ambient;
use crate::domain::Claims;

/// RFC 7662 §2.2. An inactive token's answer has nothing but `active`.
#[derive(Serialize)]
pub(super) struct Introspection {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(flatten)]
    claims: Option<Claims>,
}

const INACTIVE: Json<Introspection> = Json(Introspection { active: false, token_type: None, claims: None });

pub(super) async fn post(
    State(app): State<AppState>,
    headers: HeaderMap,
    FormOnly(form): FormOnly,
) -> Result<Json<Introspection>, OAuthError> {
    authenticate(&app.store, &headers, &form).await?;
    let unverified_token = form.get("token").ok_or(OAuthError::InvalidRequest("token is missing"))?;
    let Some(id) = app.keys.recognise(unverified_token, &app.issuer).await? else {
        return Ok(INACTIVE);
    };
    let Some(token) = app.store.unrevoked_token(id).await? else {
        return Ok(INACTIVE);
    };
    if ambient::now() >= token.expires_at {
        return Ok(INACTIVE);
    }
    Ok(Json(Introspection { active: true, token_type: Some("Bearer"), claims: Some(token.claims(&app.issuer)) }))
}
