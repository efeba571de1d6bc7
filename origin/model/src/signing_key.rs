//! Keys as stored in the database.

/// KeyPurpose of a stored key. The names are stored, and bound into the ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPurpose {
    /// Signs tokens; published in the JWKS.
    Token,
    /// Derives the HS256 keys of audiences; never published.
    Derive,
    /// Encrypts credentials of other systems, and derives keys for identifiers; never rotated.
    Secret,
    /// Signs snapshots and deltas; edges pin its public key.
    Snapshot,
}

/// Stored purpose of a public key of another system, which only verifies. It is published until
/// [`StoredKey::retires_at`].
pub const IMPORTED_PURPOSE: &str = "verify";

impl KeyPurpose {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyPurpose::Token => "token",
            KeyPurpose::Derive => "derive",
            KeyPurpose::Secret => "secret",
            KeyPurpose::Snapshot => "snapshot",
        }
    }
}

/// A stored key. Times are Unix seconds; [`key_schedule::states`](crate::key_schedule::states)
/// computes its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Key identifier, the `kid` of tokens that it signs.
    pub kid: String,
    /// `token`, `derive`, `secret`, `snapshot` or `verify`.
    pub purpose: String,
    /// Registered name of the algorithm.
    pub alg: String,
    /// The private key, or an imported public one, encrypted with the master key; `kid`, purpose
    /// and algorithm are authenticated. Empty after its destruction.
    pub sealed: Vec<u8>,
    pub created_at: u64,
    /// Seconds between its publication and its first signature.
    pub ahead: u64,
    /// When the first snapshot that contains it was published.
    pub published_at: Option<u64>,
    /// When it begins to sign, unless a newer key does.
    pub signs_from: Option<u64>,
    /// When the last token that it signed expires; determined some time after its replacement.
    pub retires_at: Option<u64>,
    /// When the private key was destroyed.
    pub gone_at: Option<u64>,
}

impl StoredKey {
    /// The context bound into the ciphertext, so that the private key of one row cannot be used for
    /// another.
    #[must_use]
    pub fn context(&self) -> Vec<u8> {
        format!("tollgate key v1|{}|{}|{}", self.purpose, self.alg, self.kid).into_bytes()
    }
}
