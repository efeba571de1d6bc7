//! The current signing keys of an issuer. Keys change while requests run; a request uses one
//! [`KeyRing`](tollgate_keys::KeyRing) from the choice of the key to the signature.

mod current;
mod error;
pub mod rotation;
mod rotation_task;
mod signing_pool;

pub use current::SigningKeys;
pub use error::{SigningError, SigningKeysError};
pub use rotation_task::run_rotation;
pub use signing_pool::SigningPool;

use tollgate_model::key_schedule::{ON_REQUEST, has_algorithm};
use tollgate_model::{ClientMetadata, TokenAlg};
use tollgate_storage::{Store, StoreError};

/// The algorithm with which responses to a client would be signed, but for which the issuer has no
/// key yet.
///
/// # Errors
/// When the database fails.
pub async fn missing_algorithm(store: &Store, metadata: &ClientMetadata) -> Result<Option<TokenAlg>, StoreError> {
    if !metadata.has_responses_signed_with(ON_REQUEST) {
        return Ok(None);
    }
    Ok((!has_algorithm(&store.list_keys().await?, ON_REQUEST)).then_some(ON_REQUEST))
}
