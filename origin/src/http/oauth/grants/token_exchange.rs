//! Token exchange (RFC 8693): a client turns a token it holds, or one it was shown as an API, into a narrower one for elsewhere.
//!
//! What comes out is never good for more or for longer than what went in, and ends with the same grant. Who hands a token on
//! stands in its `act`: there is no impersonation here that leaves no trace.

use std::sync::Arc;

use crate::ambient;
use crate::domain::authorization::{Asked as _, wanted};
use crate::domain::{Access, AccessToken, Acting, Audience, Audiences, Client, Confirmation, GrantError};
use crate::http::App;
use crate::http::oauth::bearer;
use crate::http::oauth::certificate::Certificate;
use crate::http::oauth::client_auth::AuthenticatedClient;
use crate::http::oauth::error::OAuthError;
use crate::http::oauth::issue::{About, TokenAnswer, answer, confirmation, draft, issue};
use crate::http::oauth::parameters::Parameters;
use crate::http::oauth::token::TokenRequest;
use crate::store::{Claim, Redeem, Redeemed};

/// RFC 8693 §3
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

pub(in crate::http::oauth) async fn grant(request: TokenRequest<'_>) -> Result<TokenAnswer, OAuthError> {
    let TokenRequest { app, caller, form, jkt } = request;
    let client = &caller.client;
    if client.is_public() {
        return Err(OAuthError::UnauthorizedClient("token exchange is for clients that authenticate"));
    }
    if !matches!(form.get("requested_token_type"), None | Some(ACCESS_TOKEN | JWT)) {
        return Err(OAuthError::InvalidRequest("requested_token_type must be that of an access token"));
    }
    let subject = presented(app, form, "subject_token", "subject_token_type").await?;
    let subject = subject.ok_or(OAuthError::InvalidRequest("subject_token is missing"))?;
    check_holder(app, caller, &subject, jkt.as_deref()).await?;
    let actor = presented(app, form, "actor_token", "actor_token_type").await?;
    if let Some(actor) = &actor {
        if actor.client != client.id {
            return Err(OAuthError::InvalidRequest("actor_token was not issued to this client"));
        }
        check_binding(caller, actor, jkt.as_deref())?;
    }
    let access = narrowed(app, client, &subject, form)?;
    let about = About {
        subject: subject.subject.clone(),
        session: subject.session.clone(),
        auth_time: subject.details.auth_time,
        acr: subject.details.acr.clone(),
        act: acting(client, &subject, actor.as_deref())?,
        ends_at: subject.expires_at,
    };
    let keys = app.keys.to_sign(client.metadata.alg).await;
    let drafted = draft(app, &keys, client, about, access, confirmation(caller, jkt)?)?;
    let grant = subject.session.as_deref().and_then(|session| session.parse().ok());
    let Some(grant) = grant else {
        return Ok(TokenAnswer { issued_token_type: Some(ACCESS_TOKEN), ..issue(app, caller, drafted).await? });
    };
    // The grant must still stand in the transaction that records the token: else a revocation at this moment would miss it.
    let (issue, opaque) = drafted.parts(caller);
    let redeem = Redeem { claim: Claim::Standing, grant, issue, at: ambient::now() };
    match app.writer.redeem(redeem).await? {
        Redeemed::Issued(token) => {
            let tokens = answer(app, client, &token, opaque)?;
            Ok(TokenAnswer { issued_token_type: Some(ACCESS_TOKEN), ..tokens })
        }
        Redeemed::Replayed | Redeemed::Ended | Redeemed::Expired => Err(GrantError::Ended.into()),
    }
}

