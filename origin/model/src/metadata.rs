//! What is registered of a client: the metadata of RFC 7591 §2 and of the specifications that extend it, typed, and some of
//! our own. The same form is read from a registration request and kept in the database.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::checked_name;
use super::text::{all_texts, is_legible};
use super::{Audience, MAX_IDENTIFIER_BYTES, Malformed, OutboundUrl, RedirectUri, Scope, TokenAlg, jwks};

/// Redirect URIs of one client at most.
const MAX_URIS: usize = 32;

/// The names of a set of words, each way.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, $default:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The registered name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text),+
                }
            }
        }

        impl Default for $name {
            fn default() -> $name {
                $name::$default
            }
        }

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<$name, Malformed> {
                let named = $name::ALL.iter().find(|one| one.as_str() == text);
                named.copied().ok_or(Malformed::new($what, "is not one that this server knows"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        json_as_text!($name);
    };
}

words! {
    /// How a client authenticates (RFC 7591 §2, RFC 8705 §2, OpenID Connect Core §9).
    AuthMethod, "token_endpoint_auth_method", ClientSecretBasic {
        /// A secret in the `Authorization` header; or in the body, for who holds the secret may choose.
        ClientSecretBasic = "client_secret_basic",
        /// A secret in the body; or in the header, likewise.
        ClientSecretPost = "client_secret_post",
        /// A JWT signed with a key of the client's own (RFC 7523 §2.2).
        PrivateKeyJwt = "private_key_jwt",
        /// A certificate of a trusted authority (RFC 8705 §2.1).
        TlsClientAuth = "tls_client_auth",
        /// A certificate whose key is registered (RFC 8705 §2.2).
        SelfSignedTlsClientAuth = "self_signed_tls_client_auth",
        /// Nothing: a public client.
        None = "none",
    }
}

words! {
    /// A way to get tokens (RFC 7591 §2).
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
    }
}

words! {
    /// The form of a client's access tokens.
    TokenFormat, "access_token_format", Jwt {
        /// RFC 9068: whoever has the public keys can check it.
        Jwt = "jwt",
        /// A random text that only introspection understands.
        Opaque = "opaque",
    }
}

words! {
    /// How a client knows its users (OpenID Connect Core §8).
    SubjectType, "subject_type", Public {
        /// By the same identifier as all clients.
        Public = "public",
        /// By one that no other sector knows them by.
        Pairwise = "pairwise",
    }
}

