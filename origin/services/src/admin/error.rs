//! Why an administrator's command was refused or failed.

use tollgate_model::Malformed;
use tollgate_storage::{StoreError, WriteError};

use crate::password_hashing::ForgeError;
use crate::signing_keys::KeysError;

/// A command that was not carried out. Names no protocol: the API, the console and the command line each say it
/// in their own way.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The object does not exist.
    #[error("{0}")]
    NotFound(&'static str),
    /// The input is unusable; it must be changed before it is sent again.
    #[error("{0}")]
    Invalid(String),
    /// The input is good, but the state of the object does not allow the command.
    #[error("{0}")]
    Conflict(String),
    /// The database failed, or refused the command.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The writer failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The signing keys could not be read or made.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The password could not be hashed.
    #[error(transparent)]
    Hashing(#[from] ForgeError),
    /// The system's random source failed.
    #[error("the system has no randomness: {0}")]
    Random(#[from] getrandom::Error),
}

impl AdminError {
    /// Whether the input, or the state that it meets, is at fault, and not the origin.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            AdminError::NotFound(_) | AdminError::Invalid(_) | AdminError::Conflict(_) => true,
            AdminError::Store(error) => matches!(error, StoreError::Exists(_) | StoreError::NotAdministrator),
            _ => false,
        }
    }

    pub(super) fn invalid(error: &dyn std::fmt::Display) -> AdminError {
        AdminError::Invalid(error.to_string())
    }
}

impl From<Malformed> for AdminError {
    fn from(error: Malformed) -> AdminError {
        AdminError::Invalid(error.to_string())
    }
}
