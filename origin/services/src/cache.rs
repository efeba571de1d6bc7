//! Caches of database rows, validated by version; batched lookups of refresh tokens.
//!
//! Clients, resource servers, the configuration of edges and valid tokens are read again and again,
//! and cached. Refresh tokens are read once each, so concurrent lookups share a query.
//!
//! Invariant: a cached row is used only with the version at which it was read. A request first
//! reads the current versions, so it sees all that was committed before it began, by any process.
//! That query reads one small row, and concurrent requests share it. A request that ends in a
//! transaction may skip the query and use the newest versions that are known; the transaction then
//! confirms them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::yield_now;
use tollgate_core::Config;
use tollgate_keys::Jwk;
use tollgate_model::{
    AccessToken, Audience, Client, ClientId, GrantId, PresentedRefreshToken, RefreshFamily, RefreshToken, Resource,
};
use tollgate_storage::{Store, StoreError, VersionReader, Versions};
use tollgate_system::current_request::{Part, measure};

use crate::revocation_feed::edge_config;

/// Entries of each cache, of about one kilobyte. A full cache is cleared.
const MAX_CACHED_ENTRIES: usize = 16 * 1024;
/// Version of entries that never change.
const IMMUTABLE: u64 = 0;
/// Lookups that wait for a query; further requests wait to queue theirs.
const MAX_QUEUED_LOOKUPS: usize = 1024;
/// Lookups per query.
const MAX_BATCH_LOOKUPS: usize = 128;

/// Cache of clients, resource servers, edge configuration, valid tokens and refresh families.
/// Clones share it.
#[derive(Clone)]
pub struct RegistrationCache {
    store: Store,
    version_requests: Arc<VersionRequests>,
    version_results: watch::Receiver<VersionResult>,
    clients: Arc<VersionedCache<ClientId, Client>>,
    resources: Arc<VersionedCache<Audience, Option<Resource>>>,
    all_resources: Arc<VersionedCache<(), Vec<Resource>>>,
    tokens: Arc<VersionedCache<[u8; 32], AccessToken>>,
    edge_config: Arc<VersionedCache<(), Config>>,
    refresh_families: Arc<VersionedCache<GrantId, RefreshFamily>>,
    lookups: mpsc::Sender<Lookup>,
}

/// Lookup of a refresh token, and where to send its result.
type Lookup = (PresentedRefreshToken, oneshot::Sender<Option<RefreshToken>>);

/// Shared between requests that wait for the versions and the task that reads them.
#[derive(Default)]
struct VersionRequests {
    requested: Notify,
    /// Number of reads that have begun.
    reads_begun: AtomicU64,
}

/// Result of a read of the versions.
#[derive(Clone, Copy)]
struct VersionResult {
    /// Number of the read, in the order in which reads began.
    read: u64,
    /// None if the database failed.
    versions: Option<Versions>,
}

impl RegistrationCache {
    /// An empty cache, and the task to spawn, which queries the database for concurrent requests.
    /// The task ends when the last clone is dropped.
    pub fn new(store: Store) -> (RegistrationCache, impl Future<Output = ()> + Send + 'static) {
        let version_requests = Arc::new(VersionRequests::default());
        let (results, version_results) = watch::channel(VersionResult { read: 0, versions: None });
        let (lookups, queue) = mpsc::channel(MAX_QUEUED_LOOKUPS);
        let (reading, looking_up) = (
            read_versions(store.version_reader(), Arc::clone(&version_requests), results),
            run_lookups(store.clone(), queue),
        );
        let task = async move {
            tokio::join!(reading, looking_up);
        };
        let cache = RegistrationCache {
            store,
            version_requests,
            version_results,
            clients: Arc::default(),
            resources: Arc::default(),
            all_resources: Arc::default(),
            tokens: Arc::default(),
            edge_config: Arc::default(),
            refresh_families: Arc::default(),
            lookups,
        };
        (cache, task)
    }

    /// Reads the versions in the database. Concurrent callers share a query that begins after the
    /// call.
    pub async fn versions(&self) -> Result<Versions, StoreError> {
        let _measured = measure(Part::Database, "versions");
        let mut results = self.version_results.clone();
        // A read that is running already may have missed the newest commit.
        let begun = self.version_requests.reads_begun.load(Ordering::SeqCst);
        self.version_requests.requested.notify_one();
        match results.wait_for(|result| result.read > begun).await.map(|result| result.versions) {
            Ok(Some(versions)) => Ok(versions),
            // The shared read failed: this query returns the error.
            Ok(None) | Err(_) => Box::pin(self.store.get_versions()).await,
        }
    }

