//! Runs signature test vectors against the core inside WebAssembly. The messages of these vectors
//! are not tokens. The crate holds no vector itself: the suite sends each as a line and compares
//! the result with its native one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tollgate_core::{Algorithm, KeySet};

/// Returns one letter per line of `alg jwks message signature`, the last three in base64url:
/// `a` accepted, `r` refused, `x` malformed line.
#[cfg_attr(all(target_arch = "wasm32", target_os = "unknown"), wasm_bindgen::prelude::wasm_bindgen)]
pub fn run_vectors(lines: &str) -> String {
    lines.lines().map(|line| is_accepted(line).map_or('x', |accepted| if accepted { 'a' } else { 'r' })).collect()
}

fn is_accepted(line: &str) -> Option<bool> {
    let mut words = line.split(' ');
    let alg = words.next()?;
    let mut bytes = || URL_SAFE_NO_PAD.decode(words.next()?).ok();
    let (jwks, message, signature) = (bytes()?, bytes()?, bytes()?);
    let (Ok(keys), Some(algorithm)) = (KeySet::from_jwks(&jwks), Algorithm::from_name(alg)) else {
        return Some(false);
    };
    Some(keys.check_signature(None, algorithm, &message, &signature).is_ok())
}
