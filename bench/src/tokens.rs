//! Good access tokens: one of each algorithm with the bare check of its signature, and HS256 ones by the million.

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

/// `iss`.
pub const ISSUER: &str = "https://auth.example.com";
/// `aud`.
pub const AUDIENCE: &str = "https://api.example.com";
/// A configuration without keys: for what is checked with a secret.
pub const PLAIN_CONFIG: &str = r#"{"audience":"https://api.example.com","jwks":{"keys":[]},"routes":[]}"#;
/// The `jti` of the tokens in [`all`].
const TOKEN_ID: &str = "AAAAAW3Q5r8sT1uVwXyZ0a2b";
/// The time of the checks, Unix seconds.
pub const NOW: u64 = 1_800_000_000;

/// Whether the signature over a token's bytes is good.
pub type SignatureCheck = Box<dyn Fn(&[u8]) -> bool>;

/// A token, and two ways to check it.
pub struct Signed {
    /// The algorithm.
    pub name: &'static str,
    /// The token itself.
    pub text: String,
    /// The key that checks it.
    pub jwk: Value,
    /// The key set to check it with, where the key is a secret and stands in no snapshot.
    pub secret: Option<KeySet>,
    /// Checks the signature over the token's bytes and nothing else, base64url included.
    pub bare: SignatureCheck,
}

/// One token of each algorithm.
///
/// # Errors
/// When the machine has no randomness for an RSA key.
pub fn all() -> Result<Vec<Signed>> {
    Ok(vec![hs256()?, eddsa(), es256()?, rs256()?])
}

/// The configuration of an origin with the public keys of these tokens.
pub fn config(tokens: &[Signed]) -> String {
    let jwks: Vec<_> = tokens.iter().filter(|token| token.secret.is_none()).map(|token| token.jwk.clone()).collect();
    json!({ "audience": AUDIENCE, "jwks": { "keys": jwks }, "routes": [] }).to_string()
}

/// Signs as many HS256 tokens as one likes.
pub struct Hs256 {
    mac: Hmac<Sha256>,
    keys: KeySet,
}

impl Hs256 {
    /// With this secret.
    ///
    /// # Errors
    /// When the core does not take the secret.
    pub fn new(secret: &[u8; 32]) -> Result<Self> {
        let keys = KeySet::from_jwks(json!({ "keys": [oct(secret)] }).to_string().as_bytes())?;
        Ok(Self { mac: Hmac::new_from_slice(secret)?, keys })
    }

    /// The token with this `jti`.
    pub fn token(&self, token_id: &str) -> String {
        let sign = |input: &[u8]| self.mac.clone().chain_update(input).finalize().into_bytes().to_vec();
        token("HS256", token_id, sign)
    }

    /// What checks them.
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }
}

fn oct(secret: &[u8; 32]) -> Value {
    json!({ "kty": "oct", "kid": "HS256", "k": encode(secret) })
}

fn hs256() -> Result<Signed> {
    let Hs256 { mac, keys } = Hs256::new(&[3; 32])?;
    let text = token("HS256", TOKEN_ID, |input| mac.clone().chain_update(input).finalize().into_bytes().to_vec());
    let bare = bare(move |input, signature| mac.clone().chain_update(input).verify_slice(signature).is_ok());
    Ok(Signed { name: "HS256", text, jwk: oct(&[3; 32]), secret: Some(keys), bare })
}

fn eddsa() -> Signed {
    let key = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
    let public = key.verifying_key();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "EdDSA", "x": encode(public.as_bytes()) });
    let text = token("EdDSA", TOKEN_ID, |input| key.sign(input).to_vec());
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
    let text = token("ES256", TOKEN_ID, |input| {
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
    let jwk = json!({ "kty": "RSA", "kid": "RS256", "n": encode(key.n_bytes()), "e": encode(key.e_bytes()) });
    let public = rsa::pkcs1v15::VerifyingKey::<Sha256>::new(key.to_public_key());
    let key = rsa::pkcs1v15::SigningKey::<Sha256>::new(key);
    let text = token("RS256", TOKEN_ID, |input| key.sign(input).to_vec());
    let bare = bare(move |input, signature| {
        rsa::pkcs1v15::Signature::try_from(signature).is_ok_and(|signature| public.verify(input, &signature).is_ok())
    });
    Ok(Signed { name: "RS256", text, jwk, secret: None, bare })
}

fn token(algorithm: &str, token_id: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let header = json!({ "typ": "at+jwt", "alg": algorithm, "kid": algorithm });
    let claims = json!({ "iss": ISSUER, "sub": "service-4711", "aud": AUDIENCE, "client_id": "service-4711", "iat": NOW - 60,
        "exp": NOW + 3540, "jti": token_id, "scope": "reports:read reports:write orders:read orders:write users:read" });
    let input = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    format!("{input}.{}", encode(sign(input.as_bytes())))
}

fn bare(check: impl Fn(&[u8], &[u8]) -> bool + 'static) -> SignatureCheck {
    Box::new(move |token| {
        let Some(dot) = token.iter().rposition(|byte| *byte == b'.') else { return false };
        let (input, signature) = token.split_at(dot);
        URL_SAFE_NO_PAD.decode(&signature[1..]).is_ok_and(|signature| check(input, &signature))
    })
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
