//! One address of an upstream: its load, and whether it gets requests.

use crate::settings::{EjectionSettings, HealthCheckSettings, UpstreamUrl};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longest ejection after requests failed.
const MAX_EJECTION: Duration = Duration::from_secs(300);

/// An address of an upstream.
pub(super) struct Target {
    pub(super) url: UpstreamUrl,
    ejection: EjectionSettings,
    created: Instant,
    in_flight: AtomicUsize,
    /// Health checks fail.
    is_down: AtomicBool,
    /// Consecutive health checks with the other result than [`Target::is_down`] says.
    checks: AtomicU64,
    /// Consecutive failed requests.
    failures: AtomicU64,
    /// Ejections since a request last succeeded.
    ejections: AtomicU64,
    /// End of the last ejection, in milliseconds since `created`.
    ejected_until: AtomicU64,
}

/// A request that is being answered, until its response has ended.
pub(crate) struct Lease(Arc<Target>);

impl Target {
    pub(super) fn new(url: UpstreamUrl, ejection: EjectionSettings) -> Arc<Target> {
        Arc::new(Target {
            url,
            ejection,
            created: Instant::now(),
            in_flight: AtomicUsize::new(0),
            is_down: AtomicBool::new(false),
            checks: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            ejections: AtomicU64::new(0),
            ejected_until: AtomicU64::new(0),
        })
    }

    /// Whether it gets requests while others do.
    pub(super) fn is_available(&self) -> bool {
        !self.is_down.load(Ordering::Relaxed) && self.ejected_until.load(Ordering::Relaxed) <= self.now_ms()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn lease(self: &Arc<Self>) -> Lease {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Lease(Arc::clone(self))
    }

    /// Records the result of a request. After too many failures in a row, the target is ejected.
    pub(super) fn record(&self, has_succeeded: bool) {
        if has_succeeded {
            if self.failures.load(Ordering::Relaxed) != 0 || self.ejections.load(Ordering::Relaxed) != 0 {
                self.failures.store(0, Ordering::Relaxed);
                self.ejections.store(0, Ordering::Relaxed);
            }
            return;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if self.ejection.after == 0 || failures < self.ejection.after {
            return;
        }
        self.failures.store(0, Ordering::Relaxed);
        let ejections = self.ejections.fetch_add(1, Ordering::Relaxed) + 1;
        let factor = u32::try_from(ejections).unwrap_or(u32::MAX);
        let time = self.ejection.time.saturating_mul(factor).min(MAX_EJECTION.max(self.ejection.time));
        self.ejected_until.store(self.now_ms().saturating_add(millis(time)), Ordering::Relaxed);
        tracing::warn!(url = self.url.url, seconds = time.as_secs(), "upstream ejected: its requests fail");
    }

    /// Records the result of a health check.
    pub(super) fn record_check(&self, has_passed: bool, settings: &HealthCheckSettings) {
        let is_down = self.is_down.load(Ordering::Relaxed);
        if has_passed != is_down {
            self.checks.store(0, Ordering::Relaxed);
            return;
        }
        let checks = self.checks.fetch_add(1, Ordering::Relaxed) + 1;
        if checks < if is_down { settings.successes } else { settings.failures } {
            return;
        }
        self.checks.store(0, Ordering::Relaxed);
        self.is_down.store(!is_down, Ordering::Relaxed);
        if is_down {
            tracing::info!(url = self.url.url, "upstream is up: its health checks pass");
        } else {
            tracing::warn!(url = self.url.url, "upstream is down: its health checks fail");
        }
    }

    fn now_ms(&self) -> u64 {
        millis(self.created.elapsed())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::HttpVersions;

    fn target(after: u64) -> Arc<Target> {
        let url = UpstreamUrl { url: "http://api".to_owned(), versions: HttpVersions::Http1 };
        Target::new(url, EjectionSettings { after, time: Duration::from_secs(3600) })
    }

    #[test]
    fn target_whose_requests_fail_in_a_row_is_ejected() {
        let target = target(3);
        for has_succeeded in [false, false, true, false, false] {
            target.record(has_succeeded);
        }
        assert!(target.is_available(), "only two in a row");
        target.record(false);
        assert!(!target.is_available());
    }

    #[test]
    fn target_is_never_ejected_if_the_setting_says_so() {
        let target = target(0);
        (0..100).for_each(|_| target.record(false));
        assert!(target.is_available());
    }

    #[test]
    fn health_checks_take_a_target_out_and_put_it_back() {
        let settings = HealthCheckSettings {
            path: "/".to_owned(),
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            failures: 2,
            successes: 3,
        };
        let target = target(1);
        let mut available = Vec::new();
        for has_passed in [false, true, false, false, true, true, false, true, true, true] {
            target.record_check(has_passed, &settings);
            available.push(target.is_available());
        }
        assert_eq!(available, [true, true, true, false, false, false, false, false, false, true]);
    }

    #[test]
    fn requests_in_flight_are_counted() {
        let target = target(1);
        let (first, second) = (target.lease(), target.lease());
        assert_eq!(target.in_flight(), 2);
        drop((first, second));
        assert_eq!(target.in_flight(), 0);
    }
}
