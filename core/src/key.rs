//! Keys that verify tokens, read from a JSON Web Key Set (RFC 7517).
//!
//! Never: a private key. The only secret is the symmetric key of HS256, which a configuration for
//! edges must not contain ([`ConfigError::SecretKey`](crate::ConfigError::SecretKey)).

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest as _, Sha256};
use smallvec::SmallVec;

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::bytes::is_equal;
use crate::comb::{self, Ed25519Key, GeneratorTables, P256Key, TableSize};
use crate::confirmation::Thumbprint;
use crate::header::{MAX_KEY_ID_BYTES, UnverifiedHeader, canonical_header};
use crate::json::{self, JsonError, Reader};
use crate::mac::MacKey;
use crate::refusal::{Refusal, TokenPart};
use crate::rs256;

/// Most keys of one set. During a rotation, a set with keys of several issuers has about a dozen.
pub const MAX_KEYS: usize = 64;
/// Length of an HS256 key: at least that of the hash (RFC 7518 section 3.2), and a generous upper
/// bound.
const HMAC_KEY_BYTES: core::ops::RangeInclusive<usize> = 32..=512;
/// Most JSON members of a key set: [`MAX_KEYS`] keys of 16 members each, and the members of the
/// set.
const MAX_JWKS_MEMBERS: usize = MAX_KEYS * 16 + 16;

/// Member of a JWK set with the audiences whose access tokens may be plain JWTs. A reader that does
/// not know it ignores it (RFC 7517 section 5) and refuses such tokens.
const PLAIN_JWT_AUDIENCES: &str = "tollgate_plain_jwt_audiences";

/// The keys of one issuer.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    /// Fingerprint of each key's canonical header.
    header_fingerprints: Vec<u64>,
    /// Audiences whose access tokens may be plain JWTs.
    plain_jwt_audiences: Vec<String>,
}

impl KeySet {
    /// Reads a JWK set. Keys of another type, use or algorithm are ignored, as RFC 7517 section 5
    /// requires. A key that this verifier would use is an error if it is malformed or weak, or if
    /// another key has the same `kid`.
    ///
    /// # Errors
    /// [`JwksError`] says which key, and why.
    pub fn from_jwks(text: &[u8]) -> Result<Self, JwksError> {
        let mut set = Self::default();
        let mut first_error = None;
        let mut has_keys = false;
        let mut index = 0;
        json::object_bounded(text, MAX_JWKS_MEMBERS, |name, reader| {
            if name == PLAIN_JWT_AUDIENCES {
                set.plain_jwt_audiences = json::strings(reader)?;
                return Ok(());
            }
            if name != "keys" {
                return reader.skip();
            }
            has_keys = true;
            reader.array(|reader| {
                let jwk = Jwk::read(reader)?;
                if let Err(reason) = jwk.into_key().and_then(|key| key.map_or(Ok(()), |key| set.insert(key))) {
                    first_error.get_or_insert(JwksError::BadKey { index, reason });
                }
                index += 1;
                Ok(())
            })
        })
        .map_err(JwksError::Json)?;
        match first_error {
            Some(error) => Err(error),
            None if !has_keys => Err(JwksError::NoKeys),
            None => Ok(set),
        }
    }

    /// Adds the keys of another set, such as the HS256 keys of an edge's settings.
    ///
    /// # Errors
    /// If both sets have a key with the same `kid`, or more than [`MAX_KEYS`] together.
    pub fn extend(&mut self, other: &Self) -> Result<(), JwksError> {
        for (index, key) in other.keys.iter().enumerate() {
            self.insert(key.clone()).map_err(|reason| JwksError::BadKey { index, reason })?;
        }
        Ok(())
    }

    /// Whether the issuer says that access tokens for this audience may be plain JWTs; see
    /// [`TokenRequirements::allow_plain_jwt`](crate::TokenRequirements::allow_plain_jwt).
    pub fn allows_plain_jwt(&self, audience: &str) -> bool {
        self.plain_jwt_audiences.iter().any(|allowed| allowed == audience)
    }

    /// The number of usable keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether the set has no usable key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the set has a secret (HS256) key.
    pub fn has_secrets(&self) -> bool {
        self.keys.iter().any(|key| key.algorithm() == Algorithm::Hs256)
    }

