//! The JWT bearer grant (RFC 7523 §2.1): a client exchanges a JWT for an access token of its
//! subject.
//!
//! The JWT is signed by the client itself, with the client as subject; or by an issuer that the
//! operator trusts for this client, with a user as subject whose external ID is `ISSUER|SUBJECT`.

use serde_json::{Map, Value};
use tollgate_keys::jose::{self, JoseError, Jws, JwtUse};
use tollgate_model::authorization::requested_access;
use tollgate_model::{Access, Client, SecretHash, UserId};
use tollgate_services::client_jwks::ClientKeyCache;
use tollgate_storage::{ReplayKey, StoreError};

use crate::oauth::assertion;
use crate::oauth::error::OAuthError;
use crate::oauth::issue::{TokenAnswer, TokenSubject, confirmation};
use crate::oauth::token_request::{TokenEndpoint, TokenRequest};

/// Maximum lifetime of an assertion, in seconds.
const MAX_ASSERTION_LIFETIME: u64 = 3600;

pub(in crate::oauth) async fn grant(request: TokenRequest<'_>) -> Result<TokenAnswer, OAuthError> {
    let TokenRequest { endpoint, caller, form, jkt, .. } = request;
    let client = &caller.client;
    if client.is_public() {
        return Err(OAuthError::UnauthorizedClient("the JWT bearer grant is for clients that authenticate"));
    }
    let jwt = form.required("assertion", "assertion is missing")?;
    let (default, resources) = (&endpoint.issuer.default_audience, endpoint.cache.resources(caller.now).await?);
    let access = Access::for_client(client, requested_access(form)?, default, &resources)?;
    let unverified_issuer = issuer_of(jwt)?;
    let (about, user) = if unverified_issuer == client.id.as_str() {
        let claims = assertion::verified(&endpoint.client_keys, client, jwt, JwtUse::AuthorizationGrant)
            .await
            .map_err(refused)?;
        check(endpoint, &claims).await?;
        match jose::text(&claims, "sub").map_err(refused)? == client.id.as_str() {
            true => (TokenSubject::client(&client.id), None),
            false => return Err(OAuthError::BadGrant("a client may speak for itself alone")),
        }
    } else {
        let claims = verify_by_issuer(&endpoint.client_keys, client, &unverified_issuer, jwt).await?;
        check(endpoint, &claims).await?;
        let (about, user) = subject_of_user(endpoint, client, &claims).await?;
        (about, Some(user))
    };
    let mut drafted = endpoint.tokens.draft(caller, about, access, confirmation(caller, jkt)?).await?;
    // The user may be disabled meanwhile: the transaction that records the token checks it.
    drafted.user = user;
    endpoint.tokens.issue(caller, drafted).await
}

fn issuer_of(jwt: &str) -> Result<String, OAuthError> {
    let jws = Jws::parse(jwt).and_then(|jws| jws.of_type(JwtUse::AuthorizationGrant)).map_err(refused)?;
    Ok(jose::text(&jws.unverified_claims, "iss").map_err(refused)?.to_owned())
}

/// Verifies a JWT of an issuer that the operator trusts for this client.
async fn verify_by_issuer(
    client_keys: &ClientKeyCache,
    client: &Client,
    unverified_issuer: &str,
    jwt: &str,
) -> Result<Map<String, Value>, OAuthError> {
    let trusted = client.metadata.trusted_issuers.iter().find(|trusted| trusted.issuer == unverified_issuer);
    let trusted = trusted.ok_or(OAuthError::BadGrant("the assertion's issuer is not trusted for this client"))?;
    let keys = client_keys.issuer_keys(trusted).await;
    let keys = keys.ok_or(OAuthError::BadGrant("the keys of the assertion's issuer cannot be had"))?;
    Jws::parse(jwt).and_then(|jws| jws.verify(&keys)).map_err(refused)
}

/// Checks audience and lifetime and, if there is a `jti`, that the assertion is not replayed (RFC
/// 7523 §3).
async fn check(endpoint: &TokenEndpoint, claims: &Map<String, Value>) -> Result<(), OAuthError> {
    let token_endpoint = format!("{}/oauth/token", endpoint.issuer.url);
    if !jose::is_for(claims, &[&endpoint.issuer.url, &token_endpoint]) {
        return Err(OAuthError::BadGrant("the assertion is not for this server"));
    }
    let expires_at = jose::check_times(claims, MAX_ASSERTION_LIFETIME, endpoint.clock.now()).map_err(refused)?;
    let Some(id) = claims.get("jti").and_then(Value::as_str) else {
        return Ok(());
    };
    let issuer = jose::text(claims, "iss").map_err(refused)?;
    let hash = SecretHash::of(&format!("bearer|{}|{issuer}|{id}", issuer.len()));
    match endpoint
        .writer
        .record_first_use(ReplayKey { hash, expires_at: expires_at.saturating_add(jose::LEEWAY) })
        .await?
    {
        true => Ok(()),
        false => Err(OAuthError::BadGrant("replayed assertion: its jti was used before")),
    }
}

async fn subject_of_user(
    endpoint: &TokenEndpoint,
    client: &Client,
    claims: &Map<String, Value>,
) -> Result<(TokenSubject, UserId), OAuthError> {
    let (issuer, subject) = (jose::text(claims, "iss").map_err(refused)?, jose::text(claims, "sub").map_err(refused)?);
    let user = endpoint.store.find_user_by_external_id(&format!("{issuer}|{subject}")).await?;
    let user =
        user.filter(|user| user.is_active()).ok_or(OAuthError::BadGrant("the assertion's subject is not known"))?;
    let subject =
        user.subject_for(&client.metadata, &endpoint.keys.current().derive_key("tollgate pairwise subjects v1"));
    // There is no grant that ties the subject to the user.
    if subject != user.id.as_str() && !endpoint.store.record_pairwise_subject(&user.id, &subject).await? {
        return Err(StoreError::UserDisabled.into());
    }
    Ok((TokenSubject { user: Some(user.id.clone()), ..TokenSubject::subject(subject) }, user.id))
}

fn refused(JoseError(problem): JoseError) -> OAuthError {
    OAuthError::BadGrant(problem)
}
