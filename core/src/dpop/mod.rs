//! DPoP (RFC 9449): a proof that the sender of a request has the key to which its token is bound.
//!
//! Never: a claim that is read before the proof's signature was checked, or a proof that is
//! accepted for another request, token or key, or outside of its time. Whether it was used before
//! is for a [`ReplaySet`] to say, once the request passes in every other respect.

mod nonce;
mod replay;
#[cfg(test)]
mod tests;
mod url;

use alloc::borrow::Cow;
use core::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::confirmation::Thumbprint;
use crate::json::{self, JsonError, Reader};
use crate::key::{Jwk, Key};
use crate::token::UnverifiedToken;

pub use nonce::NonceKey;
pub use replay::{MAX_PROOF_USES, ProofUse, ReplaySet};
pub use url::RequestUrl;

/// Longest proof in bytes; one with an RSA key of 4096 bits has about two thousand.
pub const MAX_PROOF_BYTES: usize = 8 * 1024;
/// Longest `jti` of a proof, in bytes.
const MAX_ID_BYTES: usize = 256;
/// Seconds for which a proof is accepted after its `iat`, apart from the leeway: time for the way
/// from the client. It is short, because every use is remembered for as long.
pub const MAX_PROOF_AGE_SECONDS: u64 = 60;
/// Values of `alg` that proofs may have, as in the `algs` of a challenge (RFC 9449 section 7.1).
pub const PROOF_ALGORITHMS: &str = "ES256 EdDSA Ed25519 RS256";

/// A request with a token in the scheme `DPoP`.
pub struct DpopRequest<'a> {
    /// The only `DPoP` header, or what is wrong with their number.
    pub proof: Result<&'a [u8], ProofError>,
    /// The method as sent.
    pub method: &'a str,
    /// The request's URL; `None` if it is not known, for which every proof is refused.
    pub url: Option<RequestUrl<'a>>,
    /// The access token.
    pub token: &'a [u8],
    /// Makes the nonces that proofs must have, if they must have one.
    pub nonce_key: Option<&'a NonceKey>,
    /// Seconds by which the clocks of client and gate may differ.
    pub leeway: u64,
    /// The time of the request, Unix seconds.
    pub now: u64,
}

impl DpopRequest<'_> {
    /// Verifies the proof for a token that is bound to `key` (RFC 9449 section 4.3), except for its
    /// replay.
    pub(crate) fn verify(&self, key: &Thumbprint) -> Result<ProofUse, ProofError> {
        let proof = self.proof.clone()?;
        if proof.len() > MAX_PROOF_BYTES {
            return Err(ProofError::Malformed);
        }
        let unverified = UnverifiedToken::split(proof).map_err(|_| ProofError::Malformed)?;
        let (own_key, thumbprint) = read_header(unverified.header)?;
        // Checked first, because it is cheap and needs no signature.
        if !bool::from(thumbprint.ct_eq(key)) {
            return Err(ProofError::OtherKey);
        }
        own_key
            .check_encoded_signature(unverified.signing_input, unverified.signature)
            .map_err(|_| ProofError::BadSignature)?;
        let payload = base64url::decode(unverified.payload).ok_or(ProofError::Malformed)?;
        let claims = ProofClaims::read(&payload)?;
        let issued_at = self.check_claims(&claims)?;
        let id = claims.id.filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()));
        let id = id.ok_or(ProofError::MissingClaim { name: "jti" })?;
        Ok(ProofUse {
            id: use_id(&thumbprint, &id),
            expires_at: issued_at.saturating_add(MAX_PROOF_AGE_SECONDS).saturating_add(self.leeway),
        })
    }

    /// Checks all claims except `jti`, and returns `iat`.
    fn check_claims(&self, claims: &ProofClaims<'_>) -> Result<u64, ProofError> {
        let missing = |name| ProofError::MissingClaim { name };
        // Methods are case-sensitive (RFC 9110 section 9.1).
        if claims.method.as_deref().ok_or(missing("htm"))? != self.method {
            return Err(ProofError::OtherMethod);
        }
        let htu = claims.url.as_deref().ok_or(missing("htu"))?;
        if !self.url.is_some_and(|url| url.is_named_by(htu)) {
            return Err(ProofError::OtherUrl);
        }
        let issued_at = claims.issued_at.ok_or(missing("iat"))?;
        let is_too_old = self.now > issued_at.saturating_add(MAX_PROOF_AGE_SECONDS).saturating_add(self.leeway);
        if is_too_old || issued_at > self.now.saturating_add(self.leeway) {
            return Err(ProofError::OutOfTime);
        }
        let token_hash = claims.token_hash.as_deref().ok_or(missing("ath"))?;
        let digest: [u8; 32] = Sha256::digest(self.token).into();
        let token_hash = base64url::decode_array::<32>(token_hash.as_bytes());
        let is_of_token = token_hash.is_some_and(|hash| hash.ct_eq(&digest).into());
        if !is_of_token {
            return Err(ProofError::OtherToken);
        }
        match self.nonce_key {
            Some(key) if !claims.nonce.as_deref().is_some_and(|nonce| key.accepts(nonce, self.now)) => {
                Err(ProofError::NonceRequired)
            }
            _ => Ok(issued_at),
        }
    }
}

