//! The current key ring, shared by requests and background tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Mutex;
use tokio::sync::watch::Sender;
use tokio::time::timeout;
use tollgate_keys::{KeyRing, MasterKey, UnsignedJwt, VerifiedToken};
use tollgate_model::TokenAlg;
use tollgate_storage::{Store, StoreError, StoredKeys};
use tollgate_system::Clock;

use super::error::{SigningError, SigningKeysError};
use super::signing_pool::SigningPool;
use crate::worker_pool::WorkerLoad;

/// Longest wait of a request for a signing key, after one was revoked and before the next is
/// published.
const SIGNING_KEY_TIMEOUT: Duration = Duration::from_secs(5);

/// The keys of an issuer. Clones share them.
#[derive(Clone)]
pub struct SigningKeys(Arc<Inner>);

struct Inner {
    store: Store,
    master: MasterKey,
    clock: Clock,
    pool: SigningPool,
    ring: Sender<Arc<KeyRing>>,
    /// Rows of which the ring was built; locked while the ring is rebuilt.
    source: Mutex<RingSource>,
    /// Number of reads of the database that have begun.
    reads: AtomicU64,
}

/// Rows of which a ring was built.
struct RingSource {
    rows: StoredKeys,
    /// Number of the read that returned the rows.
    read: u64,
}

impl SigningKeys {
    /// Reads and decrypts the keys of a database, which must have some.
    ///
    /// # Errors
    /// When the database fails or its keys cannot be decrypted.
    pub async fn open(
        store: Store,
        master: MasterKey,
        clock: Clock,
        pool: SigningPool,
    ) -> Result<SigningKeys, SigningKeysError> {
        let rows = store.get_stored_keys().await?;
        let ring = Sender::new(open_ring(&master, &rows, clock.now()).await?);
        let source = Mutex::new(RingSource { rows, read: 0 });
        Ok(SigningKeys(Arc::new(Inner { store, master, clock, pool, ring, source, reads: AtomicU64::new(0) })))
    }

    /// The current keys.
    #[must_use]
    pub fn current(&self) -> Arc<KeyRing> {
        Arc::clone(&self.0.ring.borrow())
    }

    /// Returns the current keys when one of them signs for `alg`. Waits if the last one was revoked
    /// and the next is not published yet, for `SIGNING_KEY_TIMEOUT` at most.
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
        // After a timeout the caller's signature fails with an error.
        let _ = Box::pin(timeout(SIGNING_KEY_TIMEOUT, ring.wait_for(can_sign))).await;
        self.current()
    }

    /// Refuses a request, before anything is recorded for it, if it needs a signature with this
    /// algorithm and too many wait already.
    ///
    /// # Errors
    /// [`SigningError::Busy`]
    pub fn check_signing_capacity(&self, alg: TokenAlg) -> Result<(), SigningError> {
        self.0.pool.check_capacity(alg)
    }

    /// Load of the threads that make RSA signatures.
    #[must_use]
    pub fn signing_load(&self) -> WorkerLoad {
        self.0.pool.load()
    }

    /// Signs a JWT: with RSA on a worker thread, otherwise in place. Never refused because of load:
    /// a client that got no token for a redeemed code could not repeat its request. The number of
    /// waiting signatures is bounded by [`SigningKeys::check_signing_capacity`] and the requests
    /// that were admitted before.
    ///
    /// # Errors
    /// When signing fails.
    pub async fn sign(&self, jwt: UnsignedJwt) -> Result<String, SigningError> {
        self.0.pool.sign(jwt).await
    }

    /// Signs a JWT that is not an access token, see [`KeyRing::prepare_statement`] and
    /// [`SigningKeys::sign`].
    ///
    /// # Errors
    /// When there is no key for `alg`, or signing fails.
    pub async fn sign_statement(
        &self,
        alg: TokenAlg,
        token_type: &str,
        claims: &impl Serialize,
    ) -> Result<String, SigningError> {
        let ring = self.wait_for_signing_key(alg).await;
        self.sign(ring.prepare_statement(alg, token_type, claims)?).await
    }

    /// Reads the keys from the database, for callers that must not be behind another origin.
    /// Concurrent callers share a read.
    ///
    /// # Errors
    /// When the database fails or its keys cannot be decrypted.
    pub async fn reload(&self) -> Result<Arc<KeyRing>, StoreError> {
        let begun = self.0.reads.load(Ordering::SeqCst);
        let mut source = self.0.source.lock().await;
        // Another caller has begun and finished a read in the meantime.
        if source.read > begun {
            return Ok(self.current());
        }
        let read = self.0.reads.fetch_add(1, Ordering::SeqCst) + 1;
        let rows = self.0.store.get_stored_keys().await?;
        let now = self.0.clock.now();
        let is_same = source.rows.keys == rows.keys && source.rows.revoked == rows.revoked;
        let is_valid = self.current().next_change().is_none_or(|change| now < change);
        if !(is_same && is_valid) {
            self.0.ring.send_replace(open_ring(&self.0.master, &rows, now).await?);
        }
        *source = RingSource { rows, read };
        Ok(self.current())
    }

    /// Verifies a token of this issuer, see [`KeyRing::verify_token`].
    ///
    /// # Errors
    /// When the database fails or its keys cannot be decrypted.
    pub async fn verify_token(
        &self,
        unverified_token: &str,
        issuer: &str,
    ) -> Result<Option<VerifiedToken>, StoreError> {
        Ok(self.ring_for_token(unverified_token).await?.verify_token(unverified_token, issuer))
    }

    /// The keys, including the one that signed `token` if it is a token of this issuer. A key that
    /// this origin does not know may be new, so the keys are reloaded.
    ///
    /// # Errors
    /// When the database fails or its keys cannot be decrypted.
    pub async fn ring_for_token(&self, token: &str) -> Result<Arc<KeyRing>, StoreError> {
        let ring = self.current();
        if ring.has_unknown_key(token) { self.reload().await } else { Ok(ring) }
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn master(&self) -> &MasterKey {
        &self.0.master
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }
}

async fn open_ring(master: &MasterKey, rows: &StoredKeys, now: u64) -> Result<Arc<KeyRing>, SigningKeysError> {
    let (master, rows) = (master.clone(), rows.clone());
    // RSA keys are validated when they are read, which takes milliseconds.
    let opening = tokio::task::spawn_blocking(move || KeyRing::open(&master, &rows.keys, rows.revoked, now));
    Ok(Arc::new(opening.await.map_err(|_| SigningKeysError::Interrupted)??))
}
