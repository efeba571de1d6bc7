//! An edge's own key, with which it signs the identity of allowed requests for upstreams.

use alloc::string::String;
use core::fmt;

use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{base64url, json};

/// An Ed25519 private key, wiped from memory when dropped.
#[derive(Clone)]
pub struct IdentitySigner {
    key: SigningKey,
    public_key: String,
    key_id: String,
}

impl IdentitySigner {
    /// Reads a key: 32 secret bytes in base64url, or a private JWK (RFC 8037).
    pub fn read(text: &str) -> Option<Self> {
        let seed: Zeroizing<[u8; 32]> = match text.starts_with('{') {
            true => read_jwk(text)?,
            false => Zeroizing::new(base64url::decode_array(text.as_bytes())?),
        };
        let key = SigningKey::from_bytes(&seed);
        let public_key = base64url::encode(key.verifying_key().as_bytes());
        // RFC 7638 section 3: the required members in order, without white space.
        let mut hash = Sha256::new();
        hash.update(br#"{"crv":"Ed25519","kty":"OKP","x":""#);
        hash.update(&public_key);
        hash.update(br#""}"#);
        Some(Self { key, public_key, key_id: base64url::encode(&hash.finalize()) })
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
        hash.update(self.key.as_bytes());
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
        let signature = self.key.sign(token.as_bytes());
        token.push('.');
        token.push_str(&base64url::encode(&signature.to_bytes()));
        token
    }
}

impl fmt::Debug for IdentitySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentitySigner").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// The secret of a private JWK. Members that say nothing of the key's use are ignored.
fn read_jwk(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let (mut is_ed25519, mut is_okp, mut secret, mut public) = (false, false, None, None);
    let read = json::object(text.as_bytes(), |name, reader| {
        match name {
            "kty" => is_okp = reader.string()? == "OKP",
            "crv" => is_ed25519 = reader.string()? == "Ed25519",
            "d" => secret = base64url::decode_array(reader.string()?.as_bytes()).map(Zeroizing::new),
            "x" => public = Some(base64url::decode_array::<32>(reader.string()?.as_bytes())),
            _ => reader.skip()?,
        }
        Ok(())
    });
    let secret = secret.filter(|_| read.is_ok() && is_okp && is_ed25519)?;
    let is_own = public.is_none_or(|public| public == Some(SigningKey::from_bytes(&secret).verifying_key().to_bytes()));
    is_own.then_some(secret)
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
