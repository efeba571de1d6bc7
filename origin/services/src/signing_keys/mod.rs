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

/// Why responses to a client cannot be signed as registered.
#[derive(Debug, thiserror::Error)]
pub enum AlgorithmError {
    /// The issuer has no key for this algorithm.
    #[error("there is no {0} key: create it with `tollgate key rotate --alg {0}`")]
    NoKey(TokenAlg),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The metadata with algorithms of responses for which the issuer has keys: what cannot be signed
/// as `Ed25519` is signed under the other name of the algorithm.
///
/// # Errors
/// When there is no key for an algorithm, or the database fails.
pub async fn with_available_algorithms(
    store: &Store,
    metadata: ClientMetadata,
) -> Result<ClientMetadata, AlgorithmError> {
    if !ON_REQUEST.into_iter().any(|alg| metadata.has_responses_signed_with(alg)) {
        return Ok(metadata);
    }
    let keys = store.list_keys().await?;
    let metadata = match has_algorithm(&keys, TokenAlg::Ed25519) {
        true => metadata,
        false => metadata.without_ed25519(),
    };
    let is_missing = |alg: &TokenAlg| metadata.has_responses_signed_with(*alg) && !has_algorithm(&keys, *alg);
    match ON_REQUEST.into_iter().find(is_missing) {
        None => Ok(metadata),
        Some(alg) => Err(AlgorithmError::NoKey(alg)),
    }
}
