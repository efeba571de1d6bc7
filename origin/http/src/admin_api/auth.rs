//! Authentication at the admin API by an access token of this origin (RFC 6750): issued to an
//! active client for the issuer as audience, with the scope `tollgate:admin`, and not revoked.

use std::sync::Arc;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use tollgate_core::{CheckedByCaller, Refusal, TokenRequirements, UnknownStatusPolicy, verify};
use tollgate_model::scope::ADMIN;
use tollgate_model::{Actor, ClientStatus};
use tollgate_services::admin::Administration;

use crate::issuer::Issuer;
use crate::problem::Problem;

/// State of the admin API.
pub(crate) struct AdminApi {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) commands: Arc<Administration>,
}

/// Authenticates the administrator, who is the actor in the audit log.
pub(crate) async fn authenticate(api: &AdminApi, headers: &HeaderMap) -> Result<Actor, Problem> {
    let (issuer, commands) = (&api.issuer.url, &*api.commands);
    let (store, keys, clock) = (&commands.store, &commands.keys, &commands.clock);
    let unverified_token = bearer_token(headers)?;
    let unverified_token = str::from_utf8(unverified_token).map_err(|_| invalid_token())?;
    let scope = [ADMIN.to_owned()];
    let expected = TokenRequirements {
        issuer,
        audience: issuer,
        scope: &scope,
        rules: None,
        leeway: 0,
        // The record, which is looked up below, exists for access tokens only.
        allow_plain_jwt: true,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    };
    // The store is queried for revocation below.
    let keys = keys.ring_for_token(unverified_token).await?;
    let verified = verify(unverified_token.as_bytes(), keys.verifying_keys(), &expected, &CheckedByCaller, clock.now());
    verified.map_err(|refusal| match refusal {
        Refusal::InsufficientScope { .. } => insufficient_scope(),
        refusal => {
            tracing::debug!(reason = refusal.code(), "access token refused at the admin API");
            invalid_token()
        }
    })?;
    let recognised = keys.verify_token(unverified_token, issuer).ok_or_else(invalid_token)?;
    let token = store.find_unrevoked_token(&recognised).await?.ok_or_else(invalid_token)?;
    if token.subject != token.client.as_str() {
        // Tokens that a user granted to a client do not administer; only those of the client
        // itself.
        return Err(invalid_token());
    }
    match store.find_client(&token.client).await? {
        Some(client) if client.status == ClientStatus::Active => Ok(Actor::client(&client.id)),
        _ => Err(invalid_token()),
    }
}

fn bearer_token(headers: &HeaderMap) -> Result<&[u8], Problem> {
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (authorizations.next(), authorizations.next()) else {
        return Err(unauthenticated());
    };
    match value.as_bytes().split_at_checked("Bearer ".len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"Bearer ") => Ok(token.trim_ascii()),
        _ => Err(unauthenticated()),
    }
}

/// RFC 6750 §3: without credentials, the challenge has no error code.
fn unauthenticated() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "an access token is required")
        .with_challenge(HeaderValue::from_static("Bearer realm=\"tollgate\", scope=\"tollgate:admin\""))
}

fn invalid_token() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "the access token is invalid, expired, revoked or for another audience")
        .with_challenge(HeaderValue::from_static(
            "Bearer realm=\"tollgate\", error=\"invalid_token\", scope=\"tollgate:admin\"",
        ))
}

fn insufficient_scope() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "the access token does not have the scope tollgate:admin").with_challenge(
        HeaderValue::from_static("Bearer realm=\"tollgate\", error=\"insufficient_scope\", scope=\"tollgate:admin\""),
    )
}
