//! Exponential back-off with jitter.

use std::time::Duration;

/// Delays between retries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackOff {
    /// Delay after the first failure; each further failure doubles it.
    pub(crate) first_delay: Duration,
    /// Upper bound of the delay.
    pub(crate) max_delay: Duration,
}

impl BackOff {
    /// Delay after `failures` consecutive failures. `jitter`, from 0 to 1, selects a delay between
    /// half and all of it, so that peers that failed together do not retry together.
    pub(crate) fn delay(self, failures: u32, jitter: f64) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_delay.saturating_mul(factor).min(self.max_delay).mul_f64(0.5 + jitter / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum() {
        let first_delay = Duration::from_millis(100);
        let back_off = BackOff { first_delay, max_delay: Duration::from_secs(30) };
        assert_eq!(back_off.delay(1, 1.0), first_delay);
        assert_eq!(back_off.delay(3, 1.0), first_delay * 4);
        assert_eq!(back_off.delay(3, 0.0), first_delay * 2);
        assert_eq!(back_off.delay(1000, 1.0), back_off.max_delay);
    }
}
