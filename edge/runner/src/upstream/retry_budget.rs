//! The budget for retries: a fifth of the requests, and a hundred in one burst, so that retries do
//! not multiply the load of an upstream that fails.

use std::sync::atomic::{AtomicU32, Ordering};

const COST_OF_RETRY: u32 = 10;
const DEPOSIT_OF_REQUEST: u32 = 2;
const MAX_BALANCE: u32 = 100 * COST_OF_RETRY;

pub(super) struct RetryBudget(AtomicU32);

impl Default for RetryBudget {
    fn default() -> RetryBudget {
        RetryBudget(AtomicU32::new(MAX_BALANCE))
    }
}

impl RetryBudget {
    /// Records a request that is no retry.
    pub(super) fn deposit(&self) {
        if self.0.load(Ordering::Relaxed) < MAX_BALANCE {
            self.0.fetch_add(DEPOSIT_OF_REQUEST, Ordering::Relaxed);
        }
    }

    /// Whether a retry is allowed; records it.
    pub(super) fn withdraw(&self) -> bool {
        let less = |balance: u32| balance.checked_sub(COST_OF_RETRY);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_fifth_of_the_requests_after_a_burst() {
        let budget = RetryBudget::default();
        let retry_while_allowed = || (0..1000).filter(|_| budget.withdraw()).count();
        assert_eq!(retry_while_allowed(), 100);
        (0..50).for_each(|_| budget.deposit());
        assert_eq!(retry_while_allowed(), 10);
    }
}
