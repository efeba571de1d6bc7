//! Errors of password hashing.

use crate::worker_pool::WorkerPoolError;

/// Why a password could not be hashed or verified.
#[derive(Debug, thiserror::Error)]
pub enum PasswordHashingError {
    /// The queue is full.
    #[error("the password hashing queue is full; try again")]
    Busy,
    #[error("password hashing failed: {0}")]
    Failed(String),
}

impl From<WorkerPoolError> for PasswordHashingError {
    fn from(error: WorkerPoolError) -> PasswordHashingError {
        match error {
            WorkerPoolError::Full => PasswordHashingError::Busy,
            WorkerPoolError::Interrupted => failed("the hash was interrupted"),
        }
    }
}

pub(super) fn failed(error: impl std::fmt::Display) -> PasswordHashingError {
    PasswordHashingError::Failed(error.to_string())
}
