//! Client metadata: RFC 7591 §2, the specifications that extend it, and extensions of this server.
//! Registration requests and the database use the same form.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::audience::Audience;
use super::client_lifetimes::ClientLifetimes;
use super::jwks;
use super::malformed::{MAX_IDENTIFIER_BYTES, Malformed};
use super::redirect::{OutboundUrl, RedirectUri, WebUrl};
use super::request_uri::RequestUri;
use super::response_type::ResponseType;
use super::scope::Scope;
use super::text::{all_strings, is_displayable};
use super::token_alg::TokenAlg;

/// For each client.
const MAX_REDIRECT_URIS: usize = 32;

/// For each client.
const MAX_REQUEST_URIS: usize = 32;

/// Contacts of a client.
const MAX_CONTACTS: usize = 8;

named_values! {
    /// Client authentication method (RFC 7591 §2, RFC 8705 §2, OpenID Connect Core §9).
    AuthMethod, "token_endpoint_auth_method", ClientSecretBasic {
        /// A secret in the `Authorization` header. It may be sent in the body, too: the holder of a
        /// secret chooses.
        ClientSecretBasic = "client_secret_basic",
        /// A secret in the body, or in the header.
        ClientSecretPost = "client_secret_post",
        /// A JWT signed with the client's key (RFC 7523 §2.2).
        PrivateKeyJwt = "private_key_jwt",
        /// A certificate of a trusted authority (RFC 8705 §2.1).
        TlsClientAuth = "tls_client_auth",
        /// A certificate with a registered key (RFC 8705 §2.2).
        SelfSignedTlsClientAuth = "self_signed_tls_client_auth",
        /// No authentication: a public client.
        None = "none",
    }
}

named_values! {
    /// Grant type (RFC 7591 §2).
    GrantType, "grant_type", AuthorizationCode {
        /// RFC 6749 §4.4
        ClientCredentials = "client_credentials",
        /// RFC 6749 §4.1
        AuthorizationCode = "authorization_code",
        /// RFC 6749 §6
        RefreshToken = "refresh_token",
        /// RFC 8628
        DeviceCode = "urn:ietf:params:oauth:grant-type:device_code",
        /// RFC 8693
        TokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange",
        /// RFC 7523 §2.1
        JwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer",
        /// RFC 6749 §4.3, only where the server's setting turns it on (RFC 9700 §2.4).
        Password = "password",
        /// Says that the client is registered for response types with tokens, as its
        /// `response_types` do, which alone decide (RFC 7591 §2.1). The token endpoint has no such
        /// grant.
        Implicit = "implicit",
    }
}

named_values! {
    /// Format of a client's access tokens.
    TokenFormat, "access_token_format", Jwt {
        /// RFC 9068; anyone with the public keys can verify it.
        Jwt = "jwt",
        /// A random string; resource servers use introspection.
        Opaque = "opaque",
    }
}

named_values! {
    /// `typ` of access tokens in JWT format.
    AccessTokenType, "access_token_type", AtJwt {
        /// RFC 9068 §2.1: no other kind of JWT has it.
        AtJwt = "at+jwt",
        /// For verifiers that accept no other.
        Jwt = "JWT",
    }
}

named_values! {
    /// Verifier of the tokens of a resource server: the name of a preset.
    Verifier, "verifier", Generic {
        /// An edge of this project: the fastest algorithm.
        Edge = "edge",
        /// Any library: what all of them accept.
        Generic = "generic",
        /// Spring Security.
        Spring = "spring",
        /// Libraries of Node.js.
        Node = "node",
        /// Libraries of Python.
        Python = "python",
        /// ASP.NET Core.
        Dotnet = "dotnet",
    }
}

named_values! {
    /// Subject identifier type (OpenID Connect Core §8).
    SubjectType, "subject_type", Public {
        /// All clients know a user by the same identifier.
        Public = "public",
        /// Each sector knows a user by a different identifier.
        Pairwise = "pairwise",
    }
}

named_values! {
    /// Security profile of a client.
    ClientProfile, "profile", Fapi2 {
        /// FAPI 2.0 Security Profile.
        Fapi2 = "fapi2",
    }
}

