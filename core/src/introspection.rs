//! Introspection of one token by a registered edge at its origin: of an opaque token, and of one
//! whose revocation status a stale replica does not know. The question names the token without
//! showing it; the answer is authenticated by the edge's key.
//!
//! ```text
//! question  = reference "&nonce=" 32HEXDIG "&edge=" name "&number=" 1*DIGIT "&at=" 1*DIGIT
//!             "&proof=" 64HEXDIG
//! reference = "opaque=" 64HEXDIG  ; SHA-256 of the token
//!           / "id=" token-id      ; `jti` of a token of this origin
//! answer    = magic version reserved nonce state [ key-id claims ] mac
//! magic     = "TGIN"
//! version   = %x01
//! reserved  = 3 %x00
//! nonce     = 16 OCTET            ; of the question
//! state     = %x00 / %x01         ; not active / active
//! key-id    = u16 *OCTET          ; length and text: `kid` of the token's key
//! claims    = *OCTET              ; JSON, as in a signed token (RFC 9068)
//! mac       = 32 OCTET            ; HMAC-SHA256 with the edge's key, over a label and all before
//! ```
//!
//! Never: an answer to another question, of another origin, or for another edge.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest as _, Sha256};

use crate::base64url;
use crate::claims::Claims;
use crate::hex;
use crate::possession::Possession;
use crate::refusal::Refusal;
use crate::revocation::{EpochTokenId, RevocationChecker};
use crate::stream_ticket::StreamTicket;
use crate::sync_request::{EdgeKey, Nonce};
use crate::verify::{MAX_LEEWAY_SECONDS, TokenRequirements, VerifiedToken, check_claims, token_identifiers};
use crate::wire::{Body, WireError};

/// Longest answer that is read, in bytes. A token has at most 16 KiB, its claims much less.
pub const MAX_INTROSPECTION_BYTES: usize = 16 * 1024;
/// The claims are read like those of a token.
const _: () = assert!(2 * MAX_INTROSPECTION_BYTES <= u16::MAX as usize);
const MAGIC: &[u8; 4] = b"TGIN";
const VERSION: u8 = 1;
const MAC_BYTES: usize = 32;
const LABEL: &[u8] = b"tollgate edge introspection v1\0";
/// Prefix of the origin's opaque access tokens.
const OPAQUE_PREFIX: &str = "tga_";
/// Random bytes of an opaque token, and bytes of its checksum.
const OPAQUE_BYTES: usize = 32 + OPAQUE_CHECKSUM_BYTES;
const OPAQUE_CHECKSUM_BYTES: usize = 4;

/// Names a token at its origin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenReference {
    /// SHA-256 of an opaque token.
    Opaque([u8; 32]),
    /// `jti` of a signed token of a Tollgate origin.
    Id(EpochTokenId),
}

impl TokenReference {
    /// The reference to an opaque token; `None` if `token` has another form than the origin's, or a
    /// wrong checksum. So no other token causes a question.
    pub fn of_opaque(token: &[u8]) -> Option<Self> {
        let text = token.strip_prefix(OPAQUE_PREFIX.as_bytes())?;
        let bytes: [u8; OPAQUE_BYTES] = base64url::decode_array(text)?;
        let (random, checksum) = bytes.split_last_chunk::<OPAQUE_CHECKSUM_BYTES>()?;
        let digest: [u8; 32] = Sha256::new().chain_update(OPAQUE_PREFIX).chain_update(random).finalize().into();
        digest.starts_with(checksum).then(|| Self::Opaque(Sha256::digest(token).into()))
    }

    /// The reference to a signed token; `None` if the `jti` is not of a Tollgate origin.
    pub fn of_id(token_id: &str) -> Option<Self> {
        EpochTokenId::parse(token_id).map(Self::Id)
    }

    /// Parses the form that [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('=')? {
            ("opaque", hash) => hex::parse(hash).map(Self::Opaque),
            ("id", id) => Self::of_id(id),
            _ => None,
        }
    }
}

/// The query parameter of a question.
impl fmt::Display for TokenReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opaque(hash) => {
                let mut text = String::with_capacity(2 * hash.len());
                hex::push(&mut text, hash);
                f.write_str("opaque=")?;
                f.write_str(&text)
            }
            Self::Id(id) => {
                f.write_str("id=")?;
                id.fmt(f)
            }
        }
    }
}

/// A token that was active when its origin answered.
#[derive(Debug, Clone)]
pub struct IntrospectedToken {
    token: VerifiedToken,
    key_id: String,
}

impl IntrospectedToken {
    /// Verifies the token in a request, as [`Verifier::verify_in_request`] does one that is signed.
    ///
    /// # Errors
    /// The first check that fails.
    ///
    /// [`Verifier::verify_in_request`]: crate::Verifier::verify_in_request
    pub fn verify(
        &self,
        requirements: &TokenRequirements<'_>,
        possession: Option<&Possession<'_>>,
        revocations: &impl RevocationChecker,
        now: u64,
    ) -> Result<&VerifiedToken, Refusal> {
        let key_id = Some(self.key_id.as_str());
        check_claims(&self.token.0, key_id, requirements, possession, now, |token| revocations.status(token))?;
        Ok(&self.token)
    }

