//! Private keys: generating, parsing, signing and verifying, with one library for each algorithm.
//!
//! RSA is ring's, which TLS has in the build already: an RSA signature costs more than everything
//! else in a token request, and several times as much in pure Rust.

use ed25519_dalek::Signer as _;
#[expect(clippy::disallowed_types, reason = "RSA keys are generated with the system's random source")]
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use p256::ecdsa::signature::Verifier as _;
use ring::rand::SystemRandom;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use smallvec::{SmallVec, smallvec};
use subtle::ConstantTimeEq as _;
use tollgate_model::TokenAlg;
use tollgate_model::secret::MacKey;
use tollgate_system::rng;
use zeroize::Zeroizing;

use super::jwk::Jwk;

/// Bits of new RSA keys: the minimum of RFC 7518 §3.3, sufficient beyond the lifetime of any key.
const RSA_BITS: usize = 2048;

/// A private key. Dropping it wipes it, except an RSA key: ring frees its memory without.
pub enum PrivateKey {
    EdDsa(Box<ed25519_dalek::SigningKey>),
    /// The same, for what is signed under the name of RFC 9864.
    Ed25519(Box<ed25519_dalek::SigningKey>),
    Es256(p256::ecdsa::SigningKey),
    /// Parsed once, with what ring computes in advance for signatures.
    Rs256(Box<RsaKeyPair>),
    /// As for RS256; a key has one algorithm (RFC 8725 §3.1).
    Ps256(Box<RsaKeyPair>),
    /// A secret shared with the edges of one audience.
    Hs256(Box<HmacKey>),
}

/// A secret and the precomputed state of its HMAC. Dropping it wipes both.
pub struct HmacKey {
    secret: Zeroizing<[u8; 32]>,
    mac: MacKey,
}

/// Error: a stored private key cannot be parsed, or a new one not generated.
#[derive(Debug, thiserror::Error)]
#[error("a private {alg} key could not be {what}")]
pub struct PrivateKeyError {
    alg: TokenAlg,
    what: &'static str,
}

impl PrivateKey {
    /// Generates a key, and returns it with its stored form: seed, scalar, PKCS#1 DER or secret.
    /// RSA takes up to seconds: not for an async thread.
    pub(super) fn generate(alg: TokenAlg) -> Result<(PrivateKey, Zeroizing<Vec<u8>>), PrivateKeyError> {
        let failed = |what| PrivateKeyError { alg, what };
        // A failure of the random source is detected here. On a running system it does not fail
        // later, which `UnwrapErr` relies on.
        let seed = Zeroizing::new(rng::random::<32>().map_err(|_| failed("generated: the random source failed"))?);
        let bytes = match alg {
            TokenAlg::EdDsa | TokenAlg::Ed25519 | TokenAlg::Es256 | TokenAlg::Hs256 => Zeroizing::new(seed.to_vec()),
            // By the `rsa` crate, because ring generates no RSA keys.
            TokenAlg::Rs256 | TokenAlg::Ps256 => {
                let key = rsa::RsaPrivateKey::new(&mut UnwrapErr(SysRng), RSA_BITS).map_err(|_| failed("generated"))?;
                let der = key.to_pkcs1_der().map_err(|_| failed("serialized"))?;
                Zeroizing::new(der.as_bytes().to_vec())
            }
        };
        match PrivateKey::from_bytes(alg, &bytes) {
            // A random scalar is out of range once in 2^32 cases.
            Err(_) if alg == TokenAlg::Es256 => PrivateKey::generate(alg),
            key => Ok((key?, bytes)),
        }
    }

    /// The HS256 key with this secret.
    pub(super) fn shared(secret: Zeroizing<[u8; 32]>) -> PrivateKey {
        PrivateKey::Hs256(Box::new(HmacKey { mac: MacKey::new(&secret), secret }))
    }

