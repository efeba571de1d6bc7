//! Keys of other systems: JWKs, JWK sets and PEM files, private or public.
//!
//! A key is imported with its `kid`, so that tokens that the other system signed stay verifiable.
//! For that the public key is enough, and only it is kept; with a private key, the issuer can also
//! continue to sign with it.

use base64_simd::STANDARD;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use rsa::BoxedUint;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::traits::PublicKeyParts as _;
use serde_json::{Map, Value};
use tollgate_core::KeySet;
use tollgate_model::encoding::from_base64url;
use tollgate_model::{IMPORTED_PURPOSE, KeyPurpose, MAX_IDENTIFIER_BYTES, StoredKey, TokenAlg};
use tollgate_system::rng;
use zeroize::Zeroizing;

use super::jwk::Jwk;
use super::master::MasterKey;
use super::private::PrivateKey;

/// Why a key cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum KeyImportError {
    #[error("not a JWK, a JWK set or a PEM file with a key")]
    UnknownForm,
    #[error("{0} is not supported: keys for RS256 (RSA), ES256 (EC P-256) and EdDSA (Ed25519) are")]
    Unsupported(String),
    #[error("the key is malformed: {0}")]
    Malformed(String),
    #[error("the key has no kid: name the one that its tokens have with --kid")]
    NoKid,
    #[error("the kid must have 1 to 255 bytes without control characters")]
    BadKid,
    #[error("the key has no private part, so it cannot sign")]
    NotPrivate,
    #[error("the key cannot be encrypted: {0}")]
    Seal(String),
}

/// A key of another system.
pub struct ImportedKey {
    /// Its identifier, if the file has it.
    pub kid: Option<String>,
    pub alg: TokenAlg,
    public: Jwk,
    /// In its stored form.
    private: Option<Zeroizing<Vec<u8>>>,
}

/// What an imported key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportedKeyUse {
    /// Verifies tokens until this Unix second.
    Verify { until: u64 },
    /// Signs as soon as it is published.
    Sign,
}

/// Reads the keys of a file. Keys of a set that are not supported, or not for signatures, are named
/// in the second list.
///
/// # Errors
/// When the file has no key, or its only key cannot be used.
pub fn parse_keys(file: &str) -> Result<(Vec<ImportedKey>, Vec<String>), KeyImportError> {
    let file = file.trim();
    if file.starts_with("-----BEGIN ") {
        return Ok((vec![from_pem(file)?], Vec::new()));
    }
    let mut members: Map<String, Value> = serde_json::from_str(file).map_err(|_| KeyImportError::UnknownForm)?;
    let Some(Value::Array(set)) = members.remove("keys") else {
        return Ok((vec![from_jwk(&members)?], Vec::new()));
    };
    let (mut keys, mut others) = (Vec::new(), Vec::new());
    for (index, key) in set.iter().enumerate() {
        match key.as_object().ok_or(KeyImportError::UnknownForm).and_then(from_jwk) {
            Ok(key) => keys.push(key),
            Err(error) => {
                let name = key["kid"].as_str().map_or_else(|| format!("key {}", index + 1), str::to_owned);
                others.push(format!("{name}: {error}"));
            }
        }
    }
    if keys.is_empty() {
        return Err(KeyImportError::Unsupported(format!("the set ({})", others.join("; "))));
    }
    Ok((keys, others))
}

impl ImportedKey {
    /// The key as it is stored, encrypted with the master key.
    ///
    /// # Errors
    /// When it has no `kid`, cannot sign but should, or cannot be encrypted.
    pub fn to_stored(
        &self,
        master: &MasterKey,
        kid: Option<&str>,
        usage: ImportedKeyUse,
        now: u64,
    ) -> Result<StoredKey, KeyImportError> {
        let kid = kid.or(self.kid.as_deref()).ok_or(KeyImportError::NoKid)?;
        if !(1..=MAX_IDENTIFIER_BYTES).contains(&kid.len()) || kid.chars().any(char::is_control) {
            return Err(KeyImportError::BadKid);
        }
        let mut key = StoredKey {
            kid: kid.to_owned(),
            purpose: KeyPurpose::Token.as_str().to_owned(),
            alg: self.alg.as_str().to_owned(),
            sealed: Vec::new(),
            created_at: now,
            ahead: 0,
            published_at: None,
            signs_from: None,
            retires_at: None,
            gone_at: None,
        };
        let bytes = match usage {
            ImportedKeyUse::Sign => self.private.clone().ok_or(KeyImportError::NotPrivate)?,
            ImportedKeyUse::Verify { until } => {
                IMPORTED_PURPOSE.clone_into(&mut key.purpose);
                (key.published_at, key.retires_at) = (Some(now), Some(until));
                let public = serde_json::to_vec(&self.public);
                Zeroizing::new(public.map_err(|error| KeyImportError::Malformed(error.to_string()))?)
            }
        };
        let failed = |error: &dyn std::fmt::Display| KeyImportError::Seal(error.to_string());
        let nonce = rng::random().map_err(|error| failed(&error))?;
        key.sealed = master.seal(&bytes, &key.context(), nonce).map_err(|error| failed(&error))?;
        Ok(key)
    }