named_values! {
    /// When a client's authorization requests need a code challenge (RFC 7636).
    PkceRequirement, "require_pkce", UnlessNonce {
        /// Always, as for every public client (RFC 9700 §2.1.1).
        Always = "always",
        /// Unless an OpenID request has a `nonce`, which the client compares with that of the ID
        /// token (OAuth 2.1 §4.1.1, RFC 9700 §2.1.1).
        UnlessNonce = "unless_nonce",
        /// Never: nothing shows the client that a code was injected (RFC 9700 §4.5). Only the
        /// operator can set it.
        Never = "never",
    }
}

impl PkceRequirement {
    /// What a client may have that asks for `requested`, where `limit` is set: the stricter one.
    pub(crate) fn limited(requested: Option<Self>, limit: Option<Self>) -> Option<Self> {
        match (requested, limit) {
            (Some(requested), limit) => Some(requested.min(limit.unwrap_or_default())),
            (None, limit) => limit.filter(|limit| *limit == PkceRequirement::Always),
        }
    }
}

/// Client metadata. JSON members are named as in RFC 7591 and its extensions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default, utoipa::ToSchema)]
#[serde(default)]
pub struct ClientMetadata {
    /// Display name; never used in decisions.
    #[serde(rename = "client_name")]
    pub name: String,
    /// Who is responsible for the client, for display; never used in decisions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Security profile: `fapi2` sets and enforces the rules of the FAPI 2.0 Security Profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub profile: Option<ClientProfile>,
    /// Picture of the client; returned, but never shown, because a browser that fetched it would
    /// tell its host who is about to sign in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub logo_uri: Option<WebUrl>,
    /// Page about the client, for display.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub client_uri: Option<WebUrl>,
    /// Page with its privacy policy, for display.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub policy_uri: Option<WebUrl>,
    /// Page with its terms of service, for display.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tos_uri: Option<WebUrl>,
    /// How to reach those who are responsible for it, usually email addresses; at most 8.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    /// Client authentication method.
    #[serde(rename = "token_endpoint_auth_method")]
    #[schema(value_type = String)]
    pub auth_method: AuthMethod,
    /// Allowed grant types.
    #[schema(value_type = Vec<String>)]
    pub grant_types: Vec<GrantType>,
    /// Allowed response types; if empty, `code` with the authorization code grant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub response_types: Vec<ResponseType>,
    /// Allowed redirect URIs of authorization responses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub redirect_uris: Vec<RedirectUri>,
    /// Allowed redirect URIs after a logout.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub post_logout_redirect_uris: Vec<RedirectUri>,
    /// The widest scope of its tokens.
    #[schema(value_type = String)]
    pub scope: Scope,
    /// Allowed audiences of its tokens; if empty, only the server's default audience.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub audiences: Vec<Audience>,
    /// Format of its access tokens.
    #[schema(value_type = String)]
    pub access_token_format: TokenFormat,
    /// Signature algorithm of its access tokens.
    #[serde(rename = "access_token_signed_response_alg")]
    #[schema(value_type = String)]
    pub alg: TokenAlg,
    /// Signature algorithm of its ID tokens; RS256 by default (OpenID Connect Registration §2).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub id_token_signed_response_alg: Option<TokenAlg>,
    /// Whether ID tokens have the claims of the scope; `false` as OpenID Connect Core §5.4 has it,
    /// then only `/oauth/userinfo` returns them, unless the request names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token_user_claims: Option<bool>,
    /// Signature algorithm of userinfo responses; plain JSON by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub userinfo_signed_response_alg: Option<TokenAlg>,
    /// Signature algorithm of introspection responses as JWT (RFC 9701 §6).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub introspection_signed_response_alg: Option<TokenAlg>,
    /// The client's public keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub jwks: Option<Value>,
    /// URL of the client's public keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub jwks_uri: Option<OutboundUrl>,
    /// URLs of request objects that its `request_uri` may name; no other is ever fetched (OpenID
    /// Connect Core §6.2). A fragment is a SHA-256 hash in base64url, another one for each version
    /// of the object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub request_uris: Vec<RequestUri>,
    /// Signature algorithm of request objects; if registered, no other is accepted (RFC 9101
    /// §10.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub request_object_signing_alg: Option<TokenAlg>,
    /// Signature algorithm of authorization responses as JWT; RS256 by default (JARM §3).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub authorization_signed_response_alg: Option<TokenAlg>,
    /// Whether authorization requests must be signed (RFC 9101 §10.5).
    pub require_signed_request_object: bool,
    /// Whether authorization requests must be pushed (RFC 9126 §6).
    pub require_pushed_authorization_requests: bool,
    /// When authorization requests need PKCE: `always`, `unless_nonce` (default of clients that
    /// authenticate) or `never`. Public clients always need it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub require_pkce: Option<PkceRequirement>,
    /// Whether each use of a refresh token returns a new one that replaces it; `true` by default.
    /// `false` for clients that authenticate, or whose tokens must be bound to a DPoP key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotate_refresh_tokens: Option<bool>,
    /// Subject identifier type.
    #[schema(value_type = String)]
    pub subject_type: SubjectType,
    /// URL of a JSON document that lists the redirect URIs of the client's sector, for pairwise
    /// subject identifiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub sector_identifier_uri: Option<OutboundUrl>,
    /// URL that receives logout tokens (OpenID Connect Back-Channel Logout §2.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub backchannel_logout_uri: Option<OutboundUrl>,
    /// Whether the client needs `sid` in logout tokens (OpenID Connect Back-Channel Logout §2.2);
    /// every logout token has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_session_required: Option<bool>,
    /// Maximum age of a sign-in in seconds, unless a request sets `max_age`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_max_age: Option<u64>,
    /// Whether its tokens must be bound to a DPoP key (RFC 9449 §5.2).
    pub dpop_bound_access_tokens: bool,
    /// Whether its tokens must be bound to its certificate (RFC 8705 §3.4).
    pub tls_client_certificate_bound_access_tokens: bool,
    /// Subject of its certificate in the form of RFC 4514.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_subject_dn: Option<String>,
    /// A DNS name in its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_dns: Option<String>,
    /// Types of `authorization_details` it may request (RFC 9396 §10).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_details_types: Vec<String>,
    /// Lifetimes of what it gets. Ignored in registration requests.
    #[serde(flatten)]
    pub lifetimes: ClientLifetimes,
    /// Issuers whose assertions about users are accepted from the client (RFC 7523 §2.1). Ignored
    /// in registration requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// Whether the operator owns the client: users are not asked for consent. Ignored in
    /// registration requests.
    pub first_party: bool,
}

