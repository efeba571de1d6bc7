//! Private keys, and the adapter with which jwt-compact verifies signatures.
//!
//! jwt-compact has its own implementations of the algorithms, based on older versions of the same
//! libraries. Implementing its `Algorithm` trait here keeps one version of each in the build, and
//! one place that signs.

use std::borrow::Cow;

use ed25519_dalek::Signer as _;
#[expect(clippy::disallowed_types, reason = "RSA keys are generated and blinded with the system's random source")]
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use jwt_compact::{Algorithm, AlgorithmSignature};
use p256::ecdsa::signature::Verifier as _;
use rsa::pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPrivateKey as _};
use rsa::signature::{Keypair as _, RandomizedSigner as _, SignatureEncoding as _};
use rsa::traits::PublicKeyParts as _;
use sha2::Sha256;
use smallvec::SmallVec;
use subtle::ConstantTimeEq as _;
use tollgate_model::TokenAlg;
use tollgate_model::secret::MacKey;
use tollgate_system::rng;
use zeroize::Zeroizing;

use super::jwk::Jwk;

/// Bits of new RSA keys: the minimum of RFC 7518 §3.3, sufficient beyond the lifetime of any key.
const RSA_BITS: usize = 2048;

/// A private key. Dropping it wipes it.
pub enum PrivateKey {
    EdDsa(Box<ed25519_dalek::SigningKey>),
    Es256(p256::ecdsa::SigningKey),
    Rs256(Box<rsa::pkcs1v15::SigningKey<Sha256>>),
    /// A secret shared with the edges of one audience.
    Hs256(Box<HmacKey>),
}

/// A secret and the precomputed state of its HMAC. Dropping it wipes both.
pub struct HmacKey {
    secret: Zeroizing<[u8; 32]>,
    mac: MacKey,
}

/// Error: a stored private key cannot be parsed, or a new one not generated.
#[derive(Debug, thiserror::Error)]
#[error("a private {alg} key could not be {what}")]
pub struct PrivateKeyError {
    alg: TokenAlg,
    what: &'static str,
}

impl PrivateKey {
    /// Generates a key. RSA takes up to seconds: not for an async thread.
    pub(super) fn generate(alg: TokenAlg) -> Result<PrivateKey, PrivateKeyError> {
        let failed = |what| PrivateKeyError { alg, what };
        // A failure of the random source is detected here. On a running system it does not fail
        // later, which `UnwrapErr` relies on.
        let seed = Zeroizing::new(rng::random::<32>().map_err(|_| failed("generated: the random source failed"))?);
        match alg {
            TokenAlg::EdDsa | TokenAlg::Hs256 => PrivateKey::from_bytes(alg, seed.as_slice()),
            // A random scalar is out of range once in 2^32 cases.
            TokenAlg::Es256 => PrivateKey::from_bytes(alg, seed.as_slice()).or_else(|_| PrivateKey::generate(alg)),
            TokenAlg::Rs256 => {
                let key = rsa::RsaPrivateKey::new(&mut UnwrapErr(SysRng), RSA_BITS).map_err(|_| failed("generated"))?;
                Ok(PrivateKey::Rs256(Box::new(rsa::pkcs1v15::SigningKey::new(key))))
            }
        }
    }

    /// The HS256 key with this secret.
    pub(super) fn shared(secret: Zeroizing<[u8; 32]>) -> PrivateKey {
        PrivateKey::Hs256(Box::new(HmacKey { mac: MacKey::new(&secret), secret }))
    }

    /// Parses the stored form.
    pub(super) fn from_bytes(alg: TokenAlg, bytes: &[u8]) -> Result<PrivateKey, PrivateKeyError> {
        let failed = || PrivateKeyError { alg, what: "parsed" };
        let exactly_32 = || <[u8; 32]>::try_from(bytes).map(Zeroizing::new).map_err(|_| failed());
        match alg {
            TokenAlg::EdDsa => {
                let key = ed25519_dalek::SigningKey::from_bytes(&*exactly_32()?);
                Ok(PrivateKey::EdDsa(Box::new(key)))
            }
            TokenAlg::Es256 => p256::ecdsa::SigningKey::from_slice(bytes).map(PrivateKey::Es256).map_err(|_| failed()),
            TokenAlg::Rs256 => {
                let key = rsa::RsaPrivateKey::from_pkcs1_der(bytes).map_err(|_| failed())?;
                Ok(PrivateKey::Rs256(Box::new(rsa::pkcs1v15::SigningKey::new(key))))
            }
            TokenAlg::Hs256 => Ok(PrivateKey::shared(exactly_32()?)),
        }
    }