    /// Checks that verifiers accept the key, and that its parts belong together.
    fn checked(self) -> Result<ImportedKey, KeyImportError> {
        let described = self.public.clone().describe(self.kid.as_deref().unwrap_or("kid"), self.alg.as_str());
        let set = serde_json::json!({ "keys": [described] }).to_string();
        KeySet::from_jwks(set.as_bytes()).map_err(|error| KeyImportError::Malformed(error.to_string()))?;
        if let Some(bytes) = &self.private {
            let private = PrivateKey::from_bytes(self.alg, bytes);
            let private = private.map_err(|error| KeyImportError::Malformed(error.to_string()))?;
            if private.to_jwk() != self.public {
                return Err(KeyImportError::Malformed(
                    "its private and public parts do not belong together".to_owned(),
                ));
            }
        }
        Ok(self)
    }

    /// A private key in its stored form.
    fn private(alg: TokenAlg, bytes: Zeroizing<Vec<u8>>, kid: Option<String>) -> Result<ImportedKey, KeyImportError> {
        let private = PrivateKey::from_bytes(alg, &bytes);
        let public = private.map_err(|error| KeyImportError::Malformed(error.to_string()))?.to_jwk();
        ImportedKey { kid, alg, public, private: Some(bytes) }.checked()
    }

    fn public(alg: TokenAlg, public: Jwk, kid: Option<String>) -> Result<ImportedKey, KeyImportError> {
        ImportedKey { kid, alg, public, private: None }.checked()
    }
}

fn from_jwk(members: &Map<String, Value>) -> Result<ImportedKey, KeyImportError> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let unsupported = || {
        let parts = ["kty", "crv", "alg", "use"].map(|name| text(name).unwrap_or("-"));
        KeyImportError::Unsupported(format!("a key of the kind {}", parts.join(" ")))
    };
    if text("use").is_some_and(|usage| usage != "sig") {
        return Err(unsupported());
    }
    let bytes = |name: &str| -> Result<Zeroizing<Vec<u8>>, KeyImportError> {
        let decoded = text(name).and_then(from_base64url).map(Zeroizing::new);
        decoded.ok_or_else(|| KeyImportError::Malformed(format!("{name} is missing or not base64url")))
    };
    let kid = text("kid").filter(|kid| !kid.is_empty()).map(str::to_owned);
    match (text("kty"), text("crv"), text("alg")) {
        (Some("RSA"), _, None | Some("RS256")) => {
            let (n, e) = (bytes("n")?, bytes("e")?);
            let public = Jwk::new("RSA", &[], &[("n", trimmed(&n)), ("e", trimmed(&e))]);
            if text("d").is_none() {
                return ImportedKey::public(TokenAlg::Rs256, public, kid);
            }
            let number = |bytes: &[u8]| BoxedUint::from_be_slice_vartime(bytes);
            let primes = vec![number(&bytes("p")?), number(&bytes("q")?)];
            let key = rsa::RsaPrivateKey::from_components(number(&n), number(&e), number(&bytes("d")?), primes);
            let key = ImportedKey::private(TokenAlg::Rs256, pkcs1(&key.map_err(malformed)?)?, kid)?;
            ImportedKey { public, ..key }.checked()
        }
        (Some("EC"), Some("P-256"), None | Some("ES256")) => {
            let public = Jwk::new("EC", &[("crv", "P-256")], &[("x", &bytes("x")?), ("y", &bytes("y")?)]);
            with_secret(TokenAlg::Es256, public, text("d").map(|_| bytes("d")).transpose()?, kid)
        }
        (Some("OKP"), Some("Ed25519"), None | Some("EdDSA" | "Ed25519")) => {
            let public = Jwk::new("OKP", &[("crv", "Ed25519")], &[("x", &bytes("x")?)]);
            with_secret(TokenAlg::EdDsa, public, text("d").map(|_| bytes("d")).transpose()?, kid)
        }
        _ => Err(unsupported()),
    }
}