/// An issuer of assertions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedIssuer {
    /// `iss` of its assertions.
    pub issuer: String,
    /// Its public keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    /// URL of its public keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<OutboundUrl>,
}

/// Why client metadata is refused (RFC 7591 §3.2.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// `invalid_redirect_uri`
    #[error("{0}")]
    RedirectUri(&'static str),
    /// `invalid_client_metadata`
    #[error("{0}")]
    Metadata(&'static str),
    /// `invalid_redirect_uri`: what is wrong with this URI.
    #[error("{0}")]
    RedirectUriValue(MemberProblem),
    /// `invalid_client_metadata`: what is wrong with this member.
    #[error("{0}")]
    Member(MemberProblem),
    /// `invalid_client_metadata`
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Bytes of a value that an error repeats.
const MAX_SHOWN_BYTES: usize = 100;

/// What is wrong with the value of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberProblem {
    pub member: &'static str,
    problem: &'static str,
    /// The value, shortened, in characters that an error description may have (RFC 6749 §5.2).
    pub value: String,
}

impl MemberProblem {
    pub(crate) fn new(member: &'static str, problem: &'static str, value: &Value) -> MemberProblem {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let is_plain = |char: char| matches!(char, ' '..='~') && char != '"' && char != '\\';
        let plain = text.chars().map(|char| if is_plain(char) { char } else { '?' });
        let mut value: String = plain.take(MAX_SHOWN_BYTES).collect();
        if text.chars().nth(MAX_SHOWN_BYTES).is_some() {
            value.push_str("...");
        }
        MemberProblem { member, problem, value }
    }
}

impl fmt::Display for MemberProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MemberProblem { member, problem, value } = self;
        write!(f, "{member} {problem}; received: {value}")
    }
}

