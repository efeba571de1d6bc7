//! DPoP (RFC 9449): a proof that the sender of a request has the key to which its token is bound.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tollgate_keys::jose::{self, JoseError, Jws};
use tollgate_model::encoding::{base64url, from_base64url};
use tollgate_model::secret::keyed;
use tollgate_model::{ClientMetadata, SecretHash};
use tollgate_services::signing_keys::SigningKeys;
use tollgate_storage::{ReplayKey, WriteError, Writer};
use tollgate_system::Clock;

use super::error::OAuthError;
use crate::issuer::Issuer;

/// Maximum age of a proof, in seconds: allows for a slow network and a clock that is slightly
/// behind. Its `jti` is stored for as long.
const MAX_PROOF_AGE: u64 = 300;
/// Seconds for which a nonce is handed out; it is valid for as long again.
const NONCE_PERIOD: u64 = 300;

/// Verifies DPoP proofs, and hands out their nonces.
pub(crate) struct ProofVerifier {
    issuer: Arc<Issuer>,
    clock: Clock,
    keys: SigningKeys,
    /// Records the `jti` of a proof, which must not be used again.
    writer: Writer,
    is_nonce_required: bool,
}

impl ProofVerifier {
    pub(crate) fn new(
        issuer: Arc<Issuer>,
        clock: Clock,
        keys: SigningKeys,
        writer: Writer,
        is_nonce_required: bool,
    ) -> ProofVerifier {
        ProofVerifier { issuer, clock, keys, writer, is_nonce_required }
    }
}

/// The request that a proof must match.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// Path of the endpoint below the issuer.
    pub(crate) path: &'a str,
    /// Access token of the request, if any.
    pub(crate) token: Option<&'a str>,
}

/// A verified proof.
pub(crate) struct Proof {
    /// Thumbprint of its key.
    pub(crate) thumbprint: String,
    /// Name of its signature algorithm.
    pub(crate) algorithm: &'static str,
}

/// Why a proof is refused.
#[derive(Debug)]
pub(crate) enum ProofError {
    Invalid(&'static str),
    /// Contains the nonce to use.
    UseNonce(HeaderValue),
    Write(WriteError),
}

impl From<JoseError> for ProofError {
    fn from(JoseError(problem): JoseError) -> ProofError {
        ProofError::Invalid(problem)
    }
}

impl From<ProofError> for OAuthError {
    fn from(error: ProofError) -> OAuthError {
        match error {
            ProofError::Invalid(problem) => OAuthError::InvalidDpopProof(problem),
            ProofError::UseNonce(nonce) => OAuthError::UseDpopNonce(nonce),
            ProofError::Write(error) => OAuthError::Write(error),
        }
    }
}

impl ProofVerifier {
    /// Verifies the DPoP proof of a client's request, and returns the thumbprint of its key; `None`
    /// without a proof.
    pub(crate) async fn verify_for(
        &self,
        client: &ClientMetadata,
        headers: &HeaderMap,
        request: &Request<'_>,
    ) -> Result<Option<String>, ProofError> {
        let Some(proof) = self.verify(headers, request).await? else {
            return Ok(None);
        };
        client.check_signature_algorithm(proof.algorithm).map_err(ProofError::Invalid)?;
        Ok(Some(proof.thumbprint))
    }

