//! Cache of the origins of browser apps, for CORS.
//!
//! Unauthenticated requests can send any origin at any rate. So one task at a time reads the
//! clients, only after they changed, and spends at most a tenth of the time on it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;
use tollgate_model::Client;
use tollgate_services::cache::RegistrationCache;
use tollgate_services::single_flight::SingleFlight;
use tollgate_storage::{Store, StoreError};

/// Time for which a known origin is allowed without checking the version of the clients.
const MAX_AGE: Duration = Duration::from_secs(60);
/// Minimum time between two checks. Unknown origins are refused meanwhile.
const MIN_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The pause after a check is at least this many times its duration.
const PAUSE_FACTOR: u32 = 10;

/// Origins of browser apps.
pub(crate) struct AllowedOrigins {
    /// Whether any page may register clients, because anybody may.
    pub(super) is_registration_open: bool,
    store: Store,
    cache: RegistrationCache,
    flight: SingleFlight<Origins>,
    /// The latest origins, readable while a check is running.
    newest: Arc<Mutex<Arc<BTreeSet<String>>>>,
    reads: Arc<AtomicU64>,
}

#[derive(Default)]
struct Origins {
    origins: Arc<BTreeSet<String>>,
    /// Version of the registrations that the origins were read from.
    version: Option<u64>,
    checked_at: Option<Instant>,
    /// Time before which no check starts.
    next_check_at: Option<Instant>,
}

impl AllowedOrigins {
    pub(super) fn new(store: Store, cache: RegistrationCache, is_registration_open: bool) -> AllowedOrigins {
        let (flight, newest, reads) = (SingleFlight::default(), Arc::default(), Arc::default());
        AllowedOrigins { is_registration_open, store, cache, flight, newest, reads }
    }

    /// Whether a browser app has this origin.
    pub(super) async fn contains(&self, origin: &str) -> bool {
        // Requests from a known origin do not wait for a running check.
        if self.is_busy() && self.newest().contains(origin) {
            return true;
        }
        let (store, cache) = (self.store.clone(), self.cache.clone());
        let (newest, reads) = (Arc::clone(&self.newest), Arc::clone(&self.reads));
        let refresh = |mut origins: OwnedMutexGuard<Origins>| async move {
            let began = Instant::now();
            if let Err(error) = origins.refresh(&store, &cache, &reads).await {
                tracing::error!(%error, "the allowed origins cannot be read");
            }
            origins.next_check_at = Some(Instant::now() + (began.elapsed() * PAUSE_FACTOR).max(MIN_CHECK_INTERVAL));
            *newest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&origins.origins);
            origins
        };
        self.flight.get(|origins| origins.is_allowed(origin, Instant::now()), refresh).await.unwrap_or_default()
    }

    /// Number of times that all clients were read.
    pub(super) fn read_count(&self) -> u64 {
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
    /// Whether an app has this origin; none if a check is needed.
    fn is_allowed(&self, origin: &str, now: Instant) -> Option<bool> {
        let is_paused = self.next_check_at.is_some_and(|next_check_at| now < next_check_at);
        let is_fresh = self.checked_at.is_some_and(|at| now.saturating_duration_since(at) < MAX_AGE);
        match self.origins.contains(origin) {
            true => (is_fresh || is_paused).then_some(true),
            false => is_paused.then_some(false),
        }
    }

    async fn refresh(&mut self, store: &Store, cache: &RegistrationCache, reads: &AtomicU64) -> Result<(), StoreError> {
        // The version is read first: a change during the read is found by the next check.
        let version = cache.versions().await?.registrations;
        if self.version != Some(version) {
            reads.fetch_add(1, Ordering::Relaxed);
            let clients = store.list_clients().await?;
            self.origins = Arc::new(clients.iter().flat_map(app_origins).collect());
            self.version = Some(version);
        }
        self.checked_at = Some(Instant::now());
        Ok(())
    }
}

/// The origins of an active public client's http and https redirect URIs. Redirect URIs of native
/// apps have private schemes, which are never the origin of a page.
fn app_origins(client: &Client) -> Vec<String> {
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
    fn origins_of_public_clients_are_those_of_their_redirect_uris() {
        let uris = ["https://app.example/cb?x=1", "http://127.0.0.1:3000/cb", "com.example.app:/cb"];
        let redirect_uris = uris.map(|uri| uri.parse().expect("a URI")).to_vec();
        let metadata = ClientMetadata { auth_method: AuthMethod::None, redirect_uris, ..ClientMetadata::default() };
        let client = Client::new("app".parse().expect("an id"), metadata.clone(), 0);
        assert_eq!(app_origins(&client), ["https://app.example", "http://127.0.0.1:3000"]);
        let confidential = ClientMetadata { auth_method: AuthMethod::ClientSecretBasic, ..metadata };
        assert!(app_origins(&Client::new("web".parse().expect("an id"), confidential, 0)).is_empty());
    }

    #[test]
    fn unknown_origins_are_checked_again_before_known_ones() {
        let now = Instant::now();
        let (app, new) = ("https://app.example", "https://new.example");
        let origins = Origins {
            origins: Arc::new([app.to_owned()].into()),
            version: Some(1),
            checked_at: Some(now),
            next_check_at: Some(now + MIN_CHECK_INTERVAL),
        };
        assert_eq!(origins.is_allowed(app, now + MAX_AGE / 2), Some(true));
        assert_eq!(origins.is_allowed(app, now + MAX_AGE), None);
        assert_eq!(origins.is_allowed(new, now), Some(false));
        assert_eq!(origins.is_allowed(new, now + MIN_CHECK_INTERVAL), None);
        assert_eq!(Origins::default().is_allowed(app, now), None);
    }
}