/// A key whose private part, if it has one, is its stored form.
fn with_secret(
    alg: TokenAlg,
    public: Jwk,
    private: Option<Zeroizing<Vec<u8>>>,
    kid: Option<String>,
) -> Result<ImportedKey, KeyImportError> {
    ImportedKey { kid, alg, public, private }.checked()
}

fn from_pem(file: &str) -> Result<ImportedKey, KeyImportError> {
    let rest = file.strip_prefix("-----BEGIN ").ok_or(KeyImportError::UnknownForm)?;
    let (label, rest) = rest.split_once("-----").ok_or(KeyImportError::UnknownForm)?;
    let (body, _) = rest.split_once("-----END ").ok_or(KeyImportError::UnknownForm)?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    let der = STANDARD.decode_to_vec(body.as_bytes());
    let der = Zeroizing::new(der.map_err(|_| KeyImportError::Malformed("its base64 is invalid".to_owned()))?);
    match label {
        "PRIVATE KEY" => {
            if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_der(&der) {
                return ImportedKey::private(TokenAlg::EdDsa, Zeroizing::new(key.to_bytes().to_vec()), None);
            }
            if let Ok(key) = p256::SecretKey::from_pkcs8_der(&der) {
                return ImportedKey::private(TokenAlg::Es256, Zeroizing::new(key.to_bytes().to_vec()), None);
            }
            let key = rsa::RsaPrivateKey::from_pkcs8_der(&der).map_err(|_| unsupported_pem(label))?;
            ImportedKey::private(TokenAlg::Rs256, pkcs1(&key)?, None)
        }
        "RSA PRIVATE KEY" => ImportedKey::private(TokenAlg::Rs256, der, None),
        "EC PRIVATE KEY" => {
            let key = p256::SecretKey::from_sec1_der(&der).map_err(|_| unsupported_pem(label))?;
            ImportedKey::private(TokenAlg::Es256, Zeroizing::new(key.to_bytes().to_vec()), None)
        }
        "PUBLIC KEY" => {
            if let Ok(key) = ed25519_dalek::VerifyingKey::from_public_key_der(&der) {
                let public = Jwk::new("OKP", &[("crv", "Ed25519")], &[("x", key.as_bytes())]);
                return ImportedKey::public(TokenAlg::EdDsa, public, None);
            }
            if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_der(&der) {
                let point = key.to_sec1_point(false);
                let (x, y) = point.as_bytes().get(1..).unwrap_or_default().split_at(32);
                let public = Jwk::new("EC", &[("crv", "P-256")], &[("x", x), ("y", y)]);
                return ImportedKey::public(TokenAlg::Es256, public, None);
            }
            let key = rsa::RsaPublicKey::from_public_key_der(&der).map_err(|_| unsupported_pem(label))?;
            let (n, e) = (key.n_bytes(), key.e_bytes());
            let public = Jwk::new("RSA", &[], &[("n", trimmed(&n)), ("e", trimmed(&e))]);
            ImportedKey::public(TokenAlg::Rs256, public, None)
        }
        _ => Err(unsupported_pem(label)),
    }
}

fn unsupported_pem(label: &str) -> KeyImportError {
    KeyImportError::Unsupported(format!("a PEM file with {label} of this kind"))
}

fn pkcs1(key: &rsa::RsaPrivateKey) -> Result<Zeroizing<Vec<u8>>, KeyImportError> {
    let der = key.to_pkcs1_der().map_err(malformed)?;
    Ok(Zeroizing::new(der.as_bytes().to_vec()))
}

