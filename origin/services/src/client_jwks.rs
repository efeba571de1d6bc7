//! Cache of clients' public keys: registered as `jwks`, or fetched from their `jwks_uri`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tollgate_model::jwks::{self, PublicKeys};
use tollgate_model::{Client, OutboundUrl, Registrant, TrustedIssuer};

use crate::outbound_http::{OutboundClient, OutboundError};
use crate::published::PublishedCache;

/// Maximum age of cached keys.
const MAX_AGE: Duration = Duration::from_secs(300);
/// Maximum age of cached keys after a signature did not verify. The client may have rotated its
/// keys; but anyone can send an invalid signature, so keys are not fetched each time.
const MAX_AGE_ON_MISMATCH: Duration = Duration::from_secs(10);
/// URLs in the cache of operators' clients, and in that of others.
const MAX_URLS: usize = 4096;

/// Cache of client keys.
pub struct ClientKeyCache(PublishedCache<PublicKeys>);

impl ClientKeyCache {
    pub fn new(outbound: OutboundClient) -> ClientKeyCache {
        ClientKeyCache(PublishedCache::new(outbound, MAX_URLS))
    }

    /// A client's keys. None if it has no keys or they cannot be fetched.
    pub async fn client_keys(&self, client: &Client) -> Option<Arc<PublicKeys>> {
        let metadata = &client.metadata;
        self.find(metadata.jwks.as_ref(), metadata.jwks_uri.as_ref(), client.registrant()).await
    }

    /// The keys of a trusted issuer.
    pub async fn issuer_keys(&self, issuer: &TrustedIssuer) -> Option<Arc<PublicKeys>> {
        self.find(issuer.jwks.as_ref(), issuer.jwks_uri.as_ref(), Registrant::Operator).await
    }

    /// Fetches a client's keys again after a signature did not verify with `cached`, unless they
    /// were fetched a moment ago. None if the keys are the same.
    pub async fn refetch(&self, client: &Client, cached: &Arc<PublicKeys>) -> Option<Arc<PublicKeys>> {
        let url = client.metadata.jwks_uri.as_ref()?;
        let keys = self.published(url, client.registrant(), MAX_AGE_ON_MISMATCH).await?;
        (!Arc::ptr_eq(&keys, cached)).then_some(keys)
    }

    async fn find(
        &self,
        jwks: Option<&Value>,
        url: Option<&OutboundUrl>,
        registrant: Registrant,
    ) -> Option<Arc<PublicKeys>> {
        match jwks {
            Some(jwks) => Some(Arc::new(jwks::public_keys(jwks))),
            None => self.published(url?, registrant, MAX_AGE).await,
        }
    }

    async fn published(&self, url: &OutboundUrl, registrant: Registrant, max_age: Duration) -> Option<Arc<PublicKeys>> {
        self.0.get(url.as_str(), url, registrant, max_age, parse).await
    }
}

fn parse(body: &[u8]) -> Result<PublicKeys, OutboundError> {
    let set: Value = serde_json::from_slice(body).map_err(|_| OutboundError::from("the response is not JSON"))?;
    match jwks::public_keys(&set) {
        keys if keys.is_empty() => Err(OutboundError::from("the response has no usable key")),
        keys => Ok(keys),
    }
}
