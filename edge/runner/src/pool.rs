//! The pool of validator instances. All hold equal replicas: every message goes to each of them. A
//! call takes microseconds and never waits for the network, so a thread locks an instance for one
//! call and never across an await.

use crate::response::now_ms;
use crate::{OpenError, Program, Validator};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use tokio::sync::{Notify, watch};

/// The instance trapped, or none is in service.
#[derive(Debug)]
pub(crate) struct Unavailable;

/// An instance in service; none until a trapped instance is replaced.
type Slot = Mutex<Option<Validator>>;

pub(crate) struct Pool {
    program: Program,
    settings: Vec<(String, String)>,
    slots: Vec<Slot>,
    next: AtomicUsize,
    /// Locked while a message goes to every instance, so that all get messages in the same order.
    messages: Mutex<()>,
    /// Sequence that the replicas of all instances have.
    sequence: watch::Sender<Option<u64>>,
    /// Notified when an instance trapped.
    trapped: Notify,
}

impl Pool {
    /// Opens `size` instances.
    pub(crate) fn open(program: Program, settings: Vec<(String, String)>, size: usize) -> Result<Pool, OpenError> {
        let slots = (0..size)
            .map(|_| Ok(Mutex::new(Some(Validator::open(&program, &settings)?))))
            .collect::<Result<_, OpenError>>()?;
        Ok(Pool {
            program,
            settings,
            slots,
            next: AtomicUsize::new(0),
            messages: Mutex::new(()),
            sequence: watch::Sender::new(None),
            trapped: Notify::new(),
        })
    }

    pub(crate) fn size(&self) -> usize {
        self.slots.len()
    }

    /// Slots whose instance trapped, or was retired because its replica differed from the others.
    pub(crate) fn vacant_slots(&self) -> Vec<usize> {
        (0..self.size()).filter(|&index| self.lock(index).is_none()).collect()
    }

    /// Resolves when an instance has trapped since the last time.
    pub(crate) async fn has_trapped(&self) {
        self.trapped.notified().await;
    }

    /// Runs `call` on any free instance; on another one if that traps. After a trap, the instance
    /// is out of service until the sync replaces it.
    pub(crate) async fn on_any<R>(
        &self,
        call: impl FnMut(&mut Validator) -> wasmtime::Result<R>,
    ) -> Result<R, Unavailable> {
        self.on_first_from(self.next.fetch_add(1, Ordering::Relaxed), false, call).await
    }

    /// As [`on_any`](Pool::on_any), on the same instance for the same key while it is in service:
    /// it remembers the uses of DPoP proofs.
    pub(crate) async fn on_pinned<R>(
        &self,
        key: u64,
        call: impl FnMut(&mut Validator) -> wasmtime::Result<R>,
    ) -> Result<R, Unavailable> {
        self.on_first_from(key as usize, true, call).await
    }

    /// Runs `call` on the first instance in service from `start` on: if `waits_for_busy`, also if
    /// others are free.
    async fn on_first_from<R>(
        &self,
        start: usize,
        waits_for_busy: bool,
        mut call: impl FnMut(&mut Validator) -> wasmtime::Result<R>,
    ) -> Result<R, Unavailable> {
        let mut may_retry = true;
        loop {
            let mut is_any_busy = false;
            for step in 0..self.size() {
                match self.slots[start.wrapping_add(step) % self.size()].try_lock() {
                    Ok(mut slot) if slot.is_some() => match self.call_slot(&mut slot, &mut call) {
                        // A request that lets every instance trap must not take out all of them.
                        Err(Unavailable) if may_retry => may_retry = false,
                        result => return result,
                    },
                    Ok(_) => {}
                    Err(TryLockError::WouldBlock) => {
                        is_any_busy = true;
                        if waits_for_busy {
                            break;
                        }
                    }
                    Err(TryLockError::Poisoned(poisoned)) => *poisoned.into_inner() = None,
                }
            }
            if !is_any_busy {
                return Err(Unavailable);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Runs `call` on one instance. Blocks the thread until the instance is free.
    pub(crate) fn on<R>(
        &self,
        index: usize,
        mut call: impl FnMut(&mut Validator) -> wasmtime::Result<R>,
    ) -> Result<R, Unavailable> {
        self.call_slot(&mut self.lock(index), &mut call)
    }

    /// Runs `call` on the slot's instance, and clears the slot if it traps.
    fn call_slot<R>(
        &self,
        slot: &mut Option<Validator>,
        call: &mut impl FnMut(&mut Validator) -> wasmtime::Result<R>,
    ) -> Result<R, Unavailable> {
        let validator = slot.as_mut().ok_or(Unavailable)?;
        call(validator).map_err(|trap| {
            tracing::error!(error = format!("{trap:#}"), "an instance trapped and will be replaced");
            *slot = None;
            self.trapped.notify_one();
            Unavailable
        })
    }

    /// Locks out other messages while one is applied to all instances. Blocks the thread.
    pub(crate) fn lock_messages(&self) -> MutexGuard<'_, ()> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces a new sequence, after a message was applied to all instances, while
    /// [`lock_messages`](Pool::lock_messages) is held.
    pub(crate) fn announce_sequence(&self) {
        let schedule = (0..self.size()).find_map(|index| self.on(index, Validator::stream_schedule).ok());
        if let Some(schedule) = schedule {
            self.sequence.send_if_modified(|known| std::mem::replace(known, schedule.sequence) != schedule.sequence);
        }
    }

    /// The sequence of the replicas, which changes when all instances have a new one.
    pub(crate) fn sequence(&self) -> watch::Receiver<Option<u64>> {
        self.sequence.subscribe()
    }

    /// Takes an instance out of service.
    pub(crate) fn retire(&self, index: usize) {
        *self.lock(index) = None;
    }

    /// Opens an instance with the snapshot of one in service. It serves after
    /// [`fill_slot`](Pool::fill_slot).
    pub(crate) fn open_warm(&self) -> Result<Validator, OpenError> {
        let mut validator = Validator::open(&self.program, &self.settings)?;
        let snapshot = (0..self.size()).find_map(|index| self.on(index, Validator::snapshot).ok().flatten());
        if let Some(snapshot) = snapshot
            && let Err(error) = validator.warm(&snapshot).map_err(OpenError::Trap)?
        {
            tracing::warn!(%error, "a new instance refused the snapshot of another instance");
        }
        Ok(validator)
    }

    /// Puts an instance into service.
    pub(crate) fn fill_slot(&self, index: usize, validator: Validator) {
        *self.lock(index) = Some(validator);
    }

    /// Reports a failed fetch to every instance, for the health report.
    pub(crate) fn fetch_failed(&self, error: &str) {
        for index in 0..self.size() {
            // Vacant slots are skipped.
            let _ = self.on(index, |validator| validator.fetch_failed(error, now_ms()));
        }
    }

    fn lock(&self, index: usize) -> MutexGuard<'_, Option<Validator>> {
        self.slots[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
