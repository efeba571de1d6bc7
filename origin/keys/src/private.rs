//! One private key of one algorithm, and how jwt-compact checks with it.
//!
//! jwt-compact brings algorithms of its own, over an older generation of the same cryptography; implementing its
//! `Algorithm` here keeps one generation in the build, and one place where a signature is made.

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

use super::Jwk;

/// The size of new RSA keys: what RFC 7518 §3.3 demands at least, good beyond the life of any key here.
const RSA_BITS: usize = 2048;

/// A private signing key. Dropping it wipes it.
pub enum PrivateKey {
    /// Ed25519
    EdDsa(Box<ed25519_dalek::SigningKey>),
    /// P-256
    Es256(p256::ecdsa::SigningKey),
    /// RSA, 2048 bits
    Rs256(Box<rsa::pkcs1v15::SigningKey<Sha256>>),
    /// A key shared with the edges of one audience
    Hs256(Box<HmacKey>),
}

/// A secret, and what every code under it begins with. Dropping it wipes both.
pub struct HmacKey {
    secret: Zeroizing<[u8; 32]>,
    mac: MacKey,
}

/// A stored private key cannot be read, or a new one not be made.
#[derive(Debug, thiserror::Error)]
#[error("a private {alg} key could not be {what}")]
pub struct PrivateKeyError {
    alg: TokenAlg,
    what: &'static str,
}

impl PrivateKey {
    /// Makes a new key. Takes up to seconds for RSA: not for an async thread.
    pub(super) fn generate(alg: TokenAlg) -> Result<PrivateKey, PrivateKeyError> {
        let failed = |what| PrivateKeyError { alg, what };
        // Asked once up front: after that the source of a running system does not fail, which `UnwrapErr` relies on.
        let seed = Zeroizing::new(rng::random::<32>().map_err(|_| failed("made: the system has no randomness"))?);
        match alg {
            TokenAlg::EdDsa | TokenAlg::Hs256 => PrivateKey::from_bytes(alg, seed.as_slice()),
            // A random scalar is out of range once in 2^32 draws.
            TokenAlg::Es256 => PrivateKey::from_bytes(alg, seed.as_slice()).or_else(|_| PrivateKey::generate(alg)),
            TokenAlg::Rs256 => {
                let key = rsa::RsaPrivateKey::new(&mut UnwrapErr(SysRng), RSA_BITS).map_err(|_| failed("made"))?;
                Ok(PrivateKey::Rs256(Box::new(rsa::pkcs1v15::SigningKey::new(key))))
            }
        }
    }

    /// The HS256 key of this secret.
    pub(super) fn shared(secret: Zeroizing<[u8; 32]>) -> PrivateKey {
        PrivateKey::Hs256(Box::new(HmacKey { mac: MacKey::new(&secret), secret }))
    }

    /// Reads the stored form.
    pub(super) fn from_bytes(alg: TokenAlg, bytes: &[u8]) -> Result<PrivateKey, PrivateKeyError> {
        let failed = || PrivateKeyError { alg, what: "read" };
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

    /// The form to store: the seed, the scalar, PKCS#1 DER, or the secret.
    pub(super) fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
        Ok(Zeroizing::new(match self {
            PrivateKey::EdDsa(key) => key.as_bytes().to_vec(),
            PrivateKey::Es256(key) => key.to_bytes().to_vec(),
            PrivateKey::Rs256(key) => {
                let der = AsRef::<rsa::RsaPrivateKey>::as_ref(&**key).to_pkcs1_der();
                der.map_err(|_| PrivateKeyError { alg: TokenAlg::Rs256, what: "written" })?.as_bytes().to_vec()
            }
            PrivateKey::Hs256(key) => key.secret.to_vec(),
        }))
    }

    /// The algorithm this key signs with.
    #[must_use]
    pub const fn alg(&self) -> TokenAlg {
        match self {
            PrivateKey::EdDsa(_) => TokenAlg::EdDsa,
            PrivateKey::Es256(_) => TokenAlg::Es256,
            PrivateKey::Rs256(_) => TokenAlg::Rs256,
            PrivateKey::Hs256(_) => TokenAlg::Hs256,
        }
    }

    /// The public part with its required members only; for a shared secret, the secret itself.
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

    /// Signs `message`. Nothing comes back when the signature could not be made.
    pub(super) fn try_sign(&self, message: &[u8]) -> Option<SmallVec<[u8; 64]>> {
        match self {
            PrivateKey::EdDsa(key) => Some(key.try_sign(message).ok()?.to_bytes().into()),
            PrivateKey::Es256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(message).ok()?;
                Some(SmallVec::from_slice(&signature.to_bytes()))
            }
            // With randomness, so that the private operation is blinded: its time says nothing about the key.
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

/// A signature; empty when none could be made, which no key verifies.
pub struct TokenSignature(SmallVec<[u8; 64]>);

impl AlgorithmSignature for TokenSignature {
    fn try_from_slice(slice: &[u8]) -> anyhow::Result<TokenSignature> {
        Ok(TokenSignature(SmallVec::from_slice(slice)))
    }

    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }
}

/// An algorithm as `jwt_compact` knows it.
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
