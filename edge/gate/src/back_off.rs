//! When an edge asks its origin again after a failed fetch, and which requests wait for it. With an
//! origin that does not answer, requests wait for one fetch; the others are decided immediately.

const MIN_RETRY_DELAY_MS: u64 = 100;
const MAX_RETRY_DELAY_MS: u64 = 1_000;
/// Age at which a failure is ignored: after an hour without requests, an edge waits for its origin
/// again, as it does when no fetch has failed.
const FAILURE_EXPIRY_MS: u64 = 10_000;

/// Failed fetches since the last answer of the origin. Times are Unix milliseconds. A clock that
/// jumps can only shorten the delay that is left, or begin it again; it never exceeds the maximum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackOff {
    failures: u32,
    failed_at_ms: u64,
    delay_ms: u64,
}

impl BackOff {
    /// Records a failed fetch. `random` is any byte: it spreads the retries of edges that failed at
    /// the same time.
    pub fn record_failure(&mut self, now_ms: u64, random: u8) {
        let doubled = (MIN_RETRY_DELAY_MS << self.failures.min(4)).min(MAX_RETRY_DELAY_MS);
        // Jitter: from a half of the delay to the whole.
        self.delay_ms = doubled * (256 + u64::from(random)) / 512;
        self.failures = self.failures.saturating_add(1);
        self.failed_at_ms = now_ms;
    }

    /// Records that a fetch has kept a request waiting for as long as requests wait. It may still
    /// succeed; until then, no request waits.
    pub fn record_overdue(&mut self, now_ms: u64) {
        *self = Self { failures: self.failures.max(1), failed_at_ms: now_ms, delay_ms: 0 };
    }

    /// Records an answer of the origin.
    pub fn record_success(&mut self) {
        *self = Self::default();
    }

    /// Milliseconds until the next fetch may begin.
    pub fn remaining_delay_ms(&self, now_ms: u64) -> u64 {
        self.delay_ms.saturating_sub(now_ms.abs_diff(self.failed_at_ms))
    }

    /// Whether requests wait for a fetch, also for one that they start: only while the origin
    /// answers.
    pub fn may_wait(&self, now_ms: u64) -> bool {
        self.failures == 0 || now_ms.abs_diff(self.failed_at_ms) > FAILURE_EXPIRY_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    #[test]
    fn retry_delay_grows_to_its_maximum_and_ends_with_an_answer() {
        let mut back_off = BackOff::default();
        assert_eq!((back_off.remaining_delay_ms(NOW), back_off.may_wait(NOW)), (0, true));
        let mut delays = Vec::new();
        for _ in 0..40 {
            back_off.record_failure(NOW, 255);
            delays.push(back_off.remaining_delay_ms(NOW));
        }
        assert_eq!(delays[..6], [99, 199, 399, 798, 998, 998]);
        assert_eq!((delays[39], back_off.may_wait(NOW)), (998, false));
        assert_eq!((back_off.remaining_delay_ms(NOW + 998), back_off.may_wait(NOW + 998)), (0, false));
        assert!(back_off.may_wait(NOW + FAILURE_EXPIRY_MS + 1), "the failure has expired");
        back_off.record_success();
        assert_eq!(back_off, BackOff::default());
        back_off.record_overdue(NOW);
        assert_eq!((back_off.remaining_delay_ms(NOW), back_off.may_wait(NOW)), (0, false), "the fetch continues");
        back_off.record_success();
        assert!(back_off.may_wait(NOW));
        back_off.record_failure(NOW, 0);
        assert_eq!(back_off.remaining_delay_ms(NOW), 50, "the shortest delay with jitter");
        assert_eq!(back_off.remaining_delay_ms(NOW - 3_600_000), 0, "setting the clock back extends no delay");
    }
}
