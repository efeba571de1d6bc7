//! Keys that check tokens, read from a JSON Web Key Set (RFC 7517). It verifies only: it holds no private key but HS256's,
//! which is secret by nature and stays out of everything that is sent to an edge.

mod tables;

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use smallvec::SmallVec;

use crate::base64url;
use crate::bytes::is_same;
use crate::comb::{Ed25519Key, P256Key};
use crate::header::{Header, canonical_header};
use crate::json::{self, JsonError, Reader};
use crate::mac::MacKey;
use crate::refusal::{Refusal, TokenPart};
use crate::rs256;

/// Keys of one set at most; a set of several issuers' worth of rotation has a dozen.
pub const MAX_KEYS: usize = 64;
/// Bytes of a `kid` at most.
pub(crate) const MAX_KEY_ID_BYTES: usize = 128;
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
    /// Of each key's usual header.
    fingerprints: Vec<u64>,
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
        self.select(key_id, algorithm)?.1.check(signed, signature)
    }

    /// The one key that a token's header, given as it stands in the token, calls for, and its place in the set.
    pub(crate) fn called_for_by(&self, header: &[u8], allow_plain_jwt: bool) -> Result<(usize, &Key), Refusal> {
        if let Some(found) = self.with_usual_header(header) {
            return Ok(found);
        }
        let header = Header::read(header, allow_plain_jwt)?;
        self.select(header.key_id.as_deref(), header.algorithm)
    }

    /// The `kid` of the key in a place, if it has one.
    pub(crate) fn id_of(&self, place: usize) -> Option<&str> {
        self.keys.get(place)?.id()
    }

    /// The key whose tokens have this very header when our origin makes them. The search compares a fingerprint for each key,
    /// then the whole header, so it costs the same however many keys there are.
    fn with_usual_header(&self, header: &[u8]) -> Option<(usize, &Key)> {
        let fingerprint = fingerprint(header);
        let place = self.fingerprints.iter().position(|known| *known == fingerprint)?;
        let key = self.keys.get(place)?;
        is_same(key.canonical_header.as_deref()?.as_bytes(), header).then_some((place, key))
    }

    /// The one key for a token that names this key and this algorithm, and its place.
    fn select(&self, key_id: Option<&str>, algorithm: Algorithm) -> Result<(usize, &Key), Refusal> {
        let mut keys = self.keys.iter().enumerate();
        let Some(id) = key_id else {
            let mut fitting = keys.filter(|(_, key)| key.algorithm() == algorithm);
            return match (fitting.next(), fitting.next()) {
                (Some(found), None) => Ok(found),
                _ => Err(Refusal::UnknownKey),
            };
        };
        let (place, key) = keys.find(|(_, key)| key.id() == Some(id)).ok_or(Refusal::UnknownKey)?;
        if key.algorithm() == algorithm { Ok((place, key)) } else { Err(Refusal::WrongAlgorithm) }
    }

    fn insert(&mut self, key: Key) -> Result<(), &'static str> {
        if key.id.is_some() && self.keys.iter().any(|other| other.id == key.id) {
            return Err("another key has the same kid");
        }
        if self.keys.len() == MAX_KEYS {
            return Err("there are more than 64 keys");
        }
        self.fingerprints.push(fingerprint(key.canonical_header.as_deref().unwrap_or_default().as_bytes()));
        self.keys.push(key);
        Ok(())
    }
}

/// Tells headers apart, quickly; whoever finds two with the same fingerprint has gained nothing.
fn fingerprint(header: &[u8]) -> u64 {
    // Each word is multiplied by a number of its own: no step waits for the one before.
    let words = header.as_chunks().0.iter().zip(1_u64..);
    words.fold(header.len() as u64, |sum, (word, place)| {
        sum.wrapping_add(u64::from_le_bytes(*word).wrapping_mul(place.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    })
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
    /// See [`canonical_header`].
    canonical_header: Option<String>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Hs256(MacKey),
    EdDsa(Ed25519Key),
    Es256(P256Key),
    Rs256(alloc::sync::Arc<rs256::PublicKey>),
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

    /// The key itself, if it is one of HS256.
    pub(crate) fn mac(&self) -> Option<&MacKey> {
        match &self.material {
            Material::Hs256(key) => Some(key),
            _ => None,
        }
    }

    /// Checks a signature as it stands in a token.
    pub(crate) fn check_encoded(&self, signed: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let mut bytes = SmallVec::<[u8; 64]>::from_elem(0, base64url::decoded_len(signature.len()));
        base64url::decode_slice(signature, &mut bytes).ok_or(Refusal::NotBase64Url { part: TokenPart::Signature })?;
        self.check(signed, &bytes)
    }

    /// Checks a signature. Ed25519 strictly (canonical S, no small-order point, so that a signature has one spelling), ECDSA
    /// over exactly 64 bytes with `r` and `s` in range, RSA at exactly the modulus's length, HMAC in constant time.
    pub(crate) fn check(&self, signed: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let fits = match &self.material {
            Material::Hs256(key) => key.fits(signed, signature),
            Material::EdDsa(key) => key.accepts(signed, signature),
            Material::Es256(key) => key.accepts(signed, signature),
            Material::Rs256(key) => key.is_good(signed, signature),
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
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
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
        let canonical_header = self.kid.as_deref().and_then(|kid| canonical_header(algorithm, kid));
        Ok(Some(Key { id: self.kid.map(|kid| kid.to_string()), canonical_header, material }))
    }

    fn hs256(&self) -> Result<Material, &'static str> {
        let secret = zeroize::Zeroizing::new(bytes(self.k.as_deref()).ok_or("k is not base64url")?);
        if !HMAC_BYTES.contains(&secret.len()) {
            return Err("k must have 32 to 512 bytes");
        }
        Ok(Material::Hs256(MacKey::new(&secret)))
    }

    fn eddsa(&self) -> Result<Material, &'static str> {
        let point = array(self.x.as_deref()).ok_or("x must have 32 bytes")?;
        Ed25519Key::from_bytes(&point).map(Material::EdDsa)
    }

    fn es256(&self) -> Result<Material, &'static str> {
        let (Some(x), Some(y)) = (array::<32>(self.x.as_deref()), array::<32>(self.y.as_deref())) else {
            return Err("x and y must have 32 bytes each");
        };
        P256Key::from_coordinates(&x, &y).map(Material::Es256)
    }

    fn rs256(&self) -> Result<Material, &'static str> {
        let modulus = bytes(self.n.as_deref()).ok_or("n is not base64url")?;
        let exponent = bytes(self.e.as_deref()).ok_or("e is not base64url")?;
        Ok(Material::Rs256(rs256::PublicKey::new(&modulus, &exponent)?.into()))
    }
}

fn bytes(text: Option<&str>) -> Option<Vec<u8>> {
    base64url::decode(text?.as_bytes()).filter(|bytes| !bytes.is_empty())
}

fn array<const N: usize>(text: Option<&str>) -> Option<[u8; N]> {
    base64url::decode_array(text?.as_bytes())
}

/// Why a JWK set cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JwksError {
    /// Not a strict JSON object.
    Json(JsonError),
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
