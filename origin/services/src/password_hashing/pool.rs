//! The threads that hash, and the queue before them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::oneshot;

use super::argon2id::Memory;
use super::{PasswordHashingError, failed};

/// How busy the threads are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashingLoad {
    /// Hashes that wait for a thread.
    pub queued: usize,
    /// How many may.
    pub capacity: usize,
    /// The threads.
    pub workers: usize,
    /// Threads that are hashing.
    pub working: usize,
    /// Hashes made since the start.
    pub done: u64,
    /// Hashes refused since the start, for the queue was full.
    pub refused: u64,
    /// Hashes not made since the start, for nobody waited for them any more.
    pub abandoned: u64,
}

/// The threads. They end when this is dropped, after the hash that each is at.
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
    closed: bool,
}

struct Job {
    /// Alive while somebody waits for the result.
    wanted: Weak<()>,
    work: Box<dyn FnOnce(&mut Memory) + Send>,
}

impl Pool {
    pub(super) fn start(workers: usize, capacity: usize) -> Result<Pool, PasswordHashingError> {
        let pool = Pool { shared: Arc::default(), workers, capacity };
        for nth in 0..workers {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new().name(format!("forge {nth}"));
            thread.spawn(move || shared.work()).map_err(failed)?;
        }
        Ok(pool)
    }

    /// What `work` gives, done by one of the threads. Who stops waiting takes the
    /// work out of the queue.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, PasswordHashingError> {
        let wanted = Arc::new(());
        let (tell, told) = oneshot::channel();
        let work = Box::new(move |memory: &mut Memory| {
            // Who left in the meantime is not told.
            let _ = tell.send(work(memory));
        });
        self.push(Job { wanted: Arc::downgrade(&wanted), work })?;
        let done = told.await.map_err(|_| PasswordHashingError::Failed("the thread ended".to_owned()));
        drop(wanted);
        done
    }

    pub(super) fn load(&self) -> HashingLoad {
        let shared = &self.shared;
        let queued = shared.lock().jobs.iter().filter(|job| job.is_wanted()).count();
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

    /// Whether one more would be refused now.
    pub(super) fn is_full(&self) -> bool {
        let mut queue = self.shared.lock();
        if queue.jobs.len() >= self.capacity {
            self.shared.forget_abandoned(&mut queue);
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
            // Those who left hold no place against those who are here.
            self.shared.forget_abandoned(&mut queue);
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
        queue.closed = true;
        queue.jobs.clear();
        drop(queue);
        self.shared.filled.notify_all();
    }
}

impl Job {
    fn is_wanted(&self) -> bool {
        self.wanted.strong_count() > 0
    }
}

impl Shared {
    /// The life of a thread.
    fn work(&self) {
        let mut memory = Memory::default();
        while let Some(job) = self.next() {
            self.working.fetch_add(1, Ordering::Relaxed);
            // A hash that panics must not take the thread with it: there would be one fewer for
            // all who follow. Its caller is told by the channel that goes with it.
            if catch_unwind(AssertUnwindSafe(|| (job.work)(&mut memory))).is_err() {
                tracing::error!("a hash panicked");
                memory = Memory::default();
            }
            self.working.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The next hash that somebody waits for; none when the pool is gone.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            match queue.jobs.pop_front() {
                Some(job) if job.is_wanted() => {
                    self.done.fetch_add(1, Ordering::Relaxed);
                    return Some(job);
                }
                Some(_) => {
                    self.abandoned.fetch_add(1, Ordering::Relaxed);
                }
                None if queue.closed => return None,
                None => queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn forget_abandoned(&self, queue: &mut Queue) {
        let before = queue.jobs.len();
        queue.jobs.retain(Job::is_wanted);
        self.abandoned.fetch_add((before - queue.jobs.len()) as u64, Ordering::Relaxed);
    }

    /// No code of others runs under the lock, so what a panic left there is whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
