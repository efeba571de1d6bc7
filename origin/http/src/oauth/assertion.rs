//! Clients that authenticate by a JWT they signed (`private_key_jwt`: RFC 7523 §2.2
//! and §3, OpenID Connect Core §9), and whatever else a client signs with its
//! registered keys.

use std::sync::Arc;

use serde_json::{Map, Value};
use tollgate_keys::jose::{self, JoseError, Jws, JwtUse};
use tollgate_model::{AuthMethod, Client, SecretHash};
use tollgate_storage::{ReplayKey, Versions};

use super::client_auth::find;
use super::error::OAuthError;
use crate::App;

/// The longest an assertion may be good, in seconds: its id is remembered until then.
const LONGEST: u64 = 3600;

/// The client that signed an assertion. `unverified_id`: the `client_id` beside it,
/// which must be the same (RFC 7521 §4.2).
pub(super) async fn client(
    app: &App,
    assertion: &str,
    unverified_id: Option<&str>,
    path: &str,
    now: Versions,
) -> Result<Arc<Client>, OAuthError> {
    const USE: JwtUse = JwtUse::ClientAuthentication;
    let jws = Jws::parse(assertion).and_then(|jws| jws.of_type(USE)).map_err(refused)?;
    let unverified_subject = jose::text(&jws.unverified_claims, "sub").map_err(refused)?.to_owned();
    if unverified_id.is_some_and(|id| id != unverified_subject) {
        return Err(OAuthError::InvalidClient);
    }
    let client = find(app, &unverified_subject, now).await?.ok_or(OAuthError::InvalidClient)?;
    if client.metadata.auth_method != AuthMethod::PrivateKeyJwt {
        return Err(OAuthError::InvalidClient);
    }
    let claims = verified(app, &client, assertion, USE).await.map_err(refused)?;
    if jose::text(&claims, "iss").map_err(refused)? != client.id.as_str() {
        return Err(OAuthError::InvalidClient);
    }
    // The issuer is what is recommended; the endpoint's own URL is what RFC 7523 §3
    // suggests, and most clients send that of the token endpoint wherever they go.
    let urls = [app.issuer.clone(), format!("{}{path}", app.issuer), format!("{}/oauth/token", app.issuer)];
    if !jose::is_for(&claims, &urls.each_ref().map(String::as_str)) {
        return Err(OAuthError::InvalidClient);
    }
    let expires_at = jose::check_times(&claims, LONGEST, app.clock.now()).map_err(refused)?;
    let id = jose::text(&claims, "jti").map_err(refused)?;
    let hash = SecretHash::of(&format!("assertion|{}|{id}", client.id));
    if !app.writer.record_first_use(ReplayKey { hash, expires_at: expires_at.saturating_add(jose::LEEWAY) }).await? {
        tracing::warn!(client = %client.id, "an assertion was shown twice");
        return Err(OAuthError::InvalidClient);
    }
    Ok(client)
}

/// The claims of a JWT for this use that `client` signed with one of its keys. If
/// none of those that are known fits, they are asked for again.
pub(crate) async fn verified(
    app: &App,
    client: &Client,
    jwt: &str,
    of: JwtUse,
) -> Result<Map<String, Value>, JoseError> {
    Jws::parse(jwt)?.of_type(of)?;
    let no_keys = JoseError("the client has no keys that can be had");
    let keys = app.client_keys.client_keys(client).await.ok_or(no_keys)?;
    match Jws::parse(jwt)?.verify(&keys) {
        Ok(claims) => Ok(claims),
        Err(error) => match app.client_keys.refetch(client, &keys).await {
            Some(keys) => Jws::parse(jwt)?.verify(&keys),
            None => Err(error),
        },
    }
}

fn refused(error: JoseError) -> OAuthError {
    tracing::debug!(%error, "a client's assertion is not good");
    OAuthError::InvalidClient
}
