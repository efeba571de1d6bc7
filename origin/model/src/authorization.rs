//! Authorization requests (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1): parsed once, then stored
//! until the user has signed in and consented.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::access::{Access, AccessError, AuthorizationDetails, RequestedAccess};
use super::audience::Audience;
use super::claims_request::{ClaimsRequest, ParsedClaims};
use super::client::Client;
use super::ids::{BrowserSessionId, ClientId};
use super::malformed::Malformed;
use super::metadata::{GrantType, PkceRequirement};
use super::pkce::CodeChallenge;
use super::redirect::HttpRedirects;
use super::resource::Resource;
use super::response_type::{ResponseMode, ResponseType};
use super::scope::Scope;
use super::user::{BrowserSession, PASSWORD_ACR};

/// Seconds in which the user must sign in and consent.
pub const REQUEST_LIFETIME: u64 = 600;
/// Seconds in which the browser must use a pushed request (RFC 9126 §2.2).
pub const PUSHED_LIFETIME: u64 = 60;
/// Bytes of `state` and of `nonce`, which are stored and returned.
const MAX_ECHOED_BYTES: usize = 1024;

/// A value of `prompt` (OpenID Connect Core §3.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// No page: respond with a code or an error.
    None,
    /// Sign in again.
    Login,
    /// Ask for consent again.
    Consent,
    /// Choose an account; this server lets the user sign in again.
    SelectAccount,
}

/// A valid authorization request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    pub client: ClientId,
    #[serde(default)]
    pub response_type: ResponseType,
    #[serde(default)]
    pub response_mode: ResponseMode,
    /// Where the response is sent.
    pub redirect_uri: String,
    /// Whether the request contained `redirect_uri`; then the token request must repeat it.
    pub redirect_uri_named: bool,
    /// Returned in the response.
    pub state: Option<String>,
    /// The requested access.
    pub access: Access,
    /// Claims that are requested by name (OpenID Connect Core §5.5).
    #[serde(default, skip_serializing_if = "ClaimsRequest::is_empty")]
    pub claims: ClaimsRequest,
    /// The `code_challenge`, if the request has one.
    #[serde(default)]
    pub challenge: Option<CodeChallenge>,
    /// Returned in the ID token.
    pub nonce: Option<String>,
    pub prompt: BTreeSet<Prompt>,
    /// Maximum age of the sign-in in seconds.
    pub max_age: Option<u64>,
    /// The user who is expected to sign in.
    pub login_hint: Option<String>,
    /// Preferred languages of the user: tags separated by spaces (OpenID Connect Core §3.1.2.1).
    #[serde(default)]
    pub ui_locales: Option<String>,
    /// Thumbprint of the DPoP key that the token request must prove (RFC 9449 §10).
    pub jkt: Option<String>,
    /// Unix seconds.
    pub created_at: u64,
    /// The browser session in which the user signed in for this request.
    pub signed_in: Option<BrowserSessionId>,
    /// The hash of the handle under which the request was pushed, in base64url (RFC 9126 §2.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed: Option<String>,
    /// The user whom the client expects: the subject of the ID token in `id_token_hint`.
    #[serde(default, rename = "hinted")]
    pub hinted_subject: Option<String>,
}

