//! A token's JOSE header (RFC 7515 section 4). It must name the algorithm and the type, may name
//! the key, and has no other influence on verification.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::json::{self, JsonError};
use crate::refusal::{Refusal, TokenPart};

/// Longest `kid`, in bytes.
pub(crate) const MAX_KEY_ID_BYTES: usize = 128;
/// Members by which a token could bring its own key, compression or processing rules. A header with
/// one of them is refused.
const FORBIDDEN_MEMBERS: [&str; 7] = ["crit", "b64", "zip", "jku", "x5u", "jwk", "x5c"];

/// The members of a header that select a key. Unverified: the signature over the header is checked
/// later, with the selected key.
pub(crate) struct UnverifiedHeader {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
}

impl UnverifiedHeader {
    /// Reads the header of a token. With `allow_plain_jwt`, a `typ` of `JWT` or no `typ` is
    /// accepted, too.
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
                    forbidden = forbidden.or(FORBIDDEN_MEMBERS.into_iter().find(|&member| member == name));
                    reader.skip()?;
                }
            }
            Ok::<(), JsonError>(())
        })
        .map_err(|error| Refusal::BadJson { part: TokenPart::Header, error })?;

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

/// The header of an access token (RFC 9068 section 2.1) with this algorithm and key, in base64url,
/// byte for byte as Tollgate's origin writes it. An edge recognizes such a header by comparison,
/// without parsing it. `None` for a `kid` that is empty, too long, or would need escapes in JSON.
pub fn canonical_header(algorithm: Algorithm, key_id: &str) -> Option<String> {
    let is_plain = key_id.bytes().all(|byte| matches!(byte, 0x20..0x7f) && byte != b'"' && byte != b'\\');
    let is_valid = is_plain && (1..=MAX_KEY_ID_BYTES).contains(&key_id.len());
    let header = || alloc::format!(r#"{{"alg":"{}","kid":"{key_id}","typ":"at+jwt"}}"#, algorithm.name());
    is_valid.then(|| base64url::encode(header().as_bytes()))
}

/// RFC 9068 section 4: `at+jwt` or `application/at+jwt`. Media types are compared without case (RFC
/// 7515 section 4.1.9).
///
/// With `allow_plain_jwt` the type no longer tells an access token from an ID token, which has the
/// same issuer and keys. Two other checks do: an ID token's `aud` is a client and not a resource
/// server, and an access token must have `client_id` and `jti` (RFC 9068 section 2.2), which
/// Tollgate's ID tokens and userinfo responses never have, whatever the client is called.
fn is_access_token_type(typ: Option<&str>, allow_plain_jwt: bool) -> bool {
    let is = |wanted: &str| typ.is_some_and(|typ| typ.eq_ignore_ascii_case(wanted));
    is("at+jwt") || is("application/at+jwt") || (allow_plain_jwt && (typ.is_none() || is("JWT")))
}
