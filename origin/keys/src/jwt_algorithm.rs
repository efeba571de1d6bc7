//! The adapter with which jwt-compact signs and verifies.
//!
//! jwt-compact has its own implementations of the algorithms, based on older versions of the same
//! libraries. Implementing its `Algorithm` trait here keeps one version of each in the build, and
//! one place that signs.

use std::borrow::Cow;

use jwt_compact::{Algorithm, AlgorithmSignature};
use smallvec::SmallVec;
use tollgate_model::TokenAlg;

use super::private::PrivateKey;

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
