//! Log of slow requests, with what they waited for.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tollgate_model::log_limit::LogLimit;
use tollgate_system::current_request::{Part, RequestTimes};

/// Warns of slow requests, at a limited rate.
pub(crate) struct SlowRequestLog {
    /// Duration from which a request is slow, without the wait of a long poll; none for never.
    threshold: Option<Duration>,
    lines: Mutex<LogLimit>,
    started: Instant,
}

impl SlowRequestLog {
    pub(crate) fn new(threshold: Option<Duration>) -> SlowRequestLog {
        SlowRequestLog { threshold, lines: Mutex::default(), started: Instant::now() }
    }

    /// Warns of a request if it was slow. Parts may overlap, and work that is not measured is in
    /// none of them.
    pub(super) fn record(&self, status: u16, took: Duration, times: &RequestTimes) {
        let took = took.saturating_sub(times.sum(Part::LongPoll));
        if self.threshold.is_none_or(|threshold| took < threshold) {
            return;
        }
        let line = self.lines.lock().unwrap_or_else(PoisonError::into_inner).acquire_line(self.started.elapsed());
        let Some(left_out) = line else { return };
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        tracing::warn!(
            status,
            took_ms = ms(took),
            queue_ms = ms(times.sum(Part::Queue)),
            database_ms = ms(times.sum(Part::Database)),
            hashing_ms = ms(times.sum(Part::Hashing)),
            signing_ms = ms(times.sum(Part::Signing)),
            outbound_ms = ms(times.sum(Part::Outbound)),
            left_out,
            "slow request"
        );
    }
}
