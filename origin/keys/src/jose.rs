//! Verifies JWTs signed by others (RFC 7515): client assertions, request objects, DPoP proofs,
//! assertions of other issuers. Access tokens are not parsed here; see
//! [`KeyRing::verify_token`](super::KeyRing::verify_token) and `tollgate_core`.
//!
//! Parsing is strict: three parts, canonical base64url, no repeated names, no critical header
//! parameters. The algorithms are those of access tokens and PS256, except HS256, with which a
//! public key could be used as a secret (RFC 8725 §2.1).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tollgate_core::Algorithm;
use tollgate_model::TokenAlg;
use tollgate_model::encoding::{base64url, from_base64url};
use tollgate_model::jwks::{self, PublicKeys};

use super::pss;

/// As for access tokens.
const MAX_JWT_BYTES: usize = 16 * 1024;

/// Names of the signature algorithms that are accepted from others, in order of preference. EdDSA
/// has two: its own, and that of the only curve supported (RFC 9864 §2.2).
pub const VERIFYING_ALGORITHMS: [&str; 5] = [
    TokenAlg::EdDsa.as_str(),
    TokenAlg::Ed25519.as_str(),
    TokenAlg::Es256.as_str(),
    TokenAlg::Ps256.as_str(),
    TokenAlg::Rs256.as_str(),
];

/// Algorithms of JWTs that this origin can sign for others, in order of preference. Ed25519 and
/// PS256 need a key that an operator created.
pub const SIGNING_ALGORITHMS: [TokenAlg; 5] =
    [TokenAlg::EdDsa, TokenAlg::Ed25519, TokenAlg::Es256, TokenAlg::Ps256, TokenAlg::Rs256];

/// Allowed difference of clocks in seconds.
pub const LEEWAY: u64 = 60;

/// Why a JWT is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JoseError(pub &'static str);

/// A well-formed JWT that is not verified.
pub struct Jws<'a> {
    /// The signed bytes: header and claims.
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: JwsAlgorithm,
    key_id: Option<String>,
    /// `typ`
    pub token_type: Option<String>,
    /// `jwk`
    pub(crate) key: Option<PublicJwk>,
    pub unverified_claims: Map<String, Value>,
}

/// An asymmetric signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JwsAlgorithm {
    /// One that edges verify as well.
    OfTokens(Algorithm),
    Ps256,
}

impl JwsAlgorithm {
    fn from_name(name: &str) -> Option<JwsAlgorithm> {
        match Algorithm::from_name(name) {
            None if name == TokenAlg::Ps256.as_str() => Some(JwsAlgorithm::Ps256),
            None | Some(Algorithm::Hs256) => None,
            Some(algorithm) => Some(JwsAlgorithm::OfTokens(algorithm)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            JwsAlgorithm::OfTokens(algorithm) => algorithm.name(),
            JwsAlgorithm::Ps256 => TokenAlg::Ps256.as_str(),
        }
    }
}

/// A public key with its required members only (RFC 7638 §3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicJwk(BTreeMap<&'static str, String>);

impl<'a> Jws<'a> {
    /// Parses the compact serialization.
    ///
    /// # Errors
    /// If it is malformed, or the algorithm is not supported.
    pub fn parse(text: &'a str) -> Result<Jws<'a>, JoseError> {
        if text.len() > MAX_JWT_BYTES {
            return Err(JoseError("the JWT is too large"));
        }
        let malformed = || JoseError("malformed JWT");
        let (signed, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        let part = |text: &str| from_base64url(text).ok_or_else(malformed);
        let header = object(&part(header)?).ok_or_else(malformed)?;
        let unverified_claims = object(&part(claims)?).ok_or_else(malformed)?;
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(malformed()),
        };
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(JoseError("the JWT has an unsupported critical header parameter"));
        }
        let algorithm = text("alg")?.and_then(|name| JwsAlgorithm::from_name(&name));
        Ok(Jws {
            signed,
            signature: part(signature)?,
            algorithm: algorithm.ok_or(JoseError("unsupported JWT signature algorithm"))?,
            key_id: text("kid")?,
            token_type: text("typ")?,
            key: header.get("jwk").map(PublicJwk::parse).transpose()?,
            unverified_claims,
        })
    }

    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.algorithm.name()
    }

