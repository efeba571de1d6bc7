//! Checks of limits and their results.

use std::time::Duration;

use tollgate_model::rate_limit::{Limit, Rule, Verdict};

/// A limit for one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitCheck {
    pub limit: Limit,
    pub(super) name: [u8; 16],
    pub rule: Rule,
}

/// Limits that were not exceeded, with their remaining quota.
pub type AcceptedLimits = Vec<(LimitCheck, Verdict)>;

/// The limit that a request exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests; try again in {} seconds", self.seconds())]
pub struct LimitExceeded {
    pub limit: Limit,
    pub rule: Rule,
    seconds: u32,
}

impl LimitExceeded {
    pub fn new(limit: Limit, rule: Rule, wait: Duration) -> LimitExceeded {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        LimitExceeded { limit, rule, seconds: u32::try_from(seconds).unwrap_or(u32::MAX) }
    }

    /// Whole seconds to wait, for `Retry-After`.
    pub fn seconds(&self) -> u32 {
        self.seconds
    }

    /// Quota for the response headers.
    pub fn verdict(&self) -> Verdict {
        let wait = Duration::from_secs(u64::from(self.seconds));
        Verdict { remaining: 0, reset: wait, wait: Some(wait) }
    }
}
