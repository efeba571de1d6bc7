//! Hashing of what people choose, passwords and secrets, where it can hurt nobody.
//!
//! Argon2id takes 19 MiB and some tens of milliseconds a hash, on purpose. On an async thread it
//! would stop all others for that long, and as many at once as there are requests would take the
//! machine's memory. So a fixed number of threads do it, each in memory of its own that it keeps,
//! and behind them stands a queue with an end: whoever finds it full is told so at once and may
//! come back. A request whose client left is taken out of the queue before it costs anything.
//!
//! What never happens: a hash on an async thread; a hash that nobody waits for; a shorter time for
//! a name that nobody has. Secrets of our making are no matter of this module: they cannot be
//! guessed, and one SHA-256 is enough for them.

mod argon2id;
mod pool;
mod verified_secrets;

pub use pool::HashingLoad;
pub use verified_secrets::VerifiedSecretCache;

use std::sync::Arc;

use tollgate_config::HashSettings;
use tollgate_model::HashCost;
use tollgate_system::rng;
use zeroize::Zeroizing;

use argon2id::Memory;
use pool::Pool;

/// Hashes passwords and checks them; clones share the threads.
#[derive(Clone)]
pub struct PasswordHasher {
    pool: Arc<Pool>,
    cost: HashCost,
    /// The hash of a password that nobody has, checked where there is no user: so that an unknown
    /// name takes as long as a wrong password.
    nobody: Arc<str>,
}

/// A password could not be hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordHashingError {
    /// Too many are waiting.
    #[error("too many passwords wait to be checked; try again")]
    Busy,
    /// The hash or the system failed.
    #[error("a password could not be hashed: {0}")]
    Failed(String),
}

impl PasswordHasher {
    /// A forge, with its threads.
    ///
    /// # Errors
    /// When the system has no randomness or no threads.
    pub fn new(settings: &HashSettings) -> Result<PasswordHasher, PasswordHashingError> {
        let nobody = Zeroizing::new(rng::random::<32>().map_err(failed)?);
        let nobody = argon2id::hash(nobody.as_slice(), &random_salt()?, settings.cost, &mut Memory::default())?;
        let pool = Pool::start(settings.workers, settings.queue)?;
        Ok(PasswordHasher { pool: Arc::new(pool), cost: settings.cost, nobody: nobody.into() })
    }

    /// The PHC string of a password.
    ///
    /// # Errors
    /// When too many wait, or the system has no randomness or no memory.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, PasswordHashingError> {
        let (cost, salt) = (self.cost, random_salt()?);
        self.pool.run(move |memory| argon2id::hash(password.as_bytes(), &salt, cost, memory)).await?
    }

    /// Whether this is the password of `hash`; with no hash, never, after the same time.
    ///
    /// # Errors
    /// When too many wait, the hash is none, or the system has no memory.
    pub async fn verify(
        &self,
        password: Zeroizing<String>,
        hash: Option<String>,
    ) -> Result<bool, PasswordHashingError> {
        let (cost, is_somebody) = (self.cost, hash.is_some());
        let hash = hash.unwrap_or_else(|| self.nobody.to_string());
        let fits = self.pool.run(move |memory| argon2id::verify(password.as_bytes(), &hash, cost, memory)).await??;
        Ok(fits && is_somebody)
    }

    /// Whether a password with this hash should be hashed anew at its next use: it costs a guesser
    /// less than one hashed now.
    #[must_use]
    pub fn needs_rehash(&self, hash: &str) -> bool {
        argon2id::cost_of(hash).is_none_or(|cost| cost.work() < self.cost.work())
    }

    /// Refuses at once what would be refused later, when more was done for it: to be asked before
    /// anything is looked up.
    ///
    /// # Errors
    /// [`PasswordHashingError::Busy`] when too many wait.
    pub fn check_capacity(&self) -> Result<(), PasswordHashingError> {
        if self.pool.is_full() { Err(self.pool.refuse()) } else { Ok(()) }
    }

    /// How busy it is.
    #[must_use]
    pub fn load(&self) -> HashingLoad {
        self.pool.load()
    }
}

/// The PHC string of a password, at once and at the usual cost: for the command line.
///
/// # Errors
/// When the system has no randomness or no memory.
pub fn hash_password_blocking(password: &Zeroizing<String>) -> Result<String, PasswordHashingError> {
    argon2id::hash(password.as_bytes(), &random_salt()?, HashCost::default(), &mut Memory::default())
}

