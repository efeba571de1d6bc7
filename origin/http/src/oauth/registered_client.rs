//! Lookup of clients named in requests.

use std::sync::Arc;

use tollgate_model::{Client, ClientId};
use tollgate_services::cache::RegistrationCache;
use tollgate_storage::Versions;

use super::error::OAuthError;

/// Finds a client by an ID that is not authenticated yet.
pub(super) async fn find_client(
    cache: &RegistrationCache,
    unverified_id: &str,
    now: Versions,
) -> Result<Option<Arc<Client>>, OAuthError> {
    let id: ClientId = unverified_id.parse().map_err(|_| OAuthError::InvalidClient)?;
    Ok(cache.client(&id, now).await?)
}
