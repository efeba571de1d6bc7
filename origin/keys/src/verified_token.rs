//! Verifies that a presented access token was issued by this origin.
//!
//! Never: a record is used for a token that was not proven to be the token of that record. A `jti`
//! proves nothing: it appears in logs, and the holder of an audience's HS256 key can sign any
//! `jti`. Therefore the verified properties (key, audience, format) are kept and compared with the
//! record.

use jwt_compact::{AlgorithmExt as _, Claims as JwtClaims, UntrustedToken};
use serde::Deserialize;
use tollgate_model::{AccessToken, AccessTokenType, Audiences, SecretHash, SecretKind, TokenId};

use super::audience_key::AudienceKey;
use super::jwt_algorithm::JwtAlgorithm;
use super::key_ring::KeyRing;
use super::private::PrivateKey;

/// A presented access token with a valid signature of this issuer, or with the form of its opaque
/// tokens. Only [`KeyRing::verify_token`] creates one. It says nothing about expiry or revocation,
/// and must be compared with its record by [`VerifiedToken::matches_record`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken(Proof);

/// What was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Proof {
    /// The signature of this key over this audience.
    Signature { id: TokenId, key_id: String, audience: Audiences },
    /// An opaque token with this hash.
    Secret(SecretHash),
}

/// Key to look up a token's record.
#[derive(Debug, Clone, Copy)]
pub enum TokenRecordKey<'a> {
    Id(TokenId),
    Opaque(&'a SecretHash),
}

impl VerifiedToken {
    /// Whether `record` belongs to the token: signed by the verifying key for the audience in the
    /// token, or the same opaque token. An opaque token never matches the record of a JWT, nor a
    /// JWT that of an opaque token.
    #[must_use]
    pub fn matches_record(&self, record: &AccessToken) -> bool {
        match &self.0 {
            Proof::Signature { id, key_id, audience } => {
                let is_signed = record.opaque.is_none() && record.key_id == *key_id;
                is_signed && record.id == *id && record.audience == *audience
            }
            Proof::Secret(hash) => record.opaque.as_ref() == Some(hash),
        }
    }

    #[must_use]
    pub fn record_key(&self) -> TokenRecordKey<'_> {
        match &self.0 {
            Proof::Signature { id, .. } => TokenRecordKey::Id(*id),
            Proof::Secret(hash) => TokenRecordKey::Opaque(hash),
        }
    }
}

impl KeyRing {
    /// Verifies a JWT that this origin signed as `issuer`, or accepts the form of an opaque token.
    #[must_use]
    pub fn verify_token(&self, unverified_token: &str, issuer: &str) -> Option<VerifiedToken> {
        if SecretKind::Access.is_well_formed(unverified_token) {
            return Some(VerifiedToken(Proof::Secret(SecretHash::of(unverified_token))));
        }
        let unverified_token = UntrustedToken::new(unverified_token).ok()?;
        let kid = unverified_kid(&unverified_token)?;
        if let Some(key) = self.token_key(kid) {
            return verify_signature(kid, key, &unverified_token, issuer);
        }
        // The token must name exactly the audience that the key is derived for.
        let audience = self.audience_key_for(&unverified_token, kid)?;
        verify_signature(kid, audience.key(), &unverified_token, issuer)
    }

    /// Whether the text is an access token in JWT format whose `kid` is not in this ring.
    #[must_use]
    pub fn has_unknown_key(&self, unverified_token: &str) -> bool {
        UntrustedToken::new(unverified_token).is_ok_and(|unverified_token| {
            unverified_kid(&unverified_token).is_some_and(|kid| !self.has_key_for(&unverified_token, kid))
        })
    }

    /// Whether the `kid` of the token is in this ring.
    fn has_key_for(&self, unverified_token: &UntrustedToken<'_>, kid: &str) -> bool {
        self.token_key(kid).is_some() || self.audience_key_for(unverified_token, kid).is_some()
    }

    fn audience_key_for(&self, unverified_token: &UntrustedToken<'_>, kid: &str) -> Option<AudienceKey> {
        let unverified_claims: JwtClaims<IssuedClaims> = unverified_token.deserialize_claims_unchecked().ok()?;
        self.audience_key_named(unverified_claims.custom.aud.single()?, kid)
    }
}

/// The `kid` of a JWT that may be an access token; `None` if its type is another.
///
/// ID tokens and signed userinfo responses have the type `JWT`, too. They are not confused with
/// access tokens: those have a `jti` in the form of [`TokenId`], whose record must name the key and
/// the audience, and the others have no `jti`.
fn unverified_kid<'a>(unverified_token: &'a UntrustedToken<'_>) -> Option<&'a str> {
    let header = unverified_token.header();
    let may_be_access_token = header.token_type.as_deref().is_some_and(|typ| typ.parse::<AccessTokenType>().is_ok());
    header.key_id.as_deref().filter(|_| may_be_access_token)
}

/// The claims that are read from our own tokens; the record contains all others.
#[derive(Deserialize)]
struct IssuedClaims {
    iss: String,
    aud: Audiences,
    jti: String,
}

fn verify_signature(
    kid: &str,
    key: &PrivateKey,
    unverified_token: &UntrustedToken<'_>,
    issuer: &str,
) -> Option<VerifiedToken> {
    let token = JwtAlgorithm(key.alg()).validator::<IssuedClaims>(key).validate(unverified_token).ok()?;
    let IssuedClaims { iss, aud, jti } = &token.claims().custom;
    if iss != issuer {
        return None;
    }
    let (id, key_id, audience) = (jti.parse().ok()?, kid.to_owned(), aud.clone());
    Some(VerifiedToken(Proof::Signature { id, key_id, audience }))
}
