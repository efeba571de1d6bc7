//! Keys that check tokens, read from a JSON Web Key Set (RFC 7517). It verifies only: it holds no private key but HS256's,
//! which is secret by nature and stays out of everything that is sent to an edge.

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::Verifier as _;
use rsa::pkcs1v15;
use sha2::Sha256;

use crate::base64url;
use crate::json::{self, JsonFault, Reader};
use crate::refusal::Refusal;

/// Keys of one set at most; a set of several issuers' worth of rotation has a dozen.
pub const MAX_KEYS: usize = 64;
/// Bytes of a `kid` at most.
pub(crate) const MAX_KEY_ID_BYTES: usize = 128;
/// RFC 7518 section 3.3 asks for 2048 bits or more. The upper bound keeps one signature check under a millisecond.
const RSA_BITS: core::ops::RangeInclusive<u32> = 2048..=4096;
/// RFC 7518 section 3.2: an HS256 key has at least the hash's length. The upper bound is a sane one.
const HMAC_BYTES: core::ops::RangeInclusive<usize> = 32..=512;
/// Members of a whole key set: [`MAX_KEYS`] with a dozen members each, and the set's own.
const MAX_JWKS_MEMBERS: usize = MAX_KEYS * 16 + 16;

/// A signature algorithm of RFC 7518 and RFC 8037 that access tokens may use. Others, `none` among them, do not exist here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

impl Algorithm {
    /// The algorithm's name in `alg`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm of that name, compared byte for byte.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Hs256, Self::EdDsa, Self::Es256, Self::Rs256].into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// The keys of one issuer.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Reads a JWK set. Keys of another type, use or algorithm are passed over, as RFC 7517 section 5 asks; a key that this
    /// verifier would use but that is malformed, weak or named twice is an error.
    ///
    /// # Errors
    /// [`JwksError`] says which key is at fault, and why.
    pub fn from_jwks(text: &[u8]) -> Result<Self, JwksError> {
        let mut set = Self::default();
        let mut fault = None;
        let mut found = false;
        let mut index = 0;
        json::object_bounded(text, MAX_JWKS_MEMBERS, |name, reader| {
            if name != "keys" {
                return reader.skip();
            }
            found = true;
            reader.array(|reader| {
                let jwk = Jwk::read(reader)?;
                if let Err(reason) = jwk.into_key().and_then(|key| key.map_or(Ok(()), |key| set.insert(key))) {
                    fault.get_or_insert(JwksError::BadKey { index, reason });
                }
                index += 1;
                Ok(())
            })
        })
        .map_err(JwksError::Json)?;
        match fault {
            Some(fault) => Err(fault),
            None if !found => Err(JwksError::NoKeys),
            None => Ok(set),
        }
    }

    /// Takes in the keys of another set, such as the HS256 keys that an edge was given beside its snapshot.
    ///
    /// # Errors
    /// When both sets name a key alike, or the sum is more than [`MAX_KEYS`].
    pub fn extend(&mut self, other: &Self) -> Result<(), JwksError> {
        for (index, key) in other.keys.iter().enumerate() {
            self.insert(key.clone()).map_err(|reason| JwksError::BadKey { index, reason })?;
        }
        Ok(())
    }

    /// The number of usable keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no usable key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether a key of the set is a secret.
    pub fn has_secrets(&self) -> bool {
        self.keys.iter().any(|key| key.algorithm() == Algorithm::Hs256)
    }

    /// Checks a signature over any bytes, as [`verify`](crate::verify()) checks a token's: for what is signed but is no access
    /// token, such as a client's assertion (RFC 7523), and for test vectors.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`], [`Refusal::WrongAlgorithm`] or [`Refusal::BadSignature`].
    pub fn check_signature(
        &self,
        key_id: Option<&str>,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), Refusal> {
        self.select(key_id, algorithm)?.check(signed, signature)
    }

