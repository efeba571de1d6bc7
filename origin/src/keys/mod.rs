//! The origin's keys: made at first start, stored encrypted, used to sign tokens and snapshots.
//!
//! - [`MasterKey`] comes from outside the database and encrypts every private part at rest.
//! - [`PrivateKey`] is one signing key of one algorithm; it never leaves this module but sealed.
//! - [`KeyRing`] holds all of them in memory and is what the rest of the origin uses.

mod jwk;
mod master;
mod private;
mod ring;
mod statement;

pub use jwk::Jwk;
pub use master::{MasterKey, MasterKeyError, SealError};
pub use private::{PrivateKey, PrivateKeyError};
pub use ring::{AudienceKey, IssueError, KeyRing, KeyRingError, PublicKey};

/// What a stored key is for. The names are in the database and bound into the ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Signs tokens; its public part is in the JWKS.
    Token,
    /// Derives the HS256 keys of audiences; has no public part.
    Derive,
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
            Purpose::Snapshot => "snapshot",
        }
    }
}

/// A key as the database holds it.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// Its identifier, the `kid` of tokens it signs.
    pub kid: String,
    /// `token`, `derive` or `snapshot`.
    pub purpose: String,
    /// The algorithm's registered name.
    pub alg: String,
    /// The private part, encrypted under the master key with kid, purpose and algorithm bound to it.
    pub sealed: Vec<u8>,
    /// When it was made, Unix seconds.
    pub created_at: u64,
}

impl StoredKey {
    /// What is bound into the ciphertext, so that no row's private part passes for another's.
    fn context(&self) -> Vec<u8> {
        format!("tollgate key v1|{}|{}|{}", self.purpose, self.alg, self.kid).into_bytes()
    }
}
