//! Token exchange (RFC 8693): a client exchanges a token that was issued to it, or that it received
//! as an API, for a narrower one.
//!
//! The new token never has more access or a longer life than the old one, is bound to a key if the
//! old one was, and ends with it: with its grant, and when it is revoked. The `act` claim always
//! names who passed the token on; there is no impersonation without a trace.

use std::collections::BTreeSet;
use std::iter;
use std::sync::Arc;

use tollgate_model::access::allowed_audiences;
use tollgate_model::authorization::{RequestParameters as _, requested_access};
use tollgate_model::{
    Access, AccessError, AccessToken, ActorClaim, Audience, Audiences, Client, Confirmation, GrantError, GrantId,
    TokenId, UserId,
};
use tollgate_storage::{RedeemCredential, RedeemOutcome, RedeemRequest, Store, StoreError, WriteError};

use crate::oauth::bearer::BearerAuthenticator;
use crate::oauth::certificate::Certificate;
use crate::oauth::client_auth::AuthenticatedClient;
use crate::oauth::error::OAuthError;
use crate::oauth::issue::{TokenAnswer, TokenSubject, UnsignedToken, confirmation};
use crate::oauth::parameters::Parameters;
use crate::oauth::token_request::{TokenEndpoint, TokenRequest};

/// RFC 8693 §3
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const TOKEN_NOT_ACTIVE: &str = "a presented token is not active";
/// Maximum tokens from which one may be exchanged, directly and indirectly.
const MAX_SOURCES: usize = 32;

pub(in crate::oauth) async fn grant(request: TokenRequest<'_>) -> Result<TokenAnswer, OAuthError> {
    let TokenRequest { endpoint, caller, form, jkt, .. } = request;
    let client = &caller.client;
    if client.is_public() {
        return Err(OAuthError::UnauthorizedClient("token exchange is for clients that authenticate"));
    }
    if !matches!(form.get("requested_token_type"), None | Some(ACCESS_TOKEN | JWT)) {
        return Err(OAuthError::InvalidRequest("requested_token_type must be that of an access token"));
    }
    let subject = find_presented_token(&endpoint.bearers, form, "subject_token", "subject_token_type").await?;
    let subject = subject.ok_or(OAuthError::InvalidRequest("subject_token is missing"))?;
    check_holder(&endpoint.store, caller, &subject, jkt.as_deref()).await?;
    let actor = find_presented_token(&endpoint.bearers, form, "actor_token", "actor_token_type").await?;
    if let Some(actor) = &actor {
        if actor.client != client.id {
            return Err(OAuthError::InvalidRequest("actor_token was not issued to this client"));
        }
        check_binding(caller, actor, jkt.as_deref())?;
    }
    let sources: Vec<&AccessToken> = iter::once(&subject).chain(&actor).map(|token| &**token).collect();
    let resources = endpoint.cache.resources(caller.now).await?;
    let allowed = allowed_audiences(client, &endpoint.issuer.default_audience, &resources);
    let access = narrow_access(&allowed, client, &subject, form)?;
    let about = TokenSubject {
        subject: subject.subject.clone(),
        session: subject.session.clone(),
        auth_time: subject.details.auth_time,
        acr: subject.details.acr.clone(),
        act: actor_claim(client, &subject, actor.as_deref())?,
        exchanged_from: exchanged_from(&sources)?,
        ends_at: sources.iter().map(|token| token.expires_at).min().unwrap_or_default(),
        user: user_of(&endpoint.store, &subject).await?,
    };
    let cnf = binding(caller, &sources, jkt)?;
    let drafted = endpoint.tokens.draft(caller, about, access, cnf).await?;
    let tokens = record(endpoint, caller, &subject, drafted).await.map_err(|error| match error {
        OAuthError::Write(WriteError::Store(StoreError::SubjectTokenRevoked)) => {
            OAuthError::InvalidRequest(TOKEN_NOT_ACTIVE)
        }
        error => error,
    })?;
    Ok(TokenAnswer { issued_token_type: Some(ACCESS_TOKEN), ..tokens })
}

/// The user of the subject's grant.
async fn user_of(store: &Store, subject: &AccessToken) -> Result<Option<UserId>, StoreError> {
    let Some(grant) = subject.session.as_deref().and_then(|session| session.parse::<GrantId>().ok()) else {
        return Ok(None);
    };
    Ok(Box::pin(store.find_grant(&grant)).await?.map(|grant| grant.user))
}