impl ClientMetadata {
    /// Checks that the members are consistent, and sets those that the client's profile demands.
    ///
    /// # Errors
    /// The first inconsistency.
    pub fn checked(self) -> Result<ClientMetadata, MetadataError> {
        self.with_usual_names().with_profile()?.consistent()
    }

    /// Ed25519 is named EdDSA in access tokens, and registered so for what the client signs, which
    /// may have both names (RFC 9864 §2.2).
    fn with_usual_names(mut self) -> ClientMetadata {
        self.alg = self.alg.usual_name();
        self.request_object_signing_alg = self.request_object_signing_alg.map(TokenAlg::usual_name);
        self
    }

    /// The metadata with responses signed as EdDSA where `Ed25519` is registered: the same
    /// algorithm, for issuers without a key of that name.
    #[must_use]
    pub fn without_ed25519(mut self) -> ClientMetadata {
        for alg in [
            &mut self.id_token_signed_response_alg,
            &mut self.userinfo_signed_response_alg,
            &mut self.introspection_signed_response_alg,
            &mut self.authorization_signed_response_alg,
        ] {
            *alg = alg.map(TokenAlg::usual_name);
        }
        self
    }

    fn consistent(self) -> Result<ClientMetadata, MetadataError> {
        use MetadataError::{Metadata, RedirectUri as Uri};
        checked_name(&self.name)?;
        if self.owner.as_deref().is_some_and(|owner| owner.len() > MAX_IDENTIFIER_BYTES || !is_displayable(owner)) {
            return Err(Metadata("owner must be at most 255 bytes without invisible characters"));
        }
        self.lifetimes.check()?;
        let is_contact =
            |contact: &String| (1..=MAX_IDENTIFIER_BYTES).contains(&contact.len()) && is_displayable(contact);
        if self.contacts.len() > MAX_CONTACTS || !self.contacts.iter().all(is_contact) {
            return Err(Metadata("contacts must be at most 8 texts of 1 to 255 bytes without invisible characters"));
        }
        if !all_strings(&serde_json::to_value(&self).unwrap_or_default(), |text| !text.chars().any(char::is_control)) {
            return Err(Metadata("a member contains control characters"));
        }
        if self.grant_types.is_empty() {
            return Err(Metadata("grant_types is empty"));
        }
        if self.redirect_uris.len().max(self.post_logout_redirect_uris.len()) > MAX_REDIRECT_URIS {
            return Err(Uri("more than 32 redirect URIs"));
        }
        if self.request_uris.len() > MAX_REQUEST_URIS {
            return Err(Metadata("more than 32 request_uris"));
        }
        if self.allows(GrantType::AuthorizationCode) && self.redirect_uris.is_empty() {
            return Err(Uri("redirect_uris is missing: the authorization code grant needs one"));
        }
        let is_front_channel = |response_type: &ResponseType| response_type.is_legacy();
        if self.response_types.iter().any(is_front_channel) && self.redirect_uris.is_empty() {
            return Err(Uri("redirect_uris is missing: response types with tokens need one"));
        }
        if self.auth_method == AuthMethod::None && self.allows(GrantType::ClientCredentials) {
            return Err(Metadata("a public client cannot use the client credentials grant"));
        }
        let lowers_pkce = self.require_pkce.is_some_and(|required| required != PkceRequirement::Always);
        if self.auth_method == AuthMethod::None && lowers_pkce {
            return Err(Metadata("require_pkce: a public client always needs PKCE (RFC 9700 section 2.1.1)"));
        }
        if self.auth_method == AuthMethod::None
            && !self.dpop_bound_access_tokens
            && self.rotate_refresh_tokens == Some(false)
        {
            return Err(Metadata(
                "rotate_refresh_tokens: refresh tokens of a public client must be rotated, or bound to a key by \
                 dpop_bound_access_tokens (RFC 9700 section 4.14.2)",
            ));
        }
        if self.jwks.is_some() && self.jwks_uri.is_some() {
            return Err(Metadata("jwks and jwks_uri are mutually exclusive"));
        }
        for jwks in self.jwks.iter().chain(self.trusted_issuers.iter().filter_map(|trusted| trusted.jwks.as_ref())) {
            jwks::check(jwks).map_err(Metadata)?;
        }
        let has_keys = self.jwks.is_some() || self.jwks_uri.is_some();
        let needs_keys = matches!(self.auth_method, AuthMethod::PrivateKeyJwt | AuthMethod::SelfSignedTlsClientAuth);
        if (needs_keys || self.require_signed_request_object) && !has_keys {
            return Err(Metadata("the client needs keys: set jwks or jwks_uri"));
        }
        let named = [&self.tls_client_auth_subject_dn, &self.tls_client_auth_san_dns].into_iter().flatten().count();
        if self.auth_method == AuthMethod::TlsClientAuth && named != 1 {
            return Err(Metadata(
                "tls_client_auth needs one of tls_client_auth_subject_dn and tls_client_auth_san_dns",
            ));
        }
        if !self.alg.is_for_access_tokens() {
            return Err(Metadata(
                "access_token_signed_response_alg must be EdDSA, ES256, RS256 or HS256: edges do not verify PS256",
            ));
        }
        if self.response_algs().any(|alg| alg == TokenAlg::Hs256) {
            return Err(Metadata("HS256 is supported for access tokens only: its keys belong to audiences"));
        }
        if self.subject_type == SubjectType::Pairwise && self.sector().is_none() {
            return Err(Metadata("redirect URIs on several hosts need a sector_identifier_uri for pairwise subjects"));
        }
        Ok(self)
    }