    /// Parses the stored form.
    pub(super) fn from_bytes(alg: TokenAlg, bytes: &[u8]) -> Result<PrivateKey, PrivateKeyError> {
        let failed = || PrivateKeyError { alg, what: "parsed" };
        let exactly_32 = || <[u8; 32]>::try_from(bytes).map(Zeroizing::new).map_err(|_| failed());
        match alg {
            TokenAlg::EdDsa | TokenAlg::Ed25519 => {
                let key = Box::new(ed25519_dalek::SigningKey::from_bytes(&*exactly_32()?));
                Ok(if alg == TokenAlg::EdDsa { PrivateKey::EdDsa(key) } else { PrivateKey::Ed25519(key) })
            }
            TokenAlg::Es256 => p256::ecdsa::SigningKey::from_slice(bytes).map(PrivateKey::Es256).map_err(|_| failed()),
            TokenAlg::Rs256 => RsaKeyPair::from_der(bytes).map(Box::new).map(PrivateKey::Rs256).map_err(|_| failed()),
            TokenAlg::Ps256 => RsaKeyPair::from_der(bytes).map(Box::new).map(PrivateKey::Ps256).map_err(|_| failed()),
            TokenAlg::Hs256 => Ok(PrivateKey::shared(exactly_32()?)),
        }
    }

    #[must_use]
    pub const fn alg(&self) -> TokenAlg {
        match self {
            PrivateKey::EdDsa(_) => TokenAlg::EdDsa,
            PrivateKey::Ed25519(_) => TokenAlg::Ed25519,
            PrivateKey::Es256(_) => TokenAlg::Es256,
            PrivateKey::Rs256(_) => TokenAlg::Rs256,
            PrivateKey::Ps256(_) => TokenAlg::Ps256,
            PrivateKey::Hs256(_) => TokenAlg::Hs256,
        }
    }

    /// The public key with its required members; for HS256 the secret itself.
    pub(super) fn to_jwk(&self) -> Jwk {
        match self {
            PrivateKey::EdDsa(key) | PrivateKey::Ed25519(key) => {
                Jwk::new("OKP", &[("crv", "Ed25519")], &[("x", key.verifying_key().as_bytes())])
            }
            PrivateKey::Es256(key) => {
                // Uncompressed SEC1: 0x04, then x and y of 32 bytes each.
                let point = key.verifying_key().to_sec1_point(false);
                let (x, y) = point.as_bytes().get(1..).unwrap_or_default().split_at(32);
                Jwk::new("EC", &[("crv", "P-256")], &[("x", x), ("y", y)])
            }
            PrivateKey::Rs256(key) | PrivateKey::Ps256(key) => {
                let RsaPublicKeyComponents::<Vec<u8>> { n, e } = key.public().into();
                Jwk::new("RSA", &[], &[("n", &n), ("e", &e)])
            }
            PrivateKey::Hs256(key) => Jwk::new("oct", &[], &[("k", key.secret.as_slice())]),
        }
    }

    /// Signs `message`; `None` if signing fails.
    pub(super) fn try_sign(&self, message: &[u8]) -> Option<SmallVec<[u8; 64]>> {
        match self {
            PrivateKey::EdDsa(key) | PrivateKey::Ed25519(key) => Some(key.try_sign(message).ok()?.to_bytes().into()),
            PrivateKey::Es256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(message).ok()?;
                Some(SmallVec::from_slice(&signature.to_bytes()))
            }
            PrivateKey::Rs256(key) => rsa_signature(key, &RSA_PKCS1_SHA256, message),
            PrivateKey::Ps256(key) => rsa_signature(key, &RSA_PSS_SHA256, message),
            PrivateKey::Hs256(key) => Some(SmallVec::from_slice(&key.mac.code(&[message]))),
        }
    }

    /// Whether the signature is this key's; `None` if it has the wrong form.
    pub(super) fn verifies(&self, signature: &[u8], message: &[u8]) -> Option<bool> {
        Some(match self {
            PrivateKey::EdDsa(key) | PrivateKey::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
                key.verifying_key().verify_strict(message, &signature).is_ok()
            }
            PrivateKey::Es256(key) => {
                let signature = p256::ecdsa::Signature::from_slice(signature).ok()?;
                key.verifying_key().verify(message, &signature).is_ok()
            }
            PrivateKey::Rs256(key) => is_rsa_signature(key, &RSA_PKCS1_2048_8192_SHA256, message, signature),
            PrivateKey::Ps256(key) => is_rsa_signature(key, &RSA_PSS_2048_8192_SHA256, message, signature),
            PrivateKey::Hs256(key) => key.mac.code(&[message]).ct_eq(signature).into(),
        })
    }
}

