//! The time by several clocks: the machine's time of day, its monotonic clock, and the database's
//! clock.
//!
//! Never: records are deleted or a snapshot is published because one clock jumped. What a request
//! decides by a wrong time of day is corrected when the clock is right again; what is deleted is
//! lost.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Clocks that differ by less than this agree.
const MAX_CLOCK_SKEW_MS: u64 = 5_000;
/// How long the time of day must agree with the monotonic clock after a jump or a start until it is
/// trusted without another clock.
const TRUST_DELAY: Duration = Duration::from_secs(60 * 60);
/// How long after an unconfirmed jump the origin reports that it is not ready.
const NOT_READY_AFTER_JUMP: Duration = Duration::from_secs(5 * 60);

/// Compares the clocks of one process and its database.
#[derive(Debug, Default)]
pub(crate) struct TrustedTime(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The time of day that was last trusted.
    trusted: Option<TimeAt>,
    /// The last reading of the database's clock, if it runs on another machine.
    database: Option<TimeAt>,
    /// Time up to which expired records had been deleted when this process started, as the database
    /// stores it.
    swept: Option<TimeAt>,
    /// Latest Unix second before which any origin may have deleted expired records.
    swept_until: u64,
    /// The time of day that differs from the monotonic clock.
    jump: Option<Jump>,
}

/// A time of day at an instant of the monotonic clock.
#[derive(Debug, Clone, Copy)]
struct TimeAt {
    unix_ms: u64,
    at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Jump {
    offset_ms: i64,
    since: Instant,
}

/// A reading of all clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// Time of day in Unix milliseconds; corrected by the database's clock if there is one.
    pub now_ms: u64,
    /// Time of day in Unix milliseconds, as far as the monotonic clock confirms it.
    pub steady_ms: u64,
    /// Earliest time by any clock, Unix milliseconds: what expired before it may be deleted.
    pub settled_ms: u64,
    /// Whether the clocks agree.
    pub is_trusted: bool,
}

impl ClockReading {
    /// Time for dating a snapshot: never ahead of the time of day, even if the clock was ahead when
    /// the process started.
    #[must_use]
    pub fn snapshot_time_ms(&self) -> u64 {
        self.steady_ms.min(self.now_ms)
    }
}

impl TimeAt {
    /// The time of day at a later instant.
    fn at(self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.at).as_millis();
        self.unix_ms.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }
}

fn agree(one_ms: u64, other_ms: u64) -> bool {
    one_ms.abs_diff(other_ms) <= MAX_CLOCK_SKEW_MS
}

impl TrustedTime {
    pub(crate) fn set_database_time(&self, database_ms: u64, at: Instant) {
        self.state(|state| state.database = Some(TimeAt { unix_ms: database_ms, at }));
    }

    /// Records up to when the database says that expired records are deleted. The first call also
    /// sets how far they were deleted when the process started.
    pub(crate) fn record_stored_sweep(&self, swept_to_ms: u64, at: Instant) {
        self.state(|state| state.swept = state.swept.or(Some(TimeAt { unix_ms: swept_to_ms, at })));
        self.record_sweep(swept_to_ms / 1000);
    }

    /// Records the Unix second up to which expired records have been deleted.
    pub(crate) fn record_sweep(&self, now: u64) {
        self.state(|state| state.swept_until = state.swept_until.max(now));
    }

    /// The Unix second from which on every record that had not expired still exists.
    pub(crate) fn swept_until(&self) -> u64 {
        self.state(|state| state.swept_until)
    }

    /// Reads the clocks when the time of day is `wall_ms`.
    pub(crate) fn read(&self, wall_ms: u64, at: Instant) -> ClockReading {
        self.state(|state| state.read(wall_ms, at))
    }

    fn state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn read(&mut self, wall_ms: u64, at: Instant) -> ClockReading {
        let database_ms = self.database.map(|database| database.at(at));
        // At their first reading, all origins on a database start with its time.
        let first = TimeAt { unix_ms: database_ms.unwrap_or(wall_ms), at };
        let expected_ms = self.trusted.get_or_insert(first).at(at);
        let is_confirmed = database_ms.is_some_and(|database_ms| agree(database_ms, wall_ms));
        if agree(wall_ms, expected_ms) || is_confirmed || self.has_settled(wall_ms, expected_ms, at) {
            self.trusted = Some(TimeAt { unix_ms: wall_ms, at });
            self.jump = None;
        }
        let steady_ms = self.trusted.map_or(wall_ms, |trusted| trusted.at(at));
        let is_jump_recent = self.jump.is_some_and(|jump| {
            database_ms.is_some() || at.saturating_duration_since(jump.since) < NOT_READY_AFTER_JUMP
        });
        let stored_sweep = self.swept.filter(|swept| at.saturating_duration_since(swept.at) < TRUST_DELAY);
        let bounds = [Some(wall_ms), Some(steady_ms), database_ms, stored_sweep.map(|swept| swept.at(at))];
        ClockReading {
            now_ms: if database_ms.is_some() { steady_ms } else { wall_ms },
            steady_ms,
            settled_ms: bounds.into_iter().flatten().min().unwrap_or(wall_ms),
            is_trusted: !is_jump_recent && database_ms.is_none_or(|database_ms| agree(database_ms, steady_ms)),
        }
    }

