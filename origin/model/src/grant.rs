//! Grants, and the authorization codes by which clients redeem them. [Refresh
//! tokens](super::refresh) continue a grant.
//!
//! A grant's id is the `sid` of its tokens: revoking a grant revokes a session, and edges refuse
//! its tokens within a second. Reuse of an authorization code or of a rotated refresh token revokes
//! the grant and all tokens issued from it.

use serde::{Deserialize, Serialize};

use super::access::Access;
use super::claims_request::ClaimsRequest;
use super::ids::{BrowserSessionId, ClientId, GrantId, UserId};
use super::pkce::CodeChallenge;
use super::secret::SecretHash;
use super::sender::Sender;

/// What a user granted to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub id: GrantId,
    /// Client ID.
    pub client: ClientId,
    /// User ID.
    pub user: UserId,
    /// The user's identifier for this client: the `sub` of its tokens.
    pub subject: String,
    /// The browser session in which the user granted it. A logout that ends the session ends the
    /// grant, too, unless its scope contains `offline_access`.
    pub browser_session: Option<BrowserSessionId>,
    pub terms: GrantTerms,
    /// Unix seconds.
    pub created_at: u64,
    /// The Unix second at which the grant ends, however often it was refreshed.
    pub ends_at: u64,
    /// When the grant was revoked, Unix seconds.
    pub ended_at: Option<u64>,
}

/// The access of a grant, and how the user had signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantTerms {
    /// The most access that tokens of the grant can have.
    pub access: Access,
    /// When the user signed in, Unix seconds.
    pub auth_time: u64,
    /// Authentication context class of the sign-in (OpenID Connect Core §2).
    pub acr: String,
    /// Authentication methods of the sign-in (RFC 8176).
    pub amr: Vec<String>,
    /// The device, if the grant was given to one (RFC 8628).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Sender>,
    /// Claims that the client requested by name.
    #[serde(default, skip_serializing_if = "ClaimsRequest::is_empty")]
    pub claims: ClaimsRequest,
}

impl Grant {
    /// Whether tokens can be issued from the grant at the Unix second `now`.
    #[must_use]
    pub fn is_active(&self, now: u64) -> bool {
        self.ended_at.is_none() && now < self.ends_at
    }
}

/// An authorization code, as stored (RFC 6749 §4.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationCode {
    pub hash: SecretHash,
    pub grant: Grant,
    /// The `redirect_uri` of the authorization request, if it had one; the token request must
    /// repeat it (RFC 6749 §4.1.3).
    pub redirect_uri: Option<String>,
    /// The `code_challenge` of the authorization request, if it had one.
    pub challenge: Option<CodeChallenge>,
    /// The `nonce` for the ID token.
    pub nonce: Option<String>,
    /// Thumbprint of the DPoP key that the token request must prove (RFC 9449 §10).
    pub jkt: Option<String>,
    /// The Unix second at which the code expires.
    pub expires_at: u64,
    /// The Unix second at which the tokens have expired that the authorization response contains
    /// besides the code, if it contains any. Until then the grant is kept.
    pub tokens_expire_at: Option<u64>,
    /// When the code was redeemed, Unix seconds.
    pub redeemed_at: Option<u64>,
}

/// Why an authorization code, a device code or a refresh token is refused (`invalid_grant`, RFC
/// 6749 §5.2). The response does not say which reason applies: that would help only someone who
/// stole the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The credential is unknown, or was deleted after its expiry.
    #[error("the grant is unknown or expired")]
    Unknown,
    #[error("the grant belongs to another client")]
    OtherClient,
    #[error("the grant is expired")]
    Expired,
    /// Reuse: all tokens of the grant are revoked.
    #[error("the grant was used before")]
    Replayed,
    #[error("the grant was revoked")]
    Ended,
    /// The client's registration was restricted and allows nothing of the grant.
    #[error("the client's registration no longer allows what the grant contains")]
    NoAccessLeft,
    /// RFC 6749 §4.1.3
    #[error("redirect_uri differs from the authorization request")]
    RedirectUri,
    /// RFC 7636 §4.6
    #[error("code_verifier does not match the code_challenge")]
    CodeVerifier,
    /// RFC 9700 §4.8.2: a PKCE downgrade
    #[error("code_verifier is not expected: the authorization request had no code_challenge")]
    UnexpectedCodeVerifier,
    /// RFC 9449 §10
    #[error("the grant is bound to another key")]
    ProofKey,
}

/// A token request with an authorization code.
#[derive(Debug, Clone, Copy)]
pub struct Redemption<'a> {
    /// The authenticated client.
    pub client: &'a ClientId,
    /// `redirect_uri`
    pub redirect_uri: Option<&'a str>,
    /// `code_verifier`
    pub verifier: Option<&'a str>,
    /// Thumbprint of the DPoP key that the request proves, if any.
    pub jkt: Option<&'a str>,
}

