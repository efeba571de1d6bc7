//! Security profiles that a client can have as a whole.
//!
//! The FAPI 2.0 Security Profile sets and enforces all of its rules on clients: what registration
//! can set is set there, and a value that contradicts the profile is refused by the rule's name.
//! What is decided in each request asks [`ClientMetadata::is_fapi2`].

use super::metadata::{AuthMethod, ClientMetadata, ClientProfile, GrantType, MetadataError, PkceRequirement};
use super::response_type::ResponseType;
use super::token_alg::TokenAlg;
use super::token_lifetime::AUTHORIZATION_CODE_LIFETIME;

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
        match self.is_fapi2() && alg == TokenAlg::Rs256.as_str() {
            true => Err("profile fapi2: signature algorithms are PS256, ES256 and EdDSA"),
            false => Ok(()),
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
        if self.is_fapi2() { self.with_fapi2() } else { Ok(self) }
    }

    fn with_fapi2(mut self) -> Result<ClientMetadata, MetadataError> {
        use MetadataError::Metadata;
        if self.lifetimes.of_authorization_code() > AUTHORIZATION_CODE_LIFETIME {
            return Err(Metadata("profile fapi2: authorization_code_lifetime must be at most 60 seconds"));
        }
        if matches!(self.auth_method, AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost | AuthMethod::None) {
            return Err(Metadata(
                "profile fapi2: token_endpoint_auth_method must be private_key_jwt, tls_client_auth or \
                 self_signed_tls_client_auth (FAPI 2.0 section 5.3.2.1)",
            ));
        }
        if self.response_types.iter().any(|response_type| *response_type != ResponseType::Code) {
            return Err(Metadata("profile fapi2: the only response type is code (FAPI 2.0 section 5.3.2.2)"));
        }
        if self.require_pkce.is_some_and(|required| required != PkceRequirement::Always) {
            return Err(Metadata("profile fapi2: require_pkce must be always (FAPI 2.0 section 5.3.2.2)"));
        }
        if self.rotate_refresh_tokens == Some(true) {
            return Err(Metadata("profile fapi2: refresh tokens are not rotated (FAPI 2.0 section 5.3.2.1)"));
        }
        if self.allows(GrantType::Password) || self.allows(GrantType::Implicit) {
            return Err(Metadata(
                "profile fapi2: the password and implicit grants are not allowed (FAPI 2.0 section 5.3.2.1)",
            ));
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
            return Err(Metadata(
                "profile fapi2: signature algorithms are PS256, ES256 and EdDSA (FAPI 2.0 section 5.4.1)",
            ));
        }
        // Their defaults are RS256.
        self.id_token_signed_response_alg.get_or_insert(TokenAlg::Es256);
        self.authorization_signed_response_alg.get_or_insert(TokenAlg::Es256);
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
        let by_certificate = ClientMetadata { tls_client_certificate_bound_access_tokens: true, ..bank() };
        assert!(!by_certificate.checked().expect("good").dpop_bound_access_tokens);
        assert_eq!(checked.clone().checked(), Ok(checked), "checking again changes nothing");
    }

    #[test]
    fn what_contradicts_fapi2_is_refused_by_the_rules_name() {
        let changes: [fn(&mut ClientMetadata); 8] = [
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
}
