//! Password hashing (Argon2id), for passwords and for client secrets that people choose.
//!
//! A hash takes 19 MiB and some tens of milliseconds, on purpose. On an async thread it would delay
//! all other requests, and one hash per concurrent request would exhaust the memory. A fixed number
//! of worker threads, each with memory of its own, takes jobs from a bounded queue. When the queue
//! is full, requests are refused immediately and may retry. Jobs of cancelled requests are dropped.
//!
//! Hashes of other systems can be imported; they are replaced at the first sign-in. Until then the
//! response time may reveal that an account has one.
//!
//! Never: a hash on an async thread; a hash without a caller; a faster response for an unknown
//! user. Generated secrets are not hashed here: they cannot be guessed, so one SHA-256 is enough.

mod argon2id;
mod error;
mod imported;
mod verified_secrets;

pub use error::PasswordHashingError;
pub use imported::{ImportHashError, import_hash, import_pbkdf2};
pub use verified_secrets::VerifiedSecretCache;

use std::sync::Arc;

use tollgate_config::HashSettings;
use tollgate_model::HashCost;
use tollgate_system::current_request::Part;
use tollgate_system::rng;
use zeroize::Zeroizing;

use argon2id::Memory;
use error::failed;

use crate::worker_pool::{WorkerLoad, WorkerPool};

/// Hashes and verifies passwords. Clones share the worker threads.
#[derive(Clone)]
pub struct PasswordHasher {
    pool: Arc<WorkerPool<Memory>>,
    cost: HashCost,
    /// Hash of a random password, verified for unknown users so that they take as long as a wrong
    /// password.
    dummy_hash: Arc<str>,
}

impl PasswordHasher {
    /// Starts the worker threads.
    ///
    /// # Errors
    /// When the random source fails or a thread cannot be started.
    pub fn new(settings: &HashSettings) -> Result<PasswordHasher, PasswordHashingError> {
        let password = Zeroizing::new(rng::random::<32>().map_err(failed)?);
        let dummy_hash = argon2id::hash(password.as_slice(), &random_salt()?, settings.cost, &mut Memory::default())?;
        let pool = WorkerPool::start("hash", Part::Hashing, settings.workers, settings.queue).map_err(failed)?;
        Ok(PasswordHasher { pool: Arc::new(pool), cost: settings.cost, dummy_hash: dummy_hash.into() })
    }

    /// Hashes a password to a PHC string.
    ///
    /// # Errors
    /// When the queue is full, the random source fails or the memory is exhausted.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, PasswordHashingError> {
        let (cost, salt) = (self.cost, random_salt()?);
        self.pool.run(move |memory| argon2id::hash(password.as_bytes(), &salt, cost, memory)).await?
    }

    /// Whether the password matches `hash`. Without a hash the result is false, after the same
    /// time.
    ///
    /// # Errors
    /// When the queue is full, the hash is malformed or the memory is exhausted.
    pub async fn verify(
        &self,
        password: Zeroizing<String>,
        hash: Option<String>,
    ) -> Result<bool, PasswordHashingError> {
        let (cost, has_hash) = (self.cost, hash.is_some());
        let hash = hash.unwrap_or_else(|| self.dummy_hash.to_string());
        let is_match =
            self.pool.run(move |memory| verify_on_this_thread(password.as_bytes(), &hash, cost, memory)).await??;
        Ok(is_match && has_hash)
    }

    /// Whether the password of this hash should be hashed again at its next use, because the hash
    /// costs less than the current settings require, or another system made it.
    #[must_use]
    pub fn needs_rehash(&self, hash: &str) -> bool {
        !hash.starts_with("$argon2id$") || argon2id::cost_of(hash).is_none_or(|cost| cost.work() < self.cost.work())
    }

    /// Refuses a request early, before its other work, if the queue is full.
    ///
    /// # Errors
    /// [`PasswordHashingError::Busy`]
    pub fn check_capacity(&self) -> Result<(), PasswordHashingError> {
        Ok(self.pool.check_capacity()?)
    }

    #[must_use]
    pub fn load(&self) -> WorkerLoad {
        self.pool.load()
    }
}

fn verify_on_this_thread(
    password: &[u8],
    hash: &str,
    cost: HashCost,
    memory: &mut Memory,
) -> Result<bool, PasswordHashingError> {
    match imported::is_foreign(hash) {
        true => imported::verify(password, hash),
        false => argon2id::verify(password, hash, cost, memory),
    }
}

/// Hashes a password on this thread at the default cost, for the command line.
///
/// # Errors
/// When the random source fails or the memory is exhausted.
pub fn hash_password_blocking(password: &Zeroizing<String>) -> Result<String, PasswordHashingError> {
    argon2id::hash(password.as_bytes(), &random_salt()?, HashCost::default(), &mut Memory::default())
}

