//! One fetch at a time, and a pause after one that failed. Who needs its result looks for it by timers of its own, because the runtime lets no request wait for
//! another one's promise.

use std::{cell::Cell, rc::Rc, time::Duration};

use futures::{channel::oneshot, future};
use tollgate_gate::BackOff;
use worker::Delay;

use crate::{now_ms, random};

/// After this long a fetch is taken for lost, in milliseconds: the request that led it may have been ended by the runtime,
/// which runs no destructors. Longer than an answer of a hub and one of the origin take by their own limits.
const LOST_AFTER: u64 = 3_000;
/// How often one that did not get the turn looks whether the fetch is over.
const LOOK: Duration = Duration::from_millis(3);

/// Resolves, by error, when the turn has been given back.
pub(crate) type Finished = oneshot::Receiver<()>;

/// Whose turn it is to fetch.
#[derive(Default)]
pub(crate) struct Turns {
    /// When the fetch under way began, in Unix milliseconds; it tells one turn from the next.
    since: Cell<Option<u64>>,
    back_off: Cell<BackOff>,
}

impl Turns {
    /// Takes the turn to fetch, if nobody has it and no fetch failed a moment ago.
    pub(crate) fn take(self: &Rc<Self>) -> Option<(Turn, Finished)> {
        if self.taken() || self.back_off.get().remaining_delay_ms(now_ms()) > 0 {
            return None;
        }
        let since = now_ms();
        self.since.set(Some(since));
        let (end, finished) = oneshot::channel();
        Some((Turn { turns: Rc::clone(self), since, _end: end }, finished))
    }

    /// Waits for a fetch, leading one by `start` if nobody does; for `limit` milliseconds at most. A fetch that was under way
    /// already may have asked too early to be enough; the one after it is asked late enough, so its end is the end. While
    /// fetches fail, only the one that leads waits.
    pub(crate) async fn wait(&self, limit: u64, start: impl Fn() -> Option<Finished>, enough: impl Fn() -> bool) {
        let deadline = now_ms() + limit;
        for _ in 0..2 {
            if let Some(finished) = start() {
                let left = Duration::from_millis(deadline.saturating_sub(now_ms()));
                drop(future::select(finished, Delay::from(left)).await);
                return;
            }
            if !self.back_off.get().may_wait(now_ms()) {
                return;
            }
            let turn = self.since.get();
            while self.taken() && self.since.get() == turn && now_ms() < deadline {
                Delay::from(LOOK).await;
            }
            if enough() {
                return;
            }
        }
    }

    fn taken(&self) -> bool {
        self.since.get().is_some_and(|since| now_ms().saturating_sub(since) < LOST_AFTER)
    }
}

/// The turn to fetch; given back when dropped.
pub(crate) struct Turn {
    turns: Rc<Turns>,
    since: u64,
    _end: oneshot::Sender<()>,
}

impl Turn {
    /// Gives the turn back, and says whether the fetch went well.
    pub(crate) fn end(self, is_well: bool) {
        let mut back_off = self.turns.back_off.get();
        match is_well {
            true => back_off.record_success(),
            // Without random numbers the pause is the shortest one.
            false => back_off.record_failure(now_ms(), random::<1>().map_or(0, |[byte]| byte)),
        }
        self.turns.back_off.set(back_off);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // A turn taken for lost has passed to another fetch, whose turn this must not end.
        if self.turns.since.get() == Some(self.since) {
            self.turns.since.set(None);
        }
    }
}
