//! Client authentication (RFC 6749 §2.3): by a secret, an assertion, a certificate, or not at all
//! for a public client; in exactly one way a request.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tollgate_keys::jose::{self, Jws};
use tollgate_model::{AuthMethod, Client, ClientStatus, SecretHash};
use tollgate_services::cache::RegistrationCache;
use tollgate_services::password_hashing::{PasswordHasher, VerifiedSecretCache};
use tollgate_services::rate_limit::RateLimiter;
use tollgate_services::telemetry::CredentialKind;
use tollgate_storage::{Store, Versions};
use tollgate_system::Clock;
use zeroize::Zeroizing;

use super::assertion::{self, ClientAssertions};
use super::caller::Caller;
use super::certificate::Certificate;
use super::error::OAuthError;
use super::form_encoding::decode;
use super::parameters::Parameters;
use super::registered_client::find_client;
use crate::extract::proxies::Proxies;
use crate::failed_authentication::FailedAuthentications;
use crate::request_context::{self, AuthenticationFailure, note_client};

/// `client_assertion_type` (RFC 7523 §2.2)
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const UNREADABLE_CREDENTIALS: AuthenticationFailure = AuthenticationFailure {
    reason: "there are no client credentials that can be read: Basic needs a form-encoded ID and secret",
    parameter: None,
};

/// Authenticates clients.
pub(crate) struct ClientAuthenticator {
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) cache: RegistrationCache,
    pub(crate) assertions: ClientAssertions,
    pub(crate) password_hasher: PasswordHasher,
    /// Client secrets that were verified lately.
    pub(crate) verified_secrets: VerifiedSecretCache,
    pub(crate) rate_limiter: Arc<RateLimiter>,
    pub(crate) proxies: Arc<Proxies>,
    pub(crate) failures: FailedAuthentications,
}

/// An authenticated client. For a public client, the client that the request names: nothing proves
/// it.
pub(crate) struct AuthenticatedClient {
    pub(crate) client: Arc<Client>,
    /// Certificate of the connection.
    pub(crate) certificate: Option<Certificate>,
    /// Versions of the data by which the request was decided: at least as new as the request,
    /// unless `unconfirmed`.
    pub(crate) now: Versions,
    /// Whether the data may have changed before the request arrived. What is done by it must then
    /// be confirmed in the transaction.
    pub(crate) unconfirmed: bool,
}

impl AuthenticatedClient {
    /// The client, if it authenticated.
    pub(crate) fn confidential(&self) -> Result<&Client, OAuthError> {
        if self.client.is_public() { Err(OAuthError::InvalidClient) } else { Ok(&self.client) }
    }
}

/// Credentials of a request, not verified yet.
enum PresentedCredentials<'a> {
    Secret {
        unverified_id: String,
        secret: Zeroizing<String>,
    },
    Assertion {
        text: &'a str,
        unverified_id: Option<&'a str>,
    },
    /// A `client_id` without credentials; the connection may have a certificate.
    Id(&'a str),
}

impl PresentedCredentials<'_> {
    /// The client ID that the credentials name.
    fn unverified_id(&self) -> Option<String> {
        match self {
            PresentedCredentials::Secret { unverified_id, .. } => Some(unverified_id.clone()),
            PresentedCredentials::Id(unverified_id) => Some((*unverified_id).to_owned()),
            PresentedCredentials::Assertion { text, .. } => {
                Some(jose::text(&Jws::parse(text).ok()?.unverified_claims, "sub").ok()?.to_owned())
            }
        }
    }
}

