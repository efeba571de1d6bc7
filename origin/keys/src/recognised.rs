//! Recognising a presented access token as one of this issuer's.
//!
//! What never happens: a record is believed for a token that did not prove to be that record's. A `jti` proves nothing: it stands in logs,
//! and whoever holds an audience's HS256 key can sign any. So what was verified (the key, the audience, the form) travels with the token
//! to its record and is compared with it there.

use jwt_compact::{AlgorithmExt as _, Claims as JwtClaims, UntrustedToken};
use serde::Deserialize;
use tollgate_model::{AccessToken, Audiences, SecretHash, SecretKind, TokenId};

use super::private::JwtAlgorithm;
use super::tokens::TOKEN_TYPE;
use super::{AudienceKey, KeyRing, PrivateKey};

/// A presented access token that has the form or the signature of this issuer's. Only [`KeyRing::recognise`] makes one. It says nothing
/// about expiry or revocation, and it is worth nothing without a record that it [is of](VerifiedToken::is_of).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken(Proof);

/// What proves a token.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Proof {
    /// The signature of this key, over this audience.
    Signature { id: TokenId, key_id: String, audience: Audiences },
    /// A random text, which has this hash.
    Secret(SecretHash),
}

/// By what a token's record is found.
#[derive(Debug, Clone, Copy)]
pub enum RecordKey<'a> {
    Id(TokenId),
    Opaque(&'a SecretHash),
}

impl VerifiedToken {
    /// Whether this is the record of the token that was presented: signed by the key that verified it and for the audience that it names,
    /// or of the same random text. An opaque token is never a JWT, nor the other way around.
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
    pub fn record_key(&self) -> RecordKey<'_> {
        match &self.0 {
            Proof::Signature { id, .. } => RecordKey::Id(*id),
            Proof::Secret(hash) => RecordKey::Opaque(hash),
        }
    }
}

impl KeyRing {
    /// Recognises a token that this origin signed as `issuer`, or an opaque one.
    #[must_use]
    pub fn verify_token(&self, unverified_token: &str, issuer: &str) -> Option<VerifiedToken> {
        if SecretKind::Access.is_well_formed(unverified_token) {
            return Some(VerifiedToken(Proof::Secret(SecretHash::of(unverified_token))));
        }
        let unverified_token = UntrustedToken::new(unverified_token).ok()?;
        let kid = unverified_kid(&unverified_token)?;
        if let Some(key) = self.token_key(kid) {
            return validated(kid, key, &unverified_token, issuer);
        }
        // The audience that the key is derived for is the only one that the token names.
        let audience = self.audience_key_of(&unverified_token, kid)?;
        validated(kid, audience.key(), &unverified_token, issuer)
    }

    /// Whether the text is an access token in JWT form whose `kid` names no key of this ring.
    #[must_use]
    pub fn has_unknown_key(&self, unverified_token: &str) -> bool {
        UntrustedToken::new(unverified_token).is_ok_and(|unverified_token| {
            unverified_kid(&unverified_token).is_some_and(|kid| !self.has_key_for(&unverified_token, kid))
        })
    }

    /// Whether the token says that a key of this ring signed it.
    fn has_key_for(&self, unverified_token: &UntrustedToken<'_>, kid: &str) -> bool {
        self.token_key(kid).is_some() || self.audience_key_of(unverified_token, kid).is_some()
    }

    fn audience_key_of(&self, unverified_token: &UntrustedToken<'_>, kid: &str) -> Option<AudienceKey> {
        let unverified_claims: JwtClaims<OwnClaims> = unverified_token.deserialize_claims_unchecked().ok()?;
        self.audience_key_named(unverified_claims.custom.aud.single()?, kid)
    }
}

/// The name of the key that signed a token, if it has the form of an access token at all.
fn unverified_kid<'a>(unverified_token: &'a UntrustedToken<'_>) -> Option<&'a str> {
    let header = unverified_token.header();
    let is_access_token = header.token_type.as_deref() == Some(TOKEN_TYPE);
    header.key_id.as_deref().filter(|_| is_access_token)
}

/// What is read back of a token of our own; everything else stands in the record.
#[derive(Deserialize)]
struct OwnClaims {
    iss: String,
    aud: Audiences,
    jti: String,
}

fn validated(
    kid: &str,
    key: &PrivateKey,
    unverified_token: &UntrustedToken<'_>,
    issuer: &str,
) -> Option<VerifiedToken> {
    let token = JwtAlgorithm(key.alg()).validator::<OwnClaims>(key).validate(unverified_token).ok()?;
    let OwnClaims { iss, aud, jti } = &token.claims().custom;
    if iss != issuer {
        return None;
    }
    let (id, key_id, audience) = (jti.parse().ok()?, kid.to_owned(), aud.clone());
    Some(VerifiedToken(Proof::Signature { id, key_id, audience }))
}
