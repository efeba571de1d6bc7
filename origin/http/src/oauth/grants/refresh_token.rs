//! The refresh token grant (RFC 6749 §6) with rotation: each use returns a new refresh token and
//! invalidates the used one (RFC 9700 §4.14.2). For clients without rotation, the used one stays
//! valid.

use tollgate_model::GrantError;
use tollgate_storage::{NewRefreshToken, RedeemCredential};

use super::redeem::{GrantRedemption, redeem_grant, requested_within_grant};
use crate::oauth::error::OAuthError;
use crate::oauth::issue::TokenAnswer;
use crate::oauth::token_request::TokenRequest;

pub(in crate::oauth) async fn grant(request: TokenRequest<'_>) -> Result<TokenAnswer, OAuthError> {
    let (endpoint, client, form) = (request.endpoint, &request.caller.client, request.form);
    let unverified_token = form.required("refresh_token", "refresh_token is missing")?;
    let ring = endpoint.keys.current();
    let keys = ring.refresh_keys();
    let presented = keys.parse(unverified_token).ok_or(GrantError::Unknown)?;
    let family = endpoint.cache.refresh_family(&presented).await?.ok_or(GrantError::Unknown)?;
    let (grant, now) = (&family.grant, endpoint.clock.now());
    family.check(&client.id, request.jkt.as_deref(), now)?;
    let access = requested_within_grant(&request, grant).await?;
    let successor = keys.successor(&grant.id, unverified_token).ok_or(GrantError::Unknown)?;
    let rules = client.metadata.lifetimes.refresh_within(endpoint.refresh);
    let expires_at = rules.expiry(grant.ends_at, now);
    let kept = NewRefreshToken { hash: successor.hash(), expires_at, jkt: family.jkt.clone() };
    let rotates = client.rotates_refresh_token(family.jkt.is_some());
    // Reuse is detected in the transaction that rotates the token: of two simultaneous requests,
    // only one may be first.
    let claim =
        RedeemCredential::RefreshToken { hash: presented.hash, successor: kept, rotates, grace: rules.reuse_grace };
    redeem_grant(request, GrantRedemption { grant, claim, access, refresh: Some(successor), nonce: None }).await
}
