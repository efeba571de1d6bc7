//! Valid access tokens in the origin's format, of each algorithm, with a chosen `jti` and time.

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

/// `iss` of the tokens.
pub const ISSUER: &str = "https://auth.example.com";
/// `aud` of the tokens.
pub const AUDIENCE: &str = "https://api.example.com";
/// A configuration without keys, for checks with a secret.
pub const KEYLESS_CONFIG: &str = r#"{"audience":"https://api.example.com","jwks":{"keys":[]},"routes":[]}"#;
/// Time of checks that do not read the clock, Unix seconds.
pub const NOW: u64 = 1_800_000_000;

type SignFn = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Signs tokens with one key.
pub struct Signer {
    /// The algorithm.
    pub name: &'static str,
    /// The public key; for HS256 the secret.
    pub jwk: Value,
    sign: SignFn,
}

impl Signer {
    /// One signer of each algorithm.
    ///
    /// # Errors
    /// If the system has no random source for an RSA key.
    pub fn all() -> Result<Vec<Self>> {
        Ok(vec![Self::hs256(&[3; 32])?, Self::eddsa(), Self::es256()?, Self::rs256()?])
    }

    /// An HS256 signer with this secret.
    ///
    /// # Errors
    /// Never for a secret of this length.
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

    /// The key set that verifies the tokens.
    ///
    /// # Errors
    /// If the core refuses the key.
    pub fn keys(&self) -> Result<KeySet> {
        Ok(KeySet::from_jwks(json!({ "keys": [self.jwk] }).to_string().as_bytes())?)
    }

    /// An access token (RFC 9068) with this `jti`, issued a minute before `now` and valid for ten
    /// hours: 511 bytes with HS256, 554 with EdDSA and ES256, 810 with RS256.
    pub fn token(&self, token_id: &str, now: u64) -> String {
        self.padded(token_id, now, "")
    }

    /// An access token with additional claims: `more` is JSON in which each member follows a comma.
    pub fn padded(&self, token_id: &str, now: u64, more: &str) -> String {
        let (issued, expires) = (now - 60, now + 36_000);
        self.compact(&format!(
            r#"{{"iss":"{ISSUER}","sub":"reporting-service-eu-west-1","aud":"{AUDIENCE}","exp":{expires},"iat":{issued},"jti":"{token_id}","client_id":"reporting-service-eu-west-1","scope":"reports:read reports:write orders:read orders:write users:write"{more}}}"#
        ))
    }

    /// A token with these claims.
    pub fn compact(&self, claims: &str) -> String {
        self.compact_with(&self.header(""), claims)
    }

    /// A token with this header and these claims.
    pub fn compact_with(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", encode(header), encode(claims));
        format!("{input}.{}", encode((self.sign)(input.as_bytes())))
    }

    /// A header with additional members: `more` is JSON in which each member follows a comma.
    pub fn header(&self, more: &str) -> String {
        format!(r#"{{"alg":"{}","kid":"{}","typ":"at+jwt"{more}}}"#, self.name, key_id(self.name))
    }
}

/// The configuration of an origin with the signers' public keys.
pub fn config(signers: &[Signer]) -> String {
    let jwks: Vec<_> = signers.iter().filter(|signer| signer.name != "HS256").map(|signer| &signer.jwk).collect();
    json!({ "audience": AUDIENCE, "jwks": { "keys": jwks }, "routes": [] }).to_string()
}

/// A `kid` of the length of the origin's.
fn key_id(algorithm: &str) -> String {
    format!("bench-key-{algorithm}-000000")
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
