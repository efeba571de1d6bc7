//! The worker threads and their queue.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::oneshot;

use super::argon2id::Memory;
use super::error::{PasswordHashingError, failed};

/// Load of the worker pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashingLoad {
    /// Jobs in the queue.
    pub queued: usize,
    /// Limit of the queue.
    pub capacity: usize,
    /// Worker threads.
    pub workers: usize,
    /// Workers that are hashing.
    pub working: usize,
    /// Hashes since the start.
    pub done: u64,
    /// Jobs refused since the start because the queue was full.
    pub refused: u64,
    /// Jobs dropped since the start because their caller was cancelled.
    pub abandoned: u64,
}

/// Worker threads. When the pool is dropped, each thread ends after its current hash.
pub(super) struct Pool {
    shared: Arc<Shared>,
    workers: usize,
    capacity: usize,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    working: AtomicUsize,
    done: AtomicU64,
    refused: AtomicU64,
    abandoned: AtomicU64,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

struct Job {
    /// Alive while the caller waits for the result.
    caller: Weak<()>,
    work: Box<dyn FnOnce(&mut Memory) + Send>,
}

impl Pool {
    pub(super) fn start(workers: usize, capacity: usize) -> Result<Pool, PasswordHashingError> {
        let pool = Pool { shared: Arc::default(), workers, capacity };
        for nth in 0..workers {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new().name(format!("hash {nth}"));
            thread.spawn(move || shared.run_worker()).map_err(failed)?;
        }
        Ok(pool)
    }

    /// Runs `work` on a worker thread. If the caller is cancelled, the work is removed from the
    /// queue.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, PasswordHashingError> {
        let caller = Arc::new(());
        let (sender, result) = oneshot::channel();
        let work = Box::new(move |memory: &mut Memory| {
            // Fails if the caller was cancelled in the meantime.
            let _ = sender.send(work(memory));
        });
        self.push(Job { caller: Arc::downgrade(&caller), work })?;
        let result = result.await.map_err(|_| PasswordHashingError::Failed("the hash panicked".to_owned()));
        drop(caller);
        result
    }

    pub(super) fn load(&self) -> HashingLoad {
        let shared = &self.shared;
        let queued = shared.lock().jobs.iter().filter(|job| job.has_caller()).count();
        HashingLoad {
            queued,
            capacity: self.capacity,
            workers: self.workers,
            working: shared.working.load(Ordering::Relaxed),
            done: shared.done.load(Ordering::Relaxed),
            refused: shared.refused.load(Ordering::Relaxed),
            abandoned: shared.abandoned.load(Ordering::Relaxed),
        }
    }

    /// Whether a further job would be refused.
    pub(super) fn is_full(&self) -> bool {
        let mut queue = self.shared.lock();
        if queue.jobs.len() >= self.capacity {
            self.shared.drop_abandoned(&mut queue);
        }
        queue.jobs.len() >= self.capacity
    }

    /// Counts a refusal.
    pub(super) fn refuse(&self) -> PasswordHashingError {
        self.shared.refused.fetch_add(1, Ordering::Relaxed);
        PasswordHashingError::Busy
    }

    fn push(&self, job: Job) -> Result<(), PasswordHashingError> {
        let mut queue = self.shared.lock();
        if queue.jobs.len() >= self.capacity {
            // Jobs of cancelled callers must not take up space.
            self.shared.drop_abandoned(&mut queue);
        }
        if queue.jobs.len() >= self.capacity {
            return Err(self.refuse());
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.shared.filled.notify_one();
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.is_closed = true;
        queue.jobs.clear();
        drop(queue);
        self.shared.filled.notify_all();
    }
}

impl Job {
    fn has_caller(&self) -> bool {
        self.caller.strong_count() > 0
    }
}

impl Shared {
    /// Worker thread main loop.
    fn run_worker(&self) {
        let mut memory = Memory::default();
        while let Some(job) = self.next() {
            self.working.fetch_add(1, Ordering::Relaxed);
            // A panic must not end the worker thread. The caller gets an error because its channel
            // is dropped.
            if catch_unwind(AssertUnwindSafe(|| (job.work)(&mut memory))).is_err() {
                tracing::error!("a password hash panicked");
                memory = Memory::default();
            }
            self.working.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The next job whose caller waits. None when the pool is dropped.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            match queue.jobs.pop_front() {
                Some(job) if job.has_caller() => {
                    self.done.fetch_add(1, Ordering::Relaxed);
                    return Some(job);
                }
                Some(_) => {
                    self.abandoned.fetch_add(1, Ordering::Relaxed);
                }
                None if queue.is_closed => return None,
                None => queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn drop_abandoned(&self, queue: &mut Queue) {
        let before = queue.jobs.len();
        queue.jobs.retain(Job::has_caller);
        self.abandoned.fetch_add((before - queue.jobs.len()) as u64, Ordering::Relaxed);
    }

    /// No foreign code runs under the lock, so a poisoned lock is consistent.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
