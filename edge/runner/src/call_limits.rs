//! Limits on synchronous calls of an instance. Running time is the processor's time of the calling
//! thread, so that a busy machine, which suspends threads, lets no healthy instance trap.

use crate::wasm;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;
use wasmtime::{Engine, Store, StoreLimits, UpdateDeadline};

/// Time between two looks at the running time, in ticks of the engine's epoch: a tenth of a second.
const CHECK_TICKS: u64 = 10;

/// Limits of a store: on memory, and on the running time of the current call.
pub(crate) struct CallLimits {
    memory: StoreLimits,
    running_time: Duration,
    /// Running time of the thread at the first look during the call. Most calls end before.
    first_look: Option<Duration>,
}

/// A store whose calls each begin with [`begin`].
pub(crate) fn store(engine: &Engine) -> Store<CallLimits> {
    let limits = CallLimits { memory: wasm::limits(), running_time: Duration::ZERO, first_look: None };
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| &mut limits.memory);
    store.epoch_deadline_callback(|mut context| Ok(context.data_mut().look(thread_time())));
    store
}

/// Allows the next call this running time, and at most a tenth of a second more.
pub(crate) fn begin(store: &mut Store<CallLimits>, running_time: Duration) {
    let limits = store.data_mut();
    (limits.running_time, limits.first_look) = (running_time, None);
    store.set_epoch_deadline(CHECK_TICKS);
}

impl CallLimits {
    /// Whether the call goes on, at this running time of the thread.
    fn look(&mut self, now: Duration) -> UpdateDeadline {
        let used = now.saturating_sub(*self.first_look.get_or_insert(now));
        if used < self.running_time { UpdateDeadline::Continue(CHECK_TICKS) } else { UpdateDeadline::Interrupt }
    }
}

/// Running time of the current thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_is_limited_by_the_time_that_it_ran() {
        let limit = Duration::from_secs(2);
        let mut limits = CallLimits { memory: wasm::limits(), running_time: limit, first_look: None };
        let mut goes_on = |seconds| matches!(limits.look(Duration::from_secs(seconds)), UpdateDeadline::Continue(_));
        // Looks at an idle thread do not count, however many there are.
        assert!((0..1000).all(|_| goes_on(100)));
        assert!(goes_on(101) && !goes_on(102));
    }

    #[test]
    fn running_time_grows_while_the_thread_works() {
        let before = thread_time();
        let mut number = 0_u64;
        while thread_time() == before {
            number = std::hint::black_box(number.wrapping_add(1));
        }
        assert!(thread_time() > before);
    }
}
