//! A token's header (RFC 7515 section 4): it may name the key and must name algorithm and type, and steers nothing else.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::base64url;
use crate::json::{self, JsonError};
use crate::key::{Algorithm, MAX_KEY_ID_BYTES};
use crate::refusal::{Refusal, TokenPart};

/// Members by which a token could bring its own key, its own compression, or rules that this verifier does not know.
const FORBIDDEN: [&str; 7] = ["crit", "b64", "zip", "jku", "x5u", "jwk", "x5c"];

/// What of a header matters. It is not verified: the signature over it is checked later, with the key it calls for.
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
}

impl Header {
    /// Reads the header of a token. `allow_plain_jwt`: take `typ` of plain `JWT`, or none, for an access token too.
    pub(crate) fn read(text: &[u8], allow_plain_jwt: bool) -> Result<Self, Refusal> {
        let text = base64url::decode(text).ok_or(Refusal::NotBase64Url { part: TokenPart::Header })?;
        let (mut alg, mut typ, mut key_id) = (None, None, None);
        let mut forbidden = None;
        json::object(&text, |name, reader| {
            match name {
                "alg" => alg = Some(reader.string()?),
                "typ" => typ = Some(reader.string()?),
                "kid" => key_id = Some(reader.string()?),
                _ => {
                    forbidden = forbidden.or(FORBIDDEN.into_iter().find(|&member| member == name));
                    reader.skip()?;
                }
            }
            Ok::<(), JsonError>(())
        })
        .map_err(|fault| Refusal::BadJson { part: TokenPart::Header, fault })?;

        if let Some(name) = forbidden {
            return Err(Refusal::ForbiddenHeader { name });
        }
        if key_id.as_deref().is_some_and(|id| id.is_empty() || id.len() > MAX_KEY_ID_BYTES) {
            return Err(Refusal::BadKeyId);
        }
        if !is_access_token_type(typ.as_deref(), allow_plain_jwt) {
            return Err(Refusal::WrongType);
        }
        let alg = alg.ok_or(Refusal::MissingHeader { name: "alg" })?;
        let algorithm = Algorithm::from_name(&alg).ok_or(Refusal::UnknownAlgorithm)?;
        Ok(Self { algorithm, key_id: key_id.map(Cow::into_owned) })
    }
}

/// The header of an access token (RFC 9068 section 2.1) with this key and algorithm, in base64url: how our origin writes it,
/// always, so that an edge knows it again without reading it. `None` for a `kid` that a token cannot have, or that JSON would
/// have to escape.
pub fn canonical_header(algorithm: Algorithm, key_id: &str) -> Option<String> {
    let is_plain = key_id.bytes().all(|byte| matches!(byte, 0x20..0x7f) && byte != b'"' && byte != b'\\');
    let fits = is_plain && (1..=MAX_KEY_ID_BYTES).contains(&key_id.len());
    let header = || alloc::format!(r#"{{"alg":"{}","kid":"{key_id}","typ":"at+jwt"}}"#, algorithm.name());
    fits.then(|| base64url::encode(header().as_bytes()))
}

/// RFC 9068 section 4: `at+jwt` or `application/at+jwt`; media types compare without case (RFC 7515 section 4.1.9).
fn is_access_token_type(typ: Option<&str>, allow_plain_jwt: bool) -> bool {
    let is = |wanted: &str| typ.is_some_and(|typ| typ.eq_ignore_ascii_case(wanted));
    is("at+jwt") || is("application/at+jwt") || (allow_plain_jwt && (typ.is_none() || is("JWT")))
}