/// Why an authorization request is refused. The messages are for developers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizationError {
    /// `invalid_request`
    #[error("{0}")]
    Invalid(&'static str),
    /// `invalid_request`
    #[error(transparent)]
    Malformed(Malformed),
    /// `invalid_scope`
    #[error(transparent)]
    Scope(Malformed),
    /// `invalid_target` (RFC 8707 §2)
    #[error(transparent)]
    Resource(Malformed),
    /// `invalid_authorization_details` (RFC 9396 §5)
    #[error(transparent)]
    Details(Malformed),
    /// `invalid_scope`, `invalid_target` or `invalid_authorization_details`
    #[error(transparent)]
    Access(#[from] AccessError),
    /// `unsupported_response_type`
    #[error("unsupported response_type: it is not registered for this client, or the server does not offer it")]
    ResponseType,
    /// `unauthorized_client`
    #[error("this client is not registered for the authorization code grant")]
    Unauthorized,
    /// `request_not_supported`
    #[error("this client has no registered keys for request objects")]
    RequestNotSupported,
    /// `request_uri_not_supported` (OpenID Connect Core §3.1.2.6)
    #[error("request_uri must come from /oauth/par: this client has no registered request_uris")]
    RequestUriNotSupported,
    /// `invalid_request_uri` (RFC 9101 §6.2)
    #[error("invalid request_uri: {0}")]
    RequestUri(&'static str),
    /// `invalid_request_object` (RFC 9101 §6.2)
    #[error("invalid request object: {0}")]
    RequestObject(&'static str),
    /// `unmet_authentication_requirements` (OpenID Connect Core Unmet Authentication Requirements)
    #[error("no sign-in here has the acr that is essential to the client")]
    UnmetAuthentication,
    /// `login_required`
    #[error("the user must sign in")]
    LoginRequired,
    /// `consent_required`
    #[error("the user must consent")]
    ConsentRequired,
    /// `access_denied`
    #[error("the user denied the request")]
    Denied,
}

impl AuthorizationError {
    /// The `error` code in the response.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            AuthorizationError::Invalid(_) | AuthorizationError::Malformed(_) => "invalid_request",
            AuthorizationError::Scope(_)
            | AuthorizationError::Access(AccessError::Scope | AccessError::ScopeValue(_)) => "invalid_scope",
            AuthorizationError::Details(_) | AuthorizationError::Access(AccessError::Details) => {
                "invalid_authorization_details"
            }
            AuthorizationError::Resource(_) | AuthorizationError::Access(_) => "invalid_target",
            AuthorizationError::ResponseType => "unsupported_response_type",
            AuthorizationError::Unauthorized => "unauthorized_client",
            AuthorizationError::RequestNotSupported => "request_not_supported",
            AuthorizationError::RequestUriNotSupported => "request_uri_not_supported",
            AuthorizationError::RequestUri(_) => "invalid_request_uri",
            AuthorizationError::RequestObject(_) => "invalid_request_object",
            AuthorizationError::UnmetAuthentication => "unmet_authentication_requirements",
            AuthorizationError::LoginRequired => "login_required",
            AuthorizationError::ConsentRequired => "consent_required",
            AuthorizationError::Denied => "access_denied",
        }
    }
}

/// The parameters of a request, from a query, a form or a request object.
pub trait RequestParameters {
    /// The value of a parameter; `None` if it is absent or empty.
    fn get(&self, name: &str) -> Option<&str>;
    /// The values of a parameter that may be repeated.
    fn all(&self, name: &str) -> Vec<&str>;
}

/// The next step in the processing of an authorization request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationStep {
    /// The user signs in.
    SignIn,
    /// The user is asked for consent.
    Consent,
    /// The client gets an authorization code.
    Issue,
}

/// Parses `scope`, `resource` and `authorization_details`.
///
/// # Errors
/// If one of them is malformed.
pub fn requested_access(parameters: &impl RequestParameters) -> Result<RequestedAccess, AuthorizationError> {
    let scope = parameters.get("scope").map(Scope::parse).transpose().map_err(AuthorizationError::Scope)?;
    let resources = parameters.all("resource").into_iter().map(resource).collect::<Result<Vec<_>, _>>();
    let details = parameters.get("authorization_details").map(AuthorizationDetails::parse).transpose();
    Ok(RequestedAccess {
        scope,
        resources: resources.map_err(AuthorizationError::Resource)?,
        details: details.map_err(AuthorizationError::Details)?,
    })
}

/// A resource indicator: an absolute URI without a fragment (RFC 8707 §2). Audiences that are not
/// URIs are also accepted, because resource servers can be registered with them.
fn resource(text: &str) -> Result<Audience, Malformed> {
    if text.contains('#') {
        return Err(Malformed::new("resource", "must not have a fragment"));
    }
    text.parse()
}

/// Where the response goes: to the redirect URI that the request names and the client registered,
/// or to the only registered one.
///
/// # Errors
/// If it is not registered, or missing and not the only one, or may not be used: then the error
/// cannot be reported to the client.
pub fn response_uri(client: &Client, named: Option<&str>, http: HttpRedirects) -> Result<String, AuthorizationError> {
    let unregistered = AuthorizationError::Invalid("redirect_uri is not one that this client registered");
    let registered = match (named, client.metadata.redirect_uris.as_slice()) {
        (Some(named), _) => client.metadata.registered_redirect_uri(named).ok_or(unregistered)?,
        (None, [only]) => only,
        (None, _) => return Err(AuthorizationError::Invalid("redirect_uri is missing")),
    };
    registered.check(http).map_err(AuthorizationError::Malformed)?;
    Ok(named.unwrap_or(registered.as_str()).to_owned())
}