    /// Checks a signature over any bytes, as [`verify`](crate::verify()) checks that of a token.
    /// For signed content that is not an access token, such as a client assertion (RFC 7523), and
    /// for test vectors.
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
        self.select(key_id, algorithm)?.1.check_signature(signed, signature)
    }

    /// The key that a token's encoded header selects, and the key's index.
    pub(crate) fn select_for_header(&self, header: &[u8], allow_plain_jwt: bool) -> Result<(usize, &Key), Refusal> {
        if let Some(found) = self.find_by_canonical_header(header) {
            return Ok(found);
        }
        let header = UnverifiedHeader::read(header, allow_plain_jwt)?;
        self.select(header.key_id.as_deref(), header.algorithm)
    }

    /// The `kid` of the key with this index, if it has one.
    pub(crate) fn key_id(&self, index: usize) -> Option<&str> {
        self.keys.get(index)?.id()
    }

    /// The key whose canonical header is `header`. The search compares one fingerprint for each key
    /// and then one whole header, so its cost hardly depends on the number of keys.
    fn find_by_canonical_header(&self, header: &[u8]) -> Option<(usize, &Key)> {
        let fingerprint = fingerprint(header);
        let index = self.header_fingerprints.iter().position(|known| *known == fingerprint)?;
        let key = self.keys.get(index)?;
        is_equal(key.canonical_header.as_deref()?.as_bytes(), header).then_some((index, key))
    }

    /// The key with this `kid` and algorithm, and its index. Without a `kid`, exactly one key of
    /// the algorithm must exist.
    fn select(&self, key_id: Option<&str>, algorithm: Algorithm) -> Result<(usize, &Key), Refusal> {
        let mut keys = self.keys.iter().enumerate();
        let Some(id) = key_id else {
            let mut matching = keys.filter(|(_, key)| key.algorithm() == algorithm);
            return match (matching.next(), matching.next()) {
                (Some(found), None) => Ok(found),
                _ => Err(Refusal::UnknownKey),
            };
        };
        let (index, key) = keys.find(|(_, key)| key.id() == Some(id)).ok_or(Refusal::UnknownKey)?;
        if key.algorithm() == algorithm { Ok((index, key)) } else { Err(Refusal::WrongAlgorithm) }
    }

    /// Computes the tables of all Ed25519 and P-256 keys, or drops them: see [`TableSize`]. A small
    /// table takes a few hundred microseconds, a large one a few milliseconds; a table that has
    /// this size already is kept. Clones of the set share tables. Answers are the same with and
    /// without tables.
    pub fn prepare_tables(&mut self, size: TableSize) {
        self.prepare_where(size, |_| true);
    }

    /// Computes or drops the table of the key with this `kid`: an edge does so for a key that is
    /// used often.
    pub fn prepare_table(&mut self, key_id: &str, size: TableSize) {
        self.prepare_where(size, |key| key.id() == Some(key_id));
    }

    fn prepare_where(&mut self, size: TableSize, is_selected: impl Fn(&Key) -> bool) {
        let mut generators = GeneratorTables::new(size);
        for key in &self.keys {
            match &key.material {
                KeyMaterial::EdDsa(key) => key.share_generator_table(&mut generators),
                KeyMaterial::Es256(key) => key.share_generator_table(&mut generators),
                KeyMaterial::Hs256(_) | KeyMaterial::Rs256(_) => {}
            }
        }
        for key in self.keys.iter_mut().filter(|key| is_selected(key)) {
            match &mut key.material {
                KeyMaterial::EdDsa(key) => key.prepare_table(&mut generators),
                KeyMaterial::Es256(key) => key.prepare_table(&mut generators),
                KeyMaterial::Hs256(_) | KeyMaterial::Rs256(_) => {}
            }
        }
    }

    /// Reuses the tables of the `previous` set for keys that are in both sets, under any `kid`, and
    /// have no table in this one. So a new snapshot with the same keys computes nothing again.
    pub fn reuse_tables_from(&mut self, previous: &Self) {
        for key in &mut self.keys {
            for other in &previous.keys {
                match (&mut key.material, &other.material) {
                    (KeyMaterial::EdDsa(key), KeyMaterial::EdDsa(other)) => key.reuse_table_from(other),
                    (KeyMaterial::Es256(key), KeyMaterial::Es256(other)) => key.reuse_table_from(other),
                    _ => {}
                }
            }
        }
    }

    /// Size of all tables in bytes, including those of the curves' generators. A table that keys
    /// share is counted once.
    pub fn table_bytes(&self) -> usize {
        comb::distinct_bytes(self.keys.iter().filter_map(|key| match &key.material {
            KeyMaterial::EdDsa(key) => key.table_locations(),
            KeyMaterial::Es256(key) => key.table_locations(),
            KeyMaterial::Hs256(_) | KeyMaterial::Rs256(_) => None,
        }))
    }

    fn insert(&mut self, key: Key) -> Result<(), &'static str> {
        if key.id.is_some() && self.keys.iter().any(|other| other.id == key.id) {
            return Err("another key has the same kid");
        }
        if self.keys.len() == MAX_KEYS {
            return Err("there are more than 64 keys");
        }
        self.header_fingerprints.push(fingerprint(key.canonical_header.as_deref().unwrap_or_default().as_bytes()));
        self.keys.push(key);
        Ok(())
    }
}

