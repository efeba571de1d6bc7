//! A token's header (RFC 7515 section 4): it may name the key and must name algorithm and type, and steers nothing else.

use alloc::borrow::Cow;

use crate::json::{self, JsonFault};
use crate::key::{Algorithm, MAX_KEY_ID_BYTES};
use crate::refusal::{Part, Refusal};

/// Members by which a token could bring its own key, its own compression, or rules that this verifier does not know.
const FORBIDDEN: [&str; 7] = ["crit", "b64", "zip", "jku", "x5u", "jwk", "x5c"];

/// What of a header matters. It is not verified: the signature over it is checked later, with the key it calls for.
pub(crate) struct Header<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<Cow<'a, str>>,
}

impl<'a> Header<'a> {
    /// Reads a header. `plain_jwt`: take `typ` of plain `JWT`, or none, for an access token too.
    pub(crate) fn read(text: &'a [u8], plain_jwt: bool) -> Result<Self, Refusal> {
        let (mut alg, mut typ, mut key_id) = (None, None, None);
        let mut forbidden = None;
        json::object(text, |name, reader| {
            match name {
                "alg" => alg = Some(reader.string()?),
                "typ" => typ = Some(reader.string()?),
                "kid" => key_id = Some(reader.string()?),
                _ => {
                    forbidden = forbidden.or(FORBIDDEN.into_iter().find(|&member| member == name));
                    reader.skip()?;
                }
            }
            Ok::<(), JsonFault>(())
        })
        .map_err(|fault| Refusal::BadJson { part: Part::Header, fault })?;

        if let Some(name) = forbidden {
            return Err(Refusal::ForbiddenHeader { name });
        }
        if key_id.as_deref().is_some_and(|id| id.is_empty() || id.len() > MAX_KEY_ID_BYTES) {
            return Err(Refusal::BadKeyId);
        }
        if !is_access_token_type(typ.as_deref(), plain_jwt) {
            return Err(Refusal::WrongType);
        }
        let alg = alg.ok_or(Refusal::MissingHeader { name: "alg" })?;
        let algorithm = Algorithm::from_name(&alg).ok_or(Refusal::UnknownAlgorithm)?;
        Ok(Self { algorithm, key_id })
    }
}

/// RFC 9068 section 4: `at+jwt` or `application/at+jwt`; media types compare without case (RFC 7515 section 4.1.9).
fn is_access_token_type(typ: Option<&str>, plain_jwt: bool) -> bool {
    let is = |wanted: &str| typ.is_some_and(|typ| typ.eq_ignore_ascii_case(wanted));
    is("at+jwt") || is("application/at+jwt") || (plain_jwt && (typ.is_none() || is("JWT")))
}