impl AuthorizationRequest {
    /// Parses a request whose client and redirect URI were checked: errors are returned to the
    /// client. `resources` are all registered resource servers.
    ///
    /// # Errors
    /// The first violated rule.
    pub fn read(
        client: &Client,
        redirect_uri: &str,
        parameters: &impl RequestParameters,
        default_audience: &Audience,
        resources: &[Resource],
        now: u64,
    ) -> Result<AuthorizationRequest, AuthorizationError> {
        let response_type = response_type(client, parameters)?;
        if response_type.has_code() && !client.metadata.allows(GrantType::AuthorizationCode) {
            return Err(AuthorizationError::Unauthorized);
        }
        let response_mode = response_mode(parameters, response_type, redirect_uri)?;
        let access = Access::for_client(client, requested_access(parameters)?, default_audience, resources)?;
        check_front_channel(client, response_type, &access.scope, parameters)?;
        let challenge = match response_type.has_code() {
            true => code_challenge(client, &access.scope, parameters)?,
            false => None,
        };
        let claims = parameters.get("claims").map(ParsedClaims::parse).transpose();
        let claims = claims.map_err(AuthorizationError::Malformed)?.unwrap_or_default();
        if !claims.accepts_acr(PASSWORD_ACR) {
            return Err(AuthorizationError::UnmetAuthentication);
        }
        Ok(AuthorizationRequest {
            client: client.id.clone(),
            response_type,
            response_mode,
            redirect_uri: redirect_uri.to_owned(),
            redirect_uri_named: parameters.get("redirect_uri").is_some(),
            state: echoed(parameters, "state")?,
            access,
            claims: claims.requested.within(&client.metadata.scope),
            challenge,
            nonce: nonce(parameters)?,
            prompt: prompt(parameters.get("prompt"))?,
            max_age: max_age(parameters.get("max_age"))?.or(client.metadata.default_max_age),
            login_hint: parameters.get("login_hint").map(|hint| hint.chars().take(255).collect()),
            ui_locales: parameters.get("ui_locales").map(|tags| tags.chars().take(255).collect()),
            jkt: parameters.get("dpop_jkt").map(thumbprint).transpose()?,
            created_at: now,
            signed_in: None,
            pushed: None,
            hinted_subject: claims.subject,
        })
    }

    /// Decides the next step, given the browser session and whether the user has consented to the
    /// requested access before.
    ///
    /// # Errors
    /// If the user would have to act and the client forbids it (`prompt=none`).
    pub fn next_step(
        &self,
        session: Option<&BrowserSession>,
        has_consented: bool,
        now: u64,
    ) -> Result<AuthorizationStep, AuthorizationError> {
        let is_silent = self.prompt.contains(&Prompt::None);
        if !session.is_some_and(|session| self.is_fresh(session, now)) {
            return if is_silent { Err(AuthorizationError::LoginRequired) } else { Ok(AuthorizationStep::SignIn) };
        }
        if has_consented && !self.prompt.contains(&Prompt::Consent) {
            return Ok(AuthorizationStep::Issue);
        }
        if is_silent { Err(AuthorizationError::ConsentRequired) } else { Ok(AuthorizationStep::Consent) }
    }

    /// Whether the sign-in of a browser session satisfies this request. A sign-in made for this
    /// request does, however long the user takes afterwards.
    fn is_fresh(&self, session: &BrowserSession, now: u64) -> bool {
        if now >= session.expires_at {
            return false;
        }
        if self.signed_in.as_ref() == Some(&session.id) {
            return true;
        }
        let needs_sign_in = self.prompt.contains(&Prompt::Login) || self.prompt.contains(&Prompt::SelectAccount);
        let is_recent =
            self.max_age.is_none_or(|max_age| now.saturating_sub(session.auth_time) <= max_age && max_age > 0);
        !needs_sign_in && is_recent
    }

    /// What the user consents to: the requested access, and that to claims requested by name.
    ///
    /// # Errors
    /// If it has too many scope values.
    pub fn consented_access(&self) -> Result<Access, AuthorizationError> {
        let named = self.claims.scope().map_err(AuthorizationError::Scope)?;
        let scope = self.access.scope.union(&named).map_err(AuthorizationError::Scope)?;
        Ok(Access { scope, ..self.access.clone() })
    }