    /// Verifies the DPoP proof of a request; `None` without a proof (RFC 9449 §4.3).
    pub(crate) async fn verify(&self, headers: &HeaderMap, request: &Request<'_>) -> Result<Option<Proof>, ProofError> {
        let mut proofs = headers.get_all("dpop").iter();
        let proof = match (proofs.next(), proofs.next()) {
            (None, _) => return Ok(None),
            (Some(proof), None) => proof.to_str().map_err(|_| ProofError::Invalid("the DPoP header is not a JWT"))?,
            (Some(_), Some(_)) => return Err(ProofError::Invalid("there are two DPoP headers")),
        };
        let jws = Jws::parse(proof)?;
        if jws.token_type.as_deref() != Some("dpop+jwt") {
            return Err(ProofError::Invalid("the proof's typ is not dpop+jwt"));
        }
        let algorithm = jws.algorithm();
        let (key, claims) = jws.verify_by_own_key()?;
        if jose::text(&claims, "htm")? != request.method {
            return Err(ProofError::Invalid("the proof is for another method"));
        }
        if !is_url_of(jose::text(&claims, "htu")?, &format!("{}{}", self.issuer.url, request.path)) {
            return Err(ProofError::Invalid("the proof is for another URL"));
        }
        let now = self.clock.now();
        let issued_at = jose::time(&claims, "iat")?.ok_or(ProofError::Invalid("the proof has no iat"))?;
        if issued_at > now.saturating_add(jose::LEEWAY) || now > issued_at.saturating_add(MAX_PROOF_AGE) {
            return Err(ProofError::Invalid("the proof is too old, or from the future"));
        }
        if let Some(token) = request.token
            && jose::text(&claims, "ath")? != base64url(&Sha256::digest(token.as_bytes()))
        {
            return Err(ProofError::Invalid("the proof is for another access token"));
        }
        match claims.get("nonce").and_then(|nonce| nonce.as_str()) {
            Some(given) if self.is_nonce(given, now) => {}
            None if !self.is_nonce_required => {}
            _ => return Err(ProofError::UseNonce(self.nonce(now))),
        }
        let (thumbprint, id) = (key.thumbprint(), jose::text(&claims, "jti")?);
        let hash = SecretHash::of(&format!("dpop|{thumbprint}|{id}"));
        let expires_at = issued_at.saturating_add(MAX_PROOF_AGE + 1);
        if !self.writer.record_first_use(ReplayKey { hash, expires_at }).await.map_err(ProofError::Write)? {
            return Err(ProofError::Invalid("the proof was shown before"));
        }
        Ok(Some(Proof { thumbprint, algorithm }))
    }

    /// A nonce (RFC 9449 §8): its period and a MAC of it. Nothing is stored, and every origin on
    /// the same database accepts it.
    pub(crate) fn nonce(&self, now: u64) -> HeaderValue {
        self.nonce_of(now / NONCE_PERIOD)
    }

    fn nonce_of(&self, period: u64) -> HeaderValue {
        let mac = keyed(&self.keys.current().derive_key("tollgate dpop nonce v1"), &period.to_string());
        let text = base64url(&[&period.to_be_bytes()[..], &mac[..16]].concat());
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }

    fn is_nonce(&self, given: &str, now: u64) -> bool {
        let period = from_base64url(given).and_then(|bytes| Some(u64::from_be_bytes(*bytes.first_chunk()?)));
        let newest = now / NONCE_PERIOD;
        let young = period.filter(|period| *period == newest || period.checked_add(1) == Some(newest));
        young.is_some_and(|period| self.nonce_of(period).as_bytes().ct_eq(given.as_bytes()).into())
    }
}

/// Compares URLs without query and fragment, after normalisation (RFC 9449 §4.3, point 9).
fn is_url_of(unverified: &str, own: &str) -> bool {
    let normal = |text: &str| {
        let mut url = url::Url::parse(text).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        Some(url)
    };
    normal(unverified).is_some_and(|url| Some(url) == normal(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_compared_as_the_rfc_says() {
        let own = "https://auth.example/oauth/token";
        for text in [own, "https://AUTH.example:443/oauth/token", "https://auth.example/oauth/token?a=b#c"] {
            assert!(is_url_of(text, own), "{text}");
        }
        for text in
            ["", "http://auth.example/oauth/token", "https://auth.example/oauth/token/", "https://x/oauth/token"]
        {
            assert!(!is_url_of(text, own), "{text}");
        }
    }
}
