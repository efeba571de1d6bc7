//! jwt-compact, on RustCrypto.

use std::hint::black_box;

use anyhow::{Context as _, Result};
use jwt_compact::alg::{Ed25519, Es256, Hs256, Hs256Key, Rsa, RsaPublicKey};
use jwt_compact::jwk::JsonWebKey;
use jwt_compact::{Algorithm, AlgorithmExt as _, TimeOptions, UntrustedToken};
use serde::Deserialize;
use serde_json::Value;

use crate::{Check, Checks, Kit};

/// The claims that an application reads. It must check issuer and audience itself.
#[derive(Clone, Deserialize)]
#[expect(dead_code, reason = "parsed as by an application, and not used here")]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    jti: String,
    client_id: String,
    scope: String,
}

pub(crate) fn add(kit: &Kit, checks: &mut Checks) -> Result<()> {
    add_one::<Hs256, Hs256Key>(kit, "HS256", Hs256, checks)?;
    add_one::<Ed25519, _>(kit, "EdDSA", Ed25519, checks)?;
    add_one::<Es256, _>(kit, "ES256", Es256, checks)?;
    add_one::<Rsa, RsaPublicKey>(kit, "RS256", Rsa::rs256(), checks)
}

fn add_one<A, K>(kit: &Kit, name: &str, algorithm: A, checks: &mut Checks) -> Result<()>
where
    A: Algorithm<VerifyingKey = K> + 'static,
    K: for<'a> TryFrom<&'a JsonWebKey<'a>> + 'static,
{
    let token = kit.token(name)?;
    let mut jwk = token.jwk.clone();
    // The library's JWK type has no such members.
    jwk.as_object_mut().context("a JWK")?.retain(|name, _| name != "kid" && name != "alg");
    let key = key_of::<K>(&jwk)?;
    let (text, issuer, audience) = (token.text.clone(), kit.issuer.clone(), kit.audience.clone());
    let passes = move || -> Option<bool> {
        let unverified = UntrustedToken::new(black_box(text.as_str())).ok()?;
        let token = algorithm.validator::<Claims>(&key).validate(&unverified).ok()?;
        let time = TimeOptions::default();
        token.claims().validate_expiration(&time).ok()?;
        if token.claims().not_before.is_some() {
            token.claims().validate_maturity(&time).ok()?;
        }
        let claims = &token.claims().custom;
        Some(claims.iss == issuer && claims.aud == audience)
    };
    let check: Check = Box::new(move || passes() == Some(true));
    checks.insert(format!("jwt-compact/{name}"), check);
    Ok(())
}

fn key_of<K: for<'a> TryFrom<&'a JsonWebKey<'a>>>(jwk: &Value) -> Result<K> {
    let text = jwk.to_string();
    let jwk: JsonWebKey<'_> = serde_json::from_str(&text)?;
    K::try_from(&jwk).ok().context("jwt-compact refuses the key")
}