    /// The versions as of the last read. A decision that is based on them must be confirmed by its
    /// transaction, see
    /// [`IssueRequest::registrations_version`](tollgate_storage::IssueRequest::registrations_version).
    pub fn latest_versions(&self) -> Option<Versions> {
        self.version_results.borrow().versions
    }

    /// The client, if it is cached at these versions.
    pub fn cached_client(&self, id: &ClientId, versions: Versions) -> Option<Arc<Client>> {
        self.clients.get(id, versions.registrations)
    }

    /// The client as of `versions` or later.
    pub async fn client(&self, id: &ClientId, versions: Versions) -> Result<Option<Arc<Client>>, StoreError> {
        if let Some(client) = self.cached_client(id, versions) {
            return Ok(Some(client));
        }
        let client = Box::pin(self.store.find_client(id)).await?.map(Arc::new);
        // Unknown ids are not cached, because anyone can send any number of them.
        if let Some(client) = &client {
            self.clients.insert(id.clone(), versions.registrations, Arc::clone(client));
        }
        Ok(client)
    }

    /// The resource server of an audience as of `versions` or later. Audiences come from tokens of
    /// this origin, so unknown ones are cached as well.
    pub async fn resource(&self, audience: &Audience, versions: Versions) -> Result<Arc<Option<Resource>>, StoreError> {
        if let Some(resource) = self.resources.get(audience, versions.registrations) {
            return Ok(resource);
        }
        let resource = Arc::new(Box::pin(self.store.find_resource(audience)).await?);
        self.resources.insert(audience.clone(), versions.registrations, Arc::clone(&resource));
        Ok(resource)
    }

    /// All resource servers as of `versions` or later.
    pub async fn resources(&self, versions: Versions) -> Result<Arc<Vec<Resource>>, StoreError> {
        if let Some(resources) = self.all_resources.get(&(), versions.registrations) {
            return Ok(resources);
        }
        let resources = Arc::new(Box::pin(self.store.list_resources()).await?);
        self.all_resources.insert((), versions.registrations, Arc::clone(&resources));
        Ok(resources)
    }

    /// The configuration of edges for this audience and these keys, as of `versions` or later. None
    /// if edges could not parse it.
    pub async fn edge_config(
        &self,
        audience: &Audience,
        keys: &[Jwk],
        versions: Versions,
    ) -> Result<Option<Arc<Config>>, StoreError> {
        if let Some(config) = self.edge_config.get(&(), versions.config) {
            return Ok(Some(config));
        }
        let (routes, resources) = (self.store.list_routes().await?, self.store.list_resources().await?);
        let document = edge_config::document(audience.as_str(), keys, &routes, &resources).ok();
        let config = document.and_then(|document| Config::read(&document).ok()).map(Arc::new);
        if let Some(config) = &config {
            self.edge_config.insert((), versions.config, Arc::clone(config));
        }
        Ok(config)
    }

    /// What the refresh tokens of a grant have in common. The transaction that follows must confirm
    /// that the grant is not revoked.
    pub async fn refresh_family(
        &self,
        presented: &PresentedRefreshToken,
    ) -> Result<Option<Arc<RefreshFamily>>, StoreError> {
        if let Some(family) = self.refresh_families.get(&presented.grant, IMMUTABLE) {
            return Ok(Some(family));
        }
        let family = Box::pin(self.refresh_token(presented.clone())).await?.map(|token| token.family);
        if let Some(family) = &family {
            self.refresh_families.insert(presented.grant.clone(), IMMUTABLE, Arc::clone(family));
        }
        Ok(family)
    }

    /// Looks up a refresh token, as [`Store::find_refresh_token`]. Concurrent lookups share a
    /// query.
    pub async fn refresh_token(&self, presented: PresentedRefreshToken) -> Result<Option<RefreshToken>, StoreError> {
        let _measured = measure(Part::Database, "refresh token");
        let (sender, result) = oneshot::channel();
        if self.lookups.send((presented.clone(), sender)).await.is_ok()
            && let Ok(token) = result.await
        {
            return Ok(token);
        }
        // The shared query failed: this query returns the error.
        self.store.find_refresh_token(presented).await
    }

    /// The record of a token that was valid, if nothing was revoked since. It may have expired.
    pub fn valid_token(&self, unverified_token: &str, versions: Versions) -> Option<Arc<AccessToken>> {
        self.tokens.get(&token_hash(unverified_token), versions.sequence)
    }