/// A number without leading zeros (RFC 7518 section 2).
fn trimmed(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

fn malformed(error: impl std::fmt::Display) -> KeyImportError {
    KeyImportError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;
    use tollgate_model::KeyState;

    use super::*;
    use crate::KeyRing;

    /// RFC 8037 appendix A.1 and RFC 7517 appendix A.2.
    fn ed25519() -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "old",
            "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
    }

    fn p256() -> Value {
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": "1",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
            "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE" })
    }

    fn one(key: &Value) -> ImportedKey {
        let (mut keys, _) = parse_keys(&key.to_string()).expect("a key");
        keys.pop().expect("one key")
    }

    #[test]
    fn private_and_public_jwks_are_read() {
        for (mut key, alg) in [(ed25519(), TokenAlg::EdDsa), (p256(), TokenAlg::Es256)] {
            assert!(one(&key).private.is_some() && one(&key).alg == alg);
            key.as_object_mut().expect("members").remove("d");
            assert!(one(&key).private.is_none());
        }
    }

    #[test]
    fn parts_of_different_keys_are_refused() {
        let mut key = ed25519();
        key["d"] = p256()["d"].clone();
        assert!(matches!(parse_keys(&key.to_string()).err(), Some(KeyImportError::Malformed(_))));
    }

    #[test]
    fn keys_of_a_set_that_are_not_supported_are_named() {
        let other = json!({ "kty": "RSA", "use": "enc", "kid": "enc", "n": "AQAB", "e": "AQAB" });
        let (keys, others) =
            parse_keys(&json!({ "keys": [p256(), other.clone(), ed25519()] }).to_string()).expect("keys");
        assert_eq!((keys.len(), others.len()), (2, 1));
        assert!(others[0].starts_with("enc: "), "{others:?}");
        assert!(parse_keys(&json!({ "keys": [other] }).to_string()).is_err());
        for text in
            ["", "{}", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----"]
        {
            assert!(parse_keys(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pem_files_of_openssl_are_read() {
        let ec = concat!(
            "-----BEGIN PRIVATE KEY-----\n",
            "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgf121z+2J6sH3gPRm\n",
            "COXopzykuZUJGr1PV8jBLfQFSVahRANCAAT9Jtwh0a29YAXh4GFEXsw6Q1V6Am9G\n",
            "BQCBu2l0pCer7j5DPK4vMZJBXiIVGtjZ9KQorHIjwLXD1lnQ5tO8jgpO\n",
            "-----END PRIVATE KEY-----\n",
        );
        let ed = concat!(
            "-----BEGIN PRIVATE KEY-----\n",
            "MC4CAQAwBQYDK2VwBCIEIL0C6BoqbrdCw2pHxQWo7H3IEJt6SBNbC1ZYEkhsrQdx\n",
            "-----END PRIVATE KEY-----\n",
        );
        for (file, alg) in [(ec, TokenAlg::Es256), (ed, TokenAlg::EdDsa)] {
            let (keys, _) = parse_keys(file).expect("a key");
            assert!(keys[0].alg == alg && keys[0].private.is_some() && keys[0].kid.is_none());
        }
    }

    #[test]
    fn imported_key_verifies_until_its_end_and_never_signs() {
        let (master, now) = (MasterKey::from_random([1; 32]), 1000);
        let mut stored = KeyRing::generate(&master, now).expect("generated");
        let usage = ImportedKeyUse::Verify { until: now + 100 };
        assert!(matches!(one(&ed25519()).to_stored(&master, Some(""), usage, now), Err(KeyImportError::BadKid)));
        stored.push(one(&ed25519()).to_stored(&master, None, usage, now).expect("imported"));
        let ring = KeyRing::open(&master, &stored, BTreeSet::new(), now + 1).expect("opened");
        let published = serde_json::to_value(ring.published_jwks()).expect("JSON");
        let kids: Vec<&str> =
            published.as_array().expect("keys").iter().filter_map(|key| key["kid"].as_str()).collect();
        assert!(kids.contains(&"old"), "{kids:?}");
        assert!(!published.to_string().contains("nWGxne_9"), "no private key");
        assert_ne!(ring.signing_key(TokenAlg::EdDsa).map(|(kid, _)| kid), Some("old"));
        let listed = ring.listing().iter().find(|key| key.kid == "old").expect("listed");
        assert_eq!((listed.state, listed.retires_at), (KeyState::Retiring, Some(now + 100)));
        assert!(ring.check_revocable("old").is_ok());
        let ring = KeyRing::open(&master, &stored, BTreeSet::from(["old".to_owned()]), now + 1).expect("opened");
        assert_eq!(ring.published_jwks().len(), 3, "a revoked key is not published");
    }

    #[test]
    fn imported_key_signs_once_it_is_published() {
        let master = MasterKey::from_random([1; 32]);
        let key = one(&ed25519()).to_stored(&master, Some("new name"), ImportedKeyUse::Sign, 1000).expect("imported");
        assert_eq!((key.kid.as_str(), key.purpose.as_str(), key.published_at), ("new name", "token", None));
        let mut public = ed25519();
        public.as_object_mut().expect("members").remove("d");
        let refused = one(&public).to_stored(&master, None, ImportedKeyUse::Sign, 1000);
        assert!(matches!(refused, Err(KeyImportError::NotPrivate)));
    }
}
