//! Taking what a user gave: a code, a device code or a refresh token is spent in the
//! transaction that records the token.

use tollgate_model::authorization::requested_access;
use tollgate_model::{
    Access, AccessError, Actor, Client, Grant, GrantError, GrantType, NewRevocation, Reason, Scope, Secret, Target,
};
use tollgate_storage::{NewRefreshToken, RedeemCredential, RedeemOutcome, RedeemRequest};
use tollgate_system::rng;

use crate::App;
use crate::oauth::error::OAuthError;
use crate::oauth::issue::{About, IdToken, TokenAnswer, answer, confirmation, draft, id_token};
use crate::oauth::token::TokenRequest;

/// What is to be taken, and for what.
pub(super) struct Taking<'a> {
    pub(super) grant: &'a Grant,
    pub(super) claim: RedeemCredential,
    /// What the access token is to be good for.
    pub(super) access: Access,
    /// The refresh token to hand out.
    pub(super) refresh: Option<Secret>,
    /// The `nonce` of the ID token.
    pub(super) nonce: Option<&'a str>,
}

/// What the access token of a grant is to be good for: of what was given that which
/// the request asks for (RFC 6749 §6), as far as the client may have it now.
pub(super) fn granted(request: &TokenRequest<'_>, grant: &Grant) -> Result<Access, OAuthError> {
    let (app, client) = (request.app, &request.caller.client);
    let access = grant.terms.access.narrow(requested_access(request.form)?)?;
    let left = access.within_registration(client, &app.default_audience).ok_or(GrantError::NoAccessLeft)?;
    if request.form.get("scope").is_some() && left.scope.is_empty() {
        return Err(AccessError::Scope.into());
    }
    Ok(left)
}

/// Takes it, and answers with the tokens it stands for.
pub(super) async fn take(request: TokenRequest<'_>, taking: Taking<'_>) -> Result<TokenAnswer, OAuthError> {
    let TokenRequest { app, caller, form: _, jkt } = request;
    let (client, grant) = (&caller.client, taking.grant);
    let keys = app.keys.wait_for_signing_key(client.metadata.alg).await;
    let drafted = draft(app, &keys, client, About::user(grant), taking.access, confirmation(caller, jkt)?)?;
    let (issue, opaque) = drafted.parts(caller);
    let redeem = RedeemRequest { credential: taking.claim, grant: grant.id.clone(), issue, at: app.clock.now() };
    let token = match app.writer.redeem(redeem).await? {
        RedeemOutcome::Issued(token) => token,
        RedeemOutcome::Replayed => return Err(replayed(client, grant)),
        RedeemOutcome::Ended => return Err(GrantError::Ended.into()),
        RedeemOutcome::Expired => return Err(GrantError::Expired.into()),
    };
    let mut tokens = answer(app, client, &token, opaque)?;
    tokens.refresh_token = taking.refresh.map(|refresh| refresh.reveal().to_owned());
    let scope = grant.terms.access.scope.intersection(&client.metadata.scope);
    if scope.has("openid") {
        let id_token = about_user(app, client, grant, &scope, taking.nonce, &tokens.access_token);
        tokens.id_token = Some(Box::pin(id_token).await?);
    }
    Ok(tokens)
}

async fn about_user(
    app: &App,
    client: &Client,
    grant: &Grant,
    scope: &Scope,
    nonce: Option<&str>,
    access_token: &str,
) -> Result<String, OAuthError> {
    let user = app.store.find_user(&grant.user).await?.ok_or(GrantError::Ended)?;
    id_token(app, &IdToken { client, user: &user, grant, scope, nonce, access_token }).await
}

/// The grant's first refresh token, in plain and as it is kept, if the client gets
/// one.
pub(super) fn first_refresh(
    app: &App,
    client: &Client,
    grant: &Grant,
    jkt: Option<&str>,
) -> Result<(Option<Secret>, Option<NewRefreshToken>), OAuthError> {
    if !client.metadata.allows(GrantType::RefreshToken) {
        return Ok((None, None));
    }
    let first = app.keys.current().refresh_keys().first(&grant.id, &rng::random()?);
    let secret = first.ok_or(GrantError::Unknown)?;
    let expires_at = app.grants.refresh.expiry(grant.ends_at, app.clock.now());
    // A client that authenticates proves by that who it is; another can prove it by its
    // key alone (RFC 9449 §5).
    let jkt = jkt.filter(|_| client.is_public()).map(str::to_owned);
    let kept = NewRefreshToken { hash: secret.hash(), expires_at, jkt };
    Ok((Some(secret), Some(kept)))
}

/// Revokes a grant of which something was taken before: whoever took it and whoever
/// shows it now are two, and one is a thief (RFC 9700 §4.2 and §4.14).
pub(super) async fn revoke_reused(
    app: &App,
    client: &Client,
    grant: &Grant,
    reason: &'static str,
) -> Result<OAuthError, OAuthError> {
    if grant.ended_at.is_none() {
        let (target, reason) = (Target::Session(grant.id.to_string()), reason.parse::<Reason>().ok());
        let revoke = NewRevocation::any(target, Actor::client(&client.id), reason, app.clock.now());
        app.writer.revoke(revoke.map_err(|_| GrantError::Replayed)?).await?;
    }
    Ok(replayed(client, grant))
}

fn replayed(client: &Client, grant: &Grant) -> OAuthError {
    tracing::warn!(client = %client.id, grant = %grant.id, "something was taken twice: the grant is revoked");
    GrantError::Replayed.into()
}
