//! Security profiles that a client can have as a whole, by its own registration or by its issuer.
//!
//! The FAPI 2.0 Security Profile sets and enforces all of its rules on clients: what registration
//! can set is set there, and a value that contradicts the profile is refused by the rule's name.
//! What is decided in each request asks [`ClientMetadata::is_fapi2`].

use super::client::{Client, ClientStatus};
use super::metadata::{AuthMethod, ClientMetadata, ClientProfile, GrantType, MetadataError, PkceRequirement};
use super::response_type::ResponseType;
use super::token_alg::TokenAlg;
use super::token_lifetime::AUTHORIZATION_CODE_LIFETIME;

/// How clients with the FAPI 2.0 Security Profile authenticate (§5.3.2.1).
const FAPI2_AUTH_METHODS: [AuthMethod; 3] =
    [AuthMethod::PrivateKeyJwt, AuthMethod::TlsClientAuth, AuthMethod::SelfSignedTlsClientAuth];

impl ClientProfile {
    /// Whether clients may authenticate in this way.
    #[must_use]
    pub fn allows_auth_method(self, method: AuthMethod) -> bool {
        match self {
            ClientProfile::Fapi2 => FAPI2_AUTH_METHODS.contains(&method),
        }
    }

    /// Whether JWTs may be signed with the algorithm of this name (§5.4.1).
    #[must_use]
    pub fn allows_algorithm(self, alg: &str) -> bool {
        match self {
            ClientProfile::Fapi2 => alg != TokenAlg::Rs256.as_str(),
        }
    }
}

impl Client {
    /// The client as it counts at an issuer with this profile. One whose registration contradicts
    /// the profile is not active there.
    #[must_use]
    pub fn under(self, profile: Option<ClientProfile>) -> Client {
        if profile.is_none() {
            return self;
        }
        match (self.metadata.clone().under(profile), self.status) {
            (Ok(metadata), _) => Client { metadata, ..self },
            (Err(rule), ClientStatus::Active) => Client { status: ClientStatus::Excluded { rule }, ..self },
            (Err(_), _) => self,
        }
    }
}

impl ClientMetadata {
    /// Whether the client has the FAPI 2.0 Security Profile.
    #[must_use]
    pub fn is_fapi2(&self) -> bool {
        self.profile == Some(ClientProfile::Fapi2)
    }