/// What is registered of a client. The names in JSON are those of RFC 7591 and its extensions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default, utoipa::ToSchema)]
#[serde(default)]
pub struct ClientMetadata {
    /// What people call it; never used in decisions.
    #[serde(rename = "client_name")]
    pub name: String,
    /// Who answers for it; never used in decisions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How it authenticates.
    #[serde(rename = "token_endpoint_auth_method")]
    #[schema(value_type = String)]
    pub auth_method: AuthMethod,
    /// The grants it may use.
    #[schema(value_type = Vec<String>)]
    pub grant_types: Vec<GrantType>,
    /// Where authorization answers may be sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub redirect_uris: Vec<RedirectUri>,
    /// Where users may be sent after a logout.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub post_logout_redirect_uris: Vec<RedirectUri>,
    /// The widest scope its tokens may have.
    #[schema(value_type = String)]
    pub scope: Scope,
    /// The audiences its tokens may name; none listed means the server's default audience alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub audiences: Vec<Audience>,
    /// The form of its access tokens.
    #[schema(value_type = String)]
    pub access_token_format: TokenFormat,
    /// How its access tokens are signed.
    #[serde(rename = "access_token_signed_response_alg")]
    #[schema(value_type = String)]
    pub alg: TokenAlg,
    /// How its ID tokens are signed; RS256 if nothing is said (OpenID Connect Registration §2).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub id_token_signed_response_alg: Option<TokenAlg>,
    /// How userinfo is signed for it; none means plain JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub userinfo_signed_response_alg: Option<TokenAlg>,
    /// How introspection is signed for it when it asks for a JWT (RFC 9701 §6).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub introspection_signed_response_alg: Option<TokenAlg>,
    /// Its own public keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub jwks: Option<Value>,
    /// Where its own public keys are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub jwks_uri: Option<OutboundUrl>,
    /// How it must sign request objects; one registered here may send no other (RFC 9101 §10.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub request_object_signing_alg: Option<TokenAlg>,
    /// Whether its authorization requests must be signed (RFC 9101 §10.5).
    pub require_signed_request_object: bool,
    /// Whether its authorization requests must be pushed (RFC 9126 §6).
    pub require_pushed_authorization_requests: bool,
    /// How it knows its users.
    #[schema(value_type = String)]
    pub subject_type: SubjectType,
    /// The sector whose clients know users by the same pairwise identifiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub sector_identifier_uri: Option<OutboundUrl>,
    /// Where it hears that a user signed out (OpenID Connect Back-Channel Logout §2.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub backchannel_logout_uri: Option<OutboundUrl>,
    /// The longest time since a sign-in, in seconds, unless a request says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_max_age: Option<u64>,
    /// Whether its tokens must be bound to a key by DPoP (RFC 9449 §5.2).
    pub dpop_bound_access_tokens: bool,
    /// Whether its tokens must be bound to its certificate (RFC 8705 §3.4).
    pub tls_client_certificate_bound_access_tokens: bool,
    /// The subject of its certificate, as RFC 4514 writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_subject_dn: Option<String>,
    /// A DNS name in its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_dns: Option<String>,
    /// The types of `authorization_details` it may ask for (RFC 9396 §10).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_details_types: Vec<String>,
    /// Who may vouch for users before it (RFC 7523 §2.1). Never taken from a registration request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// Whether it is the operator's own: its users are not asked for consent. Never taken from a registration request.
    pub first_party: bool,
}

/// An issuer of assertions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedIssuer {
    /// The `iss` of its assertions.
    pub issuer: String,
    /// Its public keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    /// Where its public keys are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<OutboundUrl>,
}

