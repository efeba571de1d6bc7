//! Threads for RSA signatures.
//!
//! An RSA signature takes about a millisecond of a processor. On an async thread, a burst of them
//! would delay all other requests, health checks among them. Handing one to a worker thread and
//! waking the caller costs some ten microseconds, a hundredth of the signature (`cargo xtask bench
//! issuing` measures both). Signatures of all other algorithms take less than a tenth of a
//! millisecond and are made in place.

use std::sync::Arc;

use tollgate_keys::UnsignedJwt;
use tollgate_model::TokenAlg;
use tollgate_system::current_request::Part;

use super::error::SigningError;
use crate::worker_pool::{WorkerLoad, WorkerPool};

/// Queue length for each thread: about a quarter of a second of work.
const QUEUE_PER_WORKER: usize = 256;

/// The worker threads, one for each core. Clones share them.
#[derive(Clone)]
pub struct SigningPool(Arc<WorkerPool<()>>);

impl SigningPool {
    /// Starts the threads.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start() -> std::io::Result<SigningPool> {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        SigningPool::with_workers(workers)
    }

    fn with_workers(workers: usize) -> std::io::Result<SigningPool> {
        Ok(SigningPool(Arc::new(WorkerPool::start("sign", Part::Signing, workers, workers * QUEUE_PER_WORKER)?)))
    }

    /// Runs `work` on a worker thread, for tests and embedders.
    ///
    /// # Errors
    /// When the queue is full, or the work panics.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, SigningError> {
        Ok(self.0.run(move |_| work()).await?)
    }

    #[must_use]
    pub fn load(&self) -> WorkerLoad {
        self.0.load()
    }

    /// Refuses a request if it needs a signature on a worker thread and the queue is full.
    pub(super) fn check_capacity(&self, alg: TokenAlg) -> Result<(), SigningError> {
        if is_slow(alg) { Ok(self.0.check_capacity()?) } else { Ok(()) }
    }

    /// Signs, also if the queue is full.
    pub(super) async fn sign(&self, jwt: UnsignedJwt) -> Result<String, SigningError> {
        if is_slow(jwt.alg()) {
            return Ok(self.0.run_admitted(move |_| jwt.sign()).await??);
        }
        Ok(jwt.sign()?)
    }
}

/// Whether a signature takes too long for an async thread.
const fn is_slow(alg: TokenAlg) -> bool {
    alg.is_rsa()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::mpsc;

    use tollgate_keys::{KeyRing, MasterKey};

    use super::*;

    fn ring() -> KeyRing {
        let master = MasterKey::from_random([1; 32]);
        let keys = KeyRing::generate(&master, 1_000).expect("made");
        KeyRing::open(&master, &keys, BTreeSet::new(), 1_000).expect("they open")
    }

    fn jwt(ring: &KeyRing, alg: TokenAlg) -> UnsignedJwt {
        ring.prepare_statement(alg, "JWT", &serde_json::json!({ "sub": "ada" })).expect("prepared")
    }

    /// The runtime has one thread, so a signature on it would block the test.
    #[tokio::test(flavor = "current_thread")]
    async fn queued_rsa_signatures_occupy_no_thread_of_the_runtime() {
        let (ring, pool) = (ring(), SigningPool::with_workers(1).expect("started"));
        let (release, held) = mpsc::channel::<()>();
        let mut holder = Box::pin(pool.run(move || held.recv().is_ok()));
        assert!(futures::poll!(holder.as_mut()).is_pending());
        let mut queued: Vec<_> = (0..64).map(|_| Box::pin(pool.sign(jwt(&ring, TokenAlg::Rs256)))).collect();
        for signature in &mut queued {
            assert!(futures::poll!(signature.as_mut()).is_pending());
        }
        for alg in [TokenAlg::EdDsa, TokenAlg::Es256] {
            assert!(futures::poll!(Box::pin(pool.sign(jwt(&ring, alg)))).is_ready(), "{alg} is signed in place");
        }
        release.send(()).expect("the worker waits");
        assert!(holder.await.expect("run"));
        for signature in queued {
            // PKCS#1 v1.5 is deterministic.
            assert_eq!(signature.await.expect("signed"), jwt(&ring, TokenAlg::Rs256).sign().expect("signed"));
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn full_queue_refuses_new_requests_but_not_recorded_ones() {
        let (ring, pool) = (ring(), SigningPool::with_workers(1).expect("started"));
        let (release, held) = mpsc::channel::<()>();
        let mut holder = Box::pin(pool.run(move || held.recv().is_ok()));
        assert!(futures::poll!(holder.as_mut()).is_pending());
        while pool.load().working == 0 {
            tokio::task::yield_now().await;
        }
        let mut queued: Vec<_> = (0..QUEUE_PER_WORKER).map(|_| Box::pin(pool.run(|| ()))).collect();
        for job in &mut queued {
            assert!(futures::poll!(job.as_mut()).is_pending());
        }
        assert!(matches!(pool.check_capacity(TokenAlg::Rs256), Err(SigningError::Busy)));
        assert!(pool.check_capacity(TokenAlg::EdDsa).is_ok());
        let mut recorded = Box::pin(pool.sign(jwt(&ring, TokenAlg::Rs256)));
        assert!(futures::poll!(recorded.as_mut()).is_pending());
        release.send(()).expect("the worker waits");
        assert!(recorded.await.is_ok());
        assert!(pool.check_capacity(TokenAlg::Rs256).is_ok());
    }
}
