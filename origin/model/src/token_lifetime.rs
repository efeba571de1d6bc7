//! The longest lifetime of an access token, which bounds how long its revocation is kept.

/// Seconds. Clients that need access for longer use refresh tokens.
pub const MAX_TOKEN_LIFETIME: u64 = 24 * 60 * 60;
