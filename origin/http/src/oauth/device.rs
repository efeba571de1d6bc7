//! `POST /oauth/device/code` (RFC 8628 §3.1): a device without a browser gets a code that its user
//! types elsewhere.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tollgate_model::authorization::requested_access;
use tollgate_model::device::POLL_INTERVAL;
use tollgate_model::{Access, DeviceCode, DeviceStatus, GrantType, Secret, SecretHash, SecretKind, UserCode};
use tollgate_services::signing_keys::SigningKeys;
use tollgate_storage::{Store, StoreError};
use tollgate_system::{Clock, rng};

use super::caller::Caller;
use super::client_auth::{ClientAuthenticator, authenticate};
use super::error::{OAuthError, OAuthRefusal};
use super::parameters::{FormOnly, Parameters};
use crate::extract::proxies::Proxies;
use crate::issuer::Issuer;
use crate::openapi::forms;

/// Attempts to draw an unused user code; a collision happens once in millions.
const DRAWS: usize = 8;

/// State of the device authorization endpoint.
pub(crate) struct DeviceEndpoint {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    /// MAC of user codes.
    pub(crate) keys: SigningKeys,
    pub(crate) clients: Arc<ClientAuthenticator>,
    pub(crate) proxies: Arc<Proxies>,
}

/// RFC 8628 §3.2
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct DeviceAnswer {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: String,
    expires_in: u64,
    interval: u64,
}

/// Issues the codes of a device (RFC 8628 §3.1).
#[utoipa::path(
    post, path = "/oauth/device/code",
    request_body(content = forms::DeviceForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The codes", body = DeviceAnswer), OAuthError),
    security(("client" = []), ("certificate" = []), ()),
)]
pub(crate) async fn post(
    State(endpoint): State<Arc<DeviceEndpoint>>,
    FormOnly(caller, form): FormOnly,
) -> Result<Json<DeviceAnswer>, OAuthRefusal> {
    issue_codes(&endpoint, &caller, &form).await.map_err(|error| OAuthRefusal::new(error, &form))
}

async fn issue_codes(
    endpoint: &DeviceEndpoint,
    caller: &Caller,
    form: &Parameters,
) -> Result<Json<DeviceAnswer>, OAuthError> {
    let client = authenticate(&endpoint.clients, caller, form, "/oauth/device/code").await?.client;
    if !client.metadata.allows(GrantType::DeviceCode) {
        return Err(OAuthError::UnauthorizedClient("this client is not registered for the device grant"));
    }
    let (default, resources) = (&endpoint.issuer.default_audience, endpoint.store.list_resources().await?);
    let access = Access::for_client(&client, requested_access(form)?, default, &resources)?;
    let (secret, now) = (Secret::new(SecretKind::Device, &rng::random()?), endpoint.clock.now());
    let lifetime = client.metadata.lifetimes.of_device_code();
    let code = DeviceCode {
        hash: secret.hash(),
        user_code: SecretHash::from_bytes([0; 32]),
        client: client.id.clone(),
        access,
        sender: caller.sender(&endpoint.proxies, form.get("device_name")),
        requested_at: now,
        status: DeviceStatus::Pending,
        expires_at: now.saturating_add(lifetime),
        interval: POLL_INTERVAL,
        polled_at_ms: 0,
    };
    let user_code = keep(endpoint, code).await?.to_string();
    let verification_uri = format!("{}/device", endpoint.issuer.url);
    Ok(Json(DeviceAnswer {
        device_code: secret.reveal().to_owned(),
        verification_uri_complete: format!("{verification_uri}?user_code={user_code}"),
        verification_uri,
        user_code,
        expires_in: lifetime,
        interval: POLL_INTERVAL,
    }))
}

/// Records the device code under an unused user code.
async fn keep(endpoint: &DeviceEndpoint, code: DeviceCode) -> Result<UserCode, OAuthError> {
    let key = endpoint.keys.current().derive_key("tollgate user codes v1");
    for _ in 0..DRAWS {
        let Some(user_code) = UserCode::from_random(&rng::random()?) else {
            continue;
        };
        let code = DeviceCode { user_code: SecretHash::keyed(&key, user_code.letters()), ..code.clone() };
        if endpoint.store.create_device_code(&code).await? {
            return Ok(user_code);
        }
    }
    Err(StoreError::AlreadyExists("user code").into())
}