    /// The one key for a token that names this key and this algorithm.
    pub(crate) fn select(&self, key_id: Option<&str>, algorithm: Algorithm) -> Result<&Key, Refusal> {
        let Some(id) = key_id else {
            let mut fitting = self.keys.iter().filter(|key| key.algorithm() == algorithm);
            return match (fitting.next(), fitting.next()) {
                (Some(key), None) => Ok(key),
                _ => Err(Refusal::UnknownKey),
            };
        };
        let key = self.keys.iter().find(|key| key.id.as_deref() == Some(id)).ok_or(Refusal::UnknownKey)?;
        if key.algorithm() == algorithm { Ok(key) } else { Err(Refusal::WrongAlgorithm) }
    }

    fn insert(&mut self, key: Key) -> Result<(), &'static str> {
        if key.id.is_some() && self.keys.iter().any(|other| other.id == key.id) {
            return Err("another key has the same kid");
        }
        if self.keys.len() == MAX_KEYS {
            return Err("there are more than 64 keys");
        }
        self.keys.push(key);
        Ok(())
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| (&key.id, key.algorithm()))).finish()
    }
}

/// A key with what it is for.
#[derive(Clone)]
pub(crate) struct Key {
    id: Option<String>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    /// The MAC with the key already absorbed: a check costs two blocks less.
    Hs256(Hmac<Sha256>),
    EdDsa(ed25519_dalek::VerifyingKey),
    Es256(p256::ecdsa::VerifyingKey),
    Rs256(alloc::sync::Arc<pkcs1v15::VerifyingKey<Sha256>>),
}

impl Key {
    /// Its `kid`.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Hs256(_) => Algorithm::Hs256,
            Material::EdDsa(_) => Algorithm::EdDsa,
            Material::Es256(_) => Algorithm::Es256,
            Material::Rs256(_) => Algorithm::Rs256,
        }
    }

    /// Checks a signature. Ed25519 strictly (canonical S, no small-order point, so that a signature has one spelling), ECDSA
    /// over exactly 64 bytes with `r` and `s` in range, RSA at exactly the modulus's length, HMAC in constant time.
    pub(crate) fn check(&self, signed: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let fits = match &self.material {
            Material::Hs256(mac) => mac.clone().chain_update(signed).verify_slice(signature).is_ok(),
            Material::EdDsa(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(signed, &signature).is_ok()),
            Material::Es256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(signed, &signature).is_ok()),
            Material::Rs256(key) => {
                pkcs1v15::Signature::try_from(signature).is_ok_and(|signature| key.verify(signed, &signature).is_ok())
            }
        };
        if fits { Ok(()) } else { Err(Refusal::BadSignature) }
    }
}

/// The members of a JWK that matter here.
#[derive(Default)]
struct Jwk<'a> {
    kty: Option<Cow<'a, str>>,
    kid: Option<Cow<'a, str>>,
    alg: Option<Cow<'a, str>>,
    r#use: Option<Cow<'a, str>>,
    crv: Option<Cow<'a, str>>,
    k: Option<Cow<'a, str>>,
    x: Option<Cow<'a, str>>,
    y: Option<Cow<'a, str>>,
    n: Option<Cow<'a, str>>,
    e: Option<Cow<'a, str>>,
    /// `key_ops` is there and does not list `verify`.
    not_for_verifying: bool,
}