/// Why metadata is refused (RFC 7591 §3.2.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// `invalid_redirect_uri`
    #[error("{0}")]
    RedirectUri(&'static str),
    /// `invalid_client_metadata`
    #[error("{0}")]
    Metadata(&'static str),
    /// `invalid_client_metadata`
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl ClientMetadata {
    /// The metadata, if it makes sense as a whole.
    ///
    /// # Errors
    /// What does not fit together.
    pub fn checked(self) -> Result<ClientMetadata, MetadataError> {
        use MetadataError::{Metadata, RedirectUri as Uri};
        checked_name(&self.name)?;
        if self.owner.as_deref().is_some_and(|owner| owner.len() > MAX_IDENTIFIER_BYTES || !is_legible(owner)) {
            return Err(Metadata("owner must be at most 255 bytes without characters that cannot be seen"));
        }
        if !all_texts(&serde_json::to_value(&self).unwrap_or_default(), |text| !text.chars().any(char::is_control)) {
            return Err(Metadata("a member has control characters"));
        }
        if self.grant_types.is_empty() {
            return Err(Metadata("grant_types is empty: the client could get no token"));
        }
        if self.redirect_uris.len().max(self.post_logout_redirect_uris.len()) > MAX_URIS {
            return Err(Uri("there are more than 32 redirect URIs"));
        }
        if self.allows(GrantType::AuthorizationCode) && self.redirect_uris.is_empty() {
            return Err(Uri("redirect_uris is missing: the authorization code grant needs one"));
        }
        if self.auth_method == AuthMethod::None && self.allows(GrantType::ClientCredentials) {
            return Err(Metadata("a client that does not authenticate cannot have the client credentials grant"));
        }
        if self.jwks.is_some() && self.jwks_uri.is_some() {
            return Err(Metadata("jwks and jwks_uri exclude each other"));
        }
        for jwks in self.jwks.iter().chain(self.trusted_issuers.iter().filter_map(|trusted| trusted.jwks.as_ref())) {
            jwks::check(jwks)?;
        }
        let has_keys = self.jwks.is_some() || self.jwks_uri.is_some();
        let needs_keys = matches!(self.auth_method, AuthMethod::PrivateKeyJwt | AuthMethod::SelfSignedTlsClientAuth);
        if (needs_keys || self.require_signed_request_object) && !has_keys {
            return Err(Metadata("the client needs keys: give jwks or jwks_uri"));
        }
        let named = [&self.tls_client_auth_subject_dn, &self.tls_client_auth_san_dns].into_iter().flatten().count();
        if self.auth_method == AuthMethod::TlsClientAuth && named != 1 {
            return Err(Metadata(
                "tls_client_auth needs one of tls_client_auth_subject_dn and tls_client_auth_san_dns",
            ));
        }
        if self.response_algs().any(|alg| alg == TokenAlg::Hs256) {
            return Err(Metadata("HS256 is for access tokens alone: its keys are those of audiences"));
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
            self.request_object_signing_alg,
        ];
        optional.into_iter().flatten()
    }

    /// How its ID tokens are signed.
    #[must_use]
    pub fn id_token_alg(&self) -> TokenAlg {
        self.id_token_signed_response_alg.unwrap_or(TokenAlg::Rs256)
    }

    /// Whether it may use this grant.
    #[must_use]
    pub fn allows(&self, grant_type: GrantType) -> bool {
        self.grant_types.contains(&grant_type)
    }

    /// The registered redirect URI that `presented` meets.
    #[must_use]
    pub fn redirect(&self, presented: &str) -> Option<&RedirectUri> {
        self.redirect_uris.iter().find(|registered| registered.is_met_by(presented))
    }

    /// Checks that a sector, by what its `sector_identifier_uri` gives, has all of the redirect URIs; and the `jwks_uri`, if the client
    /// can get tokens without a redirect (OpenID Connect CIBA Core §4).
    ///
    /// # Errors
    /// When that is no JSON array of strings, or lacks one of them.
    pub fn check_sector(&self, listed: &[u8]) -> Result<(), MetadataError> {
        let listed: Vec<String> = serde_json::from_slice(listed).map_err(|_| {
            MetadataError::Metadata("sector_identifier_uri does not give a JSON array of redirect URIs")
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

    /// The sector whose clients know users by the same pairwise identifiers (OpenID Connect Core §8.1).
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
    fn the_form_in_json_is_the_rfcs_and_comes_back() {
        let json = serde_json::to_value(web()).expect("JSON");
        assert_eq!(json["client_name"], "A shop");
        assert_eq!(json["grant_types"], serde_json::json!(["authorization_code", "refresh_token"]));
        assert_eq!(json["token_endpoint_auth_method"], "client_secret_basic");
        assert_eq!(serde_json::from_value::<ClientMetadata>(json).expect("it reads back"), web());
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        assert_eq!(web().checked(), Ok(web()));
        let refused = |change: fn(&mut ClientMetadata)| {
            let mut metadata = web();
            change(&mut metadata);
            metadata.checked().is_err()
        };
        let changes: [fn(&mut ClientMetadata); 13] = [
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
            |metadata| metadata.jwks = Some(serde_json::json!({ "keys": [] })),
            |metadata| metadata.jwks = Some(serde_json::json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] })),
            |metadata| {
                metadata.auth_method = AuthMethod::None;
                metadata.grant_types.push(GrantType::ClientCredentials);
            },
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert!(refused(change), "change {index} passed");
        }
    }

    #[test]
    fn the_sector_is_the_one_host() {
        assert_eq!(web().sector().as_deref(), Some("shop.example"));
        let mut two = web();
        two.redirect_uris.push("https://other.example/cb".parse().expect("a URI"));
        assert_eq!(two.sector(), None);
        two.sector_identifier_uri = Some("https://sector.example/uris".parse().expect("a URL"));
        assert_eq!(two.sector().as_deref(), Some("sector.example"));
        // Where it says itself which redirect URIs are its own, it must know both.
        let all = br#"["https://other.example/cb", "https://shop.example/cb", "https://third.example/cb"]"#;
        assert_eq!(two.check_sector(all), Ok(()));
        for listed in [&br#"["https://shop.example/cb"]"#[..], b"[]", b"{}", b"[1]", b"<html>"] {
            assert!(two.check_sector(listed).is_err());
        }
    }
}
