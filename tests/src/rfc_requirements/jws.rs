//! JWTs that clients sign: client assertions, request objects and DPoP proofs, valid and invalid.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::fixture::RequirementRun;

/// A compact JWS to be signed. Values may contain placeholders.
#[derive(Debug, Clone)]
pub struct Jws {
    key: &'static str,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signature: Option<&'static str>,
}

/// A valid DPoP proof (RFC 9449 §4.2) for a request to a path of the origin, by the key with this
/// name.
pub fn proof(key: &'static str, method: &str, path: &str) -> Jws {
    let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": public_jwk(key) });
    let claims = json!({
        "jti": "{random}", "htm": method, "htu": format!("{{issuer}}{path}"), "iat": "{now}", "nonce": "{nonce}"
    });
    Jws::new(key, header, claims)
}

/// A valid client assertion (RFC 7523 §3, OpenID Connect Core §9).
pub fn assertion(client: &'static str) -> Jws {
    let claims = json!({
        "iss": client, "sub": client, "aud": "{issuer}", "jti": "{random}", "iat": "{now}", "exp": "{now+60}"
    });
    Jws::new(client, json!({ "typ": "JWT", "alg": "EdDSA", "kid": client }), claims)
}

/// A valid request object (RFC 9101 §4) with these parameters.
pub fn request_object(client: &'static str, parameters: &[(&str, &str)]) -> Jws {
    let mut claims = json!({
        "iss": client, "client_id": client, "aud": "{issuer}", "iat": "{now}", "nbf": "{now}", "exp": "{now+60}",
        "jti": "{random}"
    });
    for (name, value) in parameters {
        claims[*name] = json!(value);
    }
    Jws::new(client, json!({ "typ": "oauth-authz-req+jwt", "alg": "EdDSA", "kid": client }), claims)
}

impl Jws {
    fn new(key: &'static str, header: Value, claims: Value) -> Self {
        let object = |value| match value {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        Self { key, header: object(header), claims: object(claims), signature: None }
    }

    /// Sets a claim; `null` removes it.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        put(&mut self.claims, name, value.into());
        self
    }

    /// Sets a header member; `null` removes it.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        put(&mut self.header, name, value.into());
        self
    }

    /// Replaces the signature by this text.
    pub fn with_signature(mut self, signature: &'static str) -> Self {
        self.signature = Some(signature);
        self
    }

    /// Signs with a key other than the one that the JWS names.
    pub fn signed_by_other_key(mut self) -> Self {
        self.key = "an unregistered key";
        self
    }

    pub(super) async fn sign(&self, run: &RequirementRun<'_>) -> Result<String> {
        let mut parts = Vec::new();
        for part in [&self.header, &self.claims] {
            let filled = run.fill_value(&Value::Object(part.clone())).await?;
            parts.push(URL_SAFE_NO_PAD.encode(filled.to_string()));
        }
        let input = parts.join(".");
        let signature = match self.signature {
            Some(text) => text.to_owned(),
            None => URL_SAFE_NO_PAD.encode(signing_key(self.key).sign(input.as_bytes()).to_bytes()),
        };
        Ok(format!("{input}.{signature}"))
    }
}

fn put(members: &mut Map<String, Value>, name: &str, value: Value) {
    match value {
        Value::Null => drop(members.remove(name)),
        value => drop(members.insert(name.to_owned(), value)),
    }
}

/// Derives a signing key from its name.
fn signing_key(name: &str) -> SigningKey {
    SigningKey::from_bytes(&Sha256::digest(name).into())
}

/// The public JWK of a key (RFC 8037 §2).
pub(super) fn public_jwk(name: &str) -> Value {
    let x = URL_SAFE_NO_PAD.encode(signing_key(name).verifying_key().as_bytes());
    json!({ "kty": "OKP", "crv": "Ed25519", "x": x })
}

/// The JWK set of a client.
pub(super) fn jwks(name: &str) -> Value {
    let mut jwk = public_jwk(name);
    jwk["kid"] = json!(name);
    jwk["alg"] = json!("EdDSA");
    jwk["use"] = json!("sig");
    json!({ "keys": [jwk] })
}

/// RFC 7638 thumbprint of the key with this name.
pub fn thumbprint(name: &str) -> String {
    let x = URL_SAFE_NO_PAD.encode(signing_key(name).verifying_key().as_bytes());
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"{x}\"}}")))
}
