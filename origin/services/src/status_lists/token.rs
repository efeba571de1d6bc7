//! Status list tokens in JWT format (TSL section 5.1) of any issuer, parsed strictly and with
//! bounds.

use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use tollgate_model::encoding::from_base64url;

use super::list::{StatusList, StatusListError};

/// `typ` header, so that no other kind of JWT passes for a status list token.
pub const TOKEN_TYPE: &str = "statuslist+jwt";
pub const MEDIA_TYPE: &str = "application/statuslist+jwt";
/// Maximum size of a token: an incompressible list of [`super::MAX_LIST_BYTES`] fits.
pub const MAX_TOKEN_BYTES: usize = 2 << 20;

/// Content of a status list token. [`StatusListToken::decode`] does not verify the signature;
/// [`StatusListToken::signed_by`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusListToken {
    /// `sub`: URI of the list in the tokens' `status` claim.
    pub subject: String,
    /// `iss`, absent in later drafts.
    pub issuer: Option<String>,
    /// `iat`, Unix seconds.
    pub issued_at: u64,
    /// `exp`, Unix seconds.
    pub expires_at: Option<u64>,
    /// `ttl`: seconds for which a copy may be used.
    pub ttl: Option<u64>,
    pub list: StatusList,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: String,
    crit: Option<serde::de::IgnoredAny>,
}

/// Claims of the token; others are ignored.
#[derive(Serialize, Deserialize)]
pub(super) struct Claims {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iss: Option<String>,
    pub(super) sub: String,
    pub(super) iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl: Option<u64>,
    pub(super) status_list: ListMembers,
}

/// The `status_list` claim (TSL section 4.2).
#[derive(Serialize, Deserialize)]
pub(super) struct ListMembers {
    pub(super) bits: u8,
    pub(super) lst: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aggregation_uri: Option<String>,
}

/// Parts of a compact JWS.
struct Parts<'a> {
    signed: &'a str,
    header: Vec<u8>,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

impl StatusListToken {
    /// Parses a token without verifying its signature.
    ///
    /// # Errors
    /// When the token is malformed or larger than [`MAX_TOKEN_BYTES`], or its list larger than
    /// [`super::MAX_LIST_BYTES`].
    pub fn decode(unverified_token: &[u8]) -> Result<StatusListToken, StatusListError> {
        let parts = Parts::of(unverified_token)?;
        let _ = parts.header()?;
        let claims: Claims = serde_json::from_slice(&parts.claims).map_err(|_| StatusListError::Claims)?;
        let has_valid_ttl = claims.ttl.is_none_or(|ttl| ttl > 0);
        let has_valid_exp = claims.exp.is_none_or(|exp| exp > claims.iat);
        if !has_valid_ttl || !has_valid_exp {
            return Err(StatusListError::Claims);
        }
        Ok(StatusListToken {
            list: StatusList::from_lst(claims.status_list.bits, &claims.status_list.lst)?,
            subject: claims.sub,
            issuer: claims.iss,
            issued_at: claims.iat,
            expires_at: claims.exp,
            ttl: claims.ttl,
        })
    }

    /// Parses a token and verifies its signature with the Ed25519 keys of a JWK set (RFC 8037).
    /// Tollgate signs lists with Ed25519; other algorithms are refused.
    ///
    /// # Errors
    /// As [`StatusListToken::decode`], and [`StatusListError::Signature`].
    pub fn signed_by(jwks: &[u8], unverified_token: &[u8]) -> Result<StatusListToken, StatusListError> {
        let parts = Parts::of(unverified_token)?;
        let header = parts.header()?;
        let signature = Signature::from_slice(&parts.signature).map_err(|_| StatusListError::Signature)?;
        let verifies = |key: &VerifyingKey| key.verify_strict(parts.signed.as_bytes(), &signature).is_ok();
        let is_ed25519 = matches!(header.alg.as_str(), "EdDSA" | "Ed25519");
        if !is_ed25519 || !ed25519_keys(jwks).iter().any(verifies) {
            return Err(StatusListError::Signature);
        }
        StatusListToken::decode(unverified_token)
    }
}

impl Parts<'_> {
    fn of(token: &[u8]) -> Result<Parts<'_>, StatusListError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(StatusListError::TooLarge);
        }
        let text = str::from_utf8(token).map_err(|_| StatusListError::NotCompact)?;
        let (signed, signature) = text.rsplit_once('.').ok_or(StatusListError::NotCompact)?;
        let (header, claims) = signed.split_once('.').ok_or(StatusListError::NotCompact)?;
        let part = |text: &str| from_base64url(text).ok_or(StatusListError::NotCompact);
        Ok(Parts { signed, header: part(header)?, claims: part(claims)?, signature: part(signature)? })
    }

    fn header(&self) -> Result<Header, StatusListError> {
        let header: Header = serde_json::from_slice(&self.header).map_err(|_| StatusListError::Header)?;
        // Media types are case-insensitive, and the prefix is optional (RFC 7515 section 4.1.9).
        let typ = header.typ.to_ascii_lowercase();
        if typ.trim_start_matches("application/") != TOKEN_TYPE || header.crit.is_some() {
            return Err(StatusListError::Header);
        }
        Ok(header)
    }
}

