//! The instances of the validator. Each holds the same gate: whatever one of them accepts, all of them are given. A call
//! lasts microseconds and never waits for the network, so an instance is held by a thread and never across an await.

use crate::answer::now_ms;
use crate::{OpenError, Program, Validator};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// No instance could take the call: it trapped, or all are being replaced.
#[derive(Debug)]
pub(crate) struct Unavailable;

/// One place for an instance; empty while it is being replaced.
type Slot = Mutex<Option<Validator>>;

pub(crate) struct Pool {
    program: Program,
    settings: Vec<(String, String)>,
    slots: Vec<Slot>,
    next: AtomicUsize,
    /// Held while a message goes to every instance, so that messages do not overtake each other.
    feeding: Mutex<()>,
}

impl Pool {
    /// Opens `size` instances.
    pub(crate) fn open(program: Program, settings: Vec<(String, String)>, size: usize) -> Result<Pool, OpenError> {
        let slots = (0..size)
            .map(|_| Ok(Mutex::new(Some(Validator::open(&program, &settings)?))))
            .collect::<Result<_, OpenError>>()?;
        Ok(Pool { program, settings, slots, next: AtomicUsize::new(0), feeding: Mutex::new(()) })
    }

    /// How many places there are.
    pub(crate) fn size(&self) -> usize {
        self.slots.len()
    }

    /// Places that are empty because their instance trapped or fell out of step.
    pub(crate) fn vacant(&self) -> Vec<usize> {
        (0..self.size()).filter(|&index| self.lock(index).is_none()).collect()
    }

    /// Runs `call` on any free instance. A trap empties its place, for the feed to fill again.
    pub(crate) async fn on_any<R>(
        &self,
        mut call: impl FnMut(&mut Validator) -> wasmtime::Result<R>,
    ) -> Result<R, Unavailable> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        loop {
            let mut busy = false;
            for step in 0..self.size() {
                match self.slots[start.wrapping_add(step) % self.size()].try_lock() {
                    Ok(mut slot) if slot.is_some() => return run(&mut slot, &mut call),
                    Ok(_) => {}
                    Err(TryLockError::WouldBlock) => busy = true,
                    Err(TryLockError::Poisoned(poisoned)) => *poisoned.into_inner() = None,
                }
            }
            if !busy {
                return Err(Unavailable);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Runs `call` on one instance, waiting for it. May block the thread for as long as the longest call takes.
    pub(crate) fn on<R>(
        &self,
        index: usize,
        mut call: impl FnMut(&mut Validator) -> wasmtime::Result<R>,
    ) -> Result<R, Unavailable> {
        run(&mut self.lock(index), &mut call)
    }

    /// Waits until no message is under way to the instances, and keeps the next one from starting. Blocks the thread.
    pub(crate) fn feeding(&self) -> MutexGuard<'_, ()> {
        self.feeding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an instance out of service, for it no longer agrees with the others.
    pub(crate) fn retire(&self, index: usize) {
        *self.lock(index) = None;
    }

    /// Opens a fresh instance, warmed with what a healthy one holds. It serves only once it is [put](Pool::put) in place.
    pub(crate) fn fresh(&self) -> Result<Validator, OpenError> {
        let mut validator = Validator::open(&self.program, &self.settings)?;
        let healthy = (0..self.size()).find_map(|index| self.on(index, Validator::snapshot).ok().flatten());
        if let Some(snapshot) = healthy
            && let Err(why) = validator.warm(&snapshot).map_err(OpenError::Trap)?
        {
            tracing::warn!(%why, "a fresh instance refuses the snapshot of another");
        }
        Ok(validator)
    }

    /// Puts an instance into an empty place.
    pub(crate) fn put(&self, index: usize, validator: Validator) {
        *self.lock(index) = Some(validator);
    }

    /// Tells every instance that a fetch failed.
    pub(crate) fn fetch_failed(&self, why: &str) {
        for index in 0..self.size() {
            // A vacant place has nobody to tell.
            let _ = self.on(index, |validator| validator.fetch_failed(why, now_ms()));
        }
    }

    fn lock(&self, index: usize) -> MutexGuard<'_, Option<Validator>> {
        self.slots[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `call` on what is in the place, and empties the place if it traps.
fn run<R>(
    slot: &mut Option<Validator>,
    call: &mut impl FnMut(&mut Validator) -> wasmtime::Result<R>,
) -> Result<R, Unavailable> {
    let validator = slot.as_mut().ok_or(Unavailable)?;
    call(validator).map_err(|trap| {
        tracing::error!(error = format!("{trap:#}"), "an instance trapped; it is replaced");
        *slot = None;
        Unavailable
    })
}