    /// Whether the client gets an ID token.
    #[must_use]
    pub fn is_openid(&self) -> bool {
        self.access.scope.has("openid")
    }
}

fn response_type(client: &Client, parameters: &impl RequestParameters) -> Result<ResponseType, AuthorizationError> {
    let named = parameters.get("response_type").ok_or(AuthorizationError::Invalid("response_type is missing"))?;
    let response_type: ResponseType = named.parse().map_err(|_| AuthorizationError::ResponseType)?;
    match response_type.is_legacy() && !client.metadata.allows_response(response_type) {
        true => Err(AuthorizationError::ResponseType),
        false => Ok(response_type),
    }
}

/// Checks the rules of responses with tokens (OpenID Connect Core §3.2.2.1 and §3.3.2.1).
fn check_front_channel(
    client: &Client,
    response_type: ResponseType,
    scope: &Scope,
    parameters: &impl RequestParameters,
) -> Result<(), AuthorizationError> {
    use AuthorizationError::Invalid;
    if response_type.has_id_token() && !scope.has("openid") {
        return Err(Invalid("response_type id_token needs the scope openid"));
    }
    if response_type.has_id_token() && parameters.get("nonce").is_none() {
        return Err(Invalid("nonce is missing: it is required with response_type id_token"));
    }
    let metadata = &client.metadata;
    let is_bound = metadata.dpop_bound_access_tokens || metadata.tls_client_certificate_bound_access_tokens;
    if response_type.has_token() && is_bound {
        return Err(Invalid(
            "response_type token cannot bind tokens to a key, which this client's registration demands",
        ));
    }
    Ok(())
}

/// How the response reaches the client. Browsers post forms to `https` and `http` URLs only.
fn response_mode(
    parameters: &impl RequestParameters,
    response_type: ResponseType,
    redirect_uri: &str,
) -> Result<ResponseMode, AuthorizationError> {
    let mode = ResponseMode::for_response(parameters.get("response_mode"), response_type);
    let mode = mode.map_err(AuthorizationError::Malformed)?;
    let is_web = redirect_uri.starts_with("https://") || redirect_uri.starts_with("http://");
    match mode.is_form_post() && !is_web {
        true => Err(AuthorizationError::Invalid("response_mode form_post needs an https or http redirect_uri")),
        false => Ok(mode),
    }
}

/// The mode in which an error is returned to the client before the request is known to be valid:
/// the requested one, if it is usable, else that of a response type that the client may use.
#[must_use]
pub fn error_response_mode(client: &Client, parameters: &impl RequestParameters, redirect_uri: &str) -> ResponseMode {
    let named = parameters.get("response_type").and_then(|named| named.parse::<ResponseType>().ok());
    let response_type = named.filter(|named| client.metadata.allows_response(*named)).unwrap_or_default();
    response_mode(parameters, response_type, redirect_uri).unwrap_or_else(|_| ResponseMode::default_for(response_type))
}

/// The code challenge (RFC 7636 §4.3). Without one the request is refused, unless the client's
/// registration says otherwise. A challenge without a method would mean `plain`, which is refused.
fn code_challenge(
    client: &Client,
    scope: &Scope,
    parameters: &impl RequestParameters,
) -> Result<Option<CodeChallenge>, AuthorizationError> {
    use AuthorizationError::Invalid;
    match (parameters.get("code_challenge"), parameters.get("code_challenge_method")) {
        (Some(challenge), Some("S256")) => challenge.parse().map(Some).map_err(AuthorizationError::Malformed),
        (Some(_), _) => Err(Invalid("code_challenge_method must be S256")),
        (None, Some(_)) => Err(Invalid("code_challenge is missing")),
        (None, None) => match client.metadata.pkce_requirement() {
            PkceRequirement::Never => Ok(None),
            PkceRequirement::UnlessNonce if scope.has("openid") && parameters.get("nonce").is_some() => Ok(None),
            PkceRequirement::UnlessNonce => {
                Err(Invalid("code_challenge is missing: this client needs PKCE, or openid and a nonce"))
            }
            PkceRequirement::Always => Err(Invalid("code_challenge is missing: PKCE is required")),
        },
    }
}

