//! The other libraries, configured as strictly as their interfaces allow: the key is selected by
//! `kid`, or by `alg` without a `kid`, and algorithm, issuer and audience are passed to the
//! library.

use std::sync::LazyLock;

use jsonwebtoken::{DecodingKey, Validation};
use jwt_compact::alg::{Ed25519, Es256, Hs256, Hs256Key, Rsa};
use jwt_compact::jwk::JsonWebKey;
use jwt_compact::{AlgorithmExt as _, Token, UntrustedToken, ValidationError};
use serde_json::{Map, Value};

use crate::keys::{HS256_K, Keys, decoded};
use crate::{AUDIENCE, ISSUER, NOW};

/// A library and a function that verifies a token with it. The error is the library's error as
/// text.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) verify: fn(&[u8]) -> Result<(), String>,
}

pub(crate) const PEERS: [Peer; 2] = [
    Peer { name: "jsonwebtoken", verify: verify_by_jsonwebtoken },
    Peer { name: "jwt-compact", verify: verify_by_jwt_compact },
];

/// The algorithm of the key that a header selects.
fn select_key(key_id: Option<&str>, alg: &str) -> Option<&'static str> {
    let by = key_id.map_or(alg, |id| match id {
        "HMAC-key" => "HS256",
        "Ed25519-key" => "EdDSA",
        "P-256-key" => "ES256",
        "RSA-key" => "RS256",
        _ => "",
    });
    ["HS256", "EdDSA", "ES256", "RS256"].into_iter().find(|name| *name == by)
}

fn jwk(alg: &str) -> Value {
    let set: Value = serde_json::from_str(&Keys::jwks()).expect("a key set");
    set["keys"].as_array().expect("keys").iter().find(|key| key["alg"] == alg).expect("the key").clone()
}

/// Keys and validation rules of jsonwebtoken by algorithm.
static JSONWEBTOKEN_KEYS: LazyLock<[(&str, DecodingKey, Validation); 4]> = LazyLock::new(|| {
    ["HS256", "EdDSA", "ES256", "RS256"].map(|alg| {
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(jwk(alg)).expect("a JWK");
        let mut rules = Validation::new(alg.parse().expect("an algorithm"));
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        (rules.leeway, rules.validate_nbf) = (0, true);
        (alg, DecodingKey::from_jwk(&jwk).expect("a key"), rules)
    })
});

fn verify_by_jsonwebtoken(token: &[u8]) -> Result<(), String> {
    let to_text = |error: jsonwebtoken::errors::Error| error_text(&format!("{:?}", error.kind()));
    let header = jsonwebtoken::decode_header(token).map_err(to_text)?;
    let alg = format!("{:?}", header.alg);
    let chosen = select_key(header.kid.as_deref(), &alg).ok_or("no key")?;
    let (_, key, rules) = JSONWEBTOKEN_KEYS.iter().find(|(alg, ..)| *alg == chosen).expect("four keys");
    jsonwebtoken::decode::<Value>(token, key, rules).map(|_| ()).map_err(to_text)
}

struct JwtCompactKeys {
    hs256: Hs256Key,
    ed25519: <Ed25519 as jwt_compact::Algorithm>::VerifyingKey,
    es256: <Es256 as jwt_compact::Algorithm>::VerifyingKey,
    rsa: <Rsa as jwt_compact::Algorithm>::VerifyingKey,
}

static JWT_COMPACT_KEYS: LazyLock<JwtCompactKeys> = LazyLock::new(|| {
    let jwk = |alg| serde_json::from_value::<JsonWebKey<'static>>(jwk(alg)).expect("a JWK");
    JwtCompactKeys {
        hs256: Hs256Key::new(decoded(HS256_K)),
        ed25519: (&jwk("EdDSA")).try_into().expect("a key"),
        es256: (&jwk("ES256")).try_into().expect("a key"),
        rsa: (&jwk("RS256")).try_into().expect("a key"),
    }
});

fn verify_by_jwt_compact(token: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(token).map_err(|_| "not text")?;
    let untrusted = UntrustedToken::new(text).map_err(|error| error_text(&format!("{error:?}")))?;
    let chosen = select_key(untrusted.header().key_id.as_deref(), untrusted.algorithm()).ok_or("no key")?;
    let keys = &*JWT_COMPACT_KEYS;
    let token = match chosen {
        "HS256" => validated(Hs256.validator(&keys.hs256).validate(&untrusted)),
        "EdDSA" => validated(Ed25519.validator(&keys.ed25519).validate(&untrusted)),
        "ES256" => validated(Es256.validator(&keys.es256).validate(&untrusted)),
        _ => validated(Rsa::rs256().validator(&keys.rsa).validate(&untrusted)),
    }?;
    let claims = token.claims();
    // The library leaves these checks to its user: required claims, dates, issuer and audience.
    let now = i64::try_from(NOW).expect("a date");
    if claims.expiration.ok_or("no exp")?.timestamp() <= now {
        return Err("Expired".to_owned());
    }
    if claims.not_before.is_some_and(|date| date.timestamp() > now) {
        return Err("NotMature".to_owned());
    }
    let is_our_issuer = claims.custom.get("iss").is_some_and(|iss| iss == ISSUER);
    let is_our_audience = claims.custom.get("aud").is_some_and(|aud| match aud {
        Value::Array(several) => several.iter().any(|aud| aud == AUDIENCE),
        one => one == AUDIENCE,
    });
    if is_our_issuer && is_our_audience { Ok(()) } else { Err("another issuer or audience".to_owned()) }
}

type Claims = Map<String, Value>;

fn validated(verdict: Result<Token<Claims>, ValidationError>) -> Result<Token<Claims>, String> {
    verdict.map_err(|error| error_text(&format!("{error:?}")))
}

/// Name of a library's error and the message of serde in it, without positions and values.
fn error_text(debug: &str) -> String {
    let name = debug.split(['(', '{', ' ']).next().unwrap_or_default();
    match debug.split_once("Error(\"") {
        Some((_, message)) => {
            let end = ["`", ", expected", "\\\"", "\", line"].iter().filter_map(|mark| message.find(mark)).min();
            format!("{name}: {}", message.get(..end.unwrap_or(message.len())).unwrap_or_default().trim_end())
        }
        None => name.to_owned(),
    }
}