impl PresentedCredentials<'_> {
    /// Why these credentials were refused, for the log: the response does not say it. `named`: the
    /// registered client that they name.
    fn failure(&self, named: Option<&Client>) -> AuthenticationFailure {
        let parameter = match self {
            PresentedCredentials::Secret { .. } => Some("client_secret"),
            PresentedCredentials::Assertion { .. } => Some("client_assertion"),
            PresentedCredentials::Id(_) => None,
        };
        let reason = match (named, self) {
            (None, _) => return AuthenticationFailure { reason: "client_id is unknown", parameter: Some("client_id") },
            (Some(Client { status: ClientStatus::Excluded { rule }, .. }), _) => {
                return AuthenticationFailure { reason: rule, parameter: None };
            }
            (Some(client), _) if !client.is_active() => "the client is disabled",
            (Some(client), PresentedCredentials::Secret { .. }) if !may_use_secrets(client) => {
                "the client sent a secret, but is registered for another authentication method"
            }
            (Some(_), PresentedCredentials::Secret { .. }) => "the client secret is wrong or expired",
            (Some(client), PresentedCredentials::Assertion { .. })
                if client.metadata.auth_method != AuthMethod::PrivateKeyJwt =>
            {
                "the client sent an assertion, but is registered for another authentication method"
            }
            (Some(_), PresentedCredentials::Assertion { .. }) => "the client assertion is invalid or was used before",
            (Some(_), PresentedCredentials::Id(_)) => {
                "the client must authenticate: it sent no credentials, or a certificate that is not registered"
            }
        };
        AuthenticationFailure { reason, parameter }
    }
}

/// Authenticates the client of a request. `path` is the endpoint, which an assertion may name as
/// its audience.
pub(crate) async fn authenticate(
    clients: &ClientAuthenticator,
    caller: &Caller,
    form: &Parameters,
    path: &str,
) -> Result<AuthenticatedClient, OAuthError> {
    let presented = parse_credentials(&caller.headers, form).inspect_err(|error| {
        if matches!(error, OAuthError::InvalidClient) {
            request_context::note_failure(UNREADABLE_CREDENTIALS);
        }
    })?;
    let certificate = caller.certificate(&clients.proxies)?;
    let now = clients.cache.versions().await?;
    let client = match authenticate_by(clients, caller, &presented, certificate.as_ref(), path, now).await {
        Err(OAuthError::InvalidClient) => {
            // In a box of its own: successful requests reserve no memory for it.
            Box::pin(note_failure(clients, caller, &presented, now)).await;
            return Err(OAuthError::InvalidClient);
        }
        client => client?,
    };
    note_client(&client);
    if !client.is_public() {
        clients.rate_limiter.acquire_client(&client.id).await?;
    }
    Ok(AuthenticatedClient { client, certificate, now, unconfirmed: false })
}

/// Records a failed authentication, with the client that was named if it exists.
async fn note_failure(
    clients: &ClientAuthenticator,
    caller: &Caller,
    presented: &PresentedCredentials<'_>,
    now: Versions,
) {
    let address = caller.address(&clients.proxies);
    let named = find_client(&clients.cache, &presented.unverified_id().unwrap_or_default(), now).await.ok().flatten();
    if let Some(client) = &named {
        note_client(client);
    }
    request_context::note_failure(presented.failure(named.as_deref()));
    let name = named.as_ref().map(|client| client.id.as_str());
    clients.failures.record(CredentialKind::Client, name, address).await;
}

/// Finds the active client and verifies the credentials.
async fn authenticate_by(
    clients: &ClientAuthenticator,
    caller: &Caller,
    presented: &PresentedCredentials<'_>,
    certificate: Option<&Certificate>,
    path: &str,
    now: Versions,
) -> Result<Arc<Client>, OAuthError> {
    let client = match presented {
        PresentedCredentials::Secret { unverified_id, secret } => {
            let address = caller.address(&clients.proxies);
            authenticate_by_secret(clients, unverified_id, secret, address, now).await?
        }
        PresentedCredentials::Assertion { text, unverified_id } => {
            Box::pin(assertion::client(&clients.assertions, text, *unverified_id, path, now)).await?
        }
        PresentedCredentials::Id(unverified_id) => {
            authenticate_by_certificate_or_id(clients, unverified_id, certificate, now).await?
        }
    };
    if client.is_active() { Ok(client) } else { Err(OAuthError::InvalidClient) }
}

/// Authenticates a client by its secret from memory alone. Refuses nothing: `None` means that
/// [`authenticate`] must decide.
pub(crate) async fn authenticate_cached(
    clients: &ClientAuthenticator,
    caller: &Caller,
    form: &Parameters,
) -> Option<AuthenticatedClient> {
    let Ok(PresentedCredentials::Secret { unverified_id, secret }) = parse_credentials(&caller.headers, form) else {
        return None;
    };
    let now = clients.cache.latest_versions()?;
    let client = clients.cache.cached_client(&unverified_id.parse().ok()?, now)?;
    let fits = may_use_secrets(&client) && client.has_secret(&SecretHash::of(&secret), clients.clock.now());
    if !fits || !client.is_active() {
        return None;
    }
    let certificate = caller.certificate(&clients.proxies).ok()?;
    clients.rate_limiter.acquire_client(&client.id).await.ok()?;
    note_client(&client);
    Some(AuthenticatedClient { client, certificate, now, unconfirmed: true })
}

