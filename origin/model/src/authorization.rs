//! Authorization requests (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1): read once, then kept as they were understood until
//! the user has signed in and agreed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    Access, AccessError, Audience, AuthorizationDetails, BrowserSession, BrowserSessionId, Client, ClientId,
    CodeChallenge, GrantType, Malformed, RequestedAccess, Scope,
};

/// How long a user may take to sign in and agree, in seconds.
pub const REQUEST_LIFETIME: u64 = 600;
/// How long a pushed request waits for the browser, in seconds (RFC 9126 §2.2).
pub const PUSHED_LIFETIME: u64 = 60;
/// Bytes of `state` and of `nonce` at most: they are kept and sent back.
const MAX_ECHOED_BYTES: usize = 1024;

/// What the client wants of the user's attention (OpenID Connect Core §3.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// Nothing: answer at once or with an error.
    None,
    /// To sign in again.
    Login,
    /// To be asked again.
    Consent,
    /// To choose an account, which here is signing in again.
    SelectAccount,
}

/// A request that was read and found good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// Who asks.
    pub client: ClientId,
    /// Where the answer goes.
    pub redirect_uri: String,
    /// Whether the request named it: then the token request must, too.
    pub redirect_uri_named: bool,
    /// What the answer must carry back.
    pub state: Option<String>,
    /// What is asked for.
    pub access: Access,
    /// What the code's verifier must fit.
    pub challenge: CodeChallenge,
    /// What the ID token must carry.
    pub nonce: Option<String>,
    /// What of the user's attention is wanted.
    pub prompt: BTreeSet<Prompt>,
    /// How old the sign-in may be, in seconds.
    pub max_age: Option<u64>,
    /// Who is expected to sign in.
    pub login_hint: Option<String>,
    /// The languages that the user prefers: tags separated by spaces (OpenID Connect Core §3.1.2.1).
    #[serde(default)]
    pub ui_locales: Option<String>,
    /// The thumbprint of the key that the token request must prove (RFC 9449 §10).
    pub jkt: Option<String>,
    /// When it was made, Unix seconds.
    pub created_at: u64,
    /// The session in which the user signed in for this request.
    pub signed_in: Option<BrowserSessionId>,
    /// Whom the client believes to be there: the subject of the ID token in `id_token_hint`.
    #[serde(default)]
    pub hinted: Option<String>,
}

/// Why a request is refused. Each has its code on the wire; the words are for developers.
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
    #[error("the only response_type here is code")]
    ResponseType,
    /// `unauthorized_client`
    #[error("this client may not use the authorization code grant")]
    Unauthorized,
    /// `request_not_supported`
    #[error("this client has no keys to sign request objects with")]
    RequestNotSupported,
    /// `request_uri_not_supported` (OpenID Connect Core §3.1.2.6)
    #[error("request_uri must be one that /oauth/par gave")]
    RequestUriNotSupported,
    /// `invalid_request_object` (RFC 9101 §6.2)
    #[error("the request object is not good: {0}")]
    RequestObject(&'static str),
    /// `login_required`
    #[error("the user must sign in")]
    LoginRequired,
    /// `consent_required`
    #[error("the user must agree")]
    ConsentRequired,
    /// `access_denied`
    #[error("the user refused")]
    Denied,
}

impl AuthorizationError {
    /// The code on the wire.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            AuthorizationError::Invalid(_) | AuthorizationError::Malformed(_) => "invalid_request",
            AuthorizationError::Scope(_) | AuthorizationError::Access(AccessError::Scope) => "invalid_scope",
            AuthorizationError::Details(_) | AuthorizationError::Access(AccessError::Details) => {
                "invalid_authorization_details"
            }
            AuthorizationError::Resource(_) | AuthorizationError::Access(_) => "invalid_target",
            AuthorizationError::ResponseType => "unsupported_response_type",
            AuthorizationError::Unauthorized => "unauthorized_client",
            AuthorizationError::RequestNotSupported => "request_not_supported",
            AuthorizationError::RequestUriNotSupported => "request_uri_not_supported",
            AuthorizationError::RequestObject(_) => "invalid_request_object",
            AuthorizationError::LoginRequired => "login_required",
            AuthorizationError::ConsentRequired => "consent_required",
            AuthorizationError::Denied => "access_denied",
        }
    }
}

/// The parameters of a request, wherever they came from.
pub trait RequestParameters {
    /// A parameter by its name, if it is there and not empty.
    fn get(&self, name: &str) -> Option<&str>;
    /// The values of a parameter that may come several times.
    fn all(&self, name: &str) -> Vec<&str>;
}

/// What must happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationStep {
    /// The user must sign in.
    SignIn,
    /// The user must be asked.
    Consent,
    /// The client gets its code.
    Issue,
}

