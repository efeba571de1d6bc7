//! Errors of signing keys.

use tollgate_keys::KeyRingError;
use tollgate_storage::StoreError;

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