    /// Verifies the signature with these keys and returns the claims.
    ///
    /// # Errors
    /// If no key verifies the signature.
    pub fn verify(self, keys: &PublicKeys) -> Result<Map<String, Value>, JoseError> {
        let (key_id, signed) = (self.key_id.as_deref(), self.signed.as_bytes());
        let is_valid = match self.algorithm {
            JwsAlgorithm::OfTokens(algorithm) => {
                keys.keys.check_signature(key_id, algorithm, signed, &self.signature).is_ok()
            }
            JwsAlgorithm::Ps256 => pss::is_valid_signature(&keys.pss, key_id, signed, &self.signature),
        };
        if is_valid { Ok(self.unverified_claims) } else { Err(JoseError("invalid JWT signature")) }
    }

    /// Verifies the signature with the key in the JWT's own header. This proves only that the
    /// sender has that key.
    ///
    /// # Errors
    /// If the header contains no key, or the key does not verify the signature.
    pub fn verify_by_own_key(mut self) -> Result<(PublicJwk, Map<String, Value>), JoseError> {
        let key = self.key.take().ok_or(JoseError("the JWT has no jwk in its header"))?;
        let keys = jwks::public_keys(&serde_json::json!({ "keys": [key.0] }));
        if keys.is_empty() {
            return Err(JoseError("the jwk of the JWT is not a valid key"));
        }
        // The header contains the key itself; `kid` selects nothing.
        self.key_id = None;
        self.verify(&keys).map(|claims| (key, claims))
    }
}

/// Purpose of a JWT signed by others. Each has its own `typ`; a JWT with the `typ` of another
/// purpose is refused, also with a valid signature (RFC 8725 §3.11). Most have no `typ`, or `JWT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtUse {
    /// Client authentication (RFC 7523 §2.2).
    ClientAuthentication,
    /// Authorization grant (RFC 7523 §2.1).
    AuthorizationGrant,
    /// Request object (RFC 9101 §4).
    AuthorizationRequest,
}

impl JwtUse {
    const fn token_type(self) -> &'static str {
        match self {
            JwtUse::ClientAuthentication => "client-authentication+jwt",
            JwtUse::AuthorizationGrant => "authorization-grant+jwt",
            JwtUse::AuthorizationRequest => "oauth-authz-req+jwt",
        }
    }
}

impl Jws<'_> {
    /// Checks that `typ` allows this use.
    ///
    /// # Errors
    /// If `typ` is that of another use.
    pub fn of_type(self, of: JwtUse) -> Result<Self, JoseError> {
        match self.media_type().as_deref().is_none_or(|name| name == "jwt") || self.is_typed(of) {
            true => Ok(self),
            false => Err(JoseError("the typ of the JWT is that of another use")),
        }
    }

    /// Whether `typ` is explicitly that of this use.
    pub fn is_typed(&self, of: JwtUse) -> bool {
        self.media_type().as_deref() == Some(of.token_type())
    }

    /// `typ` in lower case; a prefix `application/` is ignored (RFC 7515 §4.1.9).
    fn media_type(&self) -> Option<String> {
        let name = self.token_type.as_deref()?.to_ascii_lowercase();
        Some(name.strip_prefix("application/").map(str::to_owned).unwrap_or(name))
    }
}

impl PublicJwk {
    fn parse(jwk: &Value) -> Result<PublicJwk, JoseError> {
        let wrong = || JoseError("the jwk of the JWT is not a supported public key");
        if ["d", "k", "p", "q"].iter().any(|member| jwk.get(member).is_some()) {
            return Err(wrong());
        }
        let member = |name: &'static str| {
            let text = jwk.get(name).and_then(Value::as_str).ok_or_else(wrong)?;
            Ok((name, text.to_owned()))
        };
        let required: &[&'static str] = match jwk.get("kty").and_then(Value::as_str) {
            Some("OKP") => &["crv", "kty", "x"],
            Some("EC") => &["crv", "kty", "x", "y"],
            Some("RSA") => &["e", "kty", "n"],
            _ => return Err(wrong()),
        };
        required.iter().copied().map(member).collect::<Result<_, _>>().map(PublicJwk)
    }

    /// SHA-256 thumbprint (RFC 7638 §3) in base64url.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // Cannot fail: sorted string members, without white space.
        let text = serde_json::to_vec(&self.0).unwrap_or_default();
        base64url(&Sha256::digest(text))
    }
}

/// A required string claim.
///
/// # Errors
/// If it is absent or not a string.
pub fn text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, JoseError> {
    claims.get(name).and_then(Value::as_str).ok_or(JoseError("the JWT lacks a claim, or a claim has the wrong type"))
}