/// The scope values, resources and details that a request names.
///
/// # Errors
/// When one is malformed.
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

/// A resource indicator: an absolute URI without a fragment (RFC 8707 §2). Audiences that are no URIs are taken too, where one is
/// registered so: nobody else's can be meant.
fn resource(text: &str) -> Result<Audience, Malformed> {
    if text.contains('#') {
        return Err(Malformed::new("resource", "must have no fragment"));
    }
    text.parse()
}

impl AuthorizationRequest {
    /// Reads a request whose client and redirect URI are known to be good. What is wrong from here on is told to the client.
    ///
    /// # Errors
    /// The first rule that is not kept.
    pub fn read(
        client: &Client,
        redirect_uri: &str,
        parameters: &impl RequestParameters,
        default_audience: &Audience,
        now: u64,
    ) -> Result<AuthorizationRequest, AuthorizationError> {
        use AuthorizationError::{Invalid, Malformed as Bad, ResponseType, Unauthorized};
        match parameters.get("response_type") {
            Some("code") => {}
            Some(_) => return Err(ResponseType),
            None => return Err(Invalid("response_type is missing")),
        }
        if !client.metadata.allows(GrantType::AuthorizationCode) {
            return Err(Unauthorized);
        }
        if !matches!(parameters.get("response_mode"), None | Some("query")) {
            return Err(Invalid("the only response_mode here is query"));
        }
        let challenge =
            parameters.get("code_challenge").ok_or(Invalid("code_challenge is missing: PKCE is required"))?;
        if parameters.get("code_challenge_method") != Some("S256") {
            return Err(Invalid("code_challenge_method must be S256"));
        }
        let access = Access::of_client(client, requested_access(parameters)?, default_audience)?;
        Ok(AuthorizationRequest {
            client: client.id.clone(),
            redirect_uri: redirect_uri.to_owned(),
            redirect_uri_named: parameters.get("redirect_uri").is_some(),
            state: echoed(parameters, "state")?,
            access,
            challenge: challenge.parse().map_err(Bad)?,
            nonce: nonce(parameters)?,
            prompt: prompt(parameters.get("prompt"))?,
            max_age: max_age(parameters.get("max_age"))?.or(client.metadata.default_max_age),
            login_hint: parameters.get("login_hint").map(|hint| hint.chars().take(255).collect()),
            ui_locales: parameters.get("ui_locales").map(|tags| tags.chars().take(255).collect()),
            jkt: parameters.get("dpop_jkt").map(thumbprint).transpose()?,
            created_at: now,
            signed_in: None,
            hinted: None,
        })
    }

    /// What must happen next, given who is signed in and whether they agreed to all of this before.
    ///
    /// # Errors
    /// When it would need the user, and the client wants none of that (`prompt=none`).
    pub fn next_step(
        &self,
        login: Option<&BrowserSession>,
        agreed: bool,
        now: u64,
    ) -> Result<AuthorizationStep, AuthorizationError> {
        let silent = self.prompt.contains(&Prompt::None);
        if !login.is_some_and(|login| self.is_fresh(login, now)) {
            return if silent { Err(AuthorizationError::LoginRequired) } else { Ok(AuthorizationStep::SignIn) };
        }
        if agreed && !self.prompt.contains(&Prompt::Consent) {
            return Ok(AuthorizationStep::Issue);
        }
        if silent { Err(AuthorizationError::ConsentRequired) } else { Ok(AuthorizationStep::Consent) }
    }

    /// Whether a sign-in satisfies this request. One that was made for it does, however slow the user is from then on.
    fn is_fresh(&self, login: &BrowserSession, now: u64) -> bool {
        if now >= login.expires_at {
            return false;
        }
        if self.signed_in.as_ref() == Some(&login.id) {
            return true;
        }
        let again = self.prompt.contains(&Prompt::Login) || self.prompt.contains(&Prompt::SelectAccount);
        let young = self.max_age.is_none_or(|max_age| now.saturating_sub(login.auth_time) <= max_age && max_age > 0);
        !again && young
    }

    /// Whether an ID token is wanted.
    #[must_use]
    pub fn is_openid(&self) -> bool {
        self.access.scope.has("openid")
    }
}

