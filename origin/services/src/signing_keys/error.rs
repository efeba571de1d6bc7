//! Errors of signing keys.

use tollgate_keys::{IssueError, KeyRingError};
use tollgate_storage::StoreError;

use crate::worker_pool::WorkerPoolError;

/// Why keys cannot be read or generated.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeysError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ring(#[from] KeyRingError),
    #[error("opening the keys was interrupted")]
    Interrupted,
}

impl From<SigningKeysError> for StoreError {
    fn from(error: SigningKeysError) -> StoreError {
        match error {
            SigningKeysError::Store(error) => error,
            SigningKeysError::Ring(_) | SigningKeysError::Interrupted => {
                StoreError::Corrupt { table: "keys", problem: error.to_string() }
            }
        }
    }
}

/// Why a JWT was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The queue of RSA signatures is full.
    #[error("the queue of RSA signatures is full; try again")]
    Busy,
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error("signing was interrupted")]
    Interrupted,
}

impl From<WorkerPoolError> for SigningError {
    fn from(error: WorkerPoolError) -> SigningError {
        match error {
            WorkerPoolError::Full => SigningError::Busy,
            WorkerPoolError::Interrupted => SigningError::Interrupted,
        }
    }
}