/// An optional time claim in whole Unix seconds.
///
/// # Errors
/// If it is not a time.
pub fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, JoseError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => {
            let whole = number.as_u64().or_else(|| number.as_f64().filter(|time| *time >= 0.0).map(|time| time as u64));
            whole.map(Some).ok_or(JoseError("a time claim of the JWT is not a number"))
        }
        Some(_) => Err(JoseError("a time claim of the JWT is not a number")),
    }
}

/// Checks the times of a JWT that may lack `exp`: then it is valid for `longest` seconds after
/// `iat`, which it must contain, because it must end.
///
/// # Errors
/// If the JWT is not valid at the Unix second `now`.
pub fn check_bounded(claims: &Map<String, Value>, longest: u64, now: u64) -> Result<(), JoseError> {
    if claims.contains_key("exp") {
        return check_times(claims, longest, now).map(drop);
    }
    let issued_at = time(claims, "iat")?.ok_or(JoseError("the JWT has neither exp nor iat"))?;
    let mut bounded = claims.clone();
    bounded.insert("exp".to_owned(), Value::from(issued_at.saturating_add(longest)));
    check_times(&bounded, longest + LEEWAY, now).map(drop)
}

/// Checks `exp`, `nbf` and `iat`; returns `exp`. It is required, and at most `longest` seconds in
/// the future, because replay protection remembers the JWT until then.
///
/// # Errors
/// If the JWT is not valid at the Unix second `now`.
pub fn check_times(claims: &Map<String, Value>, longest: u64, now: u64) -> Result<u64, JoseError> {
    let expires_at = time(claims, "exp")?.ok_or(JoseError("the JWT has no exp"))?;
    if now >= expires_at.saturating_add(LEEWAY) {
        return Err(JoseError("the JWT is expired"));
    }
    if expires_at > now.saturating_add(longest) {
        return Err(JoseError("exp of the JWT is too far in the future"));
    }
    for name in ["nbf", "iat"] {
        if time(claims, name)?.is_some_and(|time| time > now.saturating_add(LEEWAY)) {
            return Err(JoseError("nbf or iat of the JWT is in the future"));
        }
    }
    Ok(expires_at)
}

/// Whether `aud` contains one of `audiences` (RFC 7519 §4.1.3).
#[must_use]
pub fn is_for(claims: &Map<String, Value>, audiences: &[&str]) -> bool {
    let is_match = |value: &Value| value.as_str().is_some_and(|text| audiences.contains(&text));
    match claims.get("aud") {
        Some(Value::Array(values)) => values.iter().any(is_match),
        Some(value) => is_match(value),
        None => false,
    }
}

/// Whether `aud` contains one of `audiences` and nothing else. A JWT that also names another server
/// can be meant for that one: its operator could have told the client this server's address as its
/// own (audience injection).
#[must_use]
pub fn is_only_for(claims: &Map<String, Value>, audiences: &[&str]) -> bool {
    let is_match = |value: &Value| value.as_str().is_some_and(|text| audiences.contains(&text));
    match claims.get("aud") {
        Some(Value::Array(values)) => !values.is_empty() && values.iter().all(is_match),
        Some(value) => is_match(value),
        None => false,
    }
}