/// The padding of PKCS#1 v1.5 draws no random bytes, that of PSS a salt of 32. ring needs no
/// blinding: its exponentiation takes constant time, and the result is verified before it is used.
fn rsa_signature(key: &RsaKeyPair, padding: &'static dyn RsaEncoding, message: &[u8]) -> Option<SmallVec<[u8; 64]>> {
    let mut signature = smallvec![0; key.public().modulus_len()];
    key.sign(padding, &SystemRandom::new(), message, &mut signature).ok()?;
    Some(signature)
}

fn is_rsa_signature(key: &RsaKeyPair, parameters: &'static RsaParameters, message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(parameters, key.public()).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use rsa::BoxedUint;
    use tollgate_model::encoding::from_base64url;

    use super::*;

    /// The key of RFC 7515 appendix A.2.1.
    const N: &str = concat!(
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR",
        "T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB",
        "dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia",
        "GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    );
    const D: &str = concat!(
        "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46su",
        "i395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4",
        "qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB",
        "4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ",
    );
    const P: &str = concat!(
        "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8",
        "cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc",
    );
    const Q: &str = concat!(
        "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t",
        "62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc",
    );
    const MESSAGE: &str = concat!(
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19y",
        "b290Ijp0cnVlfQ",
    );
    const SIGNATURE: &str = concat!(
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9",
        "uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB",
        "_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rq",
        "Vt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );

    /// The RFC's key as this program has always stored RSA keys: the first prime may be the smaller
    /// one.
    fn stored(primes: [&str; 2]) -> Vec<u8> {
        let bytes = |text| from_base64url(text).expect("base64url");
        let number = |text| BoxedUint::from_be_slice_vartime(&bytes(text));
        let primes = primes.map(number).into();
        let key = rsa::RsaPrivateKey::from_components(number(N), number("AQAB"), number(D), primes);
        key.expect("the key of the RFC").to_pkcs1_der().expect("serialized").as_bytes().to_vec()
    }

    #[test]
    fn stored_rsa_keys_give_the_signature_of_the_rfc() {
        for primes in [[P, Q], [Q, P]] {
            let key = PrivateKey::from_bytes(TokenAlg::Rs256, &stored(primes)).expect("a stored key");
            let signature = key.try_sign(MESSAGE.as_bytes()).expect("signed");
            assert_eq!(tollgate_model::encoding::base64url(&signature), SIGNATURE);
            assert_eq!(key.verifies(&signature, MESSAGE.as_bytes()), Some(true));
            assert_eq!(key.verifies(&signature, b"another message"), Some(false));
            assert_eq!(key.to_jwk(), Jwk::new("RSA", &[("n", N), ("e", "AQAB")], &[]));
        }
    }

    #[test]
    fn generated_keys_are_parsed_from_their_stored_form() {
        for alg in TokenAlg::ALL {
            let (key, bytes) = PrivateKey::generate(alg).expect("generated");
            let stored = PrivateKey::from_bytes(alg, &bytes).expect("parsed");
            assert_eq!(key.to_jwk(), stored.to_jwk(), "{alg}");
            let signature = key.try_sign(b"message").expect("signed");
            assert_eq!(stored.verifies(&signature, b"message"), Some(true), "{alg}");
        }
    }

    #[test]
    fn damaged_rsa_keys_are_refused() {
        let stored = stored([P, Q]);
        for at in [0, stored.len() / 2, stored.len() - 1] {
            let mut damaged = stored.clone();
            damaged[at] ^= 1;
            assert!(PrivateKey::from_bytes(TokenAlg::Rs256, &damaged).is_err(), "byte {at}");
        }
        assert!(PrivateKey::from_bytes(TokenAlg::Rs256, &stored[..stored.len() - 1]).is_err());
    }
}