impl<'a> Jwk<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonFault> {
        let mut jwk = Self::default();
        reader.object(|name, reader| {
            let member = match name {
                "kty" => &mut jwk.kty,
                "kid" => &mut jwk.kid,
                "alg" => &mut jwk.alg,
                "use" => &mut jwk.r#use,
                "crv" => &mut jwk.crv,
                "k" => &mut jwk.k,
                "x" => &mut jwk.x,
                "y" => &mut jwk.y,
                "n" => &mut jwk.n,
                "e" => &mut jwk.e,
                "key_ops" => {
                    jwk.not_for_verifying = true;
                    return reader.array(|reader| {
                        jwk.not_for_verifying &= reader.string()? != "verify";
                        Ok(())
                    });
                }
                _ => return reader.skip(),
            };
            *member = Some(reader.string()?);
            Ok(())
        })?;
        Ok(jwk)
    }

    /// The key, or nothing if it is not one for checking tokens.
    fn into_key(self) -> Result<Option<Key>, &'static str> {
        if self.not_for_verifying || self.r#use.as_deref().is_some_and(|purpose| purpose != "sig") {
            return Ok(None);
        }
        let algorithm = match (self.kty.as_deref(), self.crv.as_deref()) {
            (Some("oct"), _) => Algorithm::Hs256,
            (Some("OKP"), Some("Ed25519")) => Algorithm::EdDsa,
            (Some("EC"), Some("P-256")) => Algorithm::Es256,
            (Some("RSA"), _) => Algorithm::Rs256,
            (None, _) => return Err("kty is missing"),
            _ => return Ok(None),
        };
        if self.alg.as_deref().is_some_and(|alg| alg != algorithm.name()) {
            return Ok(None);
        }
        if self.kid.as_deref().is_some_and(|kid| kid.is_empty() || kid.len() > MAX_KEY_ID_BYTES) {
            return Err("kid must have 1 to 128 bytes");
        }
        let material = match algorithm {
            Algorithm::Hs256 => self.hs256()?,
            Algorithm::EdDsa => self.eddsa()?,
            Algorithm::Es256 => self.es256()?,
            Algorithm::Rs256 => self.rs256()?,
        };
        Ok(Some(Key { id: self.kid.map(|kid| kid.to_string()), material }))
    }

    fn hs256(&self) -> Result<Material, &'static str> {
        let secret = zeroize::Zeroizing::new(bytes(self.k.as_deref()).ok_or("k is not base64url")?);
        if !HMAC_BYTES.contains(&secret.len()) {
            return Err("k must have 32 to 512 bytes");
        }
        Ok(Material::Hs256(Hmac::new_from_slice(&secret).map_err(|_| "k is not usable")?))
    }

    fn eddsa(&self) -> Result<Material, &'static str> {
        let point = array(self.x.as_deref()).ok_or("x must have 32 bytes")?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&point).map_err(|_| "x is not a point of the curve")?;
        // A key of small order would accept signatures that nobody made.
        if key.is_weak() { Err("x is a point of small order") } else { Ok(Material::EdDsa(key)) }
    }

    fn es256(&self) -> Result<Material, &'static str> {
        let (Some(x), Some(y)) = (array::<32>(self.x.as_deref()), array::<32>(self.y.as_deref())) else {
            return Err("x and y must have 32 bytes each");
        };
        let mut point = [4; 65]; // SEC 1: the uncompressed form begins with 4.
        let (_, coordinates) = point.split_at_mut(1);
        coordinates.copy_from_slice([x, y].as_flattened());
        let key =
            p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).map_err(|_| "x and y are not a point of the curve")?;
        Ok(Material::Es256(key))
    }

    fn rs256(&self) -> Result<Material, &'static str> {
        let modulus = integer(self.n.as_deref()).ok_or("n is not base64url")?;
        let exponent = integer(self.e.as_deref()).ok_or("e is not base64url")?;
        if !RSA_BITS.contains(&modulus.bits()) {
            return Err("n must have 2048 to 4096 bits");
        }
        let key = rsa::RsaPublicKey::new(modulus, exponent).map_err(|_| "n and e are not an RSA key")?;
        Ok(Material::Rs256(pkcs1v15::VerifyingKey::new(key).into()))
    }
}

fn bytes(text: Option<&str>) -> Option<Vec<u8>> {
    base64url::decode(text?.as_bytes()).filter(|bytes| !bytes.is_empty())
}

fn array<const N: usize>(text: Option<&str>) -> Option<[u8; N]> {
    base64url::decode_array(text?.as_bytes())
}

fn integer(text: Option<&str>) -> Option<rsa::BoxedUint> {
    bytes(text).filter(|bytes| bytes.len() <= 1024).map(|bytes| rsa::BoxedUint::from_be_slice_vartime(&bytes))
}

/// Why a JWK set cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JwksError {
    /// Not a strict JSON object.
    Json(JsonFault),
    /// There is no `keys` member (RFC 7517 section 5).
    NoKeys,
    /// A key is malformed or weak.
    BadKey {
        /// Its place in the set, from 0.
        index: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl fmt::Display for JwksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(fault) => write!(f, "the key set {fault}"),
            Self::NoKeys => f.write_str("the key set has no member \"keys\""),
            Self::BadKey { index, reason } => write!(f, "key {index} of the key set: {reason}"),
        }
    }
}

impl core::error::Error for JwksError {}
