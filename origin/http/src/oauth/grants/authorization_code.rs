//! The authorization code grant (RFC 6749 §4.1.3), with PKCE (RFC 7636 §4.5).

use tollgate_model::{GrantError, Redemption, SecretHash, SecretKind};
use tollgate_storage::RedeemCredential;

use super::redeem::{GrantRedemption, first_refresh, redeem_grant, requested_within_grant, revoke_reused};
use crate::oauth::error::OAuthError;
use crate::oauth::issue::TokenAnswer;
use crate::oauth::token_request::TokenRequest;

pub(in crate::oauth) async fn grant(request: TokenRequest<'_>) -> Result<TokenAnswer, OAuthError> {
    let (endpoint, client, form) = (request.endpoint, &request.caller.client, request.form);
    let presented = form.required("code", "code is missing")?;
    if !SecretKind::Code.is_well_formed(presented) {
        return Err(GrantError::Unknown.into());
    }
    let code = endpoint.store.find_code(&SecretHash::of(presented)).await?.ok_or(GrantError::Unknown)?;
    let jkt = request.jkt.as_deref();
    let verifier = form.get("code_verifier");
    let redemption = Redemption { client: &client.id, redirect_uri: form.get("redirect_uri"), verifier, jkt };
    match code.check(redemption, endpoint.clock.now()) {
        Ok(()) => {}
        Err(GrantError::Replayed) => {
            return Err(revoke_reused(endpoint, client, &code.grant, "an authorization code was used twice").await?);
        }
        // RFC 6749 §5.2: a parameter that is required is missing. FAPI 2.0 wants `invalid_grant`.
        Err(GrantError::CodeVerifier) if verifier.is_none() && !client.metadata.is_fapi2() => {
            return Err(OAuthError::InvalidRequest("code_verifier is missing"));
        }
        Err(error) => return Err(error.into()),
    }
    let access = requested_within_grant(&request, &code.grant).await?;
    let (refresh, kept) = first_refresh(endpoint, client, &code.grant, request.jkt.as_deref())?;
    let claim = RedeemCredential::Code { hash: code.hash, refresh: kept };
    redeem_grant(request, GrantRedemption { grant: &code.grant, claim, access, refresh, nonce: code.nonce.as_deref() })
        .await
}
