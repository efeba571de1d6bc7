//! Cache of verified client secrets, so that a client with frequent requests causes one hash
//! instead of one per request.
//!
//! The key of an entry is the HMAC of the secret, its client and its stored hash, under a random
//! key of this process. So the cache reveals no secret, and a client whose secret was changed by
//! any origin has no entry. The cache replaces only the hash: whether client and secret are valid
//! is read from the database each time. Wrong secrets are not cached.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use tollgate_model::ClientId;
use tollgate_model::secret::keyed;
use tollgate_system::rng;
use zeroize::Zeroizing;

const ENTRY_LIFETIME: Duration = Duration::from_secs(300);
/// Entries of about a hundred bytes each.
const MAX_ENTRIES: usize = 4096;

type Entries = HashMap<[u8; 32], Entry>;

/// Cache of verified client secrets.
pub struct VerifiedSecretCache {
    key: Zeroizing<[u8; 32]>,
    entries: Mutex<Entries>,
}

struct Entry {
    since: Instant,
    /// Concurrent requests with the same secret wait for one hash.
    is_match: Arc<OnceCell<bool>>,
}

impl VerifiedSecretCache {
    /// # Errors
    /// When the random source fails.
    pub fn new() -> Result<VerifiedSecretCache, getrandom::Error> {
        Ok(VerifiedSecretCache { key: Zeroizing::new(rng::random()?), entries: Mutex::default() })
    }

    /// Whether `secret` matches this PHC string of this client. Calls `check` if there is no entry.
    ///
    /// # Errors
    /// As `check`.
    pub async fn verify<E, F: Future<Output = Result<bool, E>>>(
        &self,
        client: &ClientId,
        secret: &str,
        hash: &str,
        check: impl FnOnce() -> F,
    ) -> Result<bool, E> {
        let key = self.entry_key(client, secret, hash);
        let cell = self.cell(key, Instant::now());
        let is_match = cell.get_or_try_init(check).await.copied();
        if !matches!(is_match, Ok(true)) {
            self.remove(&key, &cell);
        }
        is_match
    }

    /// Whether `secret` was verified with this PHC string during the lifetime of an entry.
    pub fn contains(&self, client: &ClientId, secret: &str, hash: &str) -> bool {
        let key = self.entry_key(client, secret, hash);
        let is_match = |entry: &Entry| entry.since.elapsed() < ENTRY_LIFETIME && entry.is_match.get() == Some(&true);
        self.lock().get(&key).is_some_and(is_match)
    }

    /// Ids and PHC strings have no line break, so different triples give different texts.
    fn entry_key(&self, client: &ClientId, secret: &str, hash: &str) -> [u8; 32] {
        keyed(&self.key, &Zeroizing::new(format!("{client}\n{hash}\n{secret}")))
    }

    /// The entry with this key, or a new one.
    fn cell(&self, key: [u8; 32], now: Instant) -> Arc<OnceCell<bool>> {
        let mut entries = self.lock();
        let is_fresh = |entry: &Entry| now.saturating_duration_since(entry.since) < ENTRY_LIFETIME;
        if let Some(entry) = entries.get(&key).filter(|entry| is_fresh(entry)) {
            return Arc::clone(&entry.is_match);
        }
        if entries.len() >= MAX_ENTRIES {
            entries.retain(|_, entry| is_fresh(entry));
        }
        if entries.len() >= MAX_ENTRIES
            && let Some(oldest) = entries.iter().min_by_key(|(_, entry)| entry.since).map(|(key, _)| *key)
        {
            entries.remove(&oldest);
        }
        let entry = Entry { since: now, is_match: Arc::default() };
        let cell = Arc::clone(&entry.is_match);
        entries.insert(key, entry);
        cell
    }

    fn remove(&self, key: &[u8; 32], cell: &Arc<OnceCell<bool>>) {
        let mut entries = self.lock();
        if entries.get(key).is_some_and(|entry| Arc::ptr_eq(&entry.is_match, cell)) {
            entries.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password_hashing::{PasswordHasher, PasswordHashingError};
    use tollgate_config::HashSettings;
    use tollgate_model::HashCost;

    async fn verify(
        verified: &VerifiedSecretCache,
        hasher: &PasswordHasher,
        client: &ClientId,
        secret: &str,
        hash: &str,
    ) -> Result<bool, PasswordHashingError> {
        let check = || hasher.verify(Zeroizing::new(secret.to_owned()), Some(hash.to_owned()));
        verified.verify(client, secret, hash, check).await
    }

    async fn hasher() -> (PasswordHasher, String) {
        let settings = HashSettings { cost: HashCost::new(8, 1).expect("a cost"), workers: 1, queue: 64 };
        let hasher = PasswordHasher::new(&settings).expect("started");
        let hash = hasher.hash(Zeroizing::new("chosen by a person".to_owned())).await.expect("hashed");
        (hasher, hash)
    }

    #[tokio::test]
    async fn correct_secret_is_hashed_once_and_wrong_ones_each_time() {
        let ((hasher, hash), verified) = (hasher().await, VerifiedSecretCache::new().expect("randomness"));
        let client = "reports".parse().expect("an id");
        let before = hasher.load().done;
        for _ in 0..10 {
            assert!(verify(&verified, &hasher, &client, "chosen by a person", &hash).await.expect("checked"));
        }
        assert_eq!(hasher.load().done, before + 1);
        assert!(verified.contains(&client, "chosen by a person", &hash));
        assert!(!verified.contains(&client, "chosen by another", &hash));
        for _ in 0..3 {
            assert!(!verify(&verified, &hasher, &client, "chosen by another", &hash).await.expect("checked"));
        }
        assert_eq!(hasher.load().done, before + 4);
        let other = "invoices".parse().expect("an id");
        assert!(verify(&verified, &hasher, &other, "chosen by a person", &hash).await.expect("checked"));
        assert_eq!(hasher.load().done, before + 5, "of another client");
        let again = hasher.hash(Zeroizing::new("chosen by a person".to_owned())).await.expect("hashed");
        assert!(verify(&verified, &hasher, &client, "chosen by a person", &again).await.expect("checked"));
        assert_eq!(hasher.load().done, before + 7, "of another hash");
    }

    #[tokio::test]
    async fn concurrent_requests_share_one_hash() {
        let ((hasher, hash), verified) = (hasher().await, VerifiedSecretCache::new().expect("randomness"));
        let (client, before) = ("reports".parse().expect("an id"), hasher.load().done);
        let all = (0..50).map(|_| verify(&verified, &hasher, &client, "chosen by a person", &hash));
        let all = futures::future::join_all(all).await;
        assert!(all.into_iter().all(|is_match| is_match.expect("checked")));
        assert_eq!(hasher.load().done, before + 1);
    }

    #[test]
    fn number_of_entries_is_bounded() {
        let (verified, now) = (VerifiedSecretCache::new().expect("randomness"), Instant::now());
        let key = |nth: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&nth.to_le_bytes());
            key
        };
        let first = verified.cell(key(0), now);
        assert!(Arc::ptr_eq(&first, &verified.cell(key(0), now + ENTRY_LIFETIME / 2)));
        assert!(!Arc::ptr_eq(&first, &verified.cell(key(0), now + ENTRY_LIFETIME)), "too old");
        for nth in 0..2 * MAX_ENTRIES {
            verified.cell(key(nth), now + ENTRY_LIFETIME);
        }
        assert_eq!(verified.lock().len(), MAX_ENTRIES);
    }
}