fn random_salt() -> Result<[u8; 16], PasswordHashingError> {
    rng::random().map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> PasswordHashingError {
    PasswordHashingError::Failed(error.to_string())
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
    async fn a_password_fits_its_hash_alone() {
        let forge = PasswordHasher::new(&HashSettings::default()).expect("a forge");
        let hash = forge.hash(password("correct horse")).await.expect("hashed");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(forge.verify(password("correct horse"), Some(hash.clone())).await.expect("checked"));
        assert!(!forge.verify(password("wrong horse"), Some(hash.clone())).await.expect("checked"));
        assert!(!forge.verify(password("correct horse"), None).await.expect("checked"));
        assert!(forge.verify(password("x"), Some("no hash".to_owned())).await.is_err());
        assert!(!forge.needs_rehash(&hash));
    }

    #[tokio::test]
    async fn hashes_of_smaller_settings_are_outgrown() {
        let (small, large) =
            (settings(1, 8), HashSettings { cost: HashCost::new(16, 1).expect("a cost"), ..settings(1, 8) });
        let (small, large) =
            (PasswordHasher::new(&small).expect("a forge"), PasswordHasher::new(&large).expect("a forge"));
        let hash = small.hash(password("correct horse")).await.expect("hashed");
        assert!(large.needs_rehash(&hash) && !small.needs_rehash(&hash));
        assert!(large.verify(password("correct horse"), Some(hash)).await.expect("checked"));
        let hash = large.hash(password("correct horse")).await.expect("hashed");
        assert!(small.verify(password("correct horse"), Some(hash.clone())).await.expect("checked"), "a larger one");
        assert!(!small.needs_rehash(&hash) && !large.needs_rehash(&hash));
    }

    /// Holds the only thread until told otherwise.
    async fn busy(forge: &PasswordHasher) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let pool = Arc::clone(&forge.pool);
        let holding = tokio::spawn(async move {
            let held = pool.run(move |_| held.recv().map_err(|_| ())).await;
            assert!(held.is_ok_and(|held| held.is_ok()));
        });
        while forge.load().working == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        (release, holding)
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_who_left_makes_room() {
        let forge = PasswordHasher::new(&settings(1, 2)).expect("a forge");
        let (release, holding) = busy(&forge).await;
        let mut waiting: Vec<_> = (0..2)
            .map(|nth| {
                let forge = forge.clone();
                Box::pin(async move { forge.hash(password(&format!("password {nth}"))).await })
            })
            .collect();
        for one in &mut waiting {
            assert!(futures::poll!(one.as_mut()).is_pending());
        }
        assert!(matches!(forge.hash(password("one too many")).await, Err(PasswordHashingError::Busy)));
        assert!(matches!(forge.check_capacity(), Err(PasswordHashingError::Busy)));
        let load = forge.load();
        assert_eq!((load.queued, load.capacity, load.workers, load.refused), (2, 2, 1, 2));

        // One leaves: its place is free, and it is never hashed.
        drop(waiting.pop());
        assert!(forge.check_capacity().is_ok());
        let mut third = Box::pin(forge.hash(password("third")));
        assert!(futures::poll!(third.as_mut()).is_pending());
        release.send(()).expect("it waits");
        holding.await.expect("held");
        waiting.pop().expect("the first").await.expect("hashed");
        third.await.expect("hashed");
        let load = forge.load();
        assert_eq!((load.done, load.abandoned, load.queued), (3, 1, 0), "the holder, the first and the third");
    }

    #[tokio::test]
    async fn who_left_while_waiting_is_not_hashed() {
        let forge = PasswordHasher::new(&settings(1, 8)).expect("a forge");
        let (release, holding) = busy(&forge).await;
        for _ in 0..8 {
            let mut left = Box::pin(forge.hash(password("gone")));
            assert!(futures::poll!(left.as_mut()).is_pending());
        }
        release.send(()).expect("it waits");
        holding.await.expect("held");
        forge.hash(password("stayed")).await.expect("hashed");
        assert_eq!((forge.load().done, forge.load().abandoned), (2, 8), "the holder and the one who stayed");
    }
}
