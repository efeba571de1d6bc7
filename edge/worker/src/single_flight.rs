//! Single flight: one fetch at a time, and a delay after one that failed. Waiting requests poll for
//! its end, because the runtime does not let a request wait for a promise of another one.

use std::{cell::Cell, rc::Rc, time::Duration};

use futures::{channel::oneshot, future};
use tollgate_gate::BackOff;
use worker::Delay;

use crate::{now_ms, random};

/// Interval at which waiting requests check whether the fetch has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(3);

/// Resolves, with an error, when the flight has ended.
pub(crate) type FlightEnd = oneshot::Receiver<()>;

/// At most one fetch at a time.
#[derive(Default)]
pub(crate) struct SingleFlight {
    /// Number of the current flight; 0 for none.
    current: Cell<u64>,
    /// Number of the last flight.
    last: Cell<u64>,
    /// Time at which the current flight counts as lost, in Unix milliseconds: the runtime may have
    /// ended the request that started it, without running destructors.
    lost_at_ms: Cell<u64>,
    back_off: Cell<BackOff>,
}

impl SingleFlight {
    /// Starts a flight that takes at most `timeout_ms`, unless one is under way or the last one
    /// failed a moment ago.
    pub(crate) fn try_start(self: &Rc<Self>, timeout_ms: u64) -> Option<(Flight, FlightEnd)> {
        if self.is_in_flight() || self.back_off.get().remaining_delay_ms(now_ms()) > 0 {
            return None;
        }
        let number = self.last.get() + 1;
        self.last.set(number);
        self.current.set(number);
        self.lost_at_ms.set(now_ms().saturating_add(timeout_ms));
        let (end, ended) = oneshot::channel();
        Some((Flight { owner: Rc::clone(self), number, _end: end }, ended))
    }

    /// Waits for a fetch, at most `timeout_ms`; starts one by `start` if none is under way. A fetch
    /// that is under way may have been started too early to be sufficient; the next one is not.
    /// While fetches fail, they run in the background and no request waits.
    pub(crate) async fn wait(
        &self,
        timeout_ms: u64,
        start: impl Fn() -> Option<FlightEnd>,
        is_sufficient: impl Fn() -> bool,
    ) {
        let deadline = now_ms() + timeout_ms;
        for _ in 0..2 {
            let may_wait = self.back_off.get().may_wait(now_ms());
            let started = start();
            if !may_wait {
                return;
            }
            if let Some(ended) = started {
                let remaining = Duration::from_millis(deadline.saturating_sub(now_ms()));
                drop(future::select(ended, Delay::from(remaining)).await);
                return self.record_overdue(deadline);
            }
            let current = self.current.get();
            while self.is_in_flight() && self.current.get() == current && now_ms() < deadline {
                Delay::from(POLL_INTERVAL).await;
            }
            self.record_overdue(deadline);
            if is_sufficient() {
                return;
            }
        }
    }

    /// Records a fetch that has kept a request waiting until its deadline, so that no other request
    /// waits for it.
    fn record_overdue(&self, deadline: u64) {
        if self.is_in_flight() && now_ms() >= deadline {
            let mut back_off = self.back_off.get();
            back_off.record_overdue(now_ms());
            self.back_off.set(back_off);
        }
    }

    fn is_in_flight(&self) -> bool {
        self.current.get() != 0 && now_ms() < self.lost_at_ms.get()
    }
}

/// A fetch under way; ends when it is dropped.
pub(crate) struct Flight {
    owner: Rc<SingleFlight>,
    number: u64,
    _end: oneshot::Sender<()>,
}

impl Flight {
    /// Ends the flight and records its result.
    pub(crate) fn finish(self, is_success: bool) {
        let mut back_off = self.owner.back_off.get();
        match is_success {
            true => back_off.record_success(),
            // Without a random source, the delay is the shortest.
            false => back_off.record_failure(now_ms(), random::<1>().map_or(0, |[byte]| byte)),
        }
        self.owner.back_off.set(back_off);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        // After its timeout, another flight may have started, which this must not end.
        if self.owner.current.get() == self.number {
            self.owner.current.set(0);
        }
    }
}