    /// The stored form: seed, scalar, PKCS#1 DER, or secret.
    pub(super) fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
        Ok(Zeroizing::new(match self {
            PrivateKey::EdDsa(key) => key.as_bytes().to_vec(),
            PrivateKey::Es256(key) => key.to_bytes().to_vec(),
            PrivateKey::Rs256(key) => {
                let der = AsRef::<rsa::RsaPrivateKey>::as_ref(&**key).to_pkcs1_der();
                der.map_err(|_| PrivateKeyError { alg: TokenAlg::Rs256, what: "serialized" })?.as_bytes().to_vec()
            }
            PrivateKey::Hs256(key) => key.secret.to_vec(),
        }))
    }

    #[must_use]
    pub const fn alg(&self) -> TokenAlg {
        match self {
            PrivateKey::EdDsa(_) => TokenAlg::EdDsa,
            PrivateKey::Es256(_) => TokenAlg::Es256,
            PrivateKey::Rs256(_) => TokenAlg::Rs256,
            PrivateKey::Hs256(_) => TokenAlg::Hs256,
        }
    }

    /// The public key with its required members; for HS256 the secret itself.
    pub(super) fn to_jwk(&self) -> Jwk {
        match self {
            PrivateKey::EdDsa(key) => Jwk::new("OKP", &[("crv", "Ed25519")], &[("x", key.verifying_key().as_bytes())]),
            PrivateKey::Es256(key) => {
                // Uncompressed SEC1: 0x04, then x and y of 32 bytes each.
                let point = key.verifying_key().to_sec1_point(false);
                let (x, y) = point.as_bytes().get(1..).unwrap_or_default().split_at(32);
                Jwk::new("EC", &[("crv", "P-256")], &[("x", x), ("y", y)])
            }
            PrivateKey::Rs256(key) => {
                let public = AsRef::<rsa::RsaPrivateKey>::as_ref(&**key);
                Jwk::new("RSA", &[], &[("n", &public.n_bytes()), ("e", &public.e_bytes())])
            }
            PrivateKey::Hs256(key) => Jwk::new("oct", &[], &[("k", key.secret.as_slice())]),
        }
    }

    /// Signs `message`; `None` if signing fails.
    pub(super) fn try_sign(&self, message: &[u8]) -> Option<SmallVec<[u8; 64]>> {
        match self {
            PrivateKey::EdDsa(key) => Some(key.try_sign(message).ok()?.to_bytes().into()),
            PrivateKey::Es256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(message).ok()?;
                Some(SmallVec::from_slice(&signature.to_bytes()))
            }
            // Blinded with random bytes, so that the time of the operation reveals nothing about
            // the key.
            PrivateKey::Rs256(key) => {
                Some(key.try_sign_with_rng(&mut UnwrapErr(SysRng), message).ok()?.to_vec().into())
            }
            PrivateKey::Hs256(key) => Some(SmallVec::from_slice(&key.mac.code(&[message]))),
        }
    }

    fn verifies(&self, signature: &[u8], message: &[u8]) -> Option<bool> {
        Some(match self {
            PrivateKey::EdDsa(key) => {
                let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
                key.verifying_key().verify_strict(message, &signature).is_ok()
            }
            PrivateKey::Es256(key) => {
                let signature = p256::ecdsa::Signature::from_slice(signature).ok()?;
                key.verifying_key().verify(message, &signature).is_ok()
            }
            PrivateKey::Rs256(key) => {
                let signature = rsa::pkcs1v15::Signature::try_from(signature).ok()?;
                key.verifying_key().verify(message, &signature).is_ok()
            }
            PrivateKey::Hs256(key) => key.mac.code(&[message]).ct_eq(signature).into(),
        })
    }
}

/// A signature; empty if signing failed, which no key verifies.
pub struct TokenSignature(SmallVec<[u8; 64]>);

impl AlgorithmSignature for TokenSignature {
    fn try_from_slice(slice: &[u8]) -> anyhow::Result<TokenSignature> {
        Ok(TokenSignature(SmallVec::from_slice(slice)))
    }

    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }
}

/// An algorithm for `jwt_compact`.
#[derive(Clone, Copy)]
pub struct JwtAlgorithm(pub TokenAlg);

impl Algorithm for JwtAlgorithm {
    type SigningKey = PrivateKey;
    type VerifyingKey = PrivateKey;
    type Signature = TokenSignature;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(self.0.as_str())
    }

    fn sign(&self, signing_key: &PrivateKey, message: &[u8]) -> TokenSignature {
        let signature = if self.0 == signing_key.alg() { signing_key.try_sign(message) } else { None };
        TokenSignature(signature.unwrap_or_default())
    }

    fn verify_signature(&self, signature: &TokenSignature, verifying_key: &PrivateKey, message: &[u8]) -> bool {
        self.0 == verifying_key.alg() && verifying_key.verifies(&signature.0, message).unwrap_or(false)
    }
}
