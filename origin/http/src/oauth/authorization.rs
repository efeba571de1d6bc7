//! Parses authorization requests: from a browser, pushed (RFC 9126), or signed (RFC 9101).

use std::sync::Arc;

use serde_json::{Map, Value};
use tollgate_keys::jose::{self, JoseError, Jws, JwtUse};
use tollgate_model::authorization::{error_response_mode, response_uri};
use tollgate_model::{AuthorizationError, AuthorizationRequest, Client, RequestUri, Resource, ResponseType};
use tollgate_services::client_jwks::ClientKeyCache;
use tollgate_services::request_objects::RequestObjectCache;
use tollgate_services::signing_keys::SigningKeys;
use tollgate_system::Clock;

use super::assertion;
use super::authorization_response::ReturnTo;
use super::id_token_hint;
use super::parameters::Parameters;
use crate::issuer::Issuer;
use crate::pages::query::UI_LOCALES;

/// Prefix of the handles of pushed requests (RFC 9126 §2.2).
pub(crate) const REQUEST_URI: &str = "urn:ietf:params:oauth:request_uri:";
/// Maximum lifetime of a request object, in seconds.
const MAX_REQUEST_OBJECT_LIFETIME: u64 = 3600;

/// A rejected request, with the redirect URI to report it to. Without one, because it is what is
/// wrong, only the user is informed (RFC 6749 §4.1.2.1).
#[derive(Debug)]
pub(crate) struct RejectedRequest {
    pub(crate) return_to: Option<ReturnTo>,
    pub(crate) error: AuthorizationError,
}

/// Parses authorization requests.
pub(crate) struct AuthorizationRequestReader {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    /// Signed the ID tokens of hints.
    pub(crate) keys: SigningKeys,
    /// Public keys of clients, which sign request objects.
    pub(crate) client_keys: Arc<ClientKeyCache>,
    /// Request objects that clients publish.
    pub(crate) request_objects: RequestObjectCache,
    /// Whether the server offers response types with tokens.
    pub(crate) has_front_channel_tokens: bool,
}

/// Parses a request of `client`, given all resource servers. `pushed`: whether the client sent it
/// itself.
pub(crate) async fn read(
    reader: &AuthorizationRequestReader,
    client: &Client,
    resources: &[Resource],
    outer: &Parameters,
    pushed: bool,
) -> Result<AuthorizationRequest, RejectedRequest> {
    let asked = match resolve_request_object(reader, client, outer).await {
        Ok(asked) => asked,
        Err(error) => return Err(RejectedRequest { return_to: return_to(reader, client, outer).ok(), error }),
    };
    let to = return_to(reader, client, &asked).map_err(|error| RejectedRequest { return_to: None, error })?;
    let refused = |error| RejectedRequest { return_to: Some(to.clone()), error };
    if client.metadata.require_pushed_authorization_requests && !pushed {
        return Err(refused(AuthorizationError::Invalid("this client's requests must be pushed (RFC 9126)")));
    }
    let response_type = asked.get("response_type").and_then(|named| named.parse::<ResponseType>().ok());
    if response_type.is_some_and(ResponseType::is_legacy) && !reader.has_front_channel_tokens {
        return Err(refused(AuthorizationError::ResponseType));
    }
    let (default, now) = (&reader.issuer.default_audience, reader.clock.now());
    let request = AuthorizationRequest::read(client, &to.redirect_uri, &asked, default, resources, now);
    let mut request = request.map_err(refused)?;
    if let Some(hint) = asked.get("id_token_hint") {
        // OpenID Connect Core §3.1.2.2: it must be ours.
        let subject = id_token_hint::claims(&reader.issuer.url, &reader.keys, hint)
            .and_then(|claims| Some(claims.get("sub")?.as_str()?.to_owned()));
        let not_ours = AuthorizationError::Invalid("id_token_hint is not an ID token of this server");
        let subject = subject.ok_or_else(|| refused(not_ours))?;
        if request.hinted_subject.as_ref().is_some_and(|requested| *requested != subject) {
            return Err(refused(AuthorizationError::Invalid("id_token_hint and the requested sub differ")));
        }
        request.hinted_subject = Some(subject);
    }
    Ok(request)
}

/// The redirect URI of a request: a registered one, or the only registered one.
fn return_to(
    reader: &AuthorizationRequestReader,
    client: &Client,
    asked: &Parameters,
) -> Result<ReturnTo, AuthorizationError> {
    let redirect_uri = response_uri(client, asked.get("redirect_uri"), reader.issuer.http_redirects)?;
    Ok(ReturnTo {
        mode: error_response_mode(client, asked, &redirect_uri),
        redirect_uri,
        state: asked.get("state").map(str::to_owned),
        ui_locales: asked.get(UI_LOCALES).map(str::to_owned),
    })
}

