//! The device grant (RFC 8628 §3.4 and §3.5): a device polls until its user has decided.

use tollgate_model::{DeviceCode, DevicePollOutcome, DeviceStatus, GrantError, SecretHash, SecretKind};
use tollgate_storage::RedeemCredential;

use super::redeem::{GrantRedemption, first_refresh, redeem_grant, requested_within_grant, revoke_reused};
use crate::oauth::error::OAuthError;
use crate::oauth::issue::TokenAnswer;
use crate::oauth::token_request::{TokenEndpoint, TokenRequest};

pub(in crate::oauth) async fn grant(request: TokenRequest<'_>) -> Result<TokenAnswer, OAuthError> {
    let (endpoint, client, form) = (request.endpoint, &request.caller.client, request.form);
    let presented = form.required("device_code", "device_code is missing")?;
    if !SecretKind::Device.is_well_formed(presented) {
        return Err(GrantError::Unknown.into());
    }
    let code = endpoint.store.find_device_code(&SecretHash::of(presented)).await?.ok_or(GrantError::Unknown)?;
    let now_ms = endpoint.clock.now_ms();
    let grant = match code.poll(&client.id, now_ms) {
        DevicePollOutcome::Approved(grant) => grant,
        DevicePollOutcome::Pending => {
            return Err(record_poll(endpoint, &code, code.interval, now_ms, OAuthError::AuthorizationPending).await?);
        }
        DevicePollOutcome::SlowDown { interval } => {
            return Err(record_poll(endpoint, &code, interval, now_ms, OAuthError::SlowDown).await?);
        }
        DevicePollOutcome::Denied => return Err(OAuthError::AccessDenied),
        DevicePollOutcome::Expired => return Err(OAuthError::ExpiredToken),
        DevicePollOutcome::Refused(error) => {
            if let (GrantError::Replayed, DeviceStatus::Redeemed(grant)) = (error, &code.status) {
                return Err(revoke_reused(endpoint, client, grant, "a device code was used twice").await?);
            }
            return Err(error.into());
        }
    };
    let access = requested_within_grant(&request, &grant).await?;
    let (refresh, kept) = first_refresh(endpoint, client, &grant, request.jkt.as_deref())?;
    let claim = RedeemCredential::DeviceCode { hash: code.hash, refresh: kept };
    redeem_grant(request, GrantRedemption { grant: &grant, claim, access, refresh, nonce: None }).await
}

/// Records a poll. Of two simultaneous polls, the second is too early.
async fn record_poll(
    endpoint: &TokenEndpoint,
    code: &DeviceCode,
    interval: u64,
    now_ms: u64,
    answer: OAuthError,
) -> Result<OAuthError, OAuthError> {
    let first = endpoint.store.record_device_poll(code, interval, now_ms).await?;
    Ok(if first { answer } else { OAuthError::SlowDown })
}
