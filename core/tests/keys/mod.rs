//! The example keys of the RFCs, including their published private parts: for tests only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::Signer as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rsa::BoxedUint;
use rsa::pkcs1v15::SigningKey;
use sha2::Sha256;

use crate::token_builder::TokenSigner;

/// RFC 7515 appendix A.1.1.
pub(crate) const HS256_K: &str =
    concat!("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH7", "5aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
/// RFC 8037 appendices A.1 and A.2.
const ED25519_D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
pub(crate) const ED25519_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
/// RFC 7515 appendix A.3.1.
const P256_D: &str = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI";
pub(crate) const P256_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
pub(crate) const P256_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
/// RFC 7515 appendix A.2.1.
const RSA_D: &str = concat!(
    "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46su",
    "i395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4",
    "qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB",
    "4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ",
);
/// The first prime.
const RSA_P: &str = concat!(
    "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8",
    "cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc",
);
/// The second prime.
const RSA_Q: &str = concat!(
    "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t",
    "62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc",
);
/// The modulus.
pub(crate) const RSA_N: &str = concat!(
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR",
    "T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB",
    "dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia",
    "GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
);

/// A signer with one key of each algorithm.
pub(crate) struct Keys {
    rsa: SigningKey<Sha256>,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let number = |text: &str| BoxedUint::from_be_slice_vartime(&decoded(text));
        let primes = vec![number(RSA_P), number(RSA_Q)];
        let key = rsa::RsaPrivateKey::from_components(number(RSA_N), number("AQAB"), number(RSA_D), primes);
        Self { rsa: SigningKey::new(key.expect("the key of the RFC")) }
    }

    /// The public keys as an issuer publishes them.
    pub(crate) fn public_jwks() -> String {
        let keys = [ed25519_jwk("Ed25519-key"), p256_jwk("P-256-key"), rsa_jwk("RSA-key")];
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    /// All keys, including the secret one, as an edge has them.
    pub(crate) fn jwks() -> String {
        let keys = [hs256_jwk("HMAC-key"), ed25519_jwk("Ed25519-key"), p256_jwk("P-256-key"), rsa_jwk("RSA-key")];
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }
}

pub(crate) fn hs256_jwk(kid: &str) -> String {
    format!(r#"{{"kty":"oct","kid":"{kid}","alg":"HS256","use":"sig","k":"{HS256_K}"}}"#)
}

pub(crate) fn ed25519_jwk(kid: &str) -> String {
    format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","alg":"EdDSA","use":"sig","x":"{ED25519_X}"}}"#)
}

pub(crate) fn p256_jwk(kid: &str) -> String {
    format!(r#"{{"kty":"EC","crv":"P-256","kid":"{kid}","alg":"ES256","use":"sig","x":"{P256_X}","y":"{P256_Y}"}}"#)
}

pub(crate) fn rsa_jwk(kid: &str) -> String {
    format!(r#"{{"kty":"RSA","kid":"{kid}","alg":"RS256","use":"sig","n":"{RSA_N}","e":"AQAB"}}"#)
}

impl TokenSigner for Keys {
    fn key_id(&self, alg: &str) -> String {
        match alg {
            "HS256" => "HMAC-key",
            "EdDSA" => "Ed25519-key",
            "ES256" => "P-256-key",
            "RS256" => "RSA-key",
            other => panic!("there is no key for {other}"),
        }
        .to_owned()
    }

    fn signature(&self, alg: &str, text: &[u8]) -> Vec<u8> {
        match alg {
            "HS256" => {
                let mut mac = Hmac::<Sha256>::new_from_slice(&decoded(HS256_K)).expect("any length is a key");
                mac.update(text);
                mac.finalize().into_bytes().to_vec()
            }
            "EdDSA" => {
                let seed: [u8; 32] = decoded(ED25519_D).try_into().expect("32 bytes");
                ed25519_dalek::SigningKey::from_bytes(&seed).sign(text).to_bytes().to_vec()
            }
            "ES256" => {
                let key = p256::ecdsa::SigningKey::from_slice(&decoded(P256_D)).expect("a scalar");
                let signature: p256::ecdsa::Signature = key.sign(text);
                signature.to_bytes().to_vec()
            }
            "RS256" => {
                let signature: Box<[u8]> = self.rsa.sign(text).into();
                signature.into_vec()
            }
            other => panic!("there is no key for {other}"),
        }
    }
}

/// The bytes of a base64url text of the RFCs.
pub(crate) fn decoded(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}