/// Reads a proof's header: the key in it, and the key's thumbprint.
fn read_header(header: &[u8]) -> Result<(Key, Thumbprint), ProofError> {
    let text = base64url::decode(header).ok_or(ProofError::Malformed)?;
    let (mut alg, mut typ, mut jwk) = (None, None, None);
    let mut is_extended = false;
    json::object(&text, |name, reader| {
        match name {
            "alg" => alg = Some(reader.string()?),
            "typ" => typ = Some(reader.string()?),
            "jwk" => jwk = Some(Jwk::read(reader)?),
            _ => {
                is_extended |= matches!(name, "crit" | "b64" | "zip");
                reader.skip()?;
            }
        }
        Ok(())
    })
    .map_err(|_| ProofError::Malformed)?;
    if is_extended {
        return Err(ProofError::Malformed);
    }
    if typ.as_deref() != Some("dpop+jwt") {
        return Err(ProofError::WrongType);
    }
    let algorithm = alg.as_deref().and_then(Algorithm::from_name).filter(|alg| *alg != Algorithm::Hs256);
    let algorithm = algorithm.ok_or(ProofError::UnknownAlgorithm)?;
    let (key, thumbprint) = jwk.and_then(Jwk::into_public_key).ok_or(ProofError::BadKey)?;
    if key.algorithm() == algorithm { Ok((key, thumbprint)) } else { Err(ProofError::BadKey) }
}

/// The claims of a proof that are read; others are ignored.
#[derive(Default)]
struct ProofClaims<'a> {
    id: Option<Cow<'a, str>>,
    method: Option<Cow<'a, str>>,
    url: Option<Cow<'a, str>>,
    token_hash: Option<Cow<'a, str>>,
    nonce: Option<Cow<'a, str>>,
    issued_at: Option<u64>,
}

impl<'a> ProofClaims<'a> {
    fn read(payload: &'a [u8]) -> Result<Self, ProofError> {
        let mut claims = Self::default();
        json::object(payload, |name, reader| {
            let text = match name {
                "jti" => &mut claims.id,
                "htm" => &mut claims.method,
                "htu" => &mut claims.url,
                "ath" => &mut claims.token_hash,
                "nonce" => &mut claims.nonce,
                "iat" => {
                    claims.issued_at = Some(issued_at(reader)?);
                    return Ok(());
                }
                _ => return reader.skip(),
            };
            *text = Some(reader.string()?);
            Ok(())
        })
        .map_err(|_| ProofError::Malformed)?;
        Ok(claims)
    }
}

/// The whole seconds of a date. A fraction is dropped: unlike those of a token, the dates of a
/// proof only have to be near.
fn issued_at(reader: &mut Reader<'_>) -> Result<u64, JsonError> {
    let text = reader.raw()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_plain = seconds.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    seconds.parse().ok().filter(|_| is_plain).ok_or(JsonError::OutOfRange)
}

/// Identifies the use of a `jti` by a key.
fn use_id(key: &Thumbprint, id: &str) -> [u8; 16] {
    let hash = Sha256::new().chain_update(b"tollgate dpop use v1\0").chain_update(key).chain_update(id);
    let hash: [u8; 32] = hash.finalize().into();
    let mut short = [0; 16];
    short.copy_from_slice(hash.split_at(16).0);
    short
}

/// Why a DPoP proof is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofError {
    /// The request has no `DPoP` header.
    Missing,
    /// The request has several `DPoP` headers (RFC 9449 section 4.3, point 1).
    Several,
    /// Not one well-formed JWT (points 2 and 3), or longer than [`MAX_PROOF_BYTES`].
    Malformed,
    /// `typ` is not `dpop+jwt` (point 4).
    WrongType,
    /// `alg` is not among [`PROOF_ALGORITHMS`] (point 5).
    UnknownAlgorithm,
    /// `jwk` is missing, no public key for the algorithm, weak, or has private members (point 7).
    BadKey,
    /// The signature is not by the key in `jwk` (point 6).
    BadSignature,
    /// A required claim is missing (point 3).
    MissingClaim {
        /// The claim's name.
        name: &'static str,
    },
    /// `htm` is another method (point 8).
    OtherMethod,
    /// `htu` is another URL (point 9), or the URL of the request is not known.
    OtherUrl,
    /// There is no valid nonce, which this edge requires (point 10).
    NonceRequired,
    /// `iat` is too long ago or in the future (point 11).
    OutOfTime,
    /// `ath` is the hash of another token (point 12).
    OtherToken,
    /// The token is bound to another key, or to none (point 12).
    OtherKey,
    /// The proof was used before (RFC 9449 section 11.1).
    Replayed,
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the DPoP header is missing",
            Self::Several => "there is more than one DPoP header",
            Self::Malformed => "the DPoP proof is malformed",
            Self::WrongType => "the typ of the DPoP proof is not dpop+jwt",
            Self::UnknownAlgorithm => "the algorithm of the DPoP proof is not accepted",
            Self::BadKey => "the jwk of the DPoP proof is not a public key for its algorithm",
            Self::BadSignature => "the signature of the DPoP proof is not valid",
            Self::MissingClaim { name } => return write!(f, "the claim {name} of the DPoP proof is missing"),
            Self::OtherMethod => "the DPoP proof is for another method",
            Self::OtherUrl => "the DPoP proof is for another URL",
            Self::NonceRequired => "the DPoP proof needs the nonce in DPoP-Nonce",
            Self::OutOfTime => "the DPoP proof is too old, or from the future",
            Self::OtherToken => "the DPoP proof is for another access token",
            Self::OtherKey => "the token is not bound to the key of the DPoP proof",
            Self::Replayed => "the DPoP proof was used before",
        })
    }
}

impl core::error::Error for ProofError {}
