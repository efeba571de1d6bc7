//! JWK sets (RFC 7517) of clients and of trusted issuers.

use serde_json::{Value, json};
use tollgate_core::{KeySet, MAX_KEYS};

const MAX_JWKS_BYTES: usize = 32 * 1024;
/// Members of a set that are parsed; bounds the work for unusable ones.
const MAX_MEMBERS: usize = 4 * MAX_KEYS;
/// Members that only private or symmetric keys have.
const SECRET_MEMBERS: [&str; 3] = ["d", "k", "p"];

/// The public keys of a set that can verify signatures. All other members are ignored (RFC 7517
/// §5): other types or uses, malformed, weak or secret keys, repeated names. An unusable member
/// does not make the others unusable.
pub fn public_keys(jwks: &Value) -> KeySet {
    let mut keys = KeySet::default();
    for member in members(jwks).iter().take(MAX_MEMBERS).filter(|member| !is_secret(member)) {
        if keys.len() == MAX_KEYS {
            break;
        }
        if let Ok(key) = KeySet::from_jwks(json!({ "keys": [member] }).to_string().as_bytes()) {
            // Ignored if an earlier key has the same name.
            let _ = keys.extend(&key);
        }
    }
    keys
}

/// Checks a set before its registration.
///
/// # Errors
/// If it is too large, contains a secret key, or contains no usable key.
pub(super) fn check(jwks: &Value) -> Result<(), &'static str> {
    if jwks.to_string().len() > MAX_JWKS_BYTES {
        return Err("jwks is larger than 32 KiB");
    }
    if members(jwks).iter().any(is_secret) {
        return Err("jwks contains a private or symmetric key: send public keys only");
    }
    match public_keys(jwks).is_empty() {
        true => Err("jwks contains no usable key: EdDSA, ES256 and RS256 are supported"),
        false => Ok(()),
    }
}

fn members(jwks: &Value) -> &[Value] {
    jwks.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn is_secret(key: &Value) -> bool {
    SECRET_MEMBERS.iter().any(|member| key.get(member).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.2.
    fn good(kid: &str) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
    }

    #[test]
    fn unusable_members_are_ignored() {
        let weak = json!({ "kty": "RSA", "kid": "weak", "e": "AQAB", "n": crate::encoding::base64url(&[0xc1; 128]) });
        let odd = [
            weak,
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA" }),
            json!({ "kty": "OKP", "crv": "X25519", "x": "AA" }),
            json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" }),
            json!({ "kty": 1 }),
            json!({ "kid": 7, "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }),
            json!({}),
            json!("text"),
            json!(null),
            good("one"),
        ];
        let mut keys = vec![good("one")];
        keys.extend(odd.clone());
        keys.push(good("two"));
        let set = json!({ "keys": keys, "issuer": "x" });
        assert_eq!((public_keys(&set).len(), check(&set)), (2, Ok(())));
        assert!(check(&json!({ "keys": odd[..9] })).is_err(), "there is no good one");
        for none in [json!({}), json!([]), json!({ "keys": {} }), json!({ "keys": [] })] {
            assert!(public_keys(&none).is_empty() && check(&none).is_err(), "{none}");
        }
    }

    #[test]
    fn secret_keys_are_ignored_and_refused_at_registration() {
        let mut private = good("private");
        private["d"] = json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        let shared = json!({ "kty": "oct", "k": "A".repeat(43) });
        let set = json!({ "keys": [private, shared, good("public")] });
        assert_eq!(public_keys(&set).len(), 1);
        assert!(check(&set).is_err());
    }

    #[test]
    fn number_of_keys_is_bounded() {
        let many: Vec<Value> = (0..1000).map(|number| good(&number.to_string())).collect();
        assert_eq!(public_keys(&json!({ "keys": many })).len(), MAX_KEYS);
    }
}