/// Parses a JSON object. Repeated names are refused, because parsers differ in which one they use.
fn object(text: &[u8]) -> Option<Map<String, Value>> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Map<String, Value>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Map<String, Value>, A::Error> {
            let mut members = Map::new();
            while let Some((name, value)) = map.next_entry::<String, Value>()? {
                if members.insert(name, value).is_some() {
                    return Err(A::Error::custom("repeated name"));
                }
            }
            Ok(members)
        }
    }
    // Claims are used in database lookups.
    tollgate_model::text::check_json(text).ok()?;
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let members = deserializer.deserialize_map(Members).ok()?;
    deserializer.end().is_ok().then_some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(header: &str, claims: &str) -> String {
        format!("{}.{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()), base64url(b"signature"))
    }

    /// RFC 7638 §3.1, and RFC 8037 appendix A.3.
    #[test]
    fn thumbprints_match_the_rfc_examples() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let rsa = serde_json::json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" });
        let thumbprint = PublicJwk::parse(&rsa).expect("a key").thumbprint();
        assert_eq!(thumbprint, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let okp = serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
        let thumbprint = PublicJwk::parse(&okp).expect("a key").thumbprint();
        assert_eq!(thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn malformed_jwt_is_refused() {
        for alg in VERIFYING_ALGORITHMS {
            assert!(Jws::parse(&jwt(&format!(r#"{{"alg":"{alg}"}}"#), "{}")).is_ok(), "{alg}");
        }
        for (header, claims) in [
            (r#"{"alg":"none"}"#, "{}"),
            (r#"{"alg":"HS256"}"#, "{}"),
            (r#"{"alg":"ed25519"}"#, "{}"),
            (r#"{"alg":"Ed448"}"#, "{}"),
            (r#"{}"#, "{}"),
            (r#"{"alg":"EdDSA","crit":["b64"]}"#, "{}"),
            (r#"{"alg":"EdDSA","alg":"ES256"}"#, "{}"),
            (r#"{"alg":"EdDSA","kid":1}"#, "{}"),
            (r#"{"alg":"EdDSA"}"#, "[]"),
            (r#"{"alg":"EdDSA"}"#, r#"{"a":1,"a":2}"#),
            (r#"{"alg":"EdDSA"}"#, "{} x"),
            (r#"{"alg":"EdDSA"}"#, r#"{"sub":"a\u0000"}"#),
            (r#"{"alg":"EdDSA","jwk":{"kty":"oct","k":"AA"}}"#, "{}"),
            (r#"{"alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"AA","d":"AA"}}"#, "{}"),
        ] {
            assert!(Jws::parse(&jwt(header, claims)).is_err(), "{header} {claims}");
        }
        for text in ["", "a.b", "a.b.c.d", "e30=.e30.AA"] {
            assert!(Jws::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn jwt_with_the_typ_of_another_use_is_refused() {
        let is_for = |header: &str, of| Jws::parse(&jwt(header, "{}")).and_then(|jws| jws.of_type(of)).is_ok();
        for (of, own) in [
            (JwtUse::ClientAuthentication, "client-authentication+jwt"),
            (JwtUse::AuthorizationGrant, "authorization-grant+jwt"),
            (JwtUse::AuthorizationRequest, "oauth-authz-req+jwt"),
        ] {
            assert!(is_for(r#"{"alg":"EdDSA"}"#, of));
            let header = |token_type: &str| format!(r#"{{"alg":"EdDSA","typ":"{token_type}"}}"#);
            for token_type in ["JWT", "jwt", "application/jwt", own, &format!("application/{own}"), &own.to_uppercase()]
            {
                assert!(is_for(&header(token_type), of), "{token_type}");
            }
            for token_type in
                ["at+jwt", "dpop+jwt", "logout+jwt", "secevent+jwt", "statuslist+jwt", "application/at+jwt"]
            {
                assert!(!is_for(&header(token_type), of), "{token_type}");
            }
        }
        let request = r#"{"alg":"EdDSA","typ":"oauth-authz-req+jwt"}"#;
        assert!(!is_for(request, JwtUse::ClientAuthentication) && !is_for(request, JwtUse::AuthorizationGrant));
    }

    #[test]
    fn times_are_checked_with_one_minute_of_leeway() {
        let check = |claims: Value| check_times(claims.as_object().expect("an object"), 600, 1000);
        assert_eq!(check(serde_json::json!({ "exp": 1100 })), Ok(1100));
        assert_eq!(check(serde_json::json!({ "exp": 941.5, "iat": 1060, "nbf": 1060 })), Ok(941));
        for claims in [
            serde_json::json!({}),
            serde_json::json!({ "exp": 940 }),
            serde_json::json!({ "exp": 1601 }),
            serde_json::json!({ "exp": "1100" }),
            serde_json::json!({ "exp": -1 }),
            serde_json::json!({ "exp": 1100, "nbf": 1061 }),
            serde_json::json!({ "exp": 1100, "iat": 1061 }),
        ] {
            assert!(check(claims.clone()).is_err(), "{claims}");
        }
    }

    #[test]
    fn jwt_without_exp_is_valid_for_a_bounded_time_after_iat() {
        let check = |claims: Value| check_bounded(claims.as_object().expect("an object"), 600, 1000);
        for claims in [
            serde_json::json!({ "exp": 1100 }),
            serde_json::json!({ "iat": 1000 }),
            serde_json::json!({ "iat": 1060 }),
            serde_json::json!({ "iat": 341 }),
            serde_json::json!({ "iat": 1000, "nbf": 1060 }),
        ] {
            assert!(check(claims.clone()).is_ok(), "{claims}");
        }
        for claims in [
            serde_json::json!({}),
            serde_json::json!({ "nbf": 900 }),
            serde_json::json!({ "iat": 340 }),
            serde_json::json!({ "iat": 1061 }),
            serde_json::json!({ "iat": "1000" }),
            serde_json::json!({ "iat": 1000, "nbf": 1061 }),
            serde_json::json!({ "iat": 1000, "exp": 940 }),
        ] {
            assert!(check(claims.clone()).is_err(), "{claims}");
        }
    }
}