    /// The token's claims, which were not checked for a request.
    pub fn token(&self) -> &VerifiedToken {
        &self.token
    }

    /// The ticket of a stream that was opened with the token.
    pub fn stream_ticket(&self, leeway: u64) -> StreamTicket {
        let claims = &self.token.0;
        let expires_at = claims.expires_at().saturating_add(leeway.min(MAX_LEEWAY_SECONDS));
        StreamTicket::new(&token_identifiers(claims, Some(&self.key_id)), expires_at)
    }
}

impl EdgeKey {
    /// Reads the origin's answer to a question with this nonce about this token; `None` if the
    /// token is not active.
    ///
    /// # Errors
    /// If the answer is malformed, not by this key, or to another question.
    pub fn open_introspection(
        &self,
        answer: &[u8],
        reference: &TokenReference,
        nonce: Nonce,
    ) -> Result<Option<IntrospectedToken>, WireError> {
        if answer.len() > MAX_INTROSPECTION_BYTES {
            return Err(WireError::Malformed("the answer is too long"));
        }
        let (authenticated, mac) = answer.split_last_chunk::<MAC_BYTES>().ok_or(WireError::Truncated)?;
        if !self.has_authenticated(&[LABEL, authenticated].concat(), mac) {
            return Err(WireError::Malformed("the answer is not authenticated by this edge's key"));
        }
        let mut body = Body::new(authenticated);
        if body.bytes(MAGIC.len())? != MAGIC {
            return Err(WireError::WrongKind);
        }
        let version = body.u8()?;
        if version != VERSION {
            return Err(WireError::UnknownVersion { version });
        }
        if body.array::<3>()? != [0; 3] {
            return Err(WireError::Malformed("a reserved byte is not zero"));
        }
        if &body.array::<{ Nonce::LEN }>()? != nonce.as_bytes() {
            return Err(WireError::Malformed("the answer is to another question"));
        }
        match body.u8()? {
            0 => body.finish().map(|()| None),
            1 => read_token(body, reference).map(Some),
            _ => Err(WireError::Malformed("the state is unknown")),
        }
    }

    /// Answers a question with this nonce: `token` are the `kid` and the claims of an active token.
    #[cfg(feature = "build")]
    pub fn seal_introspection(&self, nonce: Nonce, token: Option<(&str, &[u8])>) -> Vec<u8> {
        let mut answer = Vec::with_capacity(512);
        answer.extend_from_slice(MAGIC);
        answer.extend_from_slice(&[VERSION, 0, 0, 0]);
        answer.extend_from_slice(nonce.as_bytes());
        answer.push(token.is_some().into());
        if let Some((key_id, claims)) = token {
            // Key ids have at most 128 bytes.
            answer.extend_from_slice(&(key_id.len() as u16).to_be_bytes());
            answer.extend_from_slice(key_id.as_bytes());
            answer.extend_from_slice(claims);
        }
        let mac = self.authenticate(&[LABEL, &answer].concat());
        answer.extend_from_slice(&mac);
        answer
    }
}

fn read_token(mut body: Body<'_>, reference: &TokenReference) -> Result<IntrospectedToken, WireError> {
    let key_id = body.text()?.to_string();
    let claims: Vec<u8> = body.bytes(body.remaining())?.to_vec();
    let claims = Claims::parse(claims).map_err(|_| WireError::Malformed("the claims are malformed"))?;
    let is_other = match reference {
        TokenReference::Opaque(_) => false, // the nonce is for one hash
        TokenReference::Id(id) => EpochTokenId::parse(claims.token_id()) != Some(*id),
    };
    if is_other {
        return Err(WireError::Malformed("the claims are of another token"));
    }
    Ok(IntrospectedToken { token: VerifiedToken(claims), key_id })
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    const ID: &str = "tg_AAAAAQAAAAAAAAAAAAAAAAAA";

    /// An opaque token of zeros with its checksum.
    fn opaque() -> String {
        let checksum = Sha256::new().chain_update("tga_").chain_update([0; 32]).finalize();
        format!("tga_{}", base64url::encode(&[&[0_u8; 32][..], &checksum[..4]].concat()))
    }

    #[test]
    fn only_tokens_of_the_origins_form_have_a_reference() {
        let token = opaque();
        let reference = TokenReference::of_opaque(token.as_bytes()).expect("an opaque token");
        assert_eq!(TokenReference::parse(&reference.to_string()), Some(reference));
        let id = TokenReference::of_id(ID).expect("an id");
        assert_eq!(id.to_string(), format!("id={ID}"));
        assert_eq!(TokenReference::parse(&id.to_string()), Some(id));
        let altered = token.replacen("_A", "_B", 1);
        for other in ["", "tga_", &token[..51], &format!("{token}A"), &altered, &token.replace("tga_", "tgr_"), "a.b.c"]
        {
            assert_eq!(TokenReference::of_opaque(other.as_bytes()), None, "{other}");
        }
        for other in ["", "a-token", "tg_", "tg_AAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(TokenReference::of_id(other), None, "{other}");
        }
        for text in ["", "opaque=", "opaque=00", "id=", "id=x", "sub=a", ID] {
            assert_eq!(TokenReference::parse(text), None, "{text}");
        }
    }
}
