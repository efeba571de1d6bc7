//! Good access tokens, as the origin makes them: of each algorithm, with whatever `jti` and dates one likes.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::Signer as _;
#[expect(clippy::disallowed_types, reason = "the bench generates its RSA key with the system's random source")]
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::SignatureEncoding as _;
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
/// The time of the checks that are given one, Unix seconds.
pub const NOW: u64 = 1_800_000_000;

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Signs as many tokens as one likes.
pub struct Signer {
    /// The algorithm.
    pub name: &'static str,
    /// The key that checks them; for HS256 the secret itself.
    pub jwk: Value,
    sign: Sign,
}

impl Signer {
    /// One of each algorithm.
    ///
    /// # Errors
    /// When the machine has no randomness for an RSA key.
    pub fn all() -> Result<Vec<Self>> {
        Ok(vec![Self::hs256(&[3; 32])?, Self::eddsa(), Self::es256()?, Self::rs256()?])
    }

    /// HS256 with this secret.
    ///
    /// # Errors
    /// None that a secret of this length can cause.
    pub fn hs256(secret: &[u8; 32]) -> Result<Self> {
        let mac = Hmac::<Sha256>::new_from_slice(secret)?;
        let jwk = json!({ "kty": "oct", "kid": key_id("HS256"), "alg": "HS256", "k": encode(secret) });
        let sign = move |input: &[u8]| mac.clone().chain_update(input).finalize().into_bytes().to_vec();
        Ok(Self { name: "HS256", jwk, sign: Box::new(sign) })
    }

    fn eddsa() -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
        let x = encode(key.verifying_key().as_bytes());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": key_id("EdDSA"), "alg": "EdDSA", "x": x });
        Self { name: "EdDSA", jwk, sign: Box::new(move |input| key.sign(input).to_vec()) }
    }

    fn es256() -> Result<Self> {
        let key = p256::ecdsa::SigningKey::from_slice(&[5; 32])?;
        let point = key.verifying_key().to_sec1_point(false);
        let (x, y) = point.as_bytes().get(1..).context("a point")?.split_at(32);
        let (x, y) = (encode(x), encode(y));
        let jwk = json!({ "kty": "EC", "crv": "P-256", "kid": key_id("ES256"), "alg": "ES256", "x": x, "y": y });
        let sign = move |input: &[u8]| {
            let signature: p256::ecdsa::Signature = key.sign(input);
            signature.to_vec()
        };
        Ok(Self { name: "ES256", jwk, sign: Box::new(sign) })
    }

    fn rs256() -> Result<Self> {
        let key = rsa::RsaPrivateKey::new(&mut UnwrapErr(SysRng), 2048)?;
        let (n, e) = (encode(key.n_bytes()), encode(key.e_bytes()));
        let jwk = json!({ "kty": "RSA", "kid": key_id("RS256"), "alg": "RS256", "n": n, "e": e });
        let key = rsa::pkcs1v15::SigningKey::<Sha256>::new(key);
        Ok(Self { name: "RS256", jwk, sign: Box::new(move |input| key.sign(input).to_vec()) })
    }

    /// What checks them.
    ///
    /// # Errors
    /// When the core does not take the key.
    pub fn keys(&self) -> Result<KeySet> {
        Ok(KeySet::from_jwks(json!({ "keys": [self.jwk] }).to_string().as_bytes())?)
    }

    /// An access token (RFC 9068) with this `jti`, issued a minute before `now` and good for an hour and more: 511 bytes with
    /// HS256, 554 with EdDSA and ES256, 810 with RS256.
    pub fn token(&self, token_id: &str, now: u64) -> String {
        self.padded(token_id, now, "")
    }

    /// An access token with further members in its claims, each written with the comma before it.
    pub fn padded(&self, token_id: &str, now: u64, more: &str) -> String {
        let (issued, expires) = (now - 60, now + 36_000);
        self.compact(&format!(
            r#"{{"iss":"{ISSUER}","sub":"reporting-service-eu-west-1","aud":"{AUDIENCE}","exp":{expires},"iat":{issued},"jti":"{token_id}","client_id":"reporting-service-eu-west-1","scope":"reports:read reports:write orders:read orders:write users:write"{more}}}"#
        ))
    }

    /// The compact form of any claims.
    pub fn compact(&self, claims: &str) -> String {
        self.compact_with(&self.header(""), claims)
    }

    /// The compact form of any header and claims.
    pub fn compact_with(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", encode(header), encode(claims));
        format!("{input}.{}", encode((self.sign)(input.as_bytes())))
    }

    /// A header with further members, each written with the comma before it.
    pub fn header(&self, more: &str) -> String {
        format!(r#"{{"alg":"{}","kid":"{}","typ":"at+jwt"{more}}}"#, self.name, key_id(self.name))
    }
}

/// The configuration of an origin with the public keys of these.
pub fn config(signers: &[Signer]) -> String {
    let jwks: Vec<_> = signers.iter().filter(|signer| signer.name != "HS256").map(|signer| &signer.jwk).collect();
    json!({ "audience": AUDIENCE, "jwks": { "keys": jwks }, "routes": [] }).to_string()
}

/// As long as the origin's.
fn key_id(algorithm: &str) -> String {
    format!("bench-key-{algorithm}-000000")
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