    fn response_algs(&self) -> impl Iterator<Item = TokenAlg> {
        let optional = [
            self.id_token_signed_response_alg,
            self.userinfo_signed_response_alg,
            self.introspection_signed_response_alg,
            self.authorization_signed_response_alg,
            self.request_object_signing_alg,
        ];
        optional.into_iter().flatten()
    }

    /// Whether this server signs JWTs other than access tokens for the client with this algorithm.
    #[must_use]
    pub fn has_responses_signed_with(&self, alg: TokenAlg) -> bool {
        let signed = [
            self.id_token_signed_response_alg,
            self.userinfo_signed_response_alg,
            self.introspection_signed_response_alg,
            self.authorization_signed_response_alg,
        ];
        signed.contains(&Some(alg))
    }

    /// The signature algorithm of its ID tokens.
    #[must_use]
    pub fn id_token_alg(&self) -> TokenAlg {
        self.id_token_signed_response_alg.unwrap_or(TokenAlg::Rs256)
    }

    /// The signature algorithm of its authorization responses as JWT.
    #[must_use]
    pub fn authorization_response_alg(&self) -> TokenAlg {
        self.authorization_signed_response_alg.unwrap_or(TokenAlg::Rs256)
    }

    /// When its authorization requests need a code challenge.
    #[must_use]
    pub fn pkce_requirement(&self) -> PkceRequirement {
        match self.auth_method {
            AuthMethod::None => PkceRequirement::Always,
            _ => self.require_pkce.unwrap_or_default(),
        }
    }

    /// Whether the client may use this grant type.
    #[must_use]
    pub fn allows(&self, grant_type: GrantType) -> bool {
        self.grant_types.contains(&grant_type)
    }

    /// Whether the client may use this response type. Clients with the authorization code grant
    /// may always use `code`.
    #[must_use]
    pub fn allows_response(&self, response_type: ResponseType) -> bool {
        match response_type {
            ResponseType::Code => self.allows(GrantType::AuthorizationCode),
            legacy => self.response_types.contains(&legacy),
        }
    }

    /// All redirect URIs, those after a logout included.
    pub fn all_redirect_uris(&self) -> impl Iterator<Item = &RedirectUri> {
        self.redirect_uris.iter().chain(&self.post_logout_redirect_uris)
    }

    /// The registered redirect URI that matches `presented`.
    #[must_use]
    pub fn registered_redirect_uri(&self, presented: &str) -> Option<&RedirectUri> {
        self.redirect_uris.iter().find(|registered| registered.matches(presented))
    }