/// Records the token, and returns the response. Its sources must still be active in that
/// transaction, otherwise a simultaneous revocation would miss it.
async fn record(
    endpoint: &TokenEndpoint,
    caller: &AuthenticatedClient,
    subject: &AccessToken,
    drafted: UnsignedToken,
) -> Result<TokenAnswer, OAuthError> {
    let Some(grant) = subject.session.as_deref().and_then(|session| session.parse().ok()) else {
        return endpoint.tokens.issue(caller, drafted).await;
    };
    let (issue, text) = drafted.parts(caller);
    let redeem = RedeemRequest { credential: RedeemCredential::ActiveGrant, grant, issue, at: endpoint.clock.now() };
    match endpoint.writer.redeem(redeem).await? {
        RedeemOutcome::Issued(token) | RedeemOutcome::IssuedWithoutRotation(token) => {
            endpoint.tokens.answer(&caller.client, &token, text).await
        }
        RedeemOutcome::Replayed | RedeemOutcome::Ended | RedeemOutcome::Expired => Err(GrantError::Ended.into()),
    }
}

/// A token in this parameter of the request.
async fn find_presented_token(
    bearers: &BearerAuthenticator,
    form: &Parameters,
    name: &'static str,
    type_name: &'static str,
) -> Result<Option<Arc<AccessToken>>, OAuthError> {
    let Some(unverified_token) = form.get(name) else {
        // RFC 8693 §2.1: a type without a token is an error.
        return match form.get(type_name) {
            Some(_) => Err(OAuthError::InvalidRequest("a token type comes without its token")),
            None => Ok(None),
        };
    };
    if !matches!(form.get(type_name), Some(ACCESS_TOKEN | JWT)) {
        return Err(OAuthError::InvalidRequest("the tokens' types must be given, and be those of access tokens"));
    }
    let token = bearers.find_active_token(unverified_token).await?;
    token.map(Some).ok_or(OAuthError::InvalidRequest(TOKEN_NOT_ACTIVE))
}

/// Checks that the client may exchange this token: one that was issued to it, or that it received
/// as the API of the token's audience. The client that a bound token was issued to must prove its
/// key, otherwise a thief could remove the binding. An API cannot have that key; its token is bound
/// to a key of its own, see [`binding`].
async fn check_holder(
    store: &Store,
    caller: &AuthenticatedClient,
    subject: &AccessToken,
    jkt: Option<&str>,
) -> Result<(), OAuthError> {
    let client = &caller.client;
    if subject.client == client.id {
        return check_binding(caller, subject, jkt);
    }
    let resources = store.list_resources().await?;
    let mut own = resources.iter().filter(|resource| resource.introspected_by.as_ref() == Some(&client.id));
    match own.any(|resource| subject.audience.has(resource.audience.as_str())) {
        true => Ok(()),
        false => {
            Err(OAuthError::InvalidRequest("subject_token was neither issued to this client nor is it for its API"))
        }
    }
}

/// Checks the proof of a bound token.
fn check_binding(caller: &AuthenticatedClient, token: &AccessToken, jkt: Option<&str>) -> Result<(), OAuthError> {
    match &token.details.cnf {
        Some(Confirmation::Key(key)) if Some(key.as_str()) != jkt => {
            Err(OAuthError::InvalidDpopProof("a presented token is bound to another key"))
        }
        Some(Confirmation::Certificate(thumbprint))
            if caller.certificate.as_ref().map(Certificate::thumbprint).as_ref() != Some(thumbprint) =>
        {
            Err(OAuthError::InvalidRequest("a presented token is bound to another certificate"))
        }
        _ => Ok(()),
    }
}

/// Key of the new token. A token that is exchanged from a bound one is bound as well: to the key
/// that the request proves, or to the certificate of its connection.
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
    let unbound = "a presented token is bound to a key: send a DPoP proof, or use a certificate";
    certificate.map(Some).ok_or(OAuthError::InvalidRequest(unbound))
}

/// Tokens with which the new one ends: the presented ones, and those from which they were
/// exchanged.
fn exchanged_from(sources: &[&AccessToken]) -> Result<Vec<TokenId>, OAuthError> {
    let all = sources.iter().flat_map(|token| token.details.exchanged_from.iter().copied().chain([token.id]));
    let distinct: BTreeSet<TokenId> = all.collect();
    match distinct.len() <= MAX_SOURCES {
        true => Ok(distinct.into_iter().collect()),
        false => Err(OAuthError::InvalidRequest("the tokens were exchanged too often")),
    }
}

/// Access of the new token: scope and authorization details within the old one's, and an audience
/// of the old one or of the client. What the old token does not allow, the client's own
/// registration must allow: audiences (`own`) and scope values alike.
fn narrow_access(
    own: &[Audience],
    client: &Client,
    subject: &AccessToken,
    form: &Parameters,
) -> Result<Access, OAuthError> {
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

/// The `act` claim: the subject of the actor token, else the client, unless the token was its own.
fn actor_claim(
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
