//! Chosen secrets that were found right lately, so that a service that asks every second pays for
//! one hash and not for each.
//!
//! A secret is remembered as the HMAC of itself, its client and the very hash that it was checked
//! against, under a key that lives in this process alone. So nothing here can be guessed at, and a
//! client that is given another secret is not known any more, whichever origin gave it. Whether the
//! client or the secret is still good is asked of the database each time; it is only the
//! hash that is spared. Wrong secrets are not remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use tollgate_model::ClientId;
use tollgate_model::secret::keyed;
use tollgate_system::rng;
use zeroize::Zeroizing;

/// How long a secret is remembered.
const LIFETIME: Duration = Duration::from_secs(300);
/// Secrets that are remembered at most, of about a hundred bytes each.
const CAPACITY: usize = 4096;

type Known = HashMap<[u8; 32], Entry>;

/// What was found right lately.
pub struct VerifiedSecretCache {
    key: Zeroizing<[u8; 32]>,
    known: Mutex<Known>,
}

struct Entry {
    since: Instant,
    /// Those who ask the same at the same time wait for one hash.
    fits: Arc<OnceCell<bool>>,
}

impl VerifiedSecretCache {
    /// Nothing is known yet.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new() -> Result<VerifiedSecretCache, getrandom::Error> {
        Ok(VerifiedSecretCache { key: Zeroizing::new(rng::random()?), known: Mutex::default() })
    }

    /// Whether `secret` is the one of this PHC string, of this client; found out by `check` if that
    /// is not known.
    ///
    /// # Errors
    /// Those of `check`.
    pub async fn verify<E, F: Future<Output = Result<bool, E>>>(
        &self,
        client: &ClientId,
        secret: &str,
        hash: &str,
        check: impl FnOnce() -> F,
    ) -> Result<bool, E> {
        let name = self.name(client, secret, hash);
        let cell = self.cell(name, Instant::now());
        let fits = cell.get_or_try_init(check).await.copied();
        if !matches!(fits, Ok(true)) {
            self.forget(&name, &cell);
        }
        fits
    }

    /// Whether `secret` was found to be the one of this PHC string lately.
    pub fn contains(&self, client: &ClientId, secret: &str, hash: &str) -> bool {
        let name = self.name(client, secret, hash);
        let fits = |entry: &Entry| entry.since.elapsed() < LIFETIME && entry.fits.get() == Some(&true);
        self.lock().get(&name).is_some_and(fits)
    }

    /// Neither an id nor a PHC string has a line break, so no two triples make one text.
    fn name(&self, client: &ClientId, secret: &str, hash: &str) -> [u8; 32] {
        keyed(&self.key, &Zeroizing::new(format!("{client}\n{hash}\n{secret}")))
    }

    /// The entry of this name, made if there is none.
    fn cell(&self, name: [u8; 32], now: Instant) -> Arc<OnceCell<bool>> {
        let mut known = self.lock();
        let is_fresh = |entry: &Entry| now.saturating_duration_since(entry.since) < LIFETIME;
        if let Some(entry) = known.get(&name).filter(|entry| is_fresh(entry)) {
            return Arc::clone(&entry.fits);
        }
        if known.len() >= CAPACITY {
            known.retain(|_, entry| is_fresh(entry));
        }
        if known.len() >= CAPACITY
            && let Some(oldest) = known.iter().min_by_key(|(_, entry)| entry.since).map(|(name, _)| *name)
        {
            known.remove(&oldest);
        }
        let entry = Entry { since: now, fits: Arc::default() };
        let cell = Arc::clone(&entry.fits);
        known.insert(name, entry);
        cell
    }

    fn forget(&self, name: &[u8; 32], cell: &Arc<OnceCell<bool>>) {
        let mut known = self.lock();
        if known.get(name).is_some_and(|entry| Arc::ptr_eq(&entry.fits, cell)) {
            known.remove(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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
        forge: &PasswordHasher,
        client: &ClientId,
        secret: &str,
        hash: &str,
    ) -> Result<bool, PasswordHashingError> {
        let check = || forge.verify(Zeroizing::new(secret.to_owned()), Some(hash.to_owned()));
        verified.verify(client, secret, hash, check).await
    }

    async fn forge() -> (PasswordHasher, String) {
        let settings = HashSettings { cost: HashCost::new(8, 1).expect("a cost"), workers: 1, queue: 64 };
        let forge = PasswordHasher::new(&settings).expect("a forge");
        let hash = forge.hash(Zeroizing::new("chosen by a person".to_owned())).await.expect("hashed");
        (forge, hash)
    }

    #[tokio::test]
    async fn a_right_secret_is_hashed_once_and_a_wrong_one_each_time() {
        let ((forge, hash), verified) = (forge().await, VerifiedSecretCache::new().expect("randomness"));
        let client = "reports".parse().expect("an id");
        let before = forge.load().done;
        for _ in 0..10 {
            assert!(verify(&verified, &forge, &client, "chosen by a person", &hash).await.expect("checked"));
        }
        assert_eq!(forge.load().done, before + 1);
        assert!(verified.contains(&client, "chosen by a person", &hash));
        assert!(!verified.contains(&client, "chosen by another", &hash));
        for _ in 0..3 {
            assert!(!verify(&verified, &forge, &client, "chosen by another", &hash).await.expect("checked"));
        }
        assert_eq!(forge.load().done, before + 4);
        let other = "invoices".parse().expect("an id");
        assert!(verify(&verified, &forge, &other, "chosen by a person", &hash).await.expect("checked"));
        assert_eq!(forge.load().done, before + 5, "of another client");
        let again = forge.hash(Zeroizing::new("chosen by a person".to_owned())).await.expect("hashed");
        assert!(verify(&verified, &forge, &client, "chosen by a person", &again).await.expect("checked"));
        assert_eq!(forge.load().done, before + 7, "of another hash");
    }

    #[tokio::test]
    async fn who_ask_at_once_pay_for_one() {
        let ((forge, hash), verified) = (forge().await, VerifiedSecretCache::new().expect("randomness"));
        let (client, before) = ("reports".parse().expect("an id"), forge.load().done);
        let all = (0..50).map(|_| verify(&verified, &forge, &client, "chosen by a person", &hash));
        let all = futures::future::join_all(all).await;
        assert!(all.into_iter().all(|fits| fits.expect("checked")));
        assert_eq!(forge.load().done, before + 1);
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let (verified, now) = (VerifiedSecretCache::new().expect("randomness"), Instant::now());
        let name = |nth: usize| {
            let mut name = [0; 32];
            name[..8].copy_from_slice(&nth.to_le_bytes());
            name
        };
        let first = verified.cell(name(0), now);
        assert!(Arc::ptr_eq(&first, &verified.cell(name(0), now + LIFETIME / 2)));
        assert!(!Arc::ptr_eq(&first, &verified.cell(name(0), now + LIFETIME)), "too old");
        for nth in 0..2 * CAPACITY {
            verified.cell(name(nth), now + LIFETIME);
        }
        assert_eq!(verified.lock().len(), CAPACITY);
    }
}
