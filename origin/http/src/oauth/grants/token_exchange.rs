//! Token exchange (RFC 8693): a client turns a token it holds, or one it was shown as an API, into
//! a narrower one for elsewhere.
//!
//! What comes out is never good for more or for longer than what went in, is bound to a key if that
//! was, and ends with it: with its grant, and when it is revoked itself. Who hands a token on
//! stands in its `act`: there is no impersonation here that leaves no trace.

use std::collections::BTreeSet;
use std::iter;
use std::sync::Arc;

use tollgate_model::access::allowed_audiences;
use tollgate_model::authorization::{RequestParameters as _, requested_access};
use tollgate_model::{
    Access, AccessError, AccessToken, ActorClaim, Audience, Audiences, Client, Confirmation, GrantError, TokenId,
};
use tollgate_storage::{RedeemCredential, RedeemOutcome, RedeemRequest, StoreError, WriteError};

use crate::App;
use crate::oauth::bearer;
use crate::oauth::certificate::Certificate;
use crate::oauth::client_auth::AuthenticatedClient;
use crate::oauth::error::OAuthError;
use crate::oauth::issue::{About, Drafted, TokenAnswer, answer, confirmation, draft, issue};
use crate::oauth::parameters::Parameters;
use crate::oauth::token::TokenRequest;

/// RFC 8693 §3
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const NOT_GOOD: &str = "a token that was presented is not good";
/// Tokens that one may be exchanged from, directly and by way of others.
const MAX_SOURCES: usize = 32;

pub(in crate::oauth) async fn grant(request: TokenRequest<'_>) -> Result<TokenAnswer, OAuthError> {
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
    let sources: Vec<&AccessToken> = iter::once(&subject).chain(&actor).map(|token| &**token).collect();
    let access = narrowed(app, client, &subject, form)?;
    let about = About {
        subject: subject.subject.clone(),
        session: subject.session.clone(),
        auth_time: subject.details.auth_time,
        acr: subject.details.acr.clone(),
        act: acting(client, &subject, actor.as_deref())?,
        exchanged_from: exchanged_from(&sources)?,
        ends_at: sources.iter().map(|token| token.expires_at).min().unwrap_or_default(),
    };
    let cnf = binding(caller, &sources, jkt)?;
    let keys = app.keys.wait_for_signing_key(client.metadata.alg).await;
    let drafted = draft(app, &keys, client, about, access, cnf)?;
    let tokens = record(app, caller, &subject, drafted).await.map_err(|error| match error {
        OAuthError::Write(WriteError::Store(StoreError::SubjectTokenRevoked)) => OAuthError::InvalidRequest(NOT_GOOD),
        error => error,
    })?;
    Ok(TokenAnswer { issued_token_type: Some(ACCESS_TOKEN), ..tokens })
}

/// Records the token, and answers with it. What it comes from must still be good in the transaction
/// that does: else a revocation at this moment would miss it.
async fn record(
    app: &App,
    caller: &AuthenticatedClient,
    subject: &AccessToken,
    drafted: Drafted,
) -> Result<TokenAnswer, OAuthError> {
    let Some(grant) = subject.session.as_deref().and_then(|session| session.parse().ok()) else {
        return issue(app, caller, drafted).await;
    };
    let (issue, opaque) = drafted.parts(caller);
    let redeem = RedeemRequest { credential: RedeemCredential::ActiveGrant, grant, issue, at: app.clock.now() };
    match app.writer.redeem(redeem).await? {
        RedeemOutcome::Issued(token) => answer(app, &caller.client, &token, opaque),
        RedeemOutcome::Replayed | RedeemOutcome::Ended | RedeemOutcome::Expired => Err(GrantError::Ended.into()),
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
    token.map(Some).ok_or(OAuthError::InvalidRequest(NOT_GOOD))
}

/// A client may exchange what was issued to it, and what it was shown as the API that the token is
/// for. Its own client exchanges one that is bound to a key with that key alone: else whoever stole
/// it could be rid of the binding. An API cannot have that key; what it gets is bound to one of its
/// own, see [`binding`].
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
    let resources = app.store.list_resources().await?;
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

/// The key that the new token is bound to. One that is exchanged from a bound token is bound, too:
/// to the key that the request proves, else to the certificate of its connection.
fn binding(
    caller: &AuthenticatedClient,
    sources: &[&AccessToken],
    jkt: Option<String>,
) -> Result<Option<Confirmation>, OAuthError> {
    let cnf = confirmation(caller, jkt)?;
    if cnf.is_some() || sources.iter().all(|token| token.details.cnf.is_none()) {
        return Ok(cnf);
    }
    let certificate = caller.certificate.as_ref().map(|own| Confirmation::Certificate(own.thumbprint()));
    let unbound = "a token that was presented is bound to a key: send a DPoP proof, or use a certificate";
    certificate.map(Some).ok_or(OAuthError::InvalidRequest(unbound))
}

/// The tokens that the new one ends with: those that were presented, and those that they were
/// exchanged from.
fn exchanged_from(sources: &[&AccessToken]) -> Result<Vec<TokenId>, OAuthError> {
    let all = sources.iter().flat_map(|token| token.details.exchanged_from.iter().copied().chain([token.id]));
    let distinct: BTreeSet<TokenId> = all.collect();
    match distinct.len() <= MAX_SOURCES {
        true => Ok(distinct.into_iter().collect()),
        false => Err(OAuthError::InvalidRequest("the tokens were exchanged too often")),
    }
}

/// What the new token is good for: scope and details within the old one's, audiences of the old one
/// or of the client. What the old one was not good for, the client's registration must give it:
/// audience and scope values alike.
fn narrowed(app: &App, client: &Client, subject: &AccessToken, form: &Parameters) -> Result<Access, OAuthError> {
    let mut wanted = requested_access(form)?;
    let named = form.all("audience").into_iter().map(str::parse::<Audience>).collect::<Result<Vec<_>, _>>();
    wanted.resources.extend(named.map_err(tollgate_model::AuthorizationError::Resource)?);
    let resources = std::mem::take(&mut wanted.resources);
    let old = Access {
        scope: subject.scope.clone(),
        audience: subject.audience.clone(),
        details: subject.details.authorization_details.clone(),
    };
    let access = old.narrow(wanted)?;
    if resources.is_empty() {
        return Ok(access);
    }
    let own = allowed_audiences(client, &app.default_audience);
    let audience = Audiences::as_registered(&resources, subject.audience.iter().chain(own))?;
    if audience.iter().all(|audience| subject.audience.has(audience.as_str())) {
        return Ok(Access { audience, ..access });
    }
    let scope = access.scope.intersection(&client.metadata.scope);
    if form.get("scope").is_some() && scope != access.scope {
        return Err(AccessError::Scope.into());
    }
    let details = access.details.of_types(&client.metadata.authorization_details_types);
    Ok(Access { scope, audience, details })
}

/// Who acts: the bearer of the actor token, else the client, unless the token was its own to begin
/// with.
fn acting(
    client: &Client,
    subject: &AccessToken,
    actor: Option<&AccessToken>,
) -> Result<Option<ActorClaim>, OAuthError> {
    let earlier = subject.details.act.clone();
    let acting = match actor {
        Some(actor) => ActorClaim { sub: actor.subject.clone(), client_id: Some(actor.client.to_string()), act: None },
        None if subject.client == client.id => return Ok(earlier),
        None => ActorClaim { sub: client.id.to_string(), client_id: Some(client.id.to_string()), act: None },
    };
    acting
        .with_prior_actor(earlier)
        .map(Some)
        .map_err(|_| OAuthError::InvalidRequest("subject_token was handed on too often"))
}
