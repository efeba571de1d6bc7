//! Redeems an authorization code, device code or refresh token, in the transaction that records the
//! token.

use tollgate_model::authorization::requested_access;
use tollgate_model::{
    Access, AccessError, Actor, Client, Grant, GrantError, GrantType, NewRevocation, Reason, Scope, Secret, Target,
};
use tollgate_storage::{NewRefreshToken, RedeemCredential, RedeemOutcome, RedeemRequest};
use tollgate_system::rng;

use crate::oauth::error::OAuthError;
use crate::oauth::id_token::{self, IdToken};
use crate::oauth::issue::{TokenAnswer, TokenSubject, confirmation};
use crate::oauth::token_request::{TokenEndpoint, TokenRequest};

/// A redemption to be written.
pub(super) struct GrantRedemption<'a> {
    pub(super) grant: &'a Grant,
    pub(super) claim: RedeemCredential,
    /// Access of the new token.
    pub(super) access: Access,
    /// Refresh token to return, unless the used one is kept.
    pub(super) refresh: Option<Secret>,
    /// `nonce` of the ID token.
    pub(super) nonce: Option<&'a str>,
}

/// Access of the new token: the part of the grant that the request asks for (RFC 6749 §6) and the
/// client may still have.
pub(super) async fn requested_within_grant(request: &TokenRequest<'_>, grant: &Grant) -> Result<Access, OAuthError> {
    let (endpoint, client) = (request.endpoint, &request.caller.client);
    let (default, resources) = (&endpoint.issuer.default_audience, endpoint.cache.resources(request.caller.now).await?);
    let access = grant.terms.access.narrow(requested_access(request.form)?)?;
    let left = access.within_registration(client, default, &resources).ok_or(GrantError::NoAccessLeft)?;
    if request.form.get("scope").is_some() && left.scope.is_empty() {
        return Err(AccessError::Scope.into());
    }
    Ok(left)
}

/// Redeems the credential, and returns the tokens.
pub(super) async fn redeem_grant(
    request: TokenRequest<'_>,
    redemption: GrantRedemption<'_>,
) -> Result<TokenAnswer, OAuthError> {
    let TokenRequest { endpoint, caller, jkt, .. } = request;
    let (client, grant) = (&caller.client, redemption.grant);
    let (about, cnf) = (TokenSubject::user(grant), confirmation(caller, jkt)?);
    let drafted = endpoint.tokens.draft(caller, about, redemption.access, cnf).await?;
    let scope = grant.terms.access.scope.intersection(&client.metadata.scope);
    if scope.has("openid") {
        endpoint.keys.check_signing_capacity(client.metadata.id_token_alg())?;
    }
    let (issue, text) = drafted.parts(caller);
    let redeem =
        RedeemRequest { credential: redemption.claim, grant: grant.id.clone(), issue, at: endpoint.clock.now() };
    let (token, refresh) = match endpoint.writer.redeem(redeem).await? {
        RedeemOutcome::Issued(token) => (token, redemption.refresh),
        RedeemOutcome::IssuedWithoutRotation(token) => (token, None),
        RedeemOutcome::Replayed => return Err(replay_error(client, grant)),
        RedeemOutcome::Ended => return Err(GrantError::Ended.into()),
        RedeemOutcome::Expired => return Err(GrantError::Expired.into()),
    };
    let mut tokens = endpoint.tokens.answer(client, &token, text).await?;
    tokens.refresh_token = refresh.map(|refresh| refresh.reveal().to_owned());
    if scope.has("openid") {
        let id_token = id_token_of(endpoint, client, grant, &scope, redemption.nonce, &tokens.access_token);
        tokens.id_token = Some(Box::pin(id_token).await?);
        let has_logout = client.metadata.backchannel_logout_uri.is_some();
        tokens.session_state = has_logout.then(|| grant.id.to_string());
    }
    Ok(tokens)
}

/// The ID token for the user of a grant.
async fn id_token_of(
    endpoint: &TokenEndpoint,
    client: &Client,
    grant: &Grant,
    scope: &Scope,
    nonce: Option<&str>,
    access_token: &str,
) -> Result<String, OAuthError> {
    let user = endpoint.store.find_user(&grant.user).await?.ok_or(GrantError::Ended)?;
    let about = IdToken { client, user: &user, grant, scope, nonce, access_token: Some(access_token), code: None };
    Ok(id_token::sign(&endpoint.issuer, &endpoint.keys, endpoint.clock.now(), &about).await?)
}

/// The first refresh token of the grant, in plain and as stored, if the client gets one.
pub(super) fn first_refresh(
    endpoint: &TokenEndpoint,
    client: &Client,
    grant: &Grant,
    jkt: Option<&str>,
) -> Result<(Option<Secret>, Option<NewRefreshToken>), OAuthError> {
    if !client.metadata.allows(GrantType::RefreshToken) {
        return Ok((None, None));
    }
    let first = endpoint.keys.current().refresh_keys().first(&grant.id, &rng::random()?);
    let secret = first.ok_or(GrantError::Unknown)?;
    let rules = client.metadata.lifetimes.refresh_within(endpoint.refresh);
    let expires_at = rules.expiry(grant.ends_at, endpoint.clock.now());
    // A confidential client proves its identity by authentication; a public one can prove it only
    // by its key (RFC 9449 §5).
    let jkt = jkt.filter(|_| client.is_public()).map(str::to_owned);
    let kept = NewRefreshToken { hash: secret.hash(), expires_at, jkt };
    Ok((Some(secret), Some(kept)))
}

/// Revokes a grant whose code or refresh token was used twice: two parties have it, and one of them
/// is a thief (RFC 9700 §4.2 and §4.14).
pub(super) async fn revoke_reused(
    endpoint: &TokenEndpoint,
    client: &Client,
    grant: &Grant,
    reason: &'static str,
) -> Result<OAuthError, OAuthError> {
    if grant.ended_at.is_none() {
        let (target, reason) = (Target::Session(grant.id.to_string()), reason.parse::<Reason>().ok());
        let revoke = NewRevocation::any(target, Actor::client(&client.id), reason, endpoint.clock.now());
        endpoint.writer.revoke(revoke.map_err(|_| GrantError::Replayed)?).await?;
    }
    Ok(replay_error(client, grant))
}

fn replay_error(client: &Client, grant: &Grant) -> OAuthError {
    tracing::warn!(client = %client.id, grant = %grant.id, "a code or refresh token was used twice: the grant is revoked");
    GrantError::Replayed.into()
}