async fn authenticate_by_secret(
    clients: &ClientAuthenticator,
    unverified_id: &str,
    secret: &str,
    address: Option<IpAddr>,
    now: Versions,
) -> Result<Arc<Client>, OAuthError> {
    let client = match find_client(&clients.cache, unverified_id, now).await {
        Err(OAuthError::InvalidClient) => None,
        found => found?.filter(|client| may_use_secrets(client)),
    };
    // An unknown client costs the same as a wrong secret: the secret is hashed and compared as
    // well.
    let presented = SecretHash::of(secret);
    let Some(client) = client else {
        let _ = SecretHash::from_bytes([0; 32]).matches(&presented);
        clients.rate_limiter.begin_secret_attempt(unverified_id, address).await?.failed();
        return Err(OAuthError::InvalidClient);
    };
    if client.has_secret(&presented, clients.clock.now()) {
        return Ok(client);
    }
    if client.chosen_secrets(clients.clock.now()).next().is_none() {
        clients.rate_limiter.begin_secret_attempt(unverified_id, address).await?.failed();
        return Err(OAuthError::InvalidClient);
    }
    match Box::pin(has_chosen_secret(clients, &client, secret, address)).await? {
        true => Ok(client),
        false => Err(OAuthError::InvalidClient),
    }
}

/// Header and body are interchangeable for a client with a secret. A client that registered another
/// method must not fall back to a secret.
fn may_use_secrets(client: &Client) -> bool {
    matches!(client.metadata.auth_method, AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost)
}

