//! Signing keys as the database holds them.

/// What a stored key is for. The names are in the database and bound into the ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Signs tokens; its public part is in the JWKS.
    Token,
    /// Derives the HS256 keys of audiences; has no public part.
    Derive,
    /// Encrypts and names what others entrust to this origin; never replaced.
    Secret,
    /// Signs snapshots and deltas; edges pin its public part.
    Snapshot,
}

impl Purpose {
    /// The name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Purpose::Token => "token",
            Purpose::Derive => "derive",
            Purpose::Secret => "secret",
            Purpose::Snapshot => "snapshot",
        }
    }
}

/// A key as the database holds it. Times are Unix seconds; [`key_schedule::states`](crate::key_schedule::states) tells what they amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Its identifier, the `kid` of tokens it signs.
    pub kid: String,
    /// `token`, `derive`, `secret` or `snapshot`.
    pub purpose: String,
    /// The algorithm's registered name.
    pub alg: String,
    /// The private part, encrypted under the master key with kid, purpose and algorithm bound to it; empty once it is destroyed.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: u64,
    /// Seconds between its publication and its first signature.
    pub ahead: u64,
    /// When the first snapshot with it was published.
    pub published_at: Option<u64>,
    /// From when on it signs, unless a newer one does.
    pub signs_from: Option<u64>,
    /// When the last token that it signed expires; known some time after it was replaced.
    pub retires_at: Option<u64>,
    /// When its private part was destroyed.
    pub gone_at: Option<u64>,
}

impl StoredKey {
    /// What is bound into the ciphertext, so that no row's private part passes for another's.
    #[must_use]
    pub fn context(&self) -> Vec<u8> {
        format!("tollgate key v1|{}|{}|{}", self.purpose, self.alg, self.kid).into_bytes()
    }
}
