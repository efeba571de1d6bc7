//! Signatures over bytes that are no tokens (the test vectors of others), judged by the core inside WebAssembly. It never holds
//! a vector itself: the suite sends each as a line, and compares the verdict with the one it has natively.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tollgate_core::{Algorithm, KeySet};

/// One letter for each line of `alg`, key set, message and signature, the last three in base64url: `a` for accepted, `r` for
/// refused, `x` for a line that is none.
#[cfg_attr(all(target_arch = "wasm32", target_os = "unknown"), wasm_bindgen::prelude::wasm_bindgen)]
pub fn judge(lines: &str) -> String {
    lines.lines().map(|line| verdict(line).map_or('x', |accepted| if accepted { 'a' } else { 'r' })).collect()
}

fn verdict(line: &str) -> Option<bool> {
    let mut words = line.split(' ');
    let alg = words.next()?;
    let mut bytes = || URL_SAFE_NO_PAD.decode(words.next()?).ok();
    let (jwks, message, signature) = (bytes()?, bytes()?, bytes()?);
    let (Ok(keys), Some(algorithm)) = (KeySet::from_jwks(&jwks), Algorithm::from_name(alg)) else {
        return Some(false);
    };
    Some(keys.check_signature(None, algorithm, &message, &signature).is_ok())
}
