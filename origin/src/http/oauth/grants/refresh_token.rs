//! Refreshing (RFC 6749 §6): every use gives another refresh token and ends the one that was used (RFC 9700 §4.14.2).

use super::taken::{Taking, take};
use crate::ambient;
use crate::domain::GrantError;
use crate::domain::authorization::wanted;
use crate::http::oauth::error::OAuthError;
use crate::http::oauth::issue::TokenAnswer;
use crate::http::oauth::token::TokenRequest;
use crate::store::{Claim, NewRefresh};

pub(in crate::http::oauth) async fn grant(request: TokenRequest<'_>) -> Result<TokenAnswer, OAuthError> {
    let (app, client, form) = (request.app, &request.caller.client, request.form);
    let presented = form.required("refresh_token", "refresh_token is missing")?;
    let keys = app.keys.current().refresh_keys();
    let known_as = keys.read(presented).ok_or(GrantError::Unknown)?;
    let token = app.known.refresh_token(known_as).await?.ok_or(GrantError::Unknown)?;
    let now = ambient::now();
    token.check(&client.id, request.jkt.as_deref(), now)?;
    let access = token.grant.terms.access.narrowed(wanted(form)?)?;
    let successor = keys.successor(&token.grant.id, presented).ok_or(GrantError::Unknown)?;
    let rules = app.grants.refresh;
    let expires_at = rules.expiry(token.grant.ends_at, now);
    let kept = NewRefresh { hash: successor.hash(), expires_at, jkt: token.jkt.clone() };
    // Whether it was used before is decided where it is written: two that ask at one moment must not both be the first.
    let claim = Claim::Refresh { hash: token.hash, successor: kept, grace: rules.grace };
    take(request, Taking { grant: &token.grant, claim, access, refresh: Some(successor), nonce: None }).await
}