/// A fast hash of a header. It need not resist collisions: [`KeySet::find_by_canonical_header`]
/// compares the whole header.
fn fingerprint(header: &[u8]) -> u64 {
    // Each word is multiplied by its own factor, so that the multiplications do not depend on each
    // other.
    let words = header.as_chunks().0.iter().zip(1_u64..);
    words.fold(header.len() as u64, |sum, (word, number)| {
        sum.wrapping_add(u64::from_le_bytes(*word).wrapping_mul(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    })
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| (&key.id, key.algorithm()))).finish()
    }
}

/// A key with its `kid` and algorithm.
#[derive(Clone)]
pub(crate) struct Key {
    id: Option<String>,
    canonical_header: Option<String>,
    material: KeyMaterial,
}

#[derive(Clone)]
enum KeyMaterial {
    Hs256(MacKey),
    EdDsa(Ed25519Key),
    Es256(P256Key),
    Rs256(alloc::sync::Arc<rs256::PublicKey>),
}

impl Key {
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self.material {
            KeyMaterial::Hs256(_) => Algorithm::Hs256,
            KeyMaterial::EdDsa(_) => Algorithm::EdDsa,
            KeyMaterial::Es256(_) => Algorithm::Es256,
            KeyMaterial::Rs256(_) => Algorithm::Rs256,
        }
    }

    /// The key, if it is an HS256 key.
    pub(crate) fn mac_key(&self) -> Option<&MacKey> {
        match &self.material {
            KeyMaterial::Hs256(key) => Some(key),
            _ => None,
        }
    }

    /// Checks the base64url signature of a token.
    pub(crate) fn check_encoded_signature(&self, signed: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let mut bytes = SmallVec::<[u8; 64]>::from_elem(0, base64url::decoded_len(signature.len()));
        base64url::decode_slice(signature, &mut bytes).ok_or(Refusal::NotBase64Url { part: TokenPart::Signature })?;
        self.check_signature(signed, &bytes)
    }

    /// Checks a signature: Ed25519 strictly (canonical `S`, no point of small order), ECDSA with
    /// exactly 64 bytes and `r` and `s` in range, RSA with exactly the length of the modulus, HMAC
    /// in constant time.
    pub(crate) fn check_signature(&self, signed: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let is_valid = match &self.material {
            KeyMaterial::Hs256(key) => key.is_valid_tag(signed, signature),
            KeyMaterial::EdDsa(key) => key.accepts(signed, signature),
            KeyMaterial::Es256(key) => key.accepts(signed, signature),
            KeyMaterial::Rs256(key) => key.accepts(signed, signature),
        };
        if is_valid { Ok(()) } else { Err(Refusal::BadSignature) }
    }
}

/// The members of a JWK that this verifier reads.
#[derive(Default)]
pub(crate) struct Jwk<'a> {
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
    /// `key_ops` is present and does not contain `verify`.
    has_other_key_ops: bool,
    /// A member of a private key is present.
    has_private_member: bool,
}

