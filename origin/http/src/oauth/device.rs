//! `POST /oauth/device/code` (RFC 8628 §3.1): a device without a browser gets a code that its user
//! types elsewhere.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tollgate_model::authorization::requested_access;
use tollgate_model::device::{DEVICE_CODE_LIFETIME, POLL_INTERVAL};
use tollgate_model::{Access, DeviceCode, DeviceStatus, GrantType, Secret, SecretHash, SecretKind, UserCode};
use tollgate_storage::StoreError;
use tollgate_system::rng;

use super::client_auth::authenticate;
use super::error::OAuthError;
use super::parameters::FormOnly;
use crate::openapi::forms;
use crate::{App, AppState};

/// Attempts to draw an unused user code; a collision happens once in millions.
const DRAWS: usize = 8;

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
    State(app): State<AppState>,
    FormOnly(caller, form): FormOnly,
) -> Result<Json<DeviceAnswer>, OAuthError> {
    let client = authenticate(&app, &caller, &form, "/oauth/device/code").await?.client;
    if !client.metadata.allows(GrantType::DeviceCode) {
        return Err(OAuthError::UnauthorizedClient("this client is not registered for the device grant"));
    }
    let access = Access::for_client(&client, requested_access(&form)?, &app.default_audience)?;
    let (secret, now) = (Secret::new(SecretKind::Device, &rng::random()?), app.clock.now());
    let code = DeviceCode {
        hash: secret.hash(),
        user_code: SecretHash::from_bytes([0; 32]),
        client: client.id.clone(),
        access,
        sender: caller.sender(&app.grants.trusted_proxies, form.get("device_name")),
        requested_at: now,
        status: DeviceStatus::Pending,
        expires_at: now.saturating_add(DEVICE_CODE_LIFETIME),
        interval: POLL_INTERVAL,
        polled_at_ms: 0,
    };
    let user_code = keep(&app, code).await?.to_string();
    let verification_uri = format!("{}/device", app.issuer);
    Ok(Json(DeviceAnswer {
        device_code: secret.reveal().to_owned(),
        verification_uri_complete: format!("{verification_uri}?user_code={user_code}"),
        verification_uri,
        user_code,
        expires_in: DEVICE_CODE_LIFETIME,
        interval: POLL_INTERVAL,
    }))
}

/// Records the device code under an unused user code.
async fn keep(app: &App, code: DeviceCode) -> Result<UserCode, OAuthError> {
    let key = app.keys.current().derive_key("tollgate user codes v1");
    for _ in 0..DRAWS {
        let Some(user_code) = UserCode::from_random(&rng::random()?) else {
            continue;
        };
        let code = DeviceCode { user_code: SecretHash::keyed(&key, user_code.letters()), ..code.clone() };
        if app.store.create_device_code(&code).await? {
            return Ok(user_code);
        }
    }
    Err(StoreError::AlreadyExists("user code").into())
}