/// The parameters of the request object, or these if there is none. Parameters outside a request
/// object do not count (RFC 9101 §6.3).
async fn resolve_request_object(
    reader: &AuthorizationRequestReader,
    client: &Client,
    outer: &Parameters,
) -> Result<Parameters, AuthorizationError> {
    let published;
    let jwt = match (outer.get("request"), outer.get("request_uri")) {
        (Some(_), Some(_)) => return Err(AuthorizationError::Invalid("request and request_uri exclude each other")),
        (Some(jwt), None) => jwt,
        (None, Some(uri)) => {
            published = published_object(reader, client, uri).await?;
            published.as_str()
        }
        (None, None) if client.metadata.require_signed_request_object => {
            return Err(AuthorizationError::Invalid("this client's requests must be signed (RFC 9101)"));
        }
        (None, None) => return Ok(outer.clone()),
    };
    if client.metadata.jwks.is_none() && client.metadata.jwks_uri.is_none() {
        return Err(AuthorizationError::RequestNotSupported);
    }
    let refused = |JoseError(problem)| AuthorizationError::RequestObject(problem);
    let jws = Jws::parse(jwt).map_err(refused)?;
    let (alg, is_typed) = (jws.algorithm(), jws.is_typed(JwtUse::AuthorizationRequest));
    if client.metadata.request_object_signing_alg.is_some_and(|registered| registered.as_str() != alg) {
        return Err(AuthorizationError::RequestObject("it is signed with another algorithm than the registered one"));
    }
    let claims =
        assertion::verified(&reader.client_keys, client, jwt, JwtUse::AuthorizationRequest).await.map_err(refused)?;
    let is_client = |name: &str| claims.get(name).is_none_or(|value| value.as_str() == Some(client.id.as_str()));
    if claims.get("client_id").is_none() || !is_client("client_id") || !is_client("iss") {
        return Err(AuthorizationError::RequestObject("it is another client's"));
    }
    if claims.contains_key("aud") && !jose::is_for(&claims, &[&reader.issuer.url]) {
        return Err(AuthorizationError::RequestObject("it is for another server"));
    }
    // RFC 9101 §10.8: otherwise a request object seen in a link could be used as a client
    // assertion.
    if !is_typed && claims.get("sub").is_some_and(|subject| subject.as_str() == Some(client.id.as_str())) {
        return Err(AuthorizationError::RequestObject("its sub is the client, and its typ is not oauth-authz-req+jwt"));
    }
    // A published object may lack times: it is valid as long as the client publishes it.
    let must_end = outer.get("request_uri").is_none() || ["exp", "iat"].iter().any(|name| claims.contains_key(*name));
    if must_end {
        jose::check_bounded(&claims, MAX_REQUEST_OBJECT_LIFETIME, reader.clock.now()).map_err(refused)?;
    }
    if client.metadata.is_fapi2() {
        check_message_signing(&claims, reader.clock.now()).map_err(refused)?;
    }
    if claims.contains_key("request") || claims.contains_key("request_uri") {
        return Err(AuthorizationError::RequestObject("it has another request in it"));
    }
    let pairs = claims.into_iter().flat_map(|(name, value)| match value {
        Value::String(text) => vec![(name, text)],
        Value::Array(values) if name == "resource" => {
            values.iter().filter_map(|value| Some((name.clone(), value.as_str()?.to_owned()))).collect()
        }
        value => vec![(name, value.to_string())],
    });
    Parameters::from_pairs(pairs).map_err(|_| AuthorizationError::RequestObject("it has a parameter twice"))
}

/// FAPI 2.0 Message Signing §5.3.1: a request object names its audience, is at most an hour old and
/// lives at most an hour.
fn check_message_signing(claims: &Map<String, Value>, now: u64) -> Result<(), JoseError> {
    if !claims.contains_key("aud") {
        return Err(JoseError("profile fapi2: it has no aud"));
    }
    let not_before = jose::time(claims, "nbf")?.ok_or(JoseError("profile fapi2: it has no nbf"))?;
    let expires_at = jose::time(claims, "exp")?.ok_or(JoseError("profile fapi2: it has no exp"))?;
    if now > not_before.saturating_add(MAX_REQUEST_OBJECT_LIFETIME) {
        return Err(JoseError("profile fapi2: its nbf is more than an hour ago"));
    }
    if expires_at > not_before.saturating_add(MAX_REQUEST_OBJECT_LIFETIME) {
        return Err(JoseError("profile fapi2: its exp is more than an hour after its nbf"));
    }
    Ok(())
}

/// The unverified request object at a URI that the client registered. Never: a request to another
/// URL, which anyone could put into a link.
async fn published_object(
    reader: &AuthorizationRequestReader,
    client: &Client,
    uri: &str,
) -> Result<Arc<String>, AuthorizationError> {
    let registered = &client.metadata.request_uris;
    if registered.is_empty() {
        return Err(AuthorizationError::RequestUriNotSupported);
    }
    let named = uri.parse::<RequestUri>().ok();
    let registered = named.and_then(|named| registered.iter().find(|registered| registered.matches(&named)));
    let registered = registered.ok_or(AuthorizationError::RequestUri("it is not one that this client registered"))?;
    // Under the registered URI: otherwise each hash that a link adds would cause a further request.
    let object = reader.request_objects.unverified_object(registered, client.registrant()).await;
    object.ok_or(AuthorizationError::RequestUri("it cannot be fetched"))
}
