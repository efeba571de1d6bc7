//! Limit of log lines of a kind, so that a flood does not fill the log.

use tollgate_model::rate_limit::{Rate, Rule, RuleState};

/// Limit of log lines, and the number of events without a line since the last line.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    bucket: RuleState,
    left_out: u64,
}

impl LogLimit {
    /// Whether another line may be written at `now`, in microseconds since any fixed moment.
    pub(crate) fn acquire(&mut self, rate: Rate, now: u64) -> bool {
        let is_allowed = Rule::TokenBucket(rate).acquire(&mut self.bucket, now).wait.is_none();
        if !is_allowed {
            self.left_out = self.left_out.saturating_add(1);
        }
        is_allowed
    }

    /// The number of events without a line, for the line that is written now.
    pub(crate) fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}
