//! `POST /oauth/par` (RFC 9126): a client pushes its authorization request, and the browser carries
//! only a handle.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tollgate_model::authorization::PUSHED_LIFETIME;
use tollgate_model::{Secret, SecretKind};
use tollgate_storage::Store;
use tollgate_system::{Clock, rng};

use super::authorization::{AuthorizationRequestReader, REQUEST_URI, read};
use super::caller::Caller;
use super::client_auth::{ClientAuthenticator, authenticate};
use super::dpop::{self, ProofVerifier};
use super::error::{OAuthError, OAuthRefusal};
use super::parameters::{FormOnly, Parameters};
use crate::openapi::forms;

/// State of the endpoint for pushed authorization requests.
pub(crate) struct PushedRequestEndpoint {
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) clients: Arc<ClientAuthenticator>,
    pub(crate) reader: Arc<AuthorizationRequestReader>,
    pub(crate) proofs: Arc<ProofVerifier>,
}

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
    State(endpoint): State<Arc<PushedRequestEndpoint>>,
    FormOnly(caller, form): FormOnly,
) -> Result<(StatusCode, Json<Pushed>), OAuthRefusal> {
    push(&endpoint, &caller, &form).await.map_err(|error| OAuthRefusal::new(error, &form))
}

async fn push(
    endpoint: &PushedRequestEndpoint,
    caller: &Caller,
    form: &Parameters,
) -> Result<(StatusCode, Json<Pushed>), OAuthError> {
    const PATH: &str = "/oauth/par";
    let client = authenticate(&endpoint.clients, caller, form, PATH).await?.client;
    if form.get("request_uri").is_some() {
        return Err(OAuthError::InvalidRequest("a pushed request must not have a request_uri"));
    }
    let resources = endpoint.store.list_resources().await?;
    let request = read(&endpoint.reader, &client, &resources, form, true).await;
    let mut request = request.map_err(|refused| refused.error)?;
    // RFC 9449 §10.1: a proof with the request means the same as `dpop_jkt`.
    let proven = dpop::Request { method: "POST", path: PATH, token: None };
    let proven = endpoint.proofs.verify_for(&client.metadata, &caller.headers, &proven).await?;
    match (&request.jkt, proven) {
        (Some(named), Some(proven)) if *named != proven => {
            return Err(OAuthError::InvalidDpopProof("the proof's key is not that of dpop_jkt"));
        }
        (None, Some(proven)) => request.jkt = Some(proven),
        _ => {}
    }
    let handle = Secret::new(SecretKind::Request, &rng::random()?);
    let expires_at = endpoint.clock.now().saturating_add(PUSHED_LIFETIME);
    endpoint.store.save_authorization_request(&handle.hash(), &request, true, expires_at).await?;
    let request_uri = format!("{REQUEST_URI}{}", handle.reveal());
    Ok((StatusCode::CREATED, Json(Pushed { request_uri, expires_in: PUSHED_LIFETIME })))
}
