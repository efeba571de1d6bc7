//! `POST /oauth/par` (RFC 9126): a client pushes its authorization request, and the browser carries
//! only a handle.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tollgate_model::authorization::PUSHED_LIFETIME;
use tollgate_model::{Secret, SecretKind};
use tollgate_system::rng;

use super::authorization::{REQUEST_URI, read};
use super::client_auth::authenticate;
use super::dpop;
use super::error::OAuthError;
use super::parameters::FormOnly;
use crate::AppState;
use crate::openapi::forms;

/// RFC 9126 §2.2
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Pushed {
    request_uri: String,
    expires_in: u64,
}

/// Accepts a pushed authorization request (RFC 9126).
#[utoipa::path(
    post, path = "/oauth/par",
    request_body(content = forms::PushedForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 201, description = "It is kept under a handle", body = Pushed), OAuthError),
    security(("client" = []), ("certificate" = []), ("client" = [], "dpop" = []), ("dpop" = []), ()),
)]
pub(crate) async fn post(
    State(app): State<AppState>,
    FormOnly(caller, form): FormOnly,
) -> Result<(StatusCode, Json<Pushed>), OAuthError> {
    const PATH: &str = "/oauth/par";
    let client = authenticate(&app, &caller, &form, PATH).await?.client;
    if form.get("request_uri").is_some() {
        return Err(OAuthError::InvalidRequest("a pushed request must not have a request_uri"));
    }
    let mut request = read(&app, &client, &form, true).await.map_err(|refused| refused.error)?;
    // RFC 9449 §10.1: a proof with the request means the same as `dpop_jkt`.
    let proven =
        dpop::verify_proof(&app, &caller.headers, &dpop::Request { method: "POST", path: PATH, token: None }).await?;
    match (&request.jkt, proven) {
        (Some(named), Some(proven)) if *named != proven => {
            return Err(OAuthError::InvalidDpopProof("the proof's key is not that of dpop_jkt"));
        }
        (None, Some(proven)) => request.jkt = Some(proven),
        _ => {}
    }
    let handle = Secret::new(SecretKind::Request, &rng::random()?);
    let expires_at = app.clock.now().saturating_add(PUSHED_LIFETIME);
    app.store.save_authorization_request(&handle.hash(), &request, true, expires_at).await?;
    let request_uri = format!("{REQUEST_URI}{}", handle.reveal());
    Ok((StatusCode::CREATED, Json(Pushed { request_uri, expires_in: PUSHED_LIFETIME })))
}