/// Whether a person chose this secret for the client. Only clients with such a secret cost the slow
/// hash. That does not reveal anything: client IDs are public (RFC 6749 §2.2).
async fn has_chosen_secret(
    clients: &ClientAuthenticator,
    client: &Client,
    secret: &str,
    address: Option<IpAddr>,
) -> Result<bool, OAuthError> {
    let hashes: Vec<&str> = client.chosen_secrets(clients.clock.now()).collect();
    if hashes.iter().any(|hash| clients.verified_secrets.contains(&client.id, secret, hash)) {
        return Ok(true);
    }
    for hash in hashes {
        // Equal secrets sent at the same time count as one guess and share one hash.
        let check = || async {
            let guess = clients.rate_limiter.begin_secret_attempt(client.id.as_str(), address).await?;
            let fits = clients.password_hasher.verify(Zeroizing::new(secret.to_owned()), Some(hash.to_owned())).await;
            match fits {
                Ok(false) => guess.failed(),
                Ok(true) | Err(_) => guess.refund().await,
            }
            Ok::<bool, OAuthError>(fits?)
        };
        if clients.verified_secrets.verify(&client.id, secret, hash, check).await? {
            rehash(clients, client, secret, hash).await;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Hashes a secret again if the configured cost has grown. An error is logged only; the next
/// sign-in tries again.
async fn rehash(clients: &ClientAuthenticator, client: &Client, secret: &str, old: &str) {
    if !clients.password_hasher.needs_rehash(old) {
        return;
    }
    let Ok(new) = clients.password_hasher.hash(Zeroizing::new(secret.to_owned())).await else {
        return;
    };
    if let Err(error) = clients.store.rehash_secret(&client.id, old, &new).await {
        tracing::warn!(%error, client = %client.id, "rehashing a client secret failed");
    }
}

async fn authenticate_by_certificate_or_id(
    clients: &ClientAuthenticator,
    unverified_id: &str,
    certificate: Option<&Certificate>,
    now: Versions,
) -> Result<Arc<Client>, OAuthError> {
    let client = find_client(&clients.cache, unverified_id, now).await?.ok_or(OAuthError::InvalidClient)?;
    let authentic = match (client.metadata.auth_method, certificate) {
        (AuthMethod::None, _) => true,
        (AuthMethod::TlsClientAuth, Some(certificate)) => certificate.has_names_of(&client.metadata),
        (AuthMethod::SelfSignedTlsClientAuth, Some(certificate)) => certificate.is_registered(&client.metadata),
        _ => false,
    };
    if authentic { Ok(client) } else { Err(OAuthError::InvalidClient) }
}

fn parse_credentials<'a>(headers: &HeaderMap, form: &'a Parameters) -> Result<PresentedCredentials<'a>, OAuthError> {
    let (id, secret, assertion) = (form.get("client_id"), form.get("client_secret"), form.get("client_assertion"));
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    match (authorizations.next(), authorizations.next(), secret, assertion) {
        (_, Some(_), _, _) => Err(OAuthError::InvalidRequest("there are two Authorization headers")),
        (Some(value), None, None, None) => {
            let (unverified_id, secret) = basic(value.as_bytes()).ok_or(OAuthError::InvalidClient)?;
            if id.is_some_and(|id| id != unverified_id) {
                return Err(OAuthError::InvalidRequest("client_id is not the client that authenticates"));
            }
            Ok(PresentedCredentials::Secret { unverified_id, secret })
        }
        (None, None, Some(secret), None) => {
            let id = id.ok_or(OAuthError::InvalidRequest("client_id is missing"))?;
            Ok(PresentedCredentials::Secret { unverified_id: id.to_owned(), secret: Zeroizing::new(secret.to_owned()) })
        }
        (None, None, None, Some(text)) if form.get("client_assertion_type") == Some(ASSERTION_TYPE) => {
            Ok(PresentedCredentials::Assertion { text, unverified_id: id })
        }
        (None, None, None, Some(_)) => {
            Err(OAuthError::InvalidRequest("client_assertion_type is not one that is known here"))
        }
        (None, None, None, None) => id.map(PresentedCredentials::Id).ok_or(OAuthError::InvalidClient),
        _ => Err(OAuthError::InvalidRequest("the client authenticates in two ways: use one")),
    }
}

/// `Basic` credentials. The ID and the secret are each form-encoded first (RFC 6749 §2.3.1), unlike
/// in plain HTTP Basic.
fn basic(header: &[u8]) -> Option<(String, Zeroizing<String>)> {
    let (scheme, encoded) = header.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim_ascii()).ok()?);
    let (id, secret) = str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((decode(id).ok()?, Zeroizing::new(decode(secret).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_form_decoded() {
        let header = format!("basic {}", STANDARD.encode("my%2Did:s%3Acret+1"));
        let (id, secret) = basic(header.as_bytes()).expect("well-formed");
        assert_eq!((id.as_str(), secret.as_str()), ("my-id", "s:cret 1"));
        for header in ["", "Basic", "Basic !!", "Bearer YTpi", "Basic YQ==", "Basic JTp4"] {
            assert!(basic(header.as_bytes()).is_none(), "{header:?} passed");
        }
    }

    #[test]
    fn exactly_one_way_is_used() {
        let form = |text: &str| Parameters::from_form(text).map_err(|error| error.to_string()).expect("a form");
        let mut headers = HeaderMap::new();
        let assertion = format!("client_assertion=x&client_assertion_type={ASSERTION_TYPE}");
        let ways = ["client_id=a&client_secret=b", assertion.as_str(), "client_id=a"];
        for way in ways {
            assert!(parse_credentials(&headers, &form(way)).is_ok(), "{way}");
        }
        assert!(matches!(parse_credentials(&headers, &form("")), Err(OAuthError::InvalidClient)));
        let both = form(&format!("client_id=a&client_secret=b&{assertion}"));
        assert!(matches!(parse_credentials(&headers, &both), Err(OAuthError::InvalidRequest(_))));
        assert!(matches!(parse_credentials(&headers, &form("client_assertion=x")), Err(OAuthError::InvalidRequest(_))));
        headers.insert(AUTHORIZATION, "Basic YTpi".parse().expect("a header"));
        assert!(
            parse_credentials(&headers, &form("")).is_ok() && parse_credentials(&headers, &form("client_id=a")).is_ok()
        );
        for way in ["client_id=a&client_secret=b", assertion.as_str(), "client_id=c"] {
            assert!(matches!(parse_credentials(&headers, &form(way)), Err(OAuthError::InvalidRequest(_))), "{way}");
        }
        headers.append(AUTHORIZATION, "Basic YTpi".parse().expect("a header"));
        assert!(matches!(parse_credentials(&headers, &form("")), Err(OAuthError::InvalidRequest(_))));
    }
}
