//! When an edge asks its origin again after a failure, and who waits for that. A black-holed origin costs one request the time
//! limit of a fetch, and not every request.

/// Shortest and longest pause between a failure and the next attempt, milliseconds.
const PAUSE_MS: (u64, u64) = (100, 1_000);
/// So long after a failure nothing is concluded from it any more, milliseconds: an edge that nobody asked for an hour waits for
/// its origin as one that never failed.
const FORGOTTEN_AFTER_MS: u64 = 10_000;

/// The failures since the last answer of the origin's. Times are Unix milliseconds; a clock that jumps shortens or lengthens
/// a pause by what is left of it, never by more than the longest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackOff {
    failures: u32,
    failed_at_ms: u64,
    pause_ms: u64,
}

impl BackOff {
    /// Notes that an attempt failed. `random`: any byte, so that edges which failed together do not come back together.
    pub fn failed(&mut self, now_ms: u64, random: u8) {
        let doubled = PAUSE_MS.0 << self.failures.min(4);
        // Between a half and the whole of it.
        self.pause_ms = doubled.min(PAUSE_MS.1) * (256 + u64::from(random)) / 512;
        self.failures = self.failures.saturating_add(1);
        self.failed_at_ms = now_ms;
    }

    /// Notes that the origin answered.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Milliseconds until the next attempt may begin.
    pub fn pause_ms(&self, now_ms: u64) -> u64 {
        self.pause_ms.saturating_sub(now_ms.abs_diff(self.failed_at_ms))
    }

    /// Whether requests wait for an attempt that others began: not while the origin fails. The one that begins it waits.
    pub fn may_wait(&self, now_ms: u64) -> bool {
        self.failures == 0 || now_ms.abs_diff(self.failed_at_ms) > FORGOTTEN_AFTER_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    #[test]
    fn pauses_grow_to_a_bound_and_end_with_an_answer() {
        let mut back_off = BackOff::default();
        assert_eq!((back_off.pause_ms(NOW), back_off.may_wait(NOW)), (0, true));
        let mut pauses = Vec::new();
        for _ in 0..40 {
            back_off.failed(NOW, 255);
            pauses.push(back_off.pause_ms(NOW));
        }
        assert_eq!(pauses[..6], [99, 199, 399, 798, 998, 998]);
        assert_eq!((pauses[39], back_off.may_wait(NOW)), (998, false));
        assert_eq!((back_off.pause_ms(NOW + 998), back_off.may_wait(NOW + 998)), (0, false));
        assert!(back_off.may_wait(NOW + FORGOTTEN_AFTER_MS + 1), "nobody asked for long");
        back_off.succeeded();
        assert_eq!(back_off, BackOff::default());
        back_off.failed(NOW, 0);
        assert_eq!(back_off.pause_ms(NOW), 50, "the least that chance gives");
        assert_eq!(back_off.pause_ms(NOW - 3_600_000), 0, "a clock that was set back prolongs nothing");
    }
}
