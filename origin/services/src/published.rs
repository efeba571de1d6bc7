//! Cache of what clients publish at URLs that they registered.
//!
//! Unauthenticated requests cause fetches, so the work is bounded: a URL is fetched by one task at
//! a time for all requests that wait, and after a failure not before a delay that doubles with each
//! further failure. URLs of clients that registered themselves have a cache of their own, so they
//! cannot evict those that operators registered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;
use tollgate_model::{OutboundUrl, Registrant};
use tollgate_system::current_request::{Part, measure};

use crate::outbound_http::{OutboundClient, OutboundError};
use crate::single_flight::SingleFlight;
use crate::telemetry::on_behalf_of_request;

/// Delay after a failure; it doubles with each further one.
const RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);

/// Cache of one kind of content.
pub(crate) struct PublishedCache<T> {
    outbound: OutboundClient,
    /// Entries in each of the two caches. A full cache is cleared.
    capacity: usize,
    registered_by_operators: Entries<T>,
    registered_by_clients: Entries<T>,
}

type Entries<T> = Mutex<HashMap<String, SingleFlight<Published<T>>>>;

/// What is known of a URL.
struct Published<T> {
    content: Option<(Instant, Arc<T>)>,
    /// Consecutive failures, and when the next fetch is allowed.
    failures: u32,
    retry_at: Option<Instant>,
}

impl<T> Default for Published<T> {
    fn default() -> Published<T> {
        Published { content: None, failures: 0, retry_at: None }
    }
}

impl<T: Send + Sync + 'static> PublishedCache<T> {
    pub(crate) fn new(outbound: OutboundClient, capacity: usize) -> PublishedCache<T> {
        PublishedCache {
            outbound,
            capacity,
            registered_by_operators: Mutex::default(),
            registered_by_clients: Mutex::default(),
        }
    }

    /// What `parse` made of the response at `url` at most `max_age` ago. `name` is the URL, or
    /// names a state of its content. None if it cannot be fetched or parsed.
    pub(crate) async fn get(
        &self,
        name: &str,
        url: &OutboundUrl,
        registrant: Registrant,
        max_age: Duration,
        parse: impl FnOnce(&[u8]) -> Result<T, OutboundError> + Send + 'static,
    ) -> Option<Arc<T>> {
        let (outbound, fetched) = (self.outbound.clone(), url.clone());
        // The task that fetches outlives a cancelled request.
        let renew = |mut published: OwnedMutexGuard<Published<T>>| {
            on_behalf_of_request(async move {
                let content = outbound.get(&fetched, registrant).await.and_then(|body| parse(&body));
                published.record(content, &fetched, Instant::now());
                published
            })
        };
        let _measured = measure(Part::Outbound, "client's document");
        let flight = self.flight(name, registrant);
        flight.get(|published| published.cached(max_age, Instant::now()), renew).await.flatten()
    }

    fn flight(&self, name: &str, registrant: Registrant) -> SingleFlight<Published<T>> {
        let entries = match registrant {
            Registrant::Operator => &self.registered_by_operators,
            Registrant::Client => &self.registered_by_clients,
        };
        // No statement leaves the map inconsistent, so a poisoned lock may be used.
        let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.capacity && !entries.contains_key(name) {
            entries.clear();
        }
        entries.entry(name.to_owned()).or_default().clone()
    }
}

impl<T> Published<T> {
    /// `Some(None)` if the last fetch failed and the delay has not passed; `None` if the content
    /// must be fetched first.
    fn cached(&self, max_age: Duration, now: Instant) -> Option<Option<Arc<T>>> {
        if let Some((at, content)) = &self.content
            && now.saturating_duration_since(*at) < max_age
        {
            return Some(Some(Arc::clone(content)));
        }
        self.retry_at.is_some_and(|retry_at| now < retry_at).then_some(None)
    }

    fn record(&mut self, content: Result<T, OutboundError>, url: &OutboundUrl, now: Instant) {
        match content {
            Ok(content) => *self = Published { content: Some((now, Arc::new(content))), failures: 0, retry_at: None },
            Err(error) => {
                let delay = RETRY_DELAY.saturating_mul(1 << self.failures.min(16)).min(MAX_RETRY_DELAY);
                self.failures = self.failures.saturating_add(1);
                self.retry_at = Some(now + delay);
                tracing::warn!(
                    url = url.as_str(),
                    %error,
                    failures = self.failures,
                    "what a client publishes cannot be fetched"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_AGE: Duration = Duration::from_secs(300);

    #[test]
    fn retry_delay_doubles_with_each_failure() {
        let (url, mut now) = ("https://app.example/keys".parse::<OutboundUrl>().expect("a URL"), Instant::now());
        let mut published = Published::<u8>::default();
        let failed = || Err(OutboundError::from("the server responded with status 500"));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(published.cached(MAX_AGE, now).is_none(), "must be fetched");
            published.record(failed(), &url, now);
            let delay = Duration::from_secs(seconds);
            assert!(published.cached(MAX_AGE, now + delay / 2).is_some_and(|content| content.is_none()), "{seconds}");
            now += delay;
        }
        published.record(Ok(1), &url, now);
        let shorter = Duration::from_secs(10);
        assert!(published.cached(shorter, now).is_some_and(|content| content.is_some()));
        now += shorter;
        assert!(published.cached(shorter, now).is_none(), "a shorter age fetches again");
        published.record(failed(), &url, now);
        assert!(published.cached(MAX_AGE, now).is_some_and(|content| content.is_some()), "the content remains");
    }
}
