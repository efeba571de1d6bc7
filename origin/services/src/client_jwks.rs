//! Cache of clients' public keys: registered as `jwks`, or fetched from their `jwks_uri`.
//!
//! Unauthenticated requests cause fetches, so the work is bounded: a URL is fetched by one task at
//! a time for all requests that wait, and after a failure not before a delay that doubles with each
//! further failure. URLs of clients that registered themselves have a cache of their own, so they
//! cannot evict those that operators registered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::OwnedMutexGuard;
use tollgate_model::jwks::{self, PublicKeys};
use tollgate_model::{Client, OutboundUrl, Registrant, TrustedIssuer};

use crate::outbound_http::{OutboundClient, OutboundError};
use crate::single_flight::SingleFlight;

/// Maximum age of cached keys.
const MAX_AGE: Duration = Duration::from_secs(300);
/// Maximum age of cached keys after a signature did not verify. The client may have rotated its
/// keys; but anyone can send an invalid signature, so keys are not fetched each time.
const MAX_AGE_ON_MISMATCH: Duration = Duration::from_secs(10);
/// Delay after a failure; it doubles with each further one.
const RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);
/// URLs in each of the two caches. A full cache is cleared.
const MAX_URLS: usize = 4096;

/// Cache of client keys.
pub struct ClientKeyCache {
    outbound: OutboundClient,
    registered_by_operators: Urls,
    registered_by_clients: Urls,
}

type Urls = Mutex<HashMap<OutboundUrl, SingleFlight<Published>>>;

/// State of a `jwks_uri`.
#[derive(Default)]
struct Published {
    keys: Option<(Instant, Arc<PublicKeys>)>,
    /// Consecutive failures, and when the next fetch is allowed.
    failures: u32,
    retry_at: Option<Instant>,
}

impl ClientKeyCache {
    pub fn new(outbound: OutboundClient) -> ClientKeyCache {
        ClientKeyCache { outbound, registered_by_operators: Mutex::default(), registered_by_clients: Mutex::default() }
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
        let (outbound, fetched) = (self.outbound.clone(), url.clone());
        let renew = |mut published: OwnedMutexGuard<Published>| async move {
            let keys = fetch(&outbound, &fetched, registrant).await;
            published.record(keys, &fetched, Instant::now());
            published
        };
        let flight = self.flight(url, registrant);
        flight.get(|published| published.cached(max_age, Instant::now()), renew).await.flatten()
    }

    fn flight(&self, url: &OutboundUrl, registrant: Registrant) -> SingleFlight<Published> {
        let urls = match registrant {
            Registrant::Operator => &self.registered_by_operators,
            Registrant::Client => &self.registered_by_clients,
        };
        // No statement leaves the map inconsistent, so a poisoned lock may be used.
        let mut urls = urls.lock().unwrap_or_else(PoisonError::into_inner);
        if urls.len() >= MAX_URLS && !urls.contains_key(url) {
            urls.clear();
        }
        urls.entry(url.clone()).or_default().clone()
    }
}

async fn fetch(
    outbound: &OutboundClient,
    url: &OutboundUrl,
    registrant: Registrant,
) -> Result<PublicKeys, OutboundError> {
    let body = outbound.get(url, registrant).await?;
    let set: Value = serde_json::from_slice(&body).map_err(|_| OutboundError::from("the response is not JSON"))?;
    match jwks::public_keys(&set) {
        keys if keys.is_empty() => Err(OutboundError::from("the response has no usable key")),
        keys => Ok(keys),
    }
}

impl Published {
    /// `Some(None)` if the last fetch failed and the delay has not passed; `None` if the keys must
    /// be fetched first.
    fn cached(&self, max_age: Duration, now: Instant) -> Option<Option<Arc<PublicKeys>>> {
        if let Some((at, keys)) = &self.keys
            && now.saturating_duration_since(*at) < max_age
        {
            return Some(Some(Arc::clone(keys)));
        }
        self.retry_at.is_some_and(|retry_at| now < retry_at).then_some(None)
    }

    fn record(&mut self, keys: Result<PublicKeys, OutboundError>, url: &OutboundUrl, now: Instant) {
        match keys {
            Ok(keys) => *self = Published { keys: Some((now, Arc::new(keys))), failures: 0, retry_at: None },
            Err(error) => {
                let delay = RETRY_DELAY.saturating_mul(1 << self.failures.min(16)).min(MAX_RETRY_DELAY);
                self.failures = self.failures.saturating_add(1);
                self.retry_at = Some(now + delay);
                tracing::warn!(url = url.as_str(), %error, failures = self.failures, "client keys cannot be fetched");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delay_doubles_with_each_failure() {
        let (url, mut now) = ("https://app.example/keys".parse::<OutboundUrl>().expect("a URL"), Instant::now());
        let mut published = Published::default();
        let failed = || Err(OutboundError::from("the server responded with status 500"));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(published.cached(MAX_AGE, now).is_none(), "must be fetched");
            published.record(failed(), &url, now);
            let delay = Duration::from_secs(seconds);
            assert!(published.cached(MAX_AGE, now + delay / 2).is_some_and(|keys| keys.is_none()), "{seconds}");
            now += delay;
        }
        published.record(Ok(PublicKeys::default()), &url, now);
        assert!(published.cached(MAX_AGE_ON_MISMATCH, now).is_some_and(|keys| keys.is_some()));
        now += MAX_AGE_ON_MISMATCH;
        assert!(published.cached(MAX_AGE_ON_MISMATCH, now).is_none(), "a mismatch fetches again");
        published.record(failed(), &url, now);
        assert!(published.cached(MAX_AGE, now).is_some_and(|keys| keys.is_some()), "the cached keys remain");
    }
}
