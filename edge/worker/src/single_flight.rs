//! Single flight: one fetch at a time, and a delay after one that failed. Waiting requests poll for
//! its end, because the runtime does not let a request wait for a promise of another one.

use std::{cell::Cell, rc::Rc, time::Duration};

use futures::{channel::oneshot, future};
use tollgate_gate::BackOff;
use worker::Delay;

use crate::{now_ms, random};

/// Age at which a fetch counts as lost: the runtime may have ended the request that started it,
/// without running destructors. Longer than the timeouts of a hub and the origin together.
const FLIGHT_TIMEOUT_MS: u64 = 3_000;
/// Interval at which waiting requests check whether the fetch has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(3);

/// Resolves, with an error, when the flight has ended.
pub(crate) type FlightEnd = oneshot::Receiver<()>;

/// At most one fetch at a time.
#[derive(Default)]
pub(crate) struct SingleFlight {
    /// Start of the current fetch in Unix milliseconds, which also identifies it.
    started_at_ms: Cell<Option<u64>>,
    back_off: Cell<BackOff>,
}

impl SingleFlight {
    /// Starts a flight, unless one is under way or the last one failed a moment ago.
    pub(crate) fn try_start(self: &Rc<Self>) -> Option<(Flight, FlightEnd)> {
        if self.is_in_flight() || self.back_off.get().remaining_delay_ms(now_ms()) > 0 {
            return None;
        }
        let started_at_ms = now_ms();
        self.started_at_ms.set(Some(started_at_ms));
        let (end, ended) = oneshot::channel();
        Some((Flight { owner: Rc::clone(self), started_at_ms, _end: end }, ended))
    }

    /// Waits for a fetch, at most `timeout_ms`; starts one by `start` if none is under way. A fetch
    /// that is under way may have been started too early to be sufficient; the next one is not.
    /// While fetches fail, only the request that starts one waits.
    pub(crate) async fn wait(
        &self,
        timeout_ms: u64,
        start: impl Fn() -> Option<FlightEnd>,
        is_sufficient: impl Fn() -> bool,
    ) {
        let deadline = now_ms() + timeout_ms;
        for _ in 0..2 {
            if let Some(ended) = start() {
                let remaining = Duration::from_millis(deadline.saturating_sub(now_ms()));
                drop(future::select(ended, Delay::from(remaining)).await);
                return;
            }
            if !self.back_off.get().may_wait(now_ms()) {
                return;
            }
            let current = self.started_at_ms.get();
            while self.is_in_flight() && self.started_at_ms.get() == current && now_ms() < deadline {
                Delay::from(POLL_INTERVAL).await;
            }
            if is_sufficient() {
                return;
            }
        }
    }

    fn is_in_flight(&self) -> bool {
        self.started_at_ms.get().is_some_and(|started| now_ms().saturating_sub(started) < FLIGHT_TIMEOUT_MS)
    }
}

/// A fetch under way; ends when it is dropped.
pub(crate) struct Flight {
    owner: Rc<SingleFlight>,
    started_at_ms: u64,
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
        if self.owner.started_at_ms.get() == Some(self.started_at_ms) {
            self.owner.started_at_ms.set(None);
        }
    }
}