    /// Checks the document at `sector_identifier_uri`: it must list all redirect URIs, and the
    /// `jwks_uri` if the client can get tokens without a redirect (OpenID Connect CIBA Core §4).
    ///
    /// # Errors
    /// If it is not a JSON array of strings, or lacks one of them.
    pub fn check_sector(&self, listed: &[u8]) -> Result<(), MetadataError> {
        let listed: Vec<String> = serde_json::from_slice(listed).map_err(|_| {
            MetadataError::Metadata("sector_identifier_uri does not return a JSON array of redirect URIs")
        })?;
        let has = |uri: &str| listed.iter().any(|listed| listed == uri);
        if !self.redirect_uris.iter().all(|uri| has(uri.as_str())) {
            return Err(MetadataError::Metadata("sector_identifier_uri does not list all of the redirect URIs"));
        }
        let without_redirect = self.subject_type == SubjectType::Pairwise && self.allows(GrantType::DeviceCode);
        if without_redirect && !self.jwks_uri.as_ref().is_some_and(|uri| has(uri.as_str())) {
            return Err(MetadataError::Metadata(
                "the device grant needs no redirect URI: sector_identifier_uri must list the jwks_uri",
            ));
        }
        Ok(())
    }

    /// The sector for pairwise subject identifiers (OpenID Connect Core §8.1): clients of one
    /// sector know a user by the same identifier.
    #[must_use]
    pub fn sector(&self) -> Option<String> {
        if let Some(uri) = &self.sector_identifier_uri {
            return url::Url::parse(uri.as_str()).ok()?.host_str().map(str::to_owned);
        }
        let mut hosts: Vec<String> = self.redirect_uris.iter().map(RedirectUri::host).collect::<Option<_>>()?;
        hosts.dedup();
        let [host] = hosts.as_slice() else { return None };
        Some(host.clone())
    }
}

/// Bytes.
const MAX_NAME_LENGTH: usize = 128;

