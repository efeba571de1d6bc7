//! Worker threads with a bounded queue, for work that takes too long for an async thread: password
//! hashes and RSA signatures.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::oneshot;
use tollgate_system::current_request::{self, Part};
use tollgate_system::histogram::{Durations, Histogram};

/// Error: work was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkerPoolError {
    /// The queue is full.
    Full,
    /// The work panicked, or the pool was dropped.
    Interrupted,
}

/// Load of a worker pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerLoad {
    /// Jobs in the queue.
    pub queued: usize,
    /// Limit of the queue.
    pub capacity: usize,
    /// Worker threads.
    pub workers: usize,
    /// Workers that are busy.
    pub working: usize,
    /// Jobs done since the start, and those being done.
    pub done: u64,
    /// Jobs refused since the start because the queue was full.
    pub refused: u64,
    /// Jobs dropped since the start because their caller was cancelled.
    pub abandoned: u64,
    /// Waits of jobs in the queue.
    pub waits: Durations,
    /// Durations of jobs, without the wait.
    pub runs: Durations,
}

/// Worker threads. Each has a state of type `S`, which its jobs reuse. When the pool is dropped,
/// each thread ends after its current job.
pub(crate) struct WorkerPool<S> {
    shared: Arc<Shared<S>>,
    workers: usize,
    capacity: usize,
    /// What a request waits for while its job is done.
    part: Part,
    name: &'static str,
}

struct Shared<S> {
    queue: Mutex<Queue<S>>,
    filled: Condvar,
    working: AtomicUsize,
    done: AtomicU64,
    refused: AtomicU64,
    abandoned: AtomicU64,
    waits: Histogram,
    runs: Histogram,
}

struct Queue<S> {
    jobs: VecDeque<Job<S>>,
    is_closed: bool,
}

struct Job<S> {
    /// Alive while the caller waits for the result.
    caller: Weak<()>,
    queued_at: Instant,
    work: Box<dyn FnOnce(&mut S) + Send>,
}

impl<S: Default + 'static> WorkerPool<S> {
    /// Starts threads of this name, of ten characters at most.
    pub(crate) fn start(name: &'static str, part: Part, workers: usize, capacity: usize) -> io::Result<WorkerPool<S>> {
        let shared = Shared {
            queue: Mutex::new(Queue { jobs: VecDeque::new(), is_closed: false }),
            filled: Condvar::new(),
            working: AtomicUsize::new(0),
            done: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            waits: Histogram::default(),
            runs: Histogram::default(),
        };
        let pool = WorkerPool { shared: Arc::new(shared), workers, capacity, part, name };
        for nth in 0..workers {
            let shared = Arc::clone(&pool.shared);
            std::thread::Builder::new().name(format!("{name} {nth}")).spawn(move || shared.run_worker())?;
        }
        Ok(pool)
    }

    /// Runs `work` on a worker thread, unless the queue is full. If the caller is cancelled, the
    /// work is removed from the queue.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, WorkerPoolError> {
        self.run_within(self.capacity, work).await
    }

    /// As [`WorkerPool::run`], also if the queue is full: for a caller that must not be refused any
    /// more, after it asked [`WorkerPool::check_capacity`].
    pub(crate) async fn run_admitted<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, WorkerPoolError> {
        self.run_within(usize::MAX, work).await
    }

    async fn run_within<T: Send + 'static>(
        &self,
        capacity: usize,
        work: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, WorkerPoolError> {
        let (caller, queued_at) = (Arc::new(()), Instant::now());
        let (sender, result) = oneshot::channel();
        let work = Box::new(move |state: &mut S| {
            let began = Instant::now();
            // Fails if the caller was cancelled in the meantime.
            let _ = sender.send((work(state), began));
        });
        self.push(Job { caller: Arc::downgrade(&caller), queued_at, work }, capacity)?;
        let result = result.await.map_err(|_| WorkerPoolError::Interrupted);
        drop(caller);
        let (result, began) = result?;
        current_request::record(Part::Queue, self.name, queued_at, began.saturating_duration_since(queued_at));
        current_request::record(self.part, self.name, began, began.elapsed());
        Ok(result)
    }

    /// Refuses a caller early, before its other work, if the queue is full.
    pub(crate) fn check_capacity(&self) -> Result<(), WorkerPoolError> {
        self.shared.check_capacity(&mut self.shared.lock(), self.capacity)
    }

    pub(crate) fn load(&self) -> WorkerLoad {
        let shared = &self.shared;
        let queued = shared.lock().jobs.iter().filter(|job| job.has_caller()).count();
        WorkerLoad {
            queued,
            capacity: self.capacity,
            workers: self.workers,
            working: shared.working.load(Ordering::Relaxed),
            done: shared.done.load(Ordering::Relaxed),
            refused: shared.refused.load(Ordering::Relaxed),
            abandoned: shared.abandoned.load(Ordering::Relaxed),
            waits: shared.waits.read(),
            runs: shared.runs.read(),
        }
    }

    fn push(&self, job: Job<S>, capacity: usize) -> Result<(), WorkerPoolError> {
        let mut queue = self.shared.lock();
        self.shared.check_capacity(&mut queue, capacity)?;
        queue.jobs.push_back(job);
        drop(queue);
        self.shared.filled.notify_one();
        Ok(())
    }
}

impl<S> Drop for WorkerPool<S> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.is_closed = true;
        queue.jobs.clear();
        drop(queue);
        self.shared.filled.notify_all();
    }
}

impl<S> Job<S> {
    fn has_caller(&self) -> bool {
        self.caller.strong_count() > 0
    }
}

impl<S> Shared<S> {
    /// Worker thread main loop.
    fn run_worker(&self)
    where
        S: Default,
    {
        let mut state = S::default();
        while let Some(job) = self.next() {
            self.working.fetch_add(1, Ordering::Relaxed);
            let began = Instant::now();
            self.waits.observe(began.saturating_duration_since(job.queued_at));
            // A panic must not end the worker thread. The caller gets an error because its channel
            // is dropped.
            if catch_unwind(AssertUnwindSafe(|| (job.work)(&mut state))).is_err() {
                tracing::error!("work of a worker thread panicked");
                state = S::default();
            }
            self.runs.observe(began.elapsed());
            self.working.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The next job whose caller waits. None when the pool is dropped.
    fn next(&self) -> Option<Job<S>> {
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

    /// Counts a refusal if the queue is full. Jobs of cancelled callers take up no space.
    fn check_capacity(&self, queue: &mut Queue<S>, capacity: usize) -> Result<(), WorkerPoolError> {
        if queue.jobs.len() >= capacity {
            self.drop_abandoned(queue);
        }
        if queue.jobs.len() >= capacity {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(WorkerPoolError::Full);
        }
        Ok(())
    }

    fn drop_abandoned(&self, queue: &mut Queue<S>) {
        let before = queue.jobs.len();
        queue.jobs.retain(Job::has_caller);
        self.abandoned.fetch_add((before - queue.jobs.len()) as u64, Ordering::Relaxed);
    }

    /// No foreign code runs under the lock, so a poisoned lock is consistent.
    fn lock(&self) -> MutexGuard<'_, Queue<S>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
