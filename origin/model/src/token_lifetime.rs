//! Lifetimes of tokens, codes and grants: their longest values, and those used where a client has
//! none of its own.

/// Seconds. The longest lifetime of an access token, which bounds how long its revocation is kept.
/// Clients that need access for longer use refresh tokens.
pub const MAX_TOKEN_LIFETIME: u64 = 24 * 60 * 60;
/// Seconds. RFC 6749 §4.1.2 recommends ten minutes at most; a client redeems its code immediately.
pub const AUTHORIZATION_CODE_LIFETIME: u64 = 60;
/// Seconds.
pub const DEVICE_CODE_LIFETIME: u64 = 600;

/// Lifetimes of refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshTokenPolicy {
    /// Reuse grace in seconds: how long after its first use a refresh token returns
    /// the same successor again. It covers a lost response, and two tabs of one
    /// application. A longer grace gives a thief more time before reuse is
    /// detected.
    pub reuse_grace: u64,
    /// Seconds after which an unused refresh token expires.
    pub idle_timeout: u64,
    /// Seconds after which a grant ends, however often it is refreshed.
    pub lifetime: u64,
}

impl RefreshTokenPolicy {
    /// When a refresh token issued at `now` expires.
    #[must_use]
    pub fn expiry(&self, grant_ends_at: u64, now: u64) -> u64 {
        now.saturating_add(self.idle_timeout).min(grant_ends_at)
    }
}