/// A token that the request presents under this name, if it does.
async fn presented(
    app: &App,
    form: &Parameters,
    name: &'static str,
    type_name: &'static str,
) -> Result<Option<Arc<AccessToken>>, OAuthError> {
    let Some(unverified_token) = form.get(name) else {
        // RFC 8693 §2.1: a type without a token must not be.
        return match form.get(type_name) {
            Some(_) => Err(OAuthError::InvalidRequest("a token type comes without its token")),
            None => Ok(None),
        };
    };
    if !matches!(form.get(type_name), Some(ACCESS_TOKEN | JWT)) {
        return Err(OAuthError::InvalidRequest("the tokens' types must be given, and be those of access tokens"));
    }
    let token = bearer::good(app, unverified_token).await?;
    token.map(Some).ok_or(OAuthError::InvalidRequest("a token that was presented is not good"))
}

/// A client may exchange what was issued to it, and what it was shown as the API that the token is for. One that is bound to a key
/// is exchanged by its own client with that key alone: else whoever stole it could be rid of the binding.
async fn check_holder(
    app: &App,
    caller: &AuthenticatedClient,
    subject: &AccessToken,
    jkt: Option<&str>,
) -> Result<(), OAuthError> {
    let client = &caller.client;
    if subject.client == client.id {
        return check_binding(caller, subject, jkt);
    }
    let resources = app.store.resources().await?;
    let mut own = resources.iter().filter(|resource| resource.introspected_by.as_ref() == Some(&client.id));
    match own.any(|resource| subject.audience.has(resource.audience.as_str())) {
        true => Ok(()),
        false => {
            Err(OAuthError::InvalidRequest("subject_token was neither issued to this client nor is it for its API"))
        }
    }
}

/// A token that is bound to a key or a certificate comes with the proof of it.
fn check_binding(caller: &AuthenticatedClient, token: &AccessToken, jkt: Option<&str>) -> Result<(), OAuthError> {
    match &token.details.cnf {
        Some(Confirmation::Key(key)) if Some(key.as_str()) != jkt => {
            Err(OAuthError::InvalidDpopProof("a token that was presented is bound to another key"))
        }
        Some(Confirmation::Certificate(thumbprint))
            if caller.certificate.as_ref().map(Certificate::thumbprint).as_ref() != Some(thumbprint) =>
        {
            Err(OAuthError::InvalidRequest("a token that was presented is bound to another certificate"))
        }
        _ => Ok(()),
    }
}

/// What the new token is good for: scope and details within the old one's, audiences of the old one or of the client.
fn narrowed(app: &App, client: &Client, subject: &AccessToken, form: &Parameters) -> Result<Access, OAuthError> {
    let mut wanted = wanted(form)?;
    let named = form.all("audience").into_iter().map(str::parse::<Audience>).collect::<Result<Vec<_>, _>>();
    wanted.resources.extend(named.map_err(crate::domain::AuthorizationError::Resource)?);
    let resources = std::mem::take(&mut wanted.resources);
    let old = Access {
        scope: subject.scope.clone(),
        audience: subject.audience.clone(),
        details: subject.details.authorization_details.clone(),
    };
    let access = old.narrowed(wanted)?;
    if resources.is_empty() {
        return Ok(access);
    }
    let own = match client.metadata.audiences.as_slice() {
        [] => std::slice::from_ref(&app.default_audience),
        own => own,
    };
    let audience = Audiences::as_registered(&resources, subject.audience.iter().chain(own))?;
    Ok(Access { audience, ..access })
}

/// Who acts: the bearer of the actor token, else the client, unless the token was its own to begin with.
fn acting(client: &Client, subject: &AccessToken, actor: Option<&AccessToken>) -> Result<Option<Acting>, OAuthError> {
    let earlier = subject.details.act.clone();
    let acting = match actor {
        Some(actor) => Acting { sub: actor.subject.clone(), client_id: Some(actor.client.to_string()), act: None },
        None if subject.client == client.id => return Ok(earlier),
        None => Acting { sub: client.id.to_string(), client_id: Some(client.id.to_string()), act: None },
    };
    acting.before(earlier).map(Some).map_err(|_| OAuthError::InvalidRequest("subject_token was handed on too often"))
}
