//! Proof of possession: whether the sender of a token has the key that the token is bound to, by a
//! DPoP proof (RFC 9449) or a client certificate (RFC 8705).
//!
//! Never: a bound token that passes as a plain bearer token, or a token that passes with the proof
//! of another key.

use core::cell::Cell;
use core::fmt;

use subtle::ConstantTimeEq as _;

use crate::confirmation::{Confirmation, Thumbprint};
use crate::dpop::{DpopRequest, ProofError, ProofUse};
use crate::refusal::Refusal;

/// What a request presents in addition to its token, and whether its route requires a bound token.
pub struct Possession<'a> {
    dpop: Option<DpopRequest<'a>>,
    /// Thumbprint of the client certificate; called only for a token that is bound to one.
    certificate: &'a dyn Fn() -> Option<Thumbprint>,
    is_required: bool,
    proof_use: Cell<Option<ProofUse>>,
}

impl fmt::Debug for Possession<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Possession").field("is_required", &self.is_required).finish_non_exhaustive()
    }
}

impl<'a> Possession<'a> {
    /// The proofs of one request. `dpop` is present if the token came with the scheme `DPoP`;
    /// `is_required` if a token that is not bound is refused.
    pub fn new(
        dpop: Option<DpopRequest<'a>>,
        certificate: &'a dyn Fn() -> Option<Thumbprint>,
        is_required: bool,
    ) -> Self {
        Self { dpop, certificate, is_required, proof_use: Cell::new(None) }
    }

    /// The use of the DPoP proof that confirmed the token, to be recorded in a
    /// [`ReplaySet`](crate::ReplaySet) when the request passes.
    pub fn proof_use(&self) -> Option<ProofUse> {
        self.proof_use.get()
    }

    /// Checks the proofs against the token's `cnf` claim.
    fn confirms(&self, confirmation: &Confirmation) -> Result<(), Refusal> {
        if !confirmation.can_be_proven() {
            return Err(Refusal::BoundToKey);
        }
        match (&confirmation.dpop_key, &self.dpop) {
            (Some(key), Some(dpop)) => self.proof_use.set(Some(dpop.verify(key)?)),
            // RFC 9449 section 7.2: a DPoP-bound token is refused with the scheme `Bearer`.
            (Some(_), None) => return Err(Refusal::BoundToKey),
            (None, Some(_)) => return Err(ProofError::OtherKey.into()),
            (None, None) => {}
        }
        let Some(wanted) = &confirmation.certificate else { return Ok(()) };
        let presented = (self.certificate)().ok_or(Refusal::MissingCertificate)?;
        if presented.ct_eq(wanted).into() { Ok(()) } else { Err(Refusal::WrongCertificate) }
    }
}

/// Checks a token's `cnf` claim, if it has one, against what the request presents: `None` for a
/// token without a request.
pub(crate) fn check(confirmation: Option<&Confirmation>, possession: Option<&Possession<'_>>) -> Result<(), Refusal> {
    match (confirmation, possession) {
        (None, None) => Ok(()),
        // RFC 9449 section 7.1: the proof's key must be the one that the token is bound to.
        (None, Some(Possession { dpop, is_required, .. })) => match dpop.is_some() || *is_required {
            true => Err(Refusal::NotBound),
            false => Ok(()),
        },
        (Some(_), None) => Err(Refusal::BoundToKey),
        (Some(confirmation), Some(possession)) => possession.confirms(confirmation),
    }
}