/// Checks a client's display name.
///
/// # Errors
/// If it is empty, longer than 128 bytes, or contains control characters (they could forge lines in
/// listings and logs), bidirectional marks or zero-width characters (users would be shown another
/// name than the registered one).
pub fn checked_name(name: &str) -> Result<String, Malformed> {
    if name.is_empty() || name.len() > MAX_NAME_LENGTH || !is_displayable(name) {
        return Err(Malformed::new("client name", "must be 1 to 128 bytes without invisible characters"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> ClientMetadata {
        ClientMetadata {
            name: "A shop".to_owned(),
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            redirect_uris: vec!["https://shop.example/cb".parse().expect("a URI")],
            ..ClientMetadata::default()
        }
    }

    #[test]
    fn json_form_is_that_of_the_rfc_and_round_trips() {
        let json = serde_json::to_value(web()).expect("JSON");
        assert_eq!(json["client_name"], "A shop");
        assert_eq!(json["grant_types"], serde_json::json!(["authorization_code", "refresh_token"]));
        assert_eq!(json["token_endpoint_auth_method"], "client_secret_basic");
        assert_eq!(serde_json::from_value::<ClientMetadata>(json).expect("it reads back"), web());
    }

    #[test]
    fn inconsistent_metadata_is_refused() {
        assert_eq!(web().checked(), Ok(web()));
        let refused = |change: fn(&mut ClientMetadata)| {
            let mut metadata = web();
            change(&mut metadata);
            metadata.checked().is_err()
        };
        let changes: [fn(&mut ClientMetadata); 15] = [
            |metadata| metadata.name.clear(),
            |metadata| metadata.name = "Ba\u{200b}nk".to_owned(),
            |metadata| metadata.owner = Some("\u{202e}knaB".to_owned()),
            |metadata| metadata.tls_client_auth_san_dns = Some("\u{0}".to_owned()),
            |metadata| {
                metadata.trusted_issuers.push(TrustedIssuer { issuer: "\u{0}".to_owned(), jwks: None, jwks_uri: None })
            },
            |metadata| metadata.grant_types.clear(),
            |metadata| metadata.redirect_uris.clear(),
            |metadata| metadata.auth_method = AuthMethod::PrivateKeyJwt,
            |metadata| metadata.auth_method = AuthMethod::TlsClientAuth,
            |metadata| metadata.id_token_signed_response_alg = Some(TokenAlg::Hs256),
            |metadata| metadata.alg = TokenAlg::Ps256,
            |metadata| metadata.jwks = Some(serde_json::json!({ "keys": [] })),
            |metadata| metadata.jwks = Some(serde_json::json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] })),
            |metadata| {
                metadata.auth_method = AuthMethod::None;
                metadata.grant_types.push(GrantType::ClientCredentials);
            },
            |metadata| {
                metadata.auth_method = AuthMethod::None;
                metadata.require_pkce = Some(PkceRequirement::UnlessNonce);
            },
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert!(refused(change), "change {index} passed");
        }
    }

    #[test]
    fn public_clients_always_need_pkce() {
        assert_eq!(web().pkce_requirement(), PkceRequirement::UnlessNonce);
        let never = ClientMetadata { require_pkce: Some(PkceRequirement::Never), ..web() };
        assert_eq!(never.clone().checked().expect("good").pkce_requirement(), PkceRequirement::Never);
        let public = ClientMetadata { auth_method: AuthMethod::None, ..never };
        assert_eq!(public.pkce_requirement(), PkceRequirement::Always);
        assert!(public.checked().is_err());
    }

    #[test]
    fn ed25519_is_a_name_of_responses_only() {
        let named = ClientMetadata {
            alg: TokenAlg::Ed25519,
            request_object_signing_alg: Some(TokenAlg::Ed25519),
            id_token_signed_response_alg: Some(TokenAlg::Ed25519),
            ..web()
        };
        let checked = named.checked().expect("good");
        assert_eq!((checked.alg, checked.request_object_signing_alg), (TokenAlg::EdDsa, Some(TokenAlg::EdDsa)));
        assert_eq!(checked.id_token_alg(), TokenAlg::Ed25519);
        assert!(checked.has_responses_signed_with(TokenAlg::Ed25519));
        assert_eq!(checked.without_ed25519().id_token_alg(), TokenAlg::EdDsa);
    }

    #[test]
    fn refresh_tokens_that_nothing_binds_are_rotated() {
        let kept = ClientMetadata { rotate_refresh_tokens: Some(false), ..web() };
        assert!(kept.clone().checked().is_ok(), "the client authenticates");
        let public = ClientMetadata { auth_method: AuthMethod::None, ..kept };
        let refusal = public.clone().checked().expect_err("refused").to_string();
        assert!(refusal.starts_with("rotate_refresh_tokens: "), "{refusal}");
        let by_certificate = ClientMetadata { tls_client_certificate_bound_access_tokens: true, ..public.clone() };
        assert!(by_certificate.checked().is_err(), "refresh tokens are not bound to certificates");
        let bound = ClientMetadata { dpop_bound_access_tokens: true, ..public };
        assert!(bound.checked().is_ok());
    }

    #[test]
    fn pkce_requirement_of_a_client_is_the_stricter_one() {
        use PkceRequirement::{Always, Never, UnlessNonce};
        for (requested, limit, limited) in [
            (None, None, None),
            (Some(Never), None, Some(UnlessNonce)),
            (Some(Always), None, Some(Always)),
            (Some(Never), Some(Never), Some(Never)),
            (Some(UnlessNonce), Some(Always), Some(Always)),
            (None, Some(Always), Some(Always)),
            (None, Some(Never), None),
        ] {
            assert_eq!(PkceRequirement::limited(requested, limit), limited, "{requested:?} {limit:?}");
        }
    }

    #[test]
    fn sector_is_the_only_host_of_the_redirect_uris() {
        assert_eq!(web().sector().as_deref(), Some("shop.example"));
        let mut two = web();
        two.redirect_uris.push("https://other.example/cb".parse().expect("a URI"));
        assert_eq!(two.sector(), None);
        two.sector_identifier_uri = Some("https://sector.example/uris".parse().expect("a URL"));
        assert_eq!(two.sector().as_deref(), Some("sector.example"));
        // The document at `sector_identifier_uri` must list both redirect URIs.
        let all = br#"["https://other.example/cb", "https://shop.example/cb", "https://third.example/cb"]"#;
        assert_eq!(two.check_sector(all), Ok(()));
        for listed in [&br#"["https://shop.example/cb"]"#[..], b"[]", b"{}", b"[1]", b"<html>"] {
            assert!(two.check_sector(listed).is_err());
        }
    }
}
