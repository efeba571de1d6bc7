//! The rules of the edges, for those who ask the origin instead of an edge.

use std::sync::Arc;

use tollgate_core::Config;
use tollgate_model::Audience;
use tollgate_services::cache::RegistrationCache;
use tollgate_services::signing_keys::SigningKeys;
use tollgate_storage::StoreError;

use crate::issuer::Issuer;

/// The current rules of the edges.
pub(crate) struct EdgeRules {
    issuer: Arc<Issuer>,
    cache: RegistrationCache,
    keys: SigningKeys,
}

impl EdgeRules {
    pub(crate) fn new(issuer: Arc<Issuer>, cache: RegistrationCache, keys: SigningKeys) -> EdgeRules {
        EdgeRules { issuer, cache, keys }
    }

    /// The audience of the tokens that edges accept.
    pub(super) fn audience(&self) -> &Audience {
        &self.issuer.default_audience
    }

    /// The rules as of now; none if the stored rules cannot be used.
    pub(super) async fn current(&self) -> Result<Option<Arc<Config>>, StoreError> {
        let now = self.cache.versions().await?;
        self.cache.edge_config(self.audience(), &self.keys.current().public_jwks(), now).await
    }
}
