//! Limit of log lines of a kind, so that a flood does not fill the log.

use std::time::Duration;

use crate::rate_limit::{Rate, Rule, RuleState};

/// Limit of log lines, and the number of events without a line since the last line.
#[derive(Debug, Default)]
pub struct LogLimit {
    bucket: RuleState,
    left_out: u64,
}

/// Lines of one kind in [`LINES_PERIOD`], and in one burst: ten a minute on average, some megabytes
/// a day at most.
const MAX_LINES: u32 = 60;
const LINES_PERIOD: Duration = Duration::from_secs(360);

impl LogLimit {
    /// If a line may be written after this time since any fixed moment, by the limit of most kinds
    /// of lines: the number of events without a line before it.
    pub fn acquire_line(&mut self, uptime: Duration) -> Option<u64> {
        let now = u64::try_from(uptime.as_micros()).unwrap_or(u64::MAX);
        let rate = Rate::new(MAX_LINES, LINES_PERIOD)?;
        self.acquire(rate, now).then(|| self.take_left_out())
    }

    /// Whether another line may be written at `now`, in microseconds since any fixed moment.
    pub fn acquire(&mut self, rate: Rate, now: u64) -> bool {
        let is_allowed = Rule::TokenBucket(rate).acquire(&mut self.bucket, now).wait.is_none();
        if !is_allowed {
            self.left_out = self.left_out.saturating_add(1);
        }
        is_allowed
    }

    /// The number of events without a line, for the line that is written now.
    pub fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}