fn random_salt() -> Result<[u8; 16], PasswordHashingError> {
    rng::random().map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings(workers: usize, queue: usize) -> HashSettings {
        HashSettings { cost: HashCost::new(8, 1).expect("a cost"), workers, queue }
    }

    fn password(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[tokio::test]
    async fn password_matches_only_its_own_hash() {
        let hasher = PasswordHasher::new(&HashSettings::default()).expect("started");
        let hash = hasher.hash(password("correct horse")).await.expect("hashed");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.verify(password("correct horse"), Some(hash.clone())).await.expect("checked"));
        assert!(!hasher.verify(password("wrong horse"), Some(hash.clone())).await.expect("checked"));
        assert!(!hasher.verify(password("correct horse"), None).await.expect("checked"));
        assert!(hasher.verify(password("x"), Some("no hash".to_owned())).await.is_err());
        assert!(!hasher.needs_rehash(&hash));
    }

    #[tokio::test]
    async fn cheaper_hashes_need_a_rehash() {
        let (small, large) =
            (settings(1, 8), HashSettings { cost: HashCost::new(16, 1).expect("a cost"), ..settings(1, 8) });
        let (small, large) =
            (PasswordHasher::new(&small).expect("started"), PasswordHasher::new(&large).expect("started"));
        let hash = small.hash(password("correct horse")).await.expect("hashed");
        assert!(large.needs_rehash(&hash) && !small.needs_rehash(&hash));
        assert!(large.verify(password("correct horse"), Some(hash)).await.expect("checked"));
        let hash = large.hash(password("correct horse")).await.expect("hashed");
        assert!(small.verify(password("correct horse"), Some(hash.clone())).await.expect("checked"), "a larger one");
        assert!(!small.needs_rehash(&hash) && !large.needs_rehash(&hash));
    }

    #[tokio::test]
    async fn imported_hash_is_verified_and_needs_a_rehash() {
        let hasher = PasswordHasher::new(&settings(1, 8)).expect("started");
        for text in [
            "$2b$05$abcdefghijklmnopqrstuu2c1e4vZoCxDVRU9N6VCSSmNg4cQa1Ve",
            "pbkdf2_sha256$10000$seasalt$CWWFdHOWwPnki7HvkcqN9iA2T3KLW1cf2uZ5kvArtVY=",
        ] {
            let stored = import_hash(text).expect("known");
            assert!(hasher.needs_rehash(&stored), "{stored}");
            assert!(hasher.verify(password("lètmein"), Some(stored.clone())).await.expect("checked"), "{text}");
            assert!(!hasher.verify(password("letmein"), Some(stored)).await.expect("checked"), "{text}");
        }
    }

    /// Blocks the only worker until the sender is used.
    async fn block_worker(hasher: &PasswordHasher) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let pool = Arc::clone(&hasher.pool);
        let holding = tokio::spawn(async move {
            let held = pool.run(move |_| held.recv().map_err(|_| ())).await;
            assert!(held.is_ok_and(|held| held.is_ok()));
        });
        while hasher.load().working == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        (release, holding)
    }

    #[tokio::test]
    async fn full_queue_refuses_and_cancelled_callers_make_room() {
        let hasher = PasswordHasher::new(&settings(1, 2)).expect("started");
        let (release, holding) = block_worker(&hasher).await;
        let mut waiting: Vec<_> = (0..2)
            .map(|nth| {
                let hasher = hasher.clone();
                Box::pin(async move { hasher.hash(password(&format!("password {nth}"))).await })
            })
            .collect();
        for one in &mut waiting {
            assert!(futures::poll!(one.as_mut()).is_pending());
        }
        assert!(matches!(hasher.hash(password("one too many")).await, Err(PasswordHashingError::Busy)));
        assert!(matches!(hasher.check_capacity(), Err(PasswordHashingError::Busy)));
        let load = hasher.load();
        assert_eq!((load.queued, load.capacity, load.workers, load.refused), (2, 2, 1, 2));

        // A cancelled job frees its space and is never hashed.
        drop(waiting.pop());
        assert!(hasher.check_capacity().is_ok());
        let mut third = Box::pin(hasher.hash(password("third")));
        assert!(futures::poll!(third.as_mut()).is_pending());
        release.send(()).expect("it waits");
        holding.await.expect("held");
        waiting.pop().expect("the first").await.expect("hashed");
        third.await.expect("hashed");
        let load = hasher.load();
        assert_eq!((load.done, load.abandoned, load.queued), (3, 1, 0), "the holder, the first and the third");
    }

    #[tokio::test]
    async fn who_left_while_waiting_is_not_hashed() {
        let hasher = PasswordHasher::new(&settings(1, 8)).expect("started");
        let (release, holding) = block_worker(&hasher).await;
        for _ in 0..8 {
            let mut left = Box::pin(hasher.hash(password("gone")));
            assert!(futures::poll!(left.as_mut()).is_pending());
        }
        release.send(()).expect("it waits");
        holding.await.expect("held");
        hasher.hash(password("stayed")).await.expect("hashed");
        assert_eq!((hasher.load().done, hasher.load().abandoned), (2, 8), "the holder and the one who stayed");
    }
}
