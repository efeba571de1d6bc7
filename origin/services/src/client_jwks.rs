//! Cache of clients' own public keys: registered with them, or fetched from where
//! they publish them.
//!
//! Requests need these keys before anybody is authenticated, so the work is bounded:
//! a URL is fetched by one task at a time, however many requests wait for it, and
//! after a failure not again before a delay that doubles with each further one. What
//! strangers registered is kept apart from what operators did, and pushes out nothing
//! but its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::OwnedMutexGuard;
use tollgate_core::KeySet;
use tollgate_model::{Client, OutboundUrl, Registrant, TrustedIssuer, jwks};

use crate::outbound_http::{OutboundClient, OutboundError};
use crate::single_flight::SingleFlight;

/// How long fetched keys are used without fetching them again.
const MAX_AGE: Duration = Duration::from_secs(300);
/// The same when a signature does not fit them: a client may just have changed its
/// keys, and a stranger may send anything.
const MAX_AGE_ON_MISMATCH: Duration = Duration::from_secs(10);
/// The delay after a failure; it doubles with each further one.
const RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);
/// URLs remembered at most, of operators and of strangers. When there are more, it
/// begins anew.
const MAX_URLS: usize = 4096;

/// The cache.
pub struct ClientKeyCache {
    outbound: OutboundClient,
    of_operators: Urls,
    of_clients: Urls,
}

type Urls = Mutex<HashMap<OutboundUrl, SingleFlight<Published>>>;

/// What is known of a URL.
#[derive(Default)]
struct Published {
    keys: Option<(Instant, Arc<KeySet>)>,
    /// Failures since, and when it may be fetched again.
    failures: u32,
    retry_at: Option<Instant>,
}

impl ClientKeyCache {
    /// SigningKeys are fetched by `outbound`.
    pub fn new(outbound: OutboundClient) -> ClientKeyCache {
        ClientKeyCache { outbound, of_operators: Mutex::default(), of_clients: Mutex::default() }
    }

    /// A client's keys; none when it has none, or they cannot be fetched.
    pub async fn client_keys(&self, client: &Client) -> Option<Arc<KeySet>> {
        let metadata = &client.metadata;
        self.find(metadata.jwks.as_ref(), metadata.jwks_uri.as_ref(), client.registrant()).await
    }

    /// The keys of an issuer that the operator trusts.
    pub async fn issuer_keys(&self, issuer: &TrustedIssuer) -> Option<Arc<KeySet>> {
        self.find(issuer.jwks.as_ref(), issuer.jwks_uri.as_ref(), Registrant::Operator).await
    }

    /// A client's keys, where they are others than these, with which a signature does
    /// not fit: fetched again from where the client publishes them, unless that
    /// was just done.
    pub async fn refetch(&self, client: &Client, than: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let url = client.metadata.jwks_uri.as_ref()?;
        let keys = self.published(url, client.registrant(), MAX_AGE_ON_MISMATCH).await?;
        (!Arc::ptr_eq(&keys, than)).then_some(keys)
    }

    async fn find(
        &self,
        jwks: Option<&Value>,
        url: Option<&OutboundUrl>,
        registrant: Registrant,
    ) -> Option<Arc<KeySet>> {
        match jwks {
            Some(jwks) => Some(Arc::new(jwks::public_keys(jwks))),
            None => self.published(url?, registrant, MAX_AGE).await,
        }
    }

    async fn published(&self, url: &OutboundUrl, registrant: Registrant, max_age: Duration) -> Option<Arc<KeySet>> {
        let (outbound, fetched) = (self.outbound.clone(), url.clone());
        let renew = |mut published: OwnedMutexGuard<Published>| async move {
            let keys = fetch(&outbound, &fetched, registrant).await;
            published.record(keys, &fetched, Instant::now());
            published
        };
        let flight = self.flight(url, registrant);
        flight.get(|published| published.answer(max_age, Instant::now()), renew).await.flatten()
    }

    fn flight(&self, url: &OutboundUrl, registrant: Registrant) -> SingleFlight<Published> {
        let urls = match registrant {
            Registrant::Operator => &self.of_operators,
            Registrant::Client => &self.of_clients,
        };
        // The map is whole after every statement: a thread that panicked in between has
        // spoilt nothing.
        let mut urls = urls.lock().unwrap_or_else(PoisonError::into_inner);
        if urls.len() >= MAX_URLS && !urls.contains_key(url) {
            urls.clear();
        }
        urls.entry(url.clone()).or_default().clone()
    }
}

async fn fetch(outbound: &OutboundClient, url: &OutboundUrl, registrant: Registrant) -> Result<KeySet, OutboundError> {
    let body = outbound.get(url, registrant).await?;
    let set: Value = serde_json::from_slice(&body).map_err(|_| OutboundError::from("the answer is not JSON"))?;
    match jwks::public_keys(&set) {
        keys if keys.is_empty() => Err(OutboundError::from("the answer has no key that can be used")),
        keys => Ok(keys),
    }
}

impl Published {
    /// The keys, or that there are none now; nothing when they are to be fetched
    /// first.
    fn answer(&self, max_age: Duration, now: Instant) -> Option<Option<Arc<KeySet>>> {
        if let Some((at, keys)) = &self.keys
            && now.saturating_duration_since(*at) < max_age
        {
            return Some(Some(Arc::clone(keys)));
        }
        self.retry_at.is_some_and(|retry_at| now < retry_at).then_some(None)
    }

    fn record(&mut self, keys: Result<KeySet, OutboundError>, url: &OutboundUrl, now: Instant) {
        match keys {
            Ok(keys) => *self = Published { keys: Some((now, Arc::new(keys))), failures: 0, retry_at: None },
            Err(error) => {
                let delay = RETRY_DELAY.saturating_mul(1 << self.failures.min(16)).min(MAX_RETRY_DELAY);
                self.failures = self.failures.saturating_add(1);
                self.retry_at = Some(now + delay);
                tracing::warn!(url = url.as_str(), %error, failures = self.failures, "a client's keys cannot be fetched");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_remembered_longer_each_time() {
        let (url, mut now) = ("https://app.example/keys".parse::<OutboundUrl>().expect("a URL"), Instant::now());
        let mut published = Published::default();
        let failed = || Err(OutboundError::from("it answered 500"));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(published.answer(MAX_AGE, now).is_none(), "it is to be fetched");
            published.record(failed(), &url, now);
            let delay = Duration::from_secs(seconds);
            assert!(published.answer(MAX_AGE, now + delay / 2).is_some_and(|keys| keys.is_none()), "{seconds}");
            now += delay;
        }
        published.record(Ok(KeySet::default()), &url, now);
        assert!(published.answer(MAX_AGE_ON_MISMATCH, now).is_some_and(|keys| keys.is_some()));
        now += MAX_AGE_ON_MISMATCH;
        assert!(published.answer(MAX_AGE_ON_MISMATCH, now).is_none(), "a signature that does not fit asks again");
        published.record(failed(), &url, now);
        assert!(published.answer(MAX_AGE, now).is_some_and(|keys| keys.is_some()), "which spoils nothing");
    }
}
