//! PS256: RSASSA-PSS with SHA-256 (RFC 7518 §3.5), by ring, for signatures of others.

use ring::signature::{RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents};
use tollgate_model::jwks::PssKey;

/// Whether the signature is that of the key with this `kid`. Without a `kid`, exactly one key must
/// exist.
pub(super) fn is_valid_signature(keys: &[PssKey], key_id: Option<&str>, signed: &[u8], signature: &[u8]) -> bool {
    let key = match (key_id, keys) {
        (Some(id), keys) => keys.iter().find(|key| key.kid.as_deref() == Some(id)),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    key.is_some_and(|key| {
        let public = RsaPublicKeyComponents { n: &key.modulus, e: &key.exponent };
        public.verify(&RSA_PSS_2048_8192_SHA256, signed, signature).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use tollgate_model::TokenAlg;
    use tollgate_model::jwks;

    use super::*;
    use crate::private::PrivateKey;

    #[test]
    fn ps256_signature_is_verified_by_the_key_that_it_names() {
        let (private, _) = PrivateKey::generate(TokenAlg::Ps256).expect("generated");
        let set = |kid: &str| serde_json::json!({ "keys": [private.to_jwk().describe(kid, "PS256")] });
        let keys = jwks::public_keys(&set("one")).pss;
        let signature = private.try_sign(b"message").expect("signed");
        assert!(is_valid_signature(&keys, Some("one"), b"message", &signature));
        assert!(is_valid_signature(&keys, None, b"message", &signature), "the only key");
        assert!(!is_valid_signature(&keys, Some("other"), b"message", &signature));
        assert!(!is_valid_signature(&keys, Some("one"), b"another message", &signature));
        assert!(!is_valid_signature(&keys, Some("one"), b"message", &signature[1..]));
        let two = [keys.clone(), jwks::public_keys(&set("two")).pss].concat();
        assert!(!is_valid_signature(&two, None, b"message", &signature), "either could be meant");
        assert_ne!(private.try_sign(b"message").expect("signed"), signature, "the salt is random");
    }
}
