//! State of the limits of a process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tollgate_model::rate_limit::Limit;

use super::check::{AcceptedLimits, LimitCheck, LimitExceeded};
use super::memory::LocalLimits;
use super::redis::RedisLimits;

/// Offset of the monotonic clock, longer than any limit lasts.
const CLOCK_OFFSET: Duration = Duration::from_secs(400 * 86400);
/// Interval at which expired entries are dropped.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// State of all limits of a process: in memory, and in Redis if it is configured.
pub struct LimitStore {
    pub(super) local: LocalLimits,
    redis: Option<RedisLimits>,
    started: Instant,
    refused: [AtomicU64; Limit::ALL.len()],
}

impl LimitStore {
    /// An empty store. `redis` is a URL, `redis://…` or `rediss://…`.
    ///
    /// # Errors
    /// When the URL is not valid.
    pub fn new(redis: Option<&str>) -> anyhow::Result<Arc<LimitStore>> {
        let redis = redis.map(RedisLimits::new).transpose()?;
        Ok(Arc::new(LimitStore {
            local: LocalLimits::default(),
            redis,
            started: Instant::now(),
            refused: Default::default(),
        }))
    }

    /// Refusals since the start.
    pub(super) fn refusals(&self, limit: Limit) -> u64 {
        self.refused[limit as usize].load(Ordering::Relaxed)
    }

    /// None if Redis is not configured.
    pub(super) fn is_redis_connected(&self) -> Option<bool> {
        self.redis.as_ref().map(RedisLimits::is_connected)
    }

    /// Drops expired entries and keeps the connection to Redis, until `stop`.
    pub async fn run(self: Arc<LimitStore>, stop: CancellationToken) {
        let sweep = async {
            let mut ticks = interval(SWEEP_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                self.local.sweep(self.now());
            }
        };
        let connect = async {
            match &self.redis {
                Some(redis) => Box::pin(redis.keep_connected()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sweep => {}
            () = connect => {}
            () = stop.cancelled() => {}
        }
    }

    /// Counts one for each of these limits, or for none of them if one is exceeded.
    pub(super) async fn acquire(&self, checks: &[LimitCheck]) -> Result<AcceptedLimits, LimitExceeded> {
        if checks.is_empty() {
            return Ok(AcceptedLimits::new());
        }
        let shared = match &self.redis {
            Some(redis) => Box::pin(redis.acquire(checks)).await,
            None => None,
        };
        let outcome = shared.unwrap_or_else(|| self.local.acquire(checks, self.now()));
        match outcome {
            Ok(verdicts) => Ok(checks.iter().copied().zip(verdicts).collect()),
            Err((nth, verdict)) => {
                // The index is always valid, because it refers to the same list.
                let check = checks.get(nth).unwrap_or(&checks[0]);
                self.refused[check.limit as usize].fetch_add(1, Ordering::Relaxed);
                tracing::debug!(limit = check.limit.as_str(), "rate limit exceeded");
                Err(LimitExceeded::new(check.limit, check.rule, verdict.wait.unwrap_or_default()))
            }
        }
    }

    /// Takes back the last count of each of these limits.
    pub(super) async fn refund(&self, checks: &[LimitCheck]) {
        let shared = match &self.redis {
            Some(redis) if !checks.is_empty() => redis.refund(checks).await,
            _ => None,
        };
        if shared.is_none() {
            self.local.refund(checks, self.now());
        }
    }

    /// Resets these limits.
    pub(super) async fn reset(&self, checks: &[LimitCheck]) {
        if let Some(redis) = &self.redis {
            redis.reset(checks).await;
        }
        self.local.reset(checks);
    }

    /// Whether the limit has a count that has not expired.
    pub(super) async fn is_counted(&self, check: &LimitCheck) -> bool {
        let shared = match &self.redis {
            Some(redis) => redis.is_counted(check).await,
            None => None,
        };
        shared.unwrap_or_else(|| self.local.is_counted(check, self.now()))
    }

    /// Microseconds of a monotonic clock. Its zero is further in the past than the longest limit
    /// lasts, so subtractions of a period do not underflow.
    pub(super) fn now(&self) -> u64 {
        let since = self.started.elapsed() + CLOCK_OFFSET;
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}
