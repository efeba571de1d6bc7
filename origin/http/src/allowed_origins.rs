//! Cache of the origins of apps that run in browsers, for CORS.
//!
//! Anybody can send any origin, as often as they like, before they are known. So the clients are
//! read by one task at a time, only when they changed since, and for a tenth of the time at most.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;
use tollgate_model::Client;
use tollgate_services::cache::RegistrationCache;
use tollgate_services::single_flight::SingleFlight;
use tollgate_storage::{Store, StoreError};

use super::App;

/// How long an origin that was found is allowed without looking again.
const MAX_AGE: Duration = Duration::from_secs(60);
/// How long one that was not found is not looked for again, at least.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// How much longer than a reading took the next one is put off.
const REST_FACTOR: u32 = 10;

/// The origins of apps that run in browsers.
#[derive(Default)]
pub struct AllowedOrigins {
    flight: SingleFlight<Origins>,
    /// The newest of what the flight has, for those who need not wait for it.
    newest: Arc<Mutex<Arc<BTreeSet<String>>>>,
    reads: Arc<AtomicU64>,
}

#[derive(Default)]
struct Origins {
    origins: Arc<BTreeSet<String>>,
    /// The version of clients that they are of.
    version: Option<u64>,
    checked_at: Option<Instant>,
    /// Before this they are not read again.
    next_at: Option<Instant>,
}

impl AllowedOrigins {
    /// Whether an app is at this origin.
    pub(super) async fn has(&self, app: &App, origin: &str) -> bool {
        // Who was allowed a moment ago never waits for the clients to be read: that is for others.
        if self.is_busy() && self.newest().contains(origin) {
            return true;
        }
        let (store, cache) = (app.store.clone(), app.cache.clone());
        let (newest, reads) = (Arc::clone(&self.newest), Arc::clone(&self.reads));
        let renew = |mut origins: OwnedMutexGuard<Origins>| async move {
            let began = Instant::now();
            if let Err(error) = origins.renew(&store, &cache, &reads).await {
                tracing::error!(%error, "the origins of apps cannot be read");
            }
            origins.next_at = Some(Instant::now() + (began.elapsed() * REST_FACTOR).max(MIN_INTERVAL));
            *newest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&origins.origins);
            origins
        };
        self.flight.get(|origins| origins.answer(origin, Instant::now()), renew).await.unwrap_or_default()
    }

    /// How often all clients were read.
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    fn is_busy(&self) -> bool {
        self.flight.is_busy()
    }

    fn newest(&self) -> Arc<BTreeSet<String>> {
        Arc::clone(&self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Origins {
    /// Whether an app is there; nothing when that is to be looked up.
    fn answer(&self, origin: &str, now: Instant) -> Option<bool> {
        let is_resting = self.next_at.is_some_and(|next_at| now < next_at);
        let is_fresh = self.checked_at.is_some_and(|at| now.saturating_duration_since(at) < MAX_AGE);
        match self.origins.contains(origin) {
            true => (is_fresh || is_resting).then_some(true),
            false => is_resting.then_some(false),
        }
    }

    async fn renew(&mut self, store: &Store, cache: &RegistrationCache, reads: &AtomicU64) -> Result<(), StoreError> {
        // Asked first: what changes while the clients are read is read the next time.
        let version = cache.versions().await?.registrations;
        if self.version != Some(version) {
            reads.fetch_add(1, Ordering::Relaxed);
            let clients = store.list_clients().await?;
            self.origins = Arc::new(clients.iter().flat_map(origins).collect());
            self.version = Some(version);
        }
        self.checked_at = Some(Instant::now());
        Ok(())
    }
}

/// The origins of a client's redirect URIs, if it is an app in a browser. Those of apps on devices
/// have schemes of their own, or nothing that a browser would send.
fn origins(client: &Client) -> Vec<String> {
    if !client.is_public() || !client.is_active() {
        return Vec::new();
    }
    let urls = client.metadata.redirect_uris.iter().filter_map(|uri| url::Url::parse(uri.as_str()).ok());
    let urls = urls.filter(|url| matches!(url.scheme(), "https" | "http"));
    urls.map(|url| url.origin().ascii_serialization()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_model::{AuthMethod, ClientMetadata};

    #[test]
    fn an_app_is_where_its_codes_are_sent() {
        let uris = ["https://app.example/cb?x=1", "http://127.0.0.1:3000/cb", "com.example.app:/cb"];
        let redirect_uris = uris.map(|uri| uri.parse().expect("a URI")).to_vec();
        let metadata = ClientMetadata { auth_method: AuthMethod::None, redirect_uris, ..ClientMetadata::default() };
        let client = Client::new("app".parse().expect("an id"), metadata.clone(), 0);
        assert_eq!(origins(&client), ["https://app.example", "http://127.0.0.1:3000"]);
        let confidential = ClientMetadata { auth_method: AuthMethod::ClientSecretBasic, ..metadata };
        assert!(origins(&Client::new("web".parse().expect("an id"), confidential, 0)).is_empty());
    }

    #[test]
    fn what_is_not_known_is_looked_for_again_soon() {
        let now = Instant::now();
        let (app, new) = ("https://app.example", "https://new.example");
        let origins = Origins {
            origins: Arc::new([app.to_owned()].into()),
            version: Some(1),
            checked_at: Some(now),
            next_at: Some(now + MIN_INTERVAL),
        };
        assert_eq!(origins.answer(app, now + MAX_AGE / 2), Some(true));
        assert_eq!(origins.answer(app, now + MAX_AGE), None);
        assert_eq!(origins.answer(new, now), Some(false));
        assert_eq!(origins.answer(new, now + MIN_INTERVAL), None);
        assert_eq!(Origins::default().answer(app, now), None);
    }
}
