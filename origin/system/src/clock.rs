//! The wall clock, handed to what needs the time.
//!
//! Only [`Clock::system`] reads the machine's clock. A server makes one and hands clones to its
//! parts; tests make one with [`Clock::manual`] and set the time, so no test sleeps until a second
//! has passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A wall clock. Cloning is cheap; all clones of one clock show the same time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<AtomicU64>),
}

/// Sets the time of a clock made by [`Clock::manual`].
#[derive(Debug, Clone)]
pub struct ManualTime(Arc<AtomicU64>);

impl Clock {
    /// The clock of the machine.
    #[must_use]
    pub const fn system() -> Clock {
        Clock(Source::System)
    }

    /// A clock that shows `unix_ms` until the returned handle changes it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tollgate_system::Clock;
    /// let (clock, time) = Clock::manual(1_000_000);
    /// time.advance(Duration::from_secs(5));
    /// assert_eq!((clock.now(), clock.now_ms()), (1_005, 1_005_000));
    /// ```
    #[must_use]
    pub fn manual(unix_ms: u64) -> (Clock, ManualTime) {
        let shared = Arc::new(AtomicU64::new(unix_ms));
        (Clock(Source::Manual(shared.clone())), ManualTime(shared))
    }

    /// Milliseconds since the Unix epoch. A machine whose clock shows a time before 1970 counts as
    /// 0.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            Source::System => system_ms(),
            Source::Manual(unix_ms) => unix_ms.load(Ordering::SeqCst),
        }
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now_ms() / 1000
    }
}

impl ManualTime {
    /// Sets the clock and all its clones to `unix_ms`; a clock may be set back.
    pub fn set(&self, unix_ms: u64) {
        self.0.store(unix_ms, Ordering::SeqCst);
    }

    /// Moves the clock and all its clones forward.
    pub fn advance(&self, duration: Duration) {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

#[expect(clippy::disallowed_methods, reason = "the origin's only reading of the machine's clock")]
fn system_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_manual_clock_share_its_time() {
        let (clock, time) = Clock::manual(5_999);
        let clone = clock.clone();
        assert_eq!((clone.now(), clone.now_ms()), (5, 5_999));
        time.advance(Duration::from_millis(1));
        assert_eq!((clock.now(), clone.now()), (6, 6));
        time.set(1_000);
        assert_eq!((clock.now(), clone.now_ms()), (1, 1_000), "set back");
    }
}
