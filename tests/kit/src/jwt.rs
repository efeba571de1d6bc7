//! JWTs that clients sign, and the parts of JWTs that the origin signs.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use jwt_compact::{Algorithm as _, AlgorithmSignature as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tollgate_keys::{JwtAlgorithm, KeyRing, MasterKey, generate_key};
use tollgate_model::key_schedule::KeySpec;
use tollgate_model::{KeyPurpose, StoredKey, TokenAlg};
use tollgate_system::{Clock, rng};

/// Claims of a JWT. The signature is not checked.
pub fn claims(jwt: &str) -> Result<Value> {
    part(jwt, 1)
}

/// Header of a JWT.
pub fn header(jwt: &str) -> Result<Value> {
    part(jwt, 0)
}

fn part(jwt: &str, index: usize) -> Result<Value> {
    let part = jwt.split('.').nth(index).with_context(|| format!("not a JWT: {jwt}"))?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}

pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A random id, such as a `jti`.
pub fn random_id() -> String {
    base64url(&rng::random::<12>().expect("randomness"))
}

/// A client's Ed25519 key, for client assertions, request objects and DPoP proofs.
pub struct ClientKey(SigningKey);

impl ClientKey {
    pub fn generate() -> Self {
        Self(SigningKey::from_bytes(&rng::random().expect("randomness")))
    }

    /// Public key as a JWK (RFC 8037 §2).
    pub fn jwk(&self) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(self.0.verifying_key().as_bytes()) })
    }

    /// JWK set with this public key.
    pub fn jwks(&self) -> Value {
        json!({ "keys": [self.jwk()] })
    }

    /// Thumbprint of the public key (RFC 7638), the `jkt` of tokens bound to it.
    pub fn thumbprint(&self) -> String {
        let x = base64url(self.0.verifying_key().as_bytes());
        base64url(&Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
    }

    /// Signs a JWT. `header`: its header without `alg`.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_as("EdDSA", header, claims)
    }

    /// Signs a JWT under this name of the algorithm.
    pub fn sign_as(&self, alg: &str, header: &Value, claims: &Value) -> String {
        let mut header = header.clone();
        header["alg"] = json!(alg);
        let signed = [&header, claims].map(|part| base64url(part.to_string().as_bytes())).join(".");
        format!("{signed}.{}", base64url(&self.0.sign(signed.as_bytes()).to_bytes()))
    }

    /// A DPoP proof (RFC 9449 §4.2). `changes`: claims to add or replace.
    pub fn proof(&self, method: &str, url: &str, changes: Value) -> String {
        let mut claims = proof_claims(method, url);
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        self.sign(&json!({ "typ": "dpop+jwt", "jwk": self.jwk() }), &claims)
    }

    /// A DPoP proof for a request with this access token.
    pub fn proof_with_token(&self, method: &str, url: &str, token: &str) -> String {
        self.proof(method, url, json!({ "ath": base64url(&Sha256::digest(token)) }))
    }
}

/// Claims of a DPoP proof.
fn proof_claims(method: &str, url: &str) -> Value {
    json!({ "htm": method, "htu": url, "iat": Clock::system().now(), "jti": random_id() })
}

/// A client's RSA keys: one for RS256, one for PS256.
pub struct RsaClientKeys(KeyRing);

impl RsaClientKeys {
    pub fn generate() -> Result<Self> {
        let master = MasterKey::from_random(rng::random()?);
        let mut keys = KeyRing::generate(&master, 0)?;
        let pss = generate_key(&master, KeySpec { purpose: KeyPurpose::Token, alg: TokenAlg::Ps256, ahead: 0 }, 0)?;
        keys.push(StoredKey { published_at: Some(0), signs_from: Some(0), ..pss });
        Ok(Self(KeyRing::open(&master, &keys, BTreeSet::new(), 0)?))
    }

    /// JWK set with the public keys.
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.0.published_jwks() })
    }

    /// Signs a JWT. `header`: its header without `alg`.
    pub fn sign(&self, alg: TokenAlg, header: &Value, claims: &Value) -> Result<String> {
        let (_, key) = self.0.signing_key(alg).context("no key of this algorithm")?;
        let mut header = header.clone();
        header["alg"] = json!(alg.as_str());
        let signed = [&header, claims].map(|part| base64url(part.to_string().as_bytes())).join(".");
        let signature = JwtAlgorithm(alg).sign(key, signed.as_bytes());
        Ok(format!("{signed}.{}", base64url(&signature.as_bytes())))
    }

    /// A DPoP proof (RFC 9449 §4.2).
    pub fn proof(&self, alg: TokenAlg, method: &str, url: &str) -> Result<String> {
        let jwks = self.jwks();
        let mut keys = jwks["keys"].as_array().into_iter().flatten();
        let jwk = keys.find(|key| key["alg"] == alg.as_str()).context("no key of this algorithm")?;
        self.sign(alg, &json!({ "typ": "dpop+jwt", "jwk": jwk }), &proof_claims(method, url))
    }
}
