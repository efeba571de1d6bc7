//! One good access token of each algorithm, with the bare check of its signature.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::Signer as _;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::{SignatureEncoding as _, Verifier as _};
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};
use sha2::Sha256;
use tollgate_core::KeySet;

pub(crate) const ISSUER: &str = "https://auth.example.com";
pub(crate) const AUDIENCE: &str = "https://api.example.com";
/// The time of the checks, Unix seconds.
pub(crate) const NOW: u64 = 1_800_000_000;

/// A token, and two ways to check it.
pub(crate) struct Signed {
    /// The algorithm.
    pub(crate) name: &'static str,
    pub(crate) text: String,
    /// The key that checks it.
    pub(crate) jwk: Value,
    /// The key set to check it with, where the key is a secret and stands in no snapshot.
    pub(crate) secret: Option<KeySet>,
    /// Checks the signature over the token's bytes and nothing else, base64url included.
    pub(crate) bare: Box<dyn Fn(&[u8]) -> bool>,
}

pub(crate) fn all() -> Result<Vec<Signed>> {
    Ok(vec![hs256()?, eddsa(), es256()?, rs256()?])
}

fn hs256() -> Result<Signed> {
    let mac = Hmac::<Sha256>::new_from_slice(&[3; 32])?;
    let jwk = json!({ "kty": "oct", "kid": "HS256", "k": encode(&[3; 32]) });
    let secret = KeySet::from_jwks(json!({ "keys": [jwk] }).to_string().as_bytes())?;
    let signing = mac.clone();
    let text = token("HS256", |input| signing.clone().chain_update(input).finalize().into_bytes().to_vec());
    let bare = bare(move |input, signature| mac.clone().chain_update(input).verify_slice(signature).is_ok());
    Ok(Signed { name: "HS256", text, jwk, secret: Some(secret), bare })
}

fn eddsa() -> Signed {
    let key = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
    let public = key.verifying_key();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "EdDSA", "x": encode(public.as_bytes()) });
    let text = token("EdDSA", |input| key.sign(input).to_vec());
    let bare = bare(move |input, signature| {
        ed25519_dalek::Signature::from_slice(signature)
            .is_ok_and(|signature| public.verify_strict(input, &signature).is_ok())
    });
    Signed { name: "EdDSA", text, jwk, secret: None, bare }
}

fn es256() -> Result<Signed> {
    let key = p256::ecdsa::SigningKey::from_slice(&[5; 32])?;
    let public = *key.verifying_key();
    let point = public.to_sec1_point(false);
    let (x, y) = point.as_bytes().get(1..).context("a point")?.split_at(32);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "kid": "ES256", "x": encode(x), "y": encode(y) });
    let text = token("ES256", |input| {
        let signature: p256::ecdsa::Signature = key.sign(input);
        signature.to_vec()
    });
    let bare = bare(move |input, signature| {
        p256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| public.verify(input, &signature).is_ok())
    });
    Ok(Signed { name: "ES256", text, jwk, secret: None, bare })
}

fn rs256() -> Result<Signed> {
    let key = rsa::RsaPrivateKey::new(&mut UnwrapErr(SysRng), 2048)?;
    let jwk = json!({ "kty": "RSA", "kid": "RS256", "n": encode(&key.n_bytes()), "e": encode(&key.e_bytes()) });
    let public = rsa::pkcs1v15::VerifyingKey::<Sha256>::new(key.to_public_key());
    let key = rsa::pkcs1v15::SigningKey::<Sha256>::new(key);
    let text = token("RS256", |input| key.sign(input).to_vec());
    let bare = bare(move |input, signature| {
        rsa::pkcs1v15::Signature::try_from(signature).is_ok_and(|signature| public.verify(input, &signature).is_ok())
    });
    Ok(Signed { name: "RS256", text, jwk, secret: None, bare })
}

fn token(algorithm: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let header = json!({ "typ": "at+jwt", "alg": algorithm, "kid": algorithm });
    let claims = json!({ "iss": ISSUER, "sub": "service-4711", "aud": AUDIENCE, "client_id": "service-4711", "iat": NOW - 60,
        "exp": NOW + 3540, "jti": "mP6tq2Vx0a9fW5kT8rYd3Q", "scope": "reports:read reports:write orders:read orders:write users:read" });
    let input = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    format!("{input}.{}", encode(sign(input.as_bytes())))
}

fn bare(check: impl Fn(&[u8], &[u8]) -> bool + 'static) -> Box<dyn Fn(&[u8]) -> bool> {
    Box::new(move |token| {
        let Some(dot) = token.iter().rposition(|byte| *byte == b'.') else { return false };
        let (input, signature) = token.split_at(dot);
        URL_SAFE_NO_PAD.decode(&signature[1..]).is_ok_and(|signature| check(input, &signature))
    })
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
