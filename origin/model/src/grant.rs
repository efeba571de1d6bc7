//! Grants: what a user gave a client, and the one-time codes by which the client takes it; it goes on by
//! [refresh tokens](super::refresh).
//!
//! A grant's id is the `sid` of its tokens. So revoking a grant is revoking a session, which edges know within a second; and
//! what is taken twice (a code, an old refresh token) revokes the grant with everything that came of it.

use serde::{Deserialize, Serialize};

use super::{Access, ClientId, CodeChallenge, SecretHash, Sender};

made_id! {
    /// A grant's public identifier, `tgg_…`.
    GrantId, "tgg_", "grant id"
}
made_id! {
    /// A user's identifier, `tgu_…`: the `sub` of tokens of clients that know users by public identifiers.
    UserId, "tgu_", "user id"
}
made_id! {
    /// The public identifier of a browser's session, `tgl_…`.
    BrowserSessionId, "tgl_", "session id"
}

/// How long an authorization code is good, in seconds. RFC 6749 §4.1.2 recommends ten minutes at most; an honest client
/// redeems it at once.
pub const AUTHORIZATION_CODE_LIFETIME: u64 = 60;

/// What a user gave a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its identifier.
    pub id: GrantId,
    /// To whom.
    pub client: ClientId,
    /// By whom.
    pub user: UserId,
    /// As whom the client knows the user: the `sub` of its tokens.
    pub subject: String,
    /// The browser's session in which it was given; what ends that with a logout ends this too, unless it was to last offline.
    pub browser_session: Option<BrowserSessionId>,
    /// What was given, and how the user had signed in.
    pub terms: GrantTerms,
    /// When, Unix seconds.
    pub created_at: u64,
    /// The Unix second from which no refresh token gives anything any more, however often it was used.
    pub ends_at: u64,
    /// When it was ended before its time, if it was.
    pub ended_at: Option<u64>,
}

/// What was given, and how the user had signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantTerms {
    /// What tokens of the grant are good for at most.
    pub access: Access,
    /// When the user signed in, Unix seconds.
    pub auth_time: u64,
    /// The class of that sign-in (OpenID Connect Core §2).
    pub acr: String,
    /// The methods of that sign-in (RFC 8176).
    pub amr: Vec<String>,
    /// The device that it was given to, if it was one (RFC 8628).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Sender>,
}

impl Grant {
    /// Whether it gives anything at the Unix second `now`.
    #[must_use]
    pub fn is_good(&self, now: u64) -> bool {
        self.ended_at.is_none() && now < self.ends_at
    }
}

/// An authorization code, as it is kept (RFC 6749 §4.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationCode {
    /// What is stored of it.
    pub hash: SecretHash,
    /// What it gives.
    pub grant: Grant,
    /// The redirect URI that the authorization request named; the token request must name it again (RFC 6749 §4.1.3).
    pub redirect_uri: Option<String>,
    /// What the verifier must fit.
    pub challenge: CodeChallenge,
    /// The `nonce` for the ID token.
    pub nonce: Option<String>,
    /// The thumbprint of the key that the token request must prove (RFC 9449 §10).
    pub jkt: Option<String>,
    /// The Unix second from which it is bad.
    pub expires_at: u64,
    /// When it was redeemed, if it was.
    pub redeemed_at: Option<u64>,
}

/// Why a code, a device code or a refresh token gives nothing (`invalid_grant`, RFC 6749 §5.2). A client is told no more than
/// that: the difference matters to whoever found the code, not to whoever was given it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// There is no such thing, or it is long forgotten.
    #[error("the grant is unknown or expired")]
    Unknown,
    /// It is another client's.
    #[error("the grant was given to another client")]
    OtherClient,
    /// It is past its time.
    #[error("the grant is expired")]
    Expired,
    /// It was taken before: whatever came of it is revoked.
    #[error("the grant was used before")]
    Replayed,
    /// It was revoked.
    #[error("the grant was revoked")]
    Ended,
    /// The client may have nothing of it any more: its registration was narrowed.
    #[error("the client may no longer have what the grant gives")]
    NoAccessLeft,
    /// The redirect URI is not the one of the authorization request (RFC 6749 §4.1.3).
    #[error("redirect_uri is not the one of the authorization request")]
    RedirectUri,
    /// The verifier does not fit the challenge (RFC 7636 §4.6).
    #[error("code_verifier does not fit the code_challenge")]
    CodeVerifier,
    /// The key that was proven is not the one it is bound to (RFC 9449 §10).
    #[error("the grant is bound to another key")]
    ProofKey,
}

/// What a token request presents with a code.
#[derive(Debug, Clone, Copy)]
pub struct Redemption<'a> {
    /// The client that authenticated.
    pub client: &'a ClientId,
    /// `redirect_uri`
    pub redirect_uri: Option<&'a str>,
    /// `code_verifier`
    pub verifier: &'a str,
    /// The thumbprint of the key that the request proves, if it proves one.
    pub jkt: Option<&'a str>,
}

impl AuthorizationCode {
    /// Checks that it may be redeemed now. Whether somebody else redeems it at this moment is decided when it is written.
    ///
    /// # Errors
    /// The first rule that is not kept. Client, redirect URI, verifier and key come first: whoever does not have them all proves nothing,
    /// and cannot have a used code's grant revoked.
    pub fn check(&self, request: Redemption<'_>, now: u64) -> Result<(), GrantError> {
        if self.grant.client != *request.client {
            return Err(GrantError::OtherClient);
        }
        if self.redirect_uri.is_some() && self.redirect_uri.as_deref() != request.redirect_uri {
            return Err(GrantError::RedirectUri);
        }
        if !self.challenge.is_met_by(request.verifier) {
            return Err(GrantError::CodeVerifier);
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
        if !self.grant.is_good(now) {
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
            challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".parse().expect("a challenge"),
            nonce: None,
            jkt: None,
            expires_at: 160,
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
        code.check(Redemption { client: &client, redirect_uri: uri, verifier, jkt }, now).err()
    }

    #[test]
    fn a_code_is_bound_to_its_request() {
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