fn echoed(parameters: &impl RequestParameters, name: &str) -> Result<Option<String>, AuthorizationError> {
    match parameters.get(name) {
        Some(text) if text.len() > MAX_ECHOED_BYTES => {
            Err(AuthorizationError::Invalid("state and nonce have at most 1024 bytes"))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

/// A nonce is kept as text, which not every database does with control characters; RFC 6749 appendix A has none either.
fn nonce(parameters: &impl RequestParameters) -> Result<Option<String>, AuthorizationError> {
    let nonce = echoed(parameters, "nonce")?;
    match nonce.as_deref().is_some_and(|nonce| nonce.chars().any(char::is_control)) {
        true => Err(AuthorizationError::Invalid("nonce has control characters")),
        false => Ok(nonce),
    }
}

fn prompt(text: Option<&str>) -> Result<BTreeSet<Prompt>, AuthorizationError> {
    let read = |word: &str| match word {
        "none" => Ok(Prompt::None),
        "login" => Ok(Prompt::Login),
        "consent" => Ok(Prompt::Consent),
        "select_account" => Ok(Prompt::SelectAccount),
        _ => Err(AuthorizationError::Invalid("prompt has an unknown value")),
    };
    let prompt: BTreeSet<Prompt> =
        text.into_iter().flat_map(|text| text.split(' ')).map(read).collect::<Result<_, _>>()?;
    match prompt.contains(&Prompt::None) && prompt.len() > 1 {
        true => Err(AuthorizationError::Invalid("prompt has none and another value")),
        false => Ok(prompt),
    }
}

fn max_age(text: Option<&str>) -> Result<Option<u64>, AuthorizationError> {
    let age = text.map(str::parse).transpose();
    age.map_err(|_| AuthorizationError::Invalid("max_age must be a whole number of seconds"))
}

/// A JWK thumbprint: a SHA-256 in base64url (RFC 7638 §3).
fn thumbprint(text: &str) -> Result<String, AuthorizationError> {
    match crate::encoding::from_base64url(text) {
        Some(bytes) if bytes.len() == 32 => Ok(text.to_owned()),
        _ => Err(AuthorizationError::Invalid("dpop_jkt must be a SHA-256 in base64url")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{ClientMetadata, SecretHash, Sender, UserId};
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
        let metadata = ClientMetadata {
            grant_types: vec![GrantType::AuthorizationCode],
            scope: Scope::parse("openid email").expect("a scope"),
            ..ClientMetadata::default()
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
        AuthorizationRequest::read(&client, "https://shop.example/cb", &parameters, &audience, 1000)
    }

    #[test]
    fn each_rule_has_its_error() {
        assert!(read(&[]).expect("good").is_openid());
        for (changes, code) in [
            ([("response_type", "")].as_slice(), "invalid_request"),
            (&[("response_type", "token")], "unsupported_response_type"),
            (&[("response_mode", "fragment")], "invalid_request"),
            (&[("code_challenge", "")], "invalid_request"),
            (&[("code_challenge", "short")], "invalid_request"),
            (&[("code_challenge_method", "")], "invalid_request"),
            (&[("code_challenge_method", "plain")], "invalid_request"),
            (&[("scope", "openid admin")], "invalid_scope"),
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

    fn login(auth_time: u64) -> BrowserSession {
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
    fn the_user_is_asked_for_no_more_than_is_needed() {
        let plain = read(&[]).expect("good");
        assert_eq!(plain.next_step(None, false, 1000), Ok(AuthorizationStep::SignIn));
        assert_eq!(plain.next_step(Some(&login(10)), false, 1000), Ok(AuthorizationStep::Consent));
        assert_eq!(plain.next_step(Some(&login(10)), true, 1000), Ok(AuthorizationStep::Issue));
        assert_eq!(plain.next_step(Some(&login(10)), true, 5000), Ok(AuthorizationStep::SignIn));
        let consent = read(&[("prompt", "consent")]).expect("good");
        assert_eq!(consent.next_step(Some(&login(10)), true, 1000), Ok(AuthorizationStep::Consent));
        let silent = read(&[("prompt", "none")]).expect("good");
        assert_eq!(silent.next_step(None, true, 1000), Err(AuthorizationError::LoginRequired));
        assert_eq!(silent.next_step(Some(&login(10)), false, 1000), Err(AuthorizationError::ConsentRequired));
        assert_eq!(silent.next_step(Some(&login(10)), true, 1000), Ok(AuthorizationStep::Issue));
    }

    #[test]
    fn an_old_sign_in_is_not_enough_where_a_new_one_is_wanted() {
        for (changes, auth_time, step) in [
            ([("prompt", "login")].as_slice(), 1000, AuthorizationStep::SignIn),
            (&[("prompt", "select_account")], 1000, AuthorizationStep::SignIn),
            (&[("max_age", "100")], 900, AuthorizationStep::Issue),
            (&[("max_age", "100")], 899, AuthorizationStep::SignIn),
            (&[("max_age", "0")], 1000, AuthorizationStep::SignIn),
        ] {
            let mut request = read(changes).expect("good");
            assert_eq!(request.next_step(Some(&login(auth_time)), true, 1000), Ok(step), "{changes:?}");
            request.signed_in = Some(login(auth_time).id);
            assert_eq!(
                request.next_step(Some(&login(auth_time)), true, 1200),
                Ok(AuthorizationStep::Issue),
                "{changes:?}"
            );
        }
    }
}
