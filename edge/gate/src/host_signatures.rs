//! Signatures that a host checks itself: machine code checks public-key signatures several times as
//! fast as WebAssembly. The host answers nothing but whether a signature is good; all other checks,
//! and the verdict, are the gate's.
//!
//! Never: a signature taken as good under other keys than those that the gate has now.

use tollgate_core::ConfigDigest;

use crate::bearer::{self, AccessToken};
use crate::gate::Gate;
use crate::message::Request;

/// A token whose signature a host may check before the gate decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureCheck<'a> {
    /// The token.
    pub token: &'a [u8],
    /// Whether the token may be of type `JWT`.
    pub allow_plain_jwt: bool,
    /// Digest of the configuration with the keys to check it with.
    pub keys: ConfigDigest,
}

impl Gate {
    /// The signature that [`Gate::decide`] would check by a public key for this request; none if
    /// there is no such token, or its signature was checked lately.
    pub fn signature_check<'a>(&self, request: &Request<'a>) -> Option<SignatureCheck<'a>> {
        let AccessToken::Token(token, _) = bearer::access_token(request) else { return None };
        let replica = self.state.replica()?;
        let config = replica.config();
        let allow_plain_jwt = self.allows_plain_jwt(self.audience(config), config);
        let is_needed = self.state.verifier().needs_public_key_check(token, allow_plain_jwt);
        is_needed.then(|| SignatureCheck { token, allow_plain_jwt, keys: replica.config_digest() })
    }

    /// JWK set of the public keys that the gate has now, with the digest of its configuration.
    pub fn signature_keys(&self) -> Option<(ConfigDigest, &str)> {
        let replica = self.state.replica()?;
        Some((replica.config_digest(), replica.config().jwks()))
    }

    /// Takes the signature of this request's token as good, if the host checked it with the keys
    /// that the gate has now.
    pub fn signature_is_good(&self, request: &Request<'_>, keys: ConfigDigest) {
        if let Some(check) = self.signature_check(request).filter(|check| check.keys == keys) {
            // What is wrong with the token otherwise is found by the decision.
            let _ = self.state.verifier().cache_checked(check.token, check.allow_plain_jwt);
        }
    }
}