    /// Hits, misses and sizes of the caches since the start.
    #[must_use]
    pub fn statistics(&self) -> [CacheStatistics; 6] {
        [
            self.clients.statistics("clients"),
            self.resources.statistics("resources"),
            self.all_resources.statistics("all_resources"),
            self.tokens.statistics("tokens"),
            self.edge_config.statistics("edge_config"),
            self.refresh_families.statistics("refresh_families"),
        ]
    }

    /// Caches a token that is valid as of `versions` or later.
    pub fn insert_valid_token(&self, token: &str, versions: Versions, record: Arc<AccessToken>) {
        self.tokens.insert(token_hash(token), versions.sequence, record);
    }
}

/// Key of a token in the cache, which does not contain the token itself.
fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Reads the versions for all requests that wait, one read after the other.
async fn read_versions(
    mut reader: VersionReader,
    requests: Arc<VersionRequests>,
    results: watch::Sender<VersionResult>,
) {
    loop {
        tokio::select! {
            () = requests.requested.notified() => {}
            () = results.closed() => return,
        }
        // Lets further requests join this read, which costs less than another read.
        yield_now().await;
        let read = requests.reads_begun.fetch_add(1, Ordering::SeqCst) + 1;
        let versions = reader.read().await.inspect_err(|error| tracing::error!(%error, "versions could not be read"));
        results.send_replace(VersionResult { read, versions: versions.ok() });
    }
}

/// Looks up queued refresh tokens in batches. On failure the batch is dropped, and each request
/// queries by itself.
async fn run_lookups(store: Store, mut queue: mpsc::Receiver<Lookup>) {
    let mut batch = Vec::with_capacity(MAX_BATCH_LOOKUPS);
    while queue.recv_many(&mut batch, MAX_BATCH_LOOKUPS).await > 0 {
        // Requests whose client has disconnected.
        batch.retain(|(_, result): &Lookup| !result.is_closed());
        let (presented, results): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        let found = store.find_refresh_tokens(&presented).await;
        let found = found.inspect_err(|error| tracing::error!(%error, "refresh tokens could not be looked up"));
        for (result, token) in results.into_iter().zip(found.unwrap_or_default()) {
            // Fails if the request was cancelled in the meantime.
            let _ = result.send(token);
        }
    }
}

/// Statistics of a cache.
#[derive(Debug, Clone, Copy)]
pub struct CacheStatistics {
    /// Name of the cache.
    pub cache: &'static str,
    /// Lookups that found a value of the wanted version.
    pub hits: u64,
    /// Lookups that found none.
    pub misses: u64,
    /// Values in the cache.
    pub entries: u64,
}

/// Values by key, each with the version at which it was read.
struct VersionedCache<K, V> {
    entries: Mutex<HashMap<K, (u64, Arc<V>)>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl<K, V> Default for VersionedCache<K, V> {
    fn default() -> VersionedCache<K, V> {
        VersionedCache { entries: Mutex::default(), hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }
}

impl<K: Eq + Hash, V> VersionedCache<K, V> {
    fn get(&self, key: &K, version: u64) -> Option<Arc<V>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let found = entries.get(key).filter(|(cached_at, _)| *cached_at == version).map(|(_, value)| Arc::clone(value));
        drop(entries);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    fn insert(&self, key: K, version: u64, value: Arc<V>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX_CACHED_ENTRIES {
            entries.clear();
        }
        entries.insert(key, (version, value));
    }

    fn statistics(&self, cache: &'static str) -> CacheStatistics {
        CacheStatistics {
            cache,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: self.entries.lock().unwrap_or_else(PoisonError::into_inner).len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use tollgate_model::{GrantId, SecretHash};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("whole").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Log {
        type Writer = Log;

        fn make_writer(&self) -> Log {
            self.clone()
        }
    }

    #[tokio::test]
    async fn failed_lookup_is_logged_and_returned_as_error() {
        let log = Log::default();
        let _logging = tracing::subscriber::set_default(tracing_subscriber::fmt().with_writer(log.clone()).finish());
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("cache.db").display());
        let store = Store::open(&url).await.expect("opened");
        let (cache, task) = RegistrationCache::new(store.clone());
        store.close().await;
        let presented = PresentedRefreshToken { grant: GrantId::from_random(&[1; 12]), hash: SecretHash::of("r") };
        let lookup = async { cache.refresh_token(presented).await };
        tokio::select! {
            result = lookup => assert!(result.is_err(), "the database is closed"),
            () = task => panic!("the task ended before the cache was dropped"),
        }
        let log = String::from_utf8(log.0.lock().expect("whole").clone()).expect("text");
        assert!(log.contains("refresh tokens could not be looked up"), "{log}");
    }
}