    /// Whether the time of day has run steadily long enough after a jump, without a database clock
    /// to contradict it.
    fn has_settled(&mut self, wall_ms: u64, expected_ms: u64, at: Instant) -> bool {
        let offset_ms = wall_ms.cast_signed().wrapping_sub(expected_ms.cast_signed());
        match self.jump {
            Some(jump) if jump.offset_ms.abs_diff(offset_ms) <= MAX_CLOCK_SKEW_MS => {
                self.database.is_none() && at.saturating_duration_since(jump.since) >= TRUST_DELAY
            }
            _ => {
                self.jump = Some(Jump { offset_ms, since: at });
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_MS: u64 = 1_800_000_000_000;
    const HOUR_MS: u64 = 3_600_000;

    /// Clocks without a database, and the instant at which it was noon.
    fn sqlite() -> (TrustedTime, Instant) {
        let (clock, noon) = (TrustedTime::default(), Instant::now());
        assert_eq!(clock.read(NOON_MS, noon).settled_ms, NOON_MS);
        (clock, noon)
    }

    fn after(noon: Instant, ms: u64) -> Instant {
        noon + Duration::from_millis(ms)
    }

    #[test]
    fn agreeing_clocks_return_the_time_of_day() {
        let (clock, noon) = sqlite();
        let time = clock.read(NOON_MS + 61_000, after(noon, 60_000));
        let now = NOON_MS + 61_000;
        assert_eq!(time, ClockReading { now_ms: now, steady_ms: now, settled_ms: now, is_trusted: true });
    }

    #[test]
    fn clock_an_hour_ahead_deletes_and_dates_nothing() {
        let (clock, noon) = sqlite();
        let time = clock.read(NOON_MS + HOUR_MS, after(noon, 60_000));
        assert_eq!((time.steady_ms, time.settled_ms, time.is_trusted), (NOON_MS + 60_000, NOON_MS + 60_000, false));
        let right_again = clock.read(NOON_MS + 75_000, after(noon, 75_000));
        assert_eq!((right_again.settled_ms, right_again.is_trusted), (NOON_MS + 75_000, true));
    }

    #[test]
    fn clock_an_hour_behind_deletes_nothing() {
        let (clock, noon) = sqlite();
        let time = clock.read(NOON_MS - HOUR_MS, after(noon, 60_000));
        assert_eq!((time.steady_ms, time.settled_ms, time.is_trusted), (NOON_MS + 60_000, NOON_MS - HOUR_MS, false));
    }

    #[test]
    fn lasting_jump_is_trusted_after_an_hour() {
        let (clock, noon) = sqlite();
        let read = |ms| clock.read(NOON_MS + HOUR_MS + ms, after(noon, ms));
        assert!(!read(1).is_trusted);
        assert!(read(6 * 60_000).is_trusted, "it serves again");
        assert_eq!(read(HOUR_MS - 1).settled_ms, NOON_MS + HOUR_MS - 1, "and deletes nothing yet");
        assert_eq!(read(HOUR_MS + 1).settled_ms, NOON_MS + 2 * HOUR_MS + 1);
    }

    #[test]
    fn database_clock_corrects_the_origin() {
        let (clock, noon) = (TrustedTime::default(), Instant::now());
        clock.set_database_time(NOON_MS, noon);
        let time = clock.read(NOON_MS + HOUR_MS, noon);
        assert_eq!(time, ClockReading { now_ms: NOON_MS, steady_ms: NOON_MS, settled_ms: NOON_MS, is_trusted: false });
        assert_eq!(clock.read(NOON_MS + 3 * HOUR_MS, after(noon, 2 * HOUR_MS)).now_ms, NOON_MS + 2 * HOUR_MS);
        assert!(clock.read(NOON_MS + 1000, after(noon, 1000)).is_trusted, "set right");
    }

    #[test]
    fn jump_of_the_database_clock_deletes_nothing() {
        let (clock, noon) = (TrustedTime::default(), Instant::now());
        clock.set_database_time(NOON_MS, noon);
        assert!(clock.read(NOON_MS, noon).is_trusted);
        clock.set_database_time(NOON_MS + HOUR_MS, after(noon, 1000));
        let time = clock.read(NOON_MS + 1000, after(noon, 1000));
        let now = NOON_MS + 1000;
        assert_eq!(time, ClockReading { now_ms: now, steady_ms: now, settled_ms: now, is_trusted: false });
    }

    #[test]
    fn database_clock_is_trusted_after_the_machine_slept() {
        let (clock, noon) = (TrustedTime::default(), Instant::now());
        clock.set_database_time(NOON_MS, noon);
        assert!(clock.read(NOON_MS, noon).is_trusted);
        assert!(!clock.read(NOON_MS + HOUR_MS, after(noon, 10)).is_trusted);
        clock.set_database_time(NOON_MS + HOUR_MS, after(noon, 20));
        let time = clock.read(NOON_MS + HOUR_MS, after(noon, 20));
        assert_eq!((time.now_ms, time.settled_ms, time.is_trusted), (NOON_MS + HOUR_MS, NOON_MS + HOUR_MS, true));
    }

    #[test]
    fn start_with_a_wrong_clock_continues_from_the_last_sweep() {
        let (clock, noon) = (TrustedTime::default(), Instant::now());
        clock.record_stored_sweep(NOON_MS, noon);
        let read = |ms| clock.read(NOON_MS + HOUR_MS + ms, after(noon, ms)).settled_ms;
        assert_eq!(read(1000), NOON_MS + 1000);
        assert_eq!(read(HOUR_MS), NOON_MS + 2 * HOUR_MS, "after an hour the clock is trusted");
        assert_eq!(clock.swept_until(), NOON_MS / 1000);
    }

    #[test]
    fn start_with_a_clock_ahead_dates_nothing_ahead_after_correction() {
        let (clock, noon) = (TrustedTime::default(), Instant::now());
        assert_eq!(clock.read(NOON_MS + HOUR_MS, noon).snapshot_time_ms(), NOON_MS + HOUR_MS);
        assert_eq!(clock.read(NOON_MS + 1000, after(noon, 1000)).snapshot_time_ms(), NOON_MS + 1000);
    }
}
