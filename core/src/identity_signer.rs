//! An edge's own key, with which it signs the identity of allowed requests for upstreams.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::EdwardsBasepointTable;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use curve25519_dalek::traits::BasepointTable as _;
use sha2::{Digest as _, Sha256, Sha512};
use zeroize::Zeroizing;

use crate::{base64url, json};

/// An Ed25519 private key, wiped from memory when dropped. It signs by the steps of RFC 8032, not
/// by `ed25519_dalek::SigningKey`, whose constant table of the base point would be a tenth of the
/// compressed component: this one is computed when a key is read.
#[derive(Clone)]
pub struct IdentitySigner {
    /// SHA-512 of the secret bytes: the scalar before it is clamped, and the prefix.
    secret: Zeroizing<[u8; 64]>,
    /// The encoded public point.
    point: [u8; 32],
    base: Box<EdwardsBasepointTable>,
    public_key: String,
    key_id: String,
}

impl IdentitySigner {
    /// Reads a key: 32 secret bytes in base64url, or a private JWK (RFC 8037).
    pub fn read(text: &str) -> Option<Self> {
        match text.starts_with('{') {
            true => read_jwk(text),
            false => Some(Self::new(&Zeroizing::new(base64url::decode_array::<32>(text.as_bytes())?))),
        }
    }

    fn new(seed: &[u8; 32]) -> Self {
        let secret = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(seed)));
        let base = Box::new(EdwardsBasepointTable::create(&ED25519_BASEPOINT_POINT));
        let point = base.mul_base(&scalar(&secret)).compress().to_bytes();
        let public_key = base64url::encode(&point);
        // RFC 7638 section 3: the required members in order, without white space.
        let mut hash = Sha256::new();
        hash.update(br#"{"crv":"Ed25519","kty":"OKP","x":""#);
        hash.update(&public_key);
        hash.update(br#""}"#);
        Self { secret, point, base, public_key, key_id: base64url::encode(&hash.finalize()) }
    }

    /// The public key in base64url: `x` of a JWK.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// The key's thumbprint (RFC 7638), which serves as its `kid`.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// An identifier that only this key and these random bits make, different for each number.
    pub fn derive_id(&self, random: &[u8; 16], number: u64) -> String {
        let mut hash = Sha256::new();
        hash.update(b"tollgate identity token id v1\0");
        hash.update(self.secret.as_slice());
        hash.update(random);
        hash.update(number.to_be_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        base64url::encode(hash.get(..16).unwrap_or_default())
    }

    /// Signs a JWT with these JSON texts (RFC 7515 section 7.1), which must say `EdDSA` and the
    /// key's ID.
    pub fn sign(&self, header: &str, claims: &str) -> String {
        let mut token = base64url::encode(header.as_bytes());
        token.push('.');
        token.push_str(&base64url::encode(claims.as_bytes()));
        let signature = self.signature(token.as_bytes());
        token.push('.');
        token.push_str(&base64url::encode(&signature));
        token
    }

    /// The signature over these bytes (RFC 8032 section 5.1.6).
    fn signature(&self, signed: &[u8]) -> [u8; 64] {
        let hash = |parts: [&[u8]; 3]| {
            let hash = parts.iter().fold(Sha512::new(), |hash, part| hash.chain_update(part));
            Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
        };
        let (_, prefix) = self.secret.split_at(32);
        let nonce = hash([prefix, signed, &[]]);
        let commitment = self.base.mul_base(&nonce).compress().to_bytes();
        let response = hash([&commitment, &self.point, signed]) * scalar(&self.secret) + nonce;
        let mut signature = [0_u8; 64];
        let (first, second) = signature.split_at_mut(32);
        first.copy_from_slice(&commitment);
        second.copy_from_slice(response.as_bytes());
        signature
    }
}

impl fmt::Debug for IdentitySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentitySigner").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// The secret scalar (RFC 8032 section 5.1.5).
fn scalar(secret: &[u8; 64]) -> Scalar {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    bytes.copy_from_slice(secret.split_at(32).0);
    Scalar::from_bytes_mod_order(clamp_integer(*bytes))
}

/// Reads a private JWK. Members that say nothing of the key itself are ignored.
fn read_jwk(text: &str) -> Option<IdentitySigner> {
    let (mut is_ed25519, mut is_okp, mut secret, mut public) = (false, false, None, None);
    json::object(text.as_bytes(), |name, reader| {
        match name {
            "kty" => is_okp = reader.string()? == "OKP",
            "crv" => is_ed25519 = reader.string()? == "Ed25519",
            "d" => secret = base64url::decode_array::<32>(reader.string()?.as_bytes()).map(Zeroizing::new),
            "x" => public = Some(reader.string()?.into_owned()),
            _ => reader.skip()?,
        }
        Ok(())
    })
    .ok()?;
    let secret = secret.filter(|_| is_okp && is_ed25519)?;
    let signer = IdentitySigner::new(&secret);
    public.is_none_or(|public| public == signer.public_key).then_some(signer)
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8037 appendix A.1 to A.4.
    const SEED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

    #[test]
    fn key_is_a_seed_or_a_private_jwk() {
        let jwk =
            alloc::format!(r#"{{"kty":"OKP","crv":"Ed25519","d":"{SEED}","x":"{PUBLIC}","kid":"a","use":"sig"}}"#);
        for text in [SEED, &jwk] {
            let signer = IdentitySigner::read(text).expect("a key");
            assert_eq!((signer.public_key(), signer.key_id()), (PUBLIC, THUMBPRINT));
        }
        let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for text in [
            "",
            &SEED[1..],
            "{}",
            &alloc::format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{PUBLIC}"}}"#),
            &alloc::format!(r#"{{"kty":"OKP","crv":"X25519","d":"{SEED}"}}"#),
            &alloc::format!(r#"{{"kty":"OKP","crv":"Ed25519","d":"{SEED}","x":"{other}"}}"#),
            &alloc::format!(r#"{{"kty":"OKP","crv":"Ed25519","d":"{SEED}""#),
        ] {
            assert!(IdentitySigner::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn signature_is_that_of_rfc_8037() {
        let signer = IdentitySigner::read(SEED).expect("a key");
        let token = signer.sign(r#"{"alg":"EdDSA"}"#, "Example of Ed25519 signing");
        let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert_eq!(token, alloc::format!("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.{signature}"));
    }
}
