//! Why an administrator's command was refused or failed.

use tollgate_model::{Malformed, text};
use tollgate_storage::{StoreError, WriteError};

use crate::password_hashing::PasswordHashingError;
use crate::signing_keys::SigningKeysError;

/// Characters of a name that an error repeats.
const MAX_SHOWN_NAME_CHARS: usize = 255;

/// A command that was not carried out. Names no protocol: the API, the console and the command line
/// each say it in their own way.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The object does not exist.
    #[error("{0}")]
    NotFound(String),
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
    Keys(#[from] SigningKeysError),
    /// The password could not be hashed.
    #[error(transparent)]
    Hashing(#[from] PasswordHashingError),
    /// The system's random source failed.
    #[error("the system has no randomness: {0}")]
    Random(#[from] getrandom::Error),
}

impl AdminError {
    /// There is no object of this kind and name. The name may come from a request.
    pub(super) fn not_found(kind: &str, name: impl std::fmt::Display) -> AdminError {
        let name: String = text::displayable(&name.to_string()).chars().take(MAX_SHOWN_NAME_CHARS).collect();
        AdminError::NotFound(format!("{kind} {name} does not exist"))
    }

    /// Others changed the object again and again while a change was applied.
    pub(super) fn changing() -> AdminError {
        AdminError::Conflict("others are changing it now: try again".to_owned())
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
