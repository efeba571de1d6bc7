//! Request objects that clients publish at their registered `request_uris` (OpenID Connect Core
//! §6.2, RFC 9101 §5.2).

use std::sync::Arc;
use std::time::Duration;

use tollgate_model::{Registrant, RequestUri};

use crate::outbound_http::{OutboundClient, OutboundError};
use crate::published::PublishedCache;

/// Maximum age of an object whose version is in the registered URI.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// Maximum age of another object: a client may publish the next one at any time.
const MAX_AGE_WITHOUT_HASH: Duration = Duration::from_secs(1);
/// Objects in each of the two caches, of 64 KiB at most.
const MAX_OBJECTS: usize = 256;

/// Cache of request objects by their registered URI, which may name a version of the object.
pub struct RequestObjectCache(PublishedCache<String>);

impl RequestObjectCache {
    #[must_use]
    pub fn new(outbound: OutboundClient) -> RequestObjectCache {
        RequestObjectCache(PublishedCache::new(outbound, MAX_OBJECTS))
    }

    /// The unverified object at a URI that `registrant` registered. None if it cannot be fetched or
    /// is no text.
    pub async fn unverified_object(&self, uri: &RequestUri, registrant: Registrant) -> Option<Arc<String>> {
        let max_age = if uri.has_hash() { MAX_AGE } else { MAX_AGE_WITHOUT_HASH };
        let parse = |object: &[u8]| {
            let text = str::from_utf8(object).map_err(|_| OutboundError::from("the request object is no text"))?;
            Ok(text.trim().to_owned())
        };
        self.0.get(&uri.to_string(), uri.url(), registrant, max_age, parse).await
    }
}
