//! Revocations: which tokens are bad before their time, and how long that must be remembered.

use tollgate_core::RevocationId;

use super::{AccessToken, TokenId};

/// How long after a token's `exp` its revocation is kept, in seconds.
///
/// The invariant: no edge may forget a revocation while any edge would still accept the token. An edge accepts a token
/// until `exp` plus its leeway, and leeway is at most 60 s; its clock may be off by at most 60 s more, for it refuses
/// messages of an origin whose clock differs further. Hence both together. Raising either bound means raising this one.
pub const KEEP_AFTER_EXPIRY: u64 = 60 + 60;

/// One token's revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// What edges know it by.
    pub id: RevocationId,
    /// The token's `jti`.
    pub token: TokenId,
    /// When it was revoked, Unix seconds.
    pub revoked_at: u64,
    /// The Unix second after which nobody needs to know any more.
    pub void_after: u64,
}

impl Revocation {
    /// The revocation of `token`, or nothing when no edge would accept the token any more: then there is nothing to tell.
    #[must_use]
    pub fn of(token: &AccessToken, issuer: &str, now: u64) -> Option<Revocation> {
        let void_after = token.expires_at.saturating_add(KEEP_AFTER_EXPIRY);
        (now <= void_after).then(|| Revocation {
            id: RevocationId::token(issuer, token.id.as_str()),
            token: token.id.clone(),
            revoked_at: now,
            void_after,
        })
    }
}
