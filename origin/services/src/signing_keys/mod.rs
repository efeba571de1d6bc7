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
