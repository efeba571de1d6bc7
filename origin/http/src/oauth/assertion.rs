//! Client authentication by a signed JWT (`private_key_jwt`: RFC 7523 §2.2 and §3, OpenID Connect
//! Core §9), and verification of other JWTs that a client signs with its registered keys.

use std::sync::Arc;

use serde_json::{Map, Value};
use tollgate_keys::jose::{self, JoseError, Jws, JwtUse};
use tollgate_model::{AuthMethod, Client, SecretHash};
use tollgate_services::cache::RegistrationCache;
use tollgate_services::client_jwks::ClientKeyCache;
use tollgate_storage::{ReplayKey, Versions, Writer};
use tollgate_system::Clock;

use super::error::OAuthError;
use super::registered_client::find_client;
use crate::issuer::Issuer;

/// Maximum lifetime of an assertion, in seconds: its `jti` is stored until it expires.
const MAX_ASSERTION_LIFETIME: u64 = 3600;

/// Verifies assertions that authenticate clients.
pub(crate) struct ClientAssertions {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    pub(crate) cache: RegistrationCache,
    pub(crate) client_keys: Arc<ClientKeyCache>,
    /// Records the `jti` of an assertion, which must not be used again.
    pub(crate) writer: Writer,
}

/// Finds the client that signed an assertion. A `client_id` in the same request must match (RFC
/// 7521 §4.2).
pub(super) async fn client(
    assertions: &ClientAssertions,
    assertion: &str,
    unverified_id: Option<&str>,
    path: &str,
    now: Versions,
) -> Result<Arc<Client>, OAuthError> {
    const USE: JwtUse = JwtUse::ClientAuthentication;
    let ClientAssertions { issuer, clock, cache, client_keys, writer } = assertions;
    let jws = Jws::parse(assertion).and_then(|jws| jws.of_type(USE)).map_err(refused)?;
    let unverified_subject = jose::text(&jws.unverified_claims, "sub").map_err(refused)?.to_owned();
    if unverified_id.is_some_and(|id| id != unverified_subject) {
        return Err(OAuthError::InvalidClient);
    }
    let client = find_client(cache, &unverified_subject, now).await?.ok_or(OAuthError::InvalidClient)?;
    if client.metadata.auth_method != AuthMethod::PrivateKeyJwt {
        return Err(OAuthError::InvalidClient);
    }
    let claims = verified(client_keys, &client, assertion, USE).await.map_err(refused)?;
    if jose::text(&claims, "iss").map_err(refused)? != client.id.as_str() {
        return Err(OAuthError::InvalidClient);
    }
    // The recommended audience is the issuer; RFC 7523 §3 suggests the URL of the endpoint, and
    // most clients send that of the token endpoint to all endpoints.
    let urls = [issuer.url.clone(), format!("{}{path}", issuer.url), format!("{}/oauth/token", issuer.url)];
    if !jose::is_only_for(&claims, &urls.each_ref().map(String::as_str)) {
        return Err(OAuthError::InvalidClient);
    }
    // FAPI 2.0 §5.3.2.1: the issuer as a string, and nothing else.
    if client.metadata.is_fapi2() && claims.get("aud").and_then(Value::as_str) != Some(issuer.url.as_str()) {
        return Err(refused(JoseError("profile fapi2: aud must be the issuer alone, as a string")));
    }
    let expires_at = jose::check_times(&claims, MAX_ASSERTION_LIFETIME, clock.now()).map_err(refused)?;
    let id = jose::text(&claims, "jti").map_err(refused)?;
    let hash = SecretHash::of(&format!("assertion|{}|{id}", client.id));
    if !writer.record_first_use(ReplayKey { hash, expires_at: expires_at.saturating_add(jose::LEEWAY) }).await? {
        tracing::warn!(client = %client.id, "replayed client assertion");
        return Err(OAuthError::InvalidClient);
    }
    Ok(client)
}

/// Verifies a JWT for this use by the keys of `client`. If no known key fits, its `jwks_uri` is
/// fetched again.
pub(crate) async fn verified(
    client_keys: &ClientKeyCache,
    client: &Client,
    jwt: &str,
    of: JwtUse,
) -> Result<Map<String, Value>, JoseError> {
    let jws = Jws::parse(jwt)?.of_type(of)?;
    client.metadata.check_signature_algorithm(jws.algorithm()).map_err(JoseError)?;
    let no_keys = JoseError("the client has no keys that can be had");
    let keys = client_keys.client_keys(client).await.ok_or(no_keys)?;
    match Jws::parse(jwt)?.verify(&keys) {
        Ok(claims) => Ok(claims),
        Err(error) => match client_keys.refetch(client, &keys).await {
            Some(keys) => Jws::parse(jwt)?.verify(&keys),
            None => Err(error),
        },
    }
}

fn refused(error: JoseError) -> OAuthError {
    tracing::debug!(%error, "a client assertion is invalid");
    OAuthError::InvalidClient
}
