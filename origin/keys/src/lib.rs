//! The origin's keys: encryption at rest, signing of tokens and snapshots, and JOSE.
//!
//! - [`MasterKey`] is stored outside the database and encrypts every private key in it.
//! - [`PrivateKey`] is a signing key of one algorithm; it leaves this crate only encrypted.
//! - [`KeyRing`] contains all keys of an issuer, in their states at one time.
//! - [`VerifiedToken`] is a presented token whose signature was verified, or that has the form of
//!   an opaque token; only [`KeyRing::verify_token`] creates one.
//! - [`BackupWriter`] and [`BackupReader`] encrypt and decrypt backups with a passphrase.
//! - [`jose`] verifies JWTs that clients and other issuers sign.
//!
//! Never: a database, or a private key in plain text outside of this crate.

mod audience_key;
mod audience_keys;
mod backup_cipher;
mod compact;
mod generate;
mod import;
pub mod jose;
mod jwk;
mod jwt_algorithm;
mod key_ring;
mod master;
mod private;
mod pss;
mod sealed_secrets;
mod statement;
mod tokens;
mod verified_token;

pub use audience_key::{AudienceKey, DERIVED_KID_PREFIX};
pub use backup_cipher::{BackupCipherError, BackupPassphrase, BackupReader, BackupWriter};
pub use compact::{IssueError, UnsignedJwt};
pub use generate::generate_key;
pub use import::{ImportedKey, ImportedKeyUse, KeyImportError, parse_keys};
pub use jwk::Jwk;
pub use jwt_algorithm::JwtAlgorithm;
pub use key_ring::{KeyNotRevocable, KeyRing, KeyRingError, PublicKey};
pub use master::{MasterKey, MasterKeyError, SealError};
pub use private::{HmacKey, PrivateKey, PrivateKeyError};
pub use statement::STATEMENT_ALG;
pub use tokens::TokenOptions;
pub use verified_token::{TokenRecordKey, VerifiedToken};