    /// Checks that a JWT of the client may be signed with the algorithm of this name.
    ///
    /// # Errors
    /// The rule of the client's profile that forbids it (FAPI 2.0 §5.4.1).
    pub fn check_signature_algorithm(&self, alg: &str) -> Result<(), &'static str> {
        match self.profile.is_none_or(|profile| profile.allows_algorithm(alg)) {
            true => Ok(()),
            false => Err("profile fapi2: signature algorithms are PS256, ES256 and EdDSA"),
        }
    }

    /// Whether a use of a refresh token replaces it, unless nothing else protects that one: see
    /// [`Client::rotates_refresh_token`](crate::Client::rotates_refresh_token).
    #[must_use]
    pub fn rotates_refresh_tokens(&self) -> bool {
        self.rotate_refresh_tokens.unwrap_or(!self.is_fapi2())
    }

    /// The metadata with the members that its profile sets.
    ///
    /// # Errors
    /// The first rule of the profile that a member contradicts.
    pub(crate) fn with_profile(self) -> Result<ClientMetadata, MetadataError> {
        if self.is_fapi2() { self.with_fapi2().map_err(MetadataError::Metadata) } else { Ok(self) }
    }

    /// The metadata as it counts at an issuer with this profile.
    ///
    /// # Errors
    /// The first rule of the profile that a member contradicts.
    pub fn under(self, profile: Option<ClientProfile>) -> Result<ClientMetadata, &'static str> {
        match profile {
            None => Ok(self),
            Some(ClientProfile::Fapi2) => ClientMetadata { profile, ..self }.with_fapi2(),
        }
    }

    fn with_fapi2(mut self) -> Result<ClientMetadata, &'static str> {
        if self.lifetimes.of_authorization_code() > AUTHORIZATION_CODE_LIFETIME {
            return Err("profile fapi2: authorization_code_lifetime must be at most 60 seconds");
        }
        if !FAPI2_AUTH_METHODS.contains(&self.auth_method) {
            return Err("profile fapi2: token_endpoint_auth_method must be private_key_jwt, tls_client_auth or \
                 self_signed_tls_client_auth (FAPI 2.0 section 5.3.2.1)");
        }
        if self.response_types.iter().any(|response_type| *response_type != ResponseType::Code) {
            return Err("profile fapi2: the only response type is code (FAPI 2.0 section 5.3.2.2)");
        }
        if self.require_pkce.is_some_and(|required| required != PkceRequirement::Always) {
            return Err("profile fapi2: require_pkce must be always (FAPI 2.0 section 5.3.2.2)");
        }
        if self.rotate_refresh_tokens == Some(true) {
            return Err("profile fapi2: refresh tokens are not rotated (FAPI 2.0 section 5.3.2.1)");
        }
        if self.allows(GrantType::Password) || self.allows(GrantType::Implicit) {
            return Err("profile fapi2: the password and implicit grants are not allowed (FAPI 2.0 section 5.3.2.1)");
        }
        let algs = [
            Some(self.alg),
            self.id_token_signed_response_alg,
            self.userinfo_signed_response_alg,
            self.introspection_signed_response_alg,
            self.authorization_signed_response_alg,
            self.request_object_signing_alg,
        ];
        if algs.into_iter().flatten().any(|alg| matches!(alg, TokenAlg::Rs256 | TokenAlg::Hs256)) {
            return Err("profile fapi2: signature algorithms are PS256, ES256 and EdDSA (FAPI 2.0 section 5.4.1)");
        }
        // Their defaults are RS256.
        self.id_token_signed_response_alg.get_or_insert(TokenAlg::Es256);
        self.authorization_signed_response_alg.get_or_insert(TokenAlg::Es256);
        self.introspection_signed_response_alg.get_or_insert(TokenAlg::Es256);
        self.require_pushed_authorization_requests = true;
        self.require_pkce = Some(PkceRequirement::Always);
        self.rotate_refresh_tokens = Some(false);
        // Section 5.3.2.1: tokens are bound to a key of the client, by mutual TLS or DPoP.
        self.dpop_bound_access_tokens |= !self.tls_client_certificate_bound_access_tokens;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bank() -> ClientMetadata {
        ClientMetadata {
            name: "A bank".to_owned(),
            profile: Some(ClientProfile::Fapi2),
            auth_method: AuthMethod::PrivateKeyJwt,
            jwks_uri: Some("https://bank.example/keys".parse().expect("a URL")),
            grant_types: vec![GrantType::AuthorizationCode],
            redirect_uris: vec!["https://bank.example/cb".parse().expect("a URI")],
            ..ClientMetadata::default()
        }
    }

    #[test]
    fn fapi2_sets_all_of_its_rules() {
        let checked = bank().checked().expect("good");
        assert!(checked.require_pushed_authorization_requests && checked.dpop_bound_access_tokens);
        assert_eq!(checked.pkce_requirement(), PkceRequirement::Always);
        assert!(!checked.rotates_refresh_tokens() && !bank().rotates_refresh_tokens(), "stored earlier, too");
        assert_eq!((checked.id_token_alg(), checked.authorization_response_alg()), (TokenAlg::Es256, TokenAlg::Es256));
        assert_eq!(checked.introspection_signed_response_alg, Some(TokenAlg::Es256));
        let by_certificate = ClientMetadata { tls_client_certificate_bound_access_tokens: true, ..bank() };
        assert!(!by_certificate.checked().expect("good").dpop_bound_access_tokens);
        assert_eq!(checked.clone().checked(), Ok(checked), "checking again changes nothing");
    }

    #[test]
    fn what_contradicts_fapi2_is_refused_by_the_rules_name() {
        let changes: [fn(&mut ClientMetadata); 9] = [
            |metadata| metadata.grant_types.push(GrantType::Password),
            |metadata| metadata.grant_types.push(GrantType::Implicit),
            |metadata| metadata.auth_method = AuthMethod::ClientSecretBasic,
            |metadata| metadata.auth_method = AuthMethod::None,
            |metadata| metadata.require_pkce = Some(PkceRequirement::Never),
            |metadata| metadata.rotate_refresh_tokens = Some(true),
            |metadata| metadata.alg = TokenAlg::Hs256,
            |metadata| metadata.id_token_signed_response_alg = Some(TokenAlg::Rs256),
            |metadata| metadata.response_types = vec![ResponseType::CodeIdToken],
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut metadata = bank();
            change(&mut metadata);
            let refusal = metadata.checked().expect_err("refused").to_string();
            assert!(refusal.starts_with("profile fapi2: "), "change {index}: {refusal}");
        }
    }

    #[test]
    fn profile_of_the_issuer_counts_for_every_client() {
        let unmarked = ClientMetadata { profile: None, ..bank() };
        let at =
            |metadata: ClientMetadata, profile| Client::new("bank".parse().expect("an id"), metadata, 0).under(profile);
        let judged = at(unmarked.clone(), Some(ClientProfile::Fapi2));
        assert!(judged.is_active() && judged.metadata.is_fapi2());
        assert!(judged.metadata.require_pushed_authorization_requests && judged.metadata.dpop_bound_access_tokens);
        assert_eq!(at(unmarked.clone(), None).metadata, unmarked);
        let with_secret = ClientMetadata { auth_method: AuthMethod::ClientSecretBasic, ..unmarked };
        let excluded = at(with_secret.clone(), Some(ClientProfile::Fapi2));
        assert!(!excluded.is_active());
        assert!(
            matches!(excluded.status, ClientStatus::Excluded { rule } if rule.contains("token_endpoint_auth_method"))
        );
        let disabled = Client { status: ClientStatus::Disabled { at: 1 }, ..at(with_secret, None) };
        assert_eq!(disabled.under(Some(ClientProfile::Fapi2)).status, ClientStatus::Disabled { at: 1 });
    }
}