fn echoed(parameters: &impl RequestParameters, name: &str) -> Result<Option<String>, AuthorizationError> {
    match parameters.get(name) {
        Some(text) if text.len() > MAX_ECHOED_BYTES => {
            Err(AuthorizationError::Invalid("state and nonce must be at most 1024 bytes"))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

/// A nonce is stored as text, and PostgreSQL does not store all control characters; RFC 6749
/// appendix A allows none.
fn nonce(parameters: &impl RequestParameters) -> Result<Option<String>, AuthorizationError> {
    let nonce = echoed(parameters, "nonce")?;
    match nonce.as_deref().is_some_and(|nonce| nonce.chars().any(char::is_control)) {
        true => Err(AuthorizationError::Invalid("nonce contains control characters")),
        false => Ok(nonce),
    }
}

fn prompt(text: Option<&str>) -> Result<BTreeSet<Prompt>, AuthorizationError> {
    let read = |word: &str| match word {
        "none" => Ok(Prompt::None),
        "login" => Ok(Prompt::Login),
        "consent" => Ok(Prompt::Consent),
        "select_account" => Ok(Prompt::SelectAccount),
        _ => Err(AuthorizationError::Invalid("prompt contains an unsupported value")),
    };
    let prompt: BTreeSet<Prompt> =
        text.into_iter().flat_map(|text| text.split(' ')).map(read).collect::<Result<_, _>>()?;
    match prompt.contains(&Prompt::None) && prompt.len() > 1 {
        true => Err(AuthorizationError::Invalid("prompt none cannot be combined with other values")),
        false => Ok(prompt),
    }
}

fn max_age(text: Option<&str>) -> Result<Option<u64>, AuthorizationError> {
    let age = text.map(str::parse).transpose();
    age.map_err(|_| AuthorizationError::Invalid("max_age must be a whole number of seconds"))
}

/// A JWK thumbprint: SHA-256 in base64url (RFC 7638 §3).
fn thumbprint(text: &str) -> Result<String, AuthorizationError> {
    match crate::encoding::from_base64url(text) {
        Some(bytes) if bytes.len() == 32 => Ok(text.to_owned()),
        _ => Err(AuthorizationError::Invalid("dpop_jkt must be a SHA-256 in base64url")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{AuthMethod, ClientMetadata, SecretHash, Sender, UserId};
    use super::*;

    impl RequestParameters for BTreeMap<&'static str, &'static str> {
        fn get(&self, name: &str) -> Option<&str> {
            BTreeMap::get(self, name).copied()
        }

        fn all(&self, name: &str) -> Vec<&str> {
            BTreeMap::get(self, name).copied().into_iter().collect()
        }
    }

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn read(changes: &[(&'static str, &'static str)]) -> Result<AuthorizationRequest, AuthorizationError> {
        read_of(ClientMetadata::default(), changes)
    }

    /// Reads a request of a client with this metadata, and the grant and scope of the tests.
    fn read_of(
        metadata: ClientMetadata,
        changes: &[(&'static str, &'static str)],
    ) -> Result<AuthorizationRequest, AuthorizationError> {
        let metadata = ClientMetadata {
            grant_types: vec![GrantType::AuthorizationCode],
            scope: Scope::parse("openid email").expect("a scope"),
            ..metadata
        };
        let client = Client::new("shop".parse().expect("an id"), metadata, 0);
        let mut parameters = BTreeMap::from([
            ("response_type", "code"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        for (name, value) in changes {
            match value.is_empty() {
                true => drop(parameters.remove(name)),
                false => drop(parameters.insert(name, value)),
            }
        }
        let audience = "api".parse().expect("an audience");
        AuthorizationRequest::read(&client, "https://shop.example/cb", &parameters, &audience, &[], 1000)
    }

    #[test]
    fn every_violated_rule_has_its_error() {
        assert!(read(&[]).expect("good").is_openid());
        for (changes, code) in [
            ([("response_type", "")].as_slice(), "invalid_request"),
            (&[("response_type", "token")], "unsupported_response_type"),
            (&[("response_mode", "fragment")], "invalid_request"),
            (&[("response_mode", "telepathy")], "invalid_request"),
            (&[("code_challenge", "")], "invalid_request"),
            (&[("code_challenge", "short")], "invalid_request"),
            (&[("code_challenge_method", "")], "invalid_request"),
            (&[("code_challenge_method", "plain")], "invalid_request"),
            (&[("scope", "email admin")], "invalid_scope"),
            (&[("scope", "openid profile")], "invalid_scope"),
            (&[("scope", "a  b")], "invalid_scope"),
            (&[("resource", "other")], "invalid_target"),
            (&[("resource", "api#x")], "invalid_target"),
            (&[("authorization_details", "x")], "invalid_authorization_details"),
            (&[("authorization_details", "[{\"type\":\"x\"}]")], "invalid_authorization_details"),
            (&[("prompt", "none login")], "invalid_request"),
            (&[("prompt", "dance")], "invalid_request"),
            (&[("max_age", "-1")], "invalid_request"),
            (&[("dpop_jkt", "x")], "invalid_request"),
        ] {
            assert_eq!(read(changes).expect_err("refused").code(), code, "{changes:?}");
        }
    }

    #[test]
    fn responses_with_tokens_need_registration_nonce_and_openid() {
        let legacy = ClientMetadata {
            response_types: vec![ResponseType::IdTokenToken, ResponseType::CodeIdToken, ResponseType::Token],
            ..ClientMetadata::default()
        };
        let error = |metadata: &ClientMetadata, changes: &[(&'static str, &'static str)]| {
            read_of(metadata.clone(), changes).map_err(|error| error.code()).err()
        };
        let hybrid = [("response_type", "code id_token"), ("scope", "openid"), ("nonce", "n")];
        let implicit = [("response_type", "token id_token"), ("scope", "openid"), ("nonce", "n")];
        assert_eq!(error(&legacy, &hybrid), None);
        assert_eq!(error(&ClientMetadata::default(), &hybrid), Some("unsupported_response_type"));
        assert_eq!(error(&legacy, &[("response_type", "code token")]), Some("unsupported_response_type"));
        assert_eq!(error(&legacy, &implicit), None);
        assert_eq!(error(&legacy, &[&implicit[..], &[("nonce", "")]].concat()), Some("invalid_request"));
        assert_eq!(error(&legacy, &[&implicit[..], &[("scope", "email")]].concat()), Some("invalid_request"));
        assert_eq!(error(&legacy, &[&implicit[..], &[("response_mode", "query")]].concat()), Some("invalid_request"));
        let bound = ClientMetadata { dpop_bound_access_tokens: true, ..legacy };
        assert_eq!(error(&bound, &[("response_type", "token")]), Some("invalid_request"));
        let read = read_of(ClientMetadata { dpop_bound_access_tokens: false, ..bound }, &implicit).expect("good");
        assert_eq!((read.response_mode, read.challenge), (ResponseMode::Fragment, None));
    }

    #[test]
    fn errors_are_returned_in_the_requested_mode_if_it_is_usable() {
        let mode = |parameters: &[(&'static str, &'static str)], redirect_uri| {
            let metadata = ClientMetadata { response_types: vec![ResponseType::IdToken], ..ClientMetadata::default() };
            let client = Client::new("shop".parse().expect("an id"), metadata, 0);
            error_response_mode(&client, &BTreeMap::from_iter(parameters.iter().copied()), redirect_uri)
        };
        let (form_post, web) = ([("response_type", "code"), ("response_mode", "form_post")], "https://shop.example/cb");
        assert_eq!(mode(&form_post, web), ResponseMode::FormPost);
        assert_eq!(mode(&form_post, "com.example.app:/cb"), ResponseMode::Query, "no browser posts to an app");
        assert_eq!(mode(&[("response_mode", "form_post")], web), ResponseMode::FormPost);
        assert_eq!(mode(&[("response_type", "code"), ("response_mode", "telepathy")], web), ResponseMode::Query);
        assert_eq!(mode(&[("response_type", "id_token")], web), ResponseMode::Fragment);
        assert_eq!(mode(&[("response_type", "token")], web), ResponseMode::Query, "not a type of this client");
    }

    #[test]
    fn challenge_may_be_absent_only_where_the_registration_allows_it() {
        const NO_PKCE: [(&str, &str); 2] = [("code_challenge", ""), ("code_challenge_method", "")];
        let with =
            |require_pkce, auth_method| ClientMetadata { require_pkce, auth_method, ..ClientMetadata::default() };
        let has_challenge = |metadata: ClientMetadata, changes: &[(&'static str, &'static str)]| {
            let request = read_of(metadata, &[&NO_PKCE[..], changes].concat());
            request.map(|request| request.challenge.is_some()).map_err(|error| error.code())
        };
        let secret = AuthMethod::ClientSecretBasic;
        let (with_nonce, plain_oauth) = ([("scope", "openid"), ("nonce", "n")], [("scope", "email"), ("nonce", "n")]);
        assert_eq!(has_challenge(with(None, secret), &with_nonce), Ok(false));
        assert_eq!(has_challenge(with(None, secret), &[("scope", "openid")]), Err("invalid_request"));
        assert_eq!(has_challenge(with(None, secret), &plain_oauth), Err("invalid_request"));
        assert_eq!(has_challenge(with(Some(PkceRequirement::Never), secret), &plain_oauth), Ok(false));
        assert_eq!(has_challenge(with(Some(PkceRequirement::Always), secret), &with_nonce), Err("invalid_request"));
        for lowered in [None, Some(PkceRequirement::UnlessNonce), Some(PkceRequirement::Never)] {
            assert_eq!(has_challenge(with(lowered, AuthMethod::None), &with_nonce), Err("invalid_request"));
        }
        let plain = [("code_challenge", CHALLENGE), ("code_challenge_method", "plain")];
        assert_eq!(has_challenge(with(Some(PkceRequirement::Never), secret), &plain), Err("invalid_request"));
        assert!(read(&[]).expect("good").challenge.is_some());
    }

    #[test]
    fn stored_request_of_an_earlier_version_is_read() {
        let mut json = serde_json::to_value(read(&[]).expect("good")).expect("JSON");
        assert_eq!(json["challenge"], CHALLENGE);
        json.as_object_mut().expect("an object").remove("challenge");
        assert_eq!(serde_json::from_value::<AuthorizationRequest>(json).expect("it reads").challenge, None);
    }

    fn session(auth_time: u64) -> BrowserSession {
        let (id, user) = (BrowserSessionId::from_random(&[1; 12]), UserId::from_random(&[2; 12]));
        let sender = Sender::default();
        BrowserSession {
            id,
            hash: SecretHash::of("cookie"),
            user,
            auth_time,
            seen_at: auth_time,
            sender,
            expires_at: 5000,
        }
    }

    #[test]
    fn user_is_asked_only_when_necessary() {
        let plain = read(&[]).expect("good");
        assert_eq!(plain.next_step(None, false, 1000), Ok(AuthorizationStep::SignIn));
        assert_eq!(plain.next_step(Some(&session(10)), false, 1000), Ok(AuthorizationStep::Consent));
        assert_eq!(plain.next_step(Some(&session(10)), true, 1000), Ok(AuthorizationStep::Issue));
        assert_eq!(plain.next_step(Some(&session(10)), true, 5000), Ok(AuthorizationStep::SignIn));
        let consent = read(&[("prompt", "consent")]).expect("good");
        assert_eq!(consent.next_step(Some(&session(10)), true, 1000), Ok(AuthorizationStep::Consent));
        let silent = read(&[("prompt", "none")]).expect("good");
        assert_eq!(silent.next_step(None, true, 1000), Err(AuthorizationError::LoginRequired));
        assert_eq!(silent.next_step(Some(&session(10)), false, 1000), Err(AuthorizationError::ConsentRequired));
        assert_eq!(silent.next_step(Some(&session(10)), true, 1000), Ok(AuthorizationStep::Issue));
    }

    #[test]
    fn old_sign_in_does_not_satisfy_prompt_or_max_age() {
        for (changes, auth_time, step) in [
            ([("prompt", "login")].as_slice(), 1000, AuthorizationStep::SignIn),
            (&[("prompt", "select_account")], 1000, AuthorizationStep::SignIn),
            (&[("max_age", "100")], 900, AuthorizationStep::Issue),
            (&[("max_age", "100")], 899, AuthorizationStep::SignIn),
            (&[("max_age", "0")], 1000, AuthorizationStep::SignIn),
        ] {
            let mut request = read(changes).expect("good");
            assert_eq!(request.next_step(Some(&session(auth_time)), true, 1000), Ok(step), "{changes:?}");
            request.signed_in = Some(session(auth_time).id);
            assert_eq!(
                request.next_step(Some(&session(auth_time)), true, 1200),
                Ok(AuthorizationStep::Issue),
                "{changes:?}"
            );
        }
    }
}
