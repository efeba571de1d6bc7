//! JWK sets (RFC 7517) of clients and of trusted issuers.

use serde_json::{Value, json};
use tollgate_core::{KeySet, MAX_KEYS};

use super::encoding::from_base64url;
use super::token_alg::TokenAlg;

const MAX_JWKS_BYTES: usize = 32 * 1024;
/// Members of a set that are parsed; bounds the work for unusable ones.
const MAX_MEMBERS: usize = 4 * MAX_KEYS;
/// Members that only private or symmetric keys have.
const SECRET_MEMBERS: [&str; 3] = ["d", "k", "p"];

/// Public keys by the algorithms that they verify.
#[derive(Debug, Clone, Default)]
pub struct PublicKeys {
    /// Keys for EdDSA, ES256 and RS256.
    pub keys: KeySet,
    /// Keys for PS256.
    pub pss: Vec<PssKey>,
}

/// An RSA public key for PS256 (RFC 7518 §3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PssKey {
    pub kid: Option<String>,
    /// Big-endian, without leading zeros.
    pub modulus: Vec<u8>,
    /// Big-endian, without leading zeros.
    pub exponent: Vec<u8>,
}

/// The public keys of a set that can verify signatures. All other members are ignored (RFC 7517
/// §5): other types or uses, malformed, weak or secret keys, repeated names. An unusable member
/// does not make the others unusable. An RSA key without `alg` verifies RS256 and PS256.
pub fn public_keys(jwks: &Value) -> PublicKeys {
    let mut keys = PublicKeys::default();
    for member in members(jwks).iter().take(MAX_MEMBERS).filter(|member| !is_secret(member)) {
        if keys.keys.len().max(keys.pss.len()) == MAX_KEYS {
            break;
        }
        keys.add(member);
    }
    keys
}

impl PublicKeys {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.pss.is_empty()
    }

    fn add(&mut self, member: &Value) {
        let alg = member.get("alg").and_then(Value::as_str);
        let is_for_pss_alone = alg == Some(TokenAlg::Ps256.as_str());
        let mut checked = member.clone();
        if let Some(members) = checked.as_object_mut().filter(|_| is_for_pss_alone) {
            members.remove("alg");
        }
        let Ok(key) = KeySet::from_jwks(json!({ "keys": [checked] }).to_string().as_bytes()) else { return };
        if key.is_empty() {
            return;
        }
        if (alg.is_none() || is_for_pss_alone)
            && let Some(key) = PssKey::parse(member)
            && !self.pss.iter().any(|other| other.kid.is_some() && other.kid == key.kid)
        {
            self.pss.push(key);
        }
        if !is_for_pss_alone {
            // Ignored if an earlier key has the same name.
            let _ = self.keys.extend(&key);
        }
    }
}

impl PssKey {
    /// The key of a well-formed RSA member.
    fn parse(member: &Value) -> Option<PssKey> {
        let text = |name: &str| member.get(name).and_then(Value::as_str);
        if text("kty") != Some("RSA") {
            return None;
        }
        let number = |name: &str| {
            let bytes = from_base64url(text(name)?)?;
            Some(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
        };
        Some(PssKey { kid: text("kid").map(str::to_owned), modulus: number("n")?, exponent: number("e")? })
    }
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
        true => Err("jwks contains no usable key: EdDSA, ES256, PS256 and RS256 are supported"),
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
        assert_eq!((public_keys(&set).keys.len(), check(&set)), (2, Ok(())));
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
        assert_eq!(public_keys(&set).keys.len(), 1);
        assert!(check(&set).is_err());
    }

    #[test]
    fn rsa_key_verifies_the_algorithm_that_it_names() {
        let modulus = [&[0, 0xc1][..], &[0x11; 255]].concat();
        let n = crate::encoding::base64url(&modulus);
        let key = |alg: Option<&str>, kid: &str| json!({ "kty": "RSA", "kid": kid, "e": "AQAB", "n": n, "alg": alg });
        let mut any = key(None, "any");
        any.as_object_mut().expect("an object").remove("alg");
        for (member, rs256, pss) in [
            (any, 1, 1),
            (key(Some("RS256"), "pkcs1"), 1, 0),
            (key(Some("PS256"), "pss"), 0, 1),
            (key(Some("RSA-OAEP"), "encryption"), 0, 0),
        ] {
            let set = json!({ "keys": [member.clone(), member] });
            let keys = public_keys(&set);
            assert_eq!((keys.keys.len(), keys.pss.len()), (rs256, pss), "{set}");
            assert_eq!(check(&set).is_ok(), rs256 + pss > 0);
            for key in &keys.pss {
                assert_eq!((key.modulus.as_slice(), key.exponent.as_slice()), (&modulus[1..], &[1, 0, 1][..]));
            }
        }
        let weak = json!({ "keys": [{ "kty": "RSA", "alg": "PS256", "e": "AQAB", "n": crate::encoding::base64url(&[0xc1; 128]) }] });
        assert!(public_keys(&weak).is_empty());
    }

    #[test]
    fn number_of_keys_is_bounded() {
        let many: Vec<Value> = (0..1000).map(|number| good(&number.to_string())).collect();
        assert_eq!(public_keys(&json!({ "keys": many })).keys.len(), MAX_KEYS);
    }
}