impl AuthorizationCode {
    /// Checks whether the code can be redeemed now. Concurrent requests with the same code are
    /// decided when the redemption is written.
    ///
    /// # Errors
    /// The first violated rule. Client, redirect URI, verifier and key are checked first: a request
    /// that fails one of them must not revoke the grant of a used code.
    pub fn check(&self, request: Redemption<'_>, now: u64) -> Result<(), GrantError> {
        if self.grant.client != *request.client {
            return Err(GrantError::OtherClient);
        }
        if self.redirect_uri.is_some() && self.redirect_uri.as_deref() != request.redirect_uri {
            return Err(GrantError::RedirectUri);
        }
        match (&self.challenge, request.verifier) {
            (Some(challenge), Some(verifier)) if challenge.is_satisfied_by(verifier) => {}
            (Some(_), _) => return Err(GrantError::CodeVerifier),
            // Somebody removed the challenge from the client's request.
            (None, Some(_)) => return Err(GrantError::UnexpectedCodeVerifier),
            (None, None) => {}
        }
        if self.jkt.is_some() && self.jkt.as_deref() != request.jkt {
            return Err(GrantError::ProofKey);
        }
        if self.redeemed_at.is_some() {
            return Err(GrantError::Replayed);
        }
        if now >= self.expires_at {
            return Err(GrantError::Expired);
        }
        if !self.grant.is_active(now) {
            return Err(GrantError::Ended);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Audience, AuthorizationDetails, Scope};
    use super::*;

    pub(crate) fn grant() -> Grant {
        let audience: Audience = "api".parse().expect("an audience");
        Grant {
            id: GrantId::from_random(&[1; 12]),
            client: "shop".parse().expect("an id"),
            user: UserId::from_random(&[2; 12]),
            subject: "someone".to_owned(),
            browser_session: None,
            terms: GrantTerms {
                access: Access {
                    scope: Scope::default(),
                    audience: audience.into(),
                    details: AuthorizationDetails::default(),
                },
                auth_time: 0,
                acr: "0".to_owned(),
                amr: vec!["pwd".to_owned()],
                device: None,
                claims: ClaimsRequest::default(),
            },
            created_at: 100,
            ends_at: 1000,
            ended_at: None,
        }
    }

    fn code() -> AuthorizationCode {
        AuthorizationCode {
            hash: SecretHash::of("code"),
            grant: grant(),
            redirect_uri: Some("https://shop.example/cb".to_owned()),
            challenge: Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".parse().expect("a challenge")),
            nonce: None,
            jkt: None,
            expires_at: 160,
            tokens_expire_at: None,
            redeemed_at: None,
        }
    }

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    fn check(
        code: &AuthorizationCode,
        client: &str,
        uri: Option<&str>,
        verifier: &str,
        jkt: Option<&str>,
        now: u64,
    ) -> Option<GrantError> {
        let client = client.parse().expect("an id");
        let verifier = Some(verifier).filter(|verifier| !verifier.is_empty());
        code.check(Redemption { client: &client, redirect_uri: uri, verifier, jkt }, now).err()
    }

    #[test]
    fn verifier_is_required_with_a_challenge_and_refused_without_one() {
        let uri = Some("https://shop.example/cb");
        assert_eq!(check(&code(), "shop", uri, "", None, 120), Some(GrantError::CodeVerifier));
        let without = AuthorizationCode { challenge: None, ..code() };
        assert_eq!(check(&without, "shop", uri, "", None, 120), None);
        assert_eq!(check(&without, "shop", uri, VERIFIER, None, 120), Some(GrantError::UnexpectedCodeVerifier));
    }

    #[test]
    fn authorization_code_is_bound_to_its_request() {
        let uri = Some("https://shop.example/cb");
        assert_eq!(check(&code(), "shop", uri, VERIFIER, None, 159), None);
        assert_eq!(check(&code(), "shop", None, VERIFIER, None, 159), Some(GrantError::RedirectUri));
        assert_eq!(check(&code(), "other", uri, VERIFIER, None, 159), Some(GrantError::OtherClient));
        assert_eq!(
            check(&code(), "shop", Some("https://shop.example/"), VERIFIER, None, 159),
            Some(GrantError::RedirectUri)
        );
        assert_eq!(check(&code(), "shop", uri, "x", None, 159), Some(GrantError::CodeVerifier));
        assert_eq!(check(&code(), "shop", uri, VERIFIER, None, 160), Some(GrantError::Expired));
        let used = AuthorizationCode { redeemed_at: Some(120), ..code() };
        assert_eq!(check(&used, "shop", uri, VERIFIER, None, 500), Some(GrantError::Replayed));
        assert_eq!(check(&used, "other", uri, VERIFIER, None, 500), Some(GrantError::OtherClient));
        assert_eq!(
            check(&used, "shop", uri, "x", None, 500),
            Some(GrantError::CodeVerifier),
            "no proof of having been given it"
        );
        assert_eq!(check(&used, "shop", None, VERIFIER, None, 500), Some(GrantError::RedirectUri));
        let used_and_bound = AuthorizationCode { jkt: Some("key".to_owned()), ..used };
        assert_eq!(check(&used_and_bound, "shop", uri, VERIFIER, None, 500), Some(GrantError::ProofKey));
        assert_eq!(check(&used_and_bound, "shop", uri, VERIFIER, Some("key"), 500), Some(GrantError::Replayed));
        let bound = AuthorizationCode { jkt: Some("key".to_owned()), ..code() };
        assert_eq!(check(&bound, "shop", uri, VERIFIER, None, 120), Some(GrantError::ProofKey));
        assert_eq!(check(&bound, "shop", uri, VERIFIER, Some("key"), 120), None);
        let ended = AuthorizationCode { grant: Grant { ended_at: Some(110), ..grant() }, ..code() };
        assert_eq!(check(&ended, "shop", uri, VERIFIER, None, 120), Some(GrantError::Ended));
    }
}
