//! The origin's keys: sealed under the master key, used to sign tokens and snapshots. No database here.
//!
//! - [`MasterKey`] comes from outside the database and encrypts every private part at rest.
//! - [`PrivateKey`] is one signing key of one algorithm; it leaves this crate only encrypted.
//! - [`KeyRing`] holds all keys of an issuer in memory, as they are at a moment.
//! - [`VerifiedToken`] proves that a presented token was verified, or is of this origin's opaque form;
//!   only [`KeyRing::recognise`] makes one.
//! - [`jose`] verifies what clients sign.

mod audience;
mod compact;
pub mod jose;
mod jwk;
mod making;
mod master;
mod private;
mod recognised;
mod ring;
mod statement;
mod tokens;

pub use audience::{AudienceKey, DERIVED_KID_PREFIX};
pub use jwk::Jwk;
pub use making::make;
pub use master::{MasterKey, MasterKeyError, SealError};
pub use private::{HmacKey, JwtAlgorithm, PrivateKey, PrivateKeyError};
pub use recognised::{RecordKey, VerifiedToken};
pub use ring::{KeyNotRevocable, KeyRing, KeyRingError, PublicKey};
pub use tokens::IssueError;
