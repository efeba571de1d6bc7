//! The ring of this moment, for everything that runs: keys change under way, requests
//! do not notice.

pub mod rotation;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::sync::watch::Sender;
use tokio::time::timeout;
use tollgate_keys::{KeyRing, KeyRingError, MasterKey, VerifiedToken};
use tollgate_model::key_schedule::KeySpec;
use tollgate_model::{Actor, TokenAlg};
use tollgate_storage::{Store, StoreError, StoredKeys};
use tollgate_system::clock;

use self::rotation::KeyRotation;

/// How long a request waits for a key to sign with, when one was revoked and the next
/// is being published.
const PATIENCE: Duration = Duration::from_secs(5);

/// The keys of an issuer, shared by all that sign and check. Clones are the same.
#[derive(Clone)]
pub struct SigningKeys(Arc<Inner>);

struct Inner {
    store: Store,
    master: MasterKey,
    ring: Sender<Arc<KeyRing>>,
    /// What the ring was made of; held while it is made anew.
    source: Mutex<Source>,
    /// Counts the readings of the database that began.
    readings: AtomicU64,
}

/// What a ring is made of.
struct Source {
    rows: StoredKeys,
    /// Which reading it came from.
    reading: u64,
}

/// The keys cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeysError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is in it cannot be used.
    #[error(transparent)]
    Ring(#[from] KeyRingError),
    /// The process stops.
    #[error("opening the keys was interrupted")]
    Interrupted,
}

impl SigningKeys {
    /// Reads and opens the keys of a database that has some.
    ///
    /// # Errors
    /// When the database fails or its keys cannot be opened.
    pub async fn open(store: Store, master: MasterKey) -> Result<SigningKeys, SigningKeysError> {
        let rows = store.get_stored_keys().await?;
        let ring = Sender::new(opened(&master, &rows).await?);
        let source = Mutex::new(Source { rows, reading: 0 });
        Ok(SigningKeys(Arc::new(Inner { store, master, ring, source, readings: AtomicU64::new(0) })))
    }

    /// The keys as they are now. Whoever signs holds on to one ring from choosing the
    /// key to signing with it.
    #[must_use]
    pub fn current(&self) -> Arc<KeyRing> {
        Arc::clone(&self.0.ring.borrow())
    }

    /// As [`SigningKeys::current`], but waits while there is no key that signs for
    /// `alg`: for the moment between the revocation of one and the publication of
    /// the next, and for seconds at most.
    pub async fn wait_for_signing_key(&self, alg: TokenAlg) -> Arc<KeyRing> {
        let can_sign = |ring: &Arc<KeyRing>| match alg {
            TokenAlg::Hs256 => ring.has_audience_keys(),
            _ => ring.signing_key(alg).is_some(),
        };
        let current = self.current();
        if can_sign(&current) {
            return current;
        }
        let mut ring = self.0.ring.subscribe();
        // What is waited for in vain is told by whoever asks the ring for the key.
        let _ = Box::pin(timeout(PATIENCE, ring.wait_for(can_sign))).await;
        self.current()
    }

    /// The keys as the database has them now: for those who must not be behind
    /// another origin.
    ///
    /// # Errors
    /// When the database fails or its keys cannot be opened.
    pub async fn reload(&self) -> Result<Arc<KeyRing>, StoreError> {
        let begun = self.0.readings.load(Ordering::SeqCst);
        let mut source = self.0.source.lock().await;
        // Whoever waited here while somebody else read from beginning to end has what that
        // one read.
        if source.reading > begun {
            return Ok(self.current());
        }
        let reading = self.0.readings.fetch_add(1, Ordering::SeqCst) + 1;
        let rows = self.0.store.get_stored_keys().await?;
        let now = clock::now();
        let same = source.rows.keys == rows.keys && source.rows.revoked == rows.revoked;
        let stands = self.current().next_change().is_none_or(|change| now < change);
        if !(same && stands) {
            self.0.ring.send_replace(opened(&self.0.master, &rows).await?);
        }
        *source = Source { rows, reading };
        Ok(self.current())
    }

    /// Recognises a token of this issuer's, see [`KeyRing::recognise`]. A key of an
    /// unknown name may be one that another origin on the database has learnt of
    /// a moment earlier: then the database is asked.
    ///
    /// # Errors
    /// When the database fails or its keys cannot be opened.
    pub async fn verify_token(
        &self,
        unverified_token: &str,
        issuer: &str,
    ) -> Result<Option<VerifiedToken>, StoreError> {
        Ok(self.ring_for_token(unverified_token).await?.verify_token(unverified_token, issuer))
    }

    /// The keys, with that of an access token among them if it is one of this
    /// issuer's: see [`SigningKeys::recognise`].
    ///
    /// # Errors
    /// When the database fails or its keys cannot be opened.
    pub async fn ring_for_token(&self, token: &str) -> Result<Arc<KeyRing>, StoreError> {
        let ring = self.current();
        if ring.has_unknown_key(token) { self.reload().await } else { Ok(ring) }
    }

    /// Makes the next key in the name of `by`, see [`rotation::rotate`].
    ///
    /// # Errors
    /// When the database fails or the key cannot be made.
    pub async fn rotate(&self, wanted: KeySpec, by: &Actor) -> Result<KeyRotation, SigningKeysError> {
        rotation::rotate(&self.0.store.with_actor(by), &self.0.master, wanted, clock::now()).await
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn master(&self) -> &MasterKey {
        &self.0.master
    }
}

impl From<SigningKeysError> for StoreError {
    fn from(error: SigningKeysError) -> StoreError {
        match error {
            SigningKeysError::Store(error) => error,
            SigningKeysError::Ring(_) | SigningKeysError::Interrupted => {
                StoreError::Corrupt { table: "keys", problem: error.to_string() }
            }
        }
    }
}

async fn opened(master: &MasterKey, rows: &StoredKeys) -> Result<Arc<KeyRing>, SigningKeysError> {
    let (master, rows) = (master.clone(), rows.clone());
    // RSA keys are checked when they are read, which takes milliseconds.
    let opening = tokio::task::spawn_blocking(move || KeyRing::open(&master, &rows.keys, rows.revoked, clock::now()));
    Ok(Arc::new(opening.await.map_err(|_| SigningKeysError::Interrupted)??))
}