impl<'a> Jwk<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
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
                    jwk.has_other_key_ops = true;
                    return reader.array(|reader| {
                        jwk.has_other_key_ops &= reader.string()? != "verify";
                        Ok(())
                    });
                }
                "d" | "p" | "q" | "dp" | "dq" | "qi" | "oth" => {
                    jwk.has_private_member = true;
                    return reader.skip();
                }
                _ => return reader.skip(),
            };
            *member = Some(reader.string()?);
            Ok(())
        })?;
        Ok(jwk)
    }

    /// The public key that a JWS brings in its own header, and the key's thumbprint (RFC 7638);
    /// `None` if it is malformed, weak, private or symmetric.
    pub(crate) fn into_public_key(self) -> Option<(Key, Thumbprint)> {
        let members = match self.kty.as_deref()? {
            "OKP" => [("crv", self.crv.as_deref()), ("kty", self.kty.as_deref()), ("x", self.x.as_deref()), ("", None)],
            "EC" => [
                ("crv", self.crv.as_deref()),
                ("kty", self.kty.as_deref()),
                ("x", self.x.as_deref()),
                ("y", self.y.as_deref()),
            ],
            "RSA" => [("e", self.e.as_deref()), ("kty", self.kty.as_deref()), ("n", self.n.as_deref()), ("", None)],
            _ => return None,
        };
        // The values of a valid key need no escapes.
        let mut hash = Sha256::new();
        for (index, (name, value)) in members.into_iter().enumerate() {
            let Some(value) = value else { break };
            hash.update(if index == 0 { "{\"" } else { ",\"" });
            hash.update(name);
            hash.update("\":\"");
            hash.update(value.as_bytes());
            hash.update("\"");
        }
        hash.update("}");
        let is_public = !self.has_private_member && self.k.is_none();
        let key = self.into_key().ok().flatten().filter(|_| is_public)?;
        Some((key, hash.finalize().into()))
    }

    /// The key, or `None` if the JWK is not for verifying tokens.
    fn into_key(self) -> Result<Option<Key>, &'static str> {
        if self.has_other_key_ops || self.r#use.as_deref().is_some_and(|purpose| purpose != "sig") {
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
        if self.alg.as_deref().is_some_and(|alg| Algorithm::from_name(alg) != Some(algorithm)) {
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

    fn hs256(&self) -> Result<KeyMaterial, &'static str> {
        let secret = zeroize::Zeroizing::new(bytes(self.k.as_deref()).ok_or("k is not base64url")?);
        if !HMAC_KEY_BYTES.contains(&secret.len()) {
            return Err("k must have 32 to 512 bytes");
        }
        Ok(KeyMaterial::Hs256(MacKey::new(&secret)))
    }

    fn eddsa(&self) -> Result<KeyMaterial, &'static str> {
        let point = array(self.x.as_deref()).ok_or("x must have 32 bytes")?;
        Ed25519Key::from_bytes(&point).map(KeyMaterial::EdDsa)
    }

    fn es256(&self) -> Result<KeyMaterial, &'static str> {
        let (Some(x), Some(y)) = (array::<32>(self.x.as_deref()), array::<32>(self.y.as_deref())) else {
            return Err("x and y must have 32 bytes each");
        };
        P256Key::from_coordinates(&x, &y).map(KeyMaterial::Es256)
    }

    fn rs256(&self) -> Result<KeyMaterial, &'static str> {
        let modulus = bytes(self.n.as_deref()).ok_or("n is not base64url")?;
        let exponent = bytes(self.e.as_deref()).ok_or("e is not base64url")?;
        Ok(KeyMaterial::Rs256(rs256::PublicKey::new(&modulus, &exponent)?.into()))
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
    /// The `keys` member is missing (RFC 7517 section 5).
    NoKeys,
    /// A key is malformed or weak.
    BadKey {
        /// Index of the key in the set, from 0.
        index: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl fmt::Display for JwksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "the key set {error}"),
            Self::NoKeys => f.write_str("the key set has no member \"keys\""),
            Self::BadKey { index, reason } => write!(f, "key {index} of the key set: {reason}"),
        }
    }
}

impl core::error::Error for JwksError {}