/// The Ed25519 keys of a JWK set. Other keys are skipped (RFC 7517 section 5).
fn ed25519_keys(jwks: &[u8]) -> Vec<VerifyingKey> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let Ok(set) = serde_json::from_slice::<Set>(jwks) else {
        return Vec::new();
    };
    let key = |jwk: &serde_json::Value| {
        let is = |member: &str, value: &str| jwk.get(member).and_then(serde_json::Value::as_str) == Some(value);
        let x = jwk.get("x").and_then(serde_json::Value::as_str).and_then(from_base64url)?;
        let is_ed25519 = is("kty", "OKP") && is("crv", "Ed25519");
        let key = VerifyingKey::from_bytes(&x.try_into().ok()?).ok()?;
        is_ed25519.then_some(key)
    };
    set.keys.iter().filter_map(key).collect()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;
    use tollgate_model::encoding::base64url;

    const HEADER: &str = r#"{"alg":"EdDSA","typ":"statuslist+jwt"}"#;
    const LIST: &str = r#"{"bits":1,"lst":"eNrbuRgAAhcBXQ"}"#;

    fn token(header: &str, claims: &str) -> Vec<u8> {
        let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
        let signature = SigningKey::from_bytes(&[7; 32]).sign(signed.as_bytes());
        format!("{signed}.{}", base64url(&signature.to_bytes())).into_bytes()
    }

    fn claims(more: &str) -> String {
        format!(r#"{{"sub":"https://auth.example/oauth/status/0","iat":100,{more}"status_list":{LIST}}}"#)
    }

    #[test]
    fn signature_is_verified_with_the_key_set() {
        let token = token(HEADER, &claims(r#""exp":200,"ttl":60,"more":[1],"#));
        let x = base64url(SigningKey::from_bytes(&[7; 32]).verifying_key().as_bytes());
        let jwks = format!(r#"{{"keys":[{{"kty":"EC"}},{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}]}}"#);
        let read = StatusListToken::signed_by(jwks.as_bytes(), &token).expect("signed");
        assert_eq!(
            (read.issued_at, read.expires_at, read.ttl, read.list.status(3)),
            (100, Some(200), Some(60), Some(1))
        );
        let other = jwks.replace(&x, &base64url(SigningKey::from_bytes(&[8; 32]).verifying_key().as_bytes()));
        assert_eq!(StatusListToken::signed_by(other.as_bytes(), &token), Err(StatusListError::Signature));
        assert_eq!(StatusListToken::signed_by(b"{}", &token), Err(StatusListError::Signature));
    }

    #[test]
    fn malformed_tokens_are_refused() {
        use StatusListError::{Claims, Header, NotCompact, TooLarge};
        for header in [
            r#"{"alg":"EdDSA"}"#,
            r#"{"alg":"EdDSA","typ":"at+jwt"}"#,
            r#"{"alg":"EdDSA","typ":"statuslist+jwt","crit":["x"]}"#,
            r#"{"alg":"EdDSA","typ":"statuslist+jwt","typ":"statuslist+jwt"}"#,
            "[]",
        ] {
            assert_eq!(StatusListToken::decode(&token(header, &claims(""))), Err(Header), "{header}");
        }
        for more in [r#""ttl":0,"#, r#""exp":100,"#, r#""ttl":-1,"#, r#""iat":100,"#] {
            assert_eq!(StatusListToken::decode(&token(HEADER, &claims(more))), Err(Claims), "{more}");
        }
        for missing in [r#""sub":"https://auth.example/oauth/status/0","#, r#""iat":100,"#] {
            assert_eq!(StatusListToken::decode(&token(HEADER, &claims("").replace(missing, ""))), Err(Claims));
        }
        for text in ["", ".", "..", "a.b", "a.b.c.d", "e30.e30", "e30=.e30.e30"] {
            assert!(StatusListToken::decode(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(StatusListToken::decode(&[0xff]), Err(NotCompact));
        assert_eq!(StatusListToken::decode(&vec![b'a'; MAX_TOKEN_BYTES + 1]), Err(TooLarge));
        let deep = format!(r#"{{"sub":"x","iat":1,"deep":{}"#, "[".repeat(100_000));
        assert_eq!(StatusListToken::decode(&token(HEADER, &deep)), Err(Claims));
    }

    #[test]
    fn every_truncation_is_refused() {
        let token = token(HEADER, &claims(""));
        let jwks = format!(
            r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{}"}}]}}"#,
            base64url(SigningKey::from_bytes(&[7; 32]).verifying_key().as_bytes())
        );
        for length in 0..token.len() {
            assert!(StatusListToken::signed_by(jwks.as_bytes(), &token[..length]).is_err(), "{length} bytes");
        }
        assert!(StatusListToken::signed_by(jwks.as_bytes(), &token).is_ok());
    }
}
