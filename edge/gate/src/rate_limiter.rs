//! Rate limits of route rules, by the generic cell rate algorithm: a client may send the limit's
//! requests in one burst, and further ones as fast as the limit divided by its period. One number
//! is stored per key: the time at which its burst is whole again.
//!
//! Never: more than [`MAX_KEYS`] in memory. Beyond them, those that sent no request for the longest
//! time begin again with a whole burst.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::mem;
use std::net::IpAddr;

use tollgate_core::RateLimit;

use crate::message::{Response, RouteRateLimit};

/// Keys in memory: 3 MiB.
const MAX_KEYS: usize = 65_536;
const NANOS_PER_MS: u64 = 1_000_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Requests that one route rule counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RateLimitBucket(u64);

impl RateLimitBucket {
    /// The bucket of a hash that [`RateLimitBucket::number`] returned.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The bucket's hash.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl RouteRateLimit {
    /// The bucket of a request from this address. Requests without a holder are counted by address,
    /// and addresses of IPv6 by network.
    pub fn bucket(&self, address: Option<IpAddr>) -> RateLimitBucket {
        let network = match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V6(address)) => Some(IpAddr::V6((address.to_bits() >> 64 << 64).into())),
            address => address,
        };
        let mut hasher = DefaultHasher::new();
        self.rule.hash(&mut hasher);
        self.holder.as_deref().ok_or(network).hash(&mut hasher);
        RateLimitBucket(hasher.finish())
    }
}

/// The counts of one host.
#[derive(Debug, Default)]
pub struct RateLimiter {
    /// Time at which the burst of each bucket is whole again, in Unix nanoseconds.
    current: BTreeMap<RateLimitBucket, u64>,
    /// Buckets that sent nothing since `current` was last empty.
    previous: BTreeMap<RateLimitBucket, u64>,
}

impl RateLimiter {
    /// Counts a request of this bucket.
    ///
    /// # Errors
    /// The seconds after which the next request may be sent, if this one exceeds the limit.
    pub fn take(&mut self, bucket: RateLimitBucket, limit: &RateLimit, now_ms: u64) -> Result<(), u64> {
        let now = now_ms.saturating_mul(NANOS_PER_MS);
        let period = u64::from(limit.seconds).saturating_mul(NANOS_PER_SECOND);
        let interval = (period / u64::from(limit.requests.max(1))).max(1);
        let stored = self.current.get(&bucket).or_else(|| self.previous.get(&bucket)).copied();
        // After the clock was set back, a bucket is empty for one period at most.
        let whole_at = stored.unwrap_or(now).clamp(now, now.saturating_add(period));
        let next = whole_at.saturating_add(interval);
        if let Some(too_early) = next.checked_sub(now.saturating_add(period)).filter(|nanos| *nanos > 0) {
            return Err(too_early.div_ceil(NANOS_PER_SECOND));
        }
        if self.current.len() >= MAX_KEYS / 2 {
            self.previous = mem::take(&mut self.current);
        }
        self.current.insert(bucket, next);
        Ok(())
    }
}

/// Most buckets of an encoded limiter, for a store of small values.
const MAX_ENCODED_BUCKETS: usize = 1_024;
const ENCODED_BUCKET_BYTES: usize = 16;

impl RateLimiter {
    /// Decodes a limiter; bytes of another form are one without buckets.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let (buckets, []) = bytes.as_chunks::<ENCODED_BUCKET_BYTES>() else { return Self::default() };
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let bucket = |bytes: &[u8; ENCODED_BUCKET_BYTES]| {
            let (bucket, whole_at) = bytes.split_at(ENCODED_BUCKET_BYTES / 2);
            (RateLimitBucket(number(bucket)), number(whole_at))
        };
        Self { current: buckets.iter().map(bucket).collect(), previous: BTreeMap::new() }
    }

    /// Encodes the buckets whose bursts are not whole; of too many, those that are whole last.
    pub fn to_bytes(&self, now_ms: u64) -> Vec<u8> {
        let now = now_ms.saturating_mul(NANOS_PER_MS);
        let all = self.previous.iter().chain(&self.current).filter(|(_, whole_at)| **whole_at > now);
        let mut buckets: Vec<_> = all.map(|(bucket, whole_at)| (*whole_at, bucket.0)).collect();
        buckets.sort_unstable();
        let omitted = buckets.len().saturating_sub(MAX_ENCODED_BUCKETS);
        let encode = |(whole_at, bucket): (u64, u64)| [bucket.to_be_bytes(), whole_at.to_be_bytes()];
        buckets.into_iter().skip(omitted).flat_map(encode).flatten().collect()
    }
}

/// The response to a request that exceeds the limit of its route (RFC 6585 section 4).
pub fn rate_limited(retry_after_seconds: u64) -> Response {
    Response::error(429, "rate_limited", "too many requests: wait as long as Retry-After says")
        .with("retry-after", retry_after_seconds.to_string())
}

#[cfg(test)]
mod tests {
    use tollgate_core::RateLimitKey;

    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn limit(requests: u32, seconds: u32) -> RateLimit {
        RateLimit { requests, seconds, by: RateLimitKey::Client }
    }

    fn bucket(number: u64) -> RateLimitBucket {
        RateLimitBucket::from_number(number)
    }

    #[test]
    fn burst_is_admitted_then_the_rate() {
        let (mut limiter, limit) = (RateLimiter::default(), limit(10, 60));
        let mut take = |number, at_ms| limiter.take(bucket(number), &limit, at_ms);
        for _ in 0..10 {
            assert_eq!(take(1, NOW_MS), Ok(()));
        }
        assert_eq!(take(1, NOW_MS), Err(6), "one request every 6 seconds");
        assert_eq!(take(2, NOW_MS), Ok(()), "another bucket");
        assert_eq!(take(1, NOW_MS + 5_999), Err(1));
        assert_eq!(take(1, NOW_MS + 6_000), Ok(()));
        assert_eq!(take(1, NOW_MS + 6_000), Err(6));
        for _ in 0..10 {
            assert_eq!(take(1, NOW_MS + 66_000), Ok(()));
        }
        assert_eq!(take(1, NOW_MS + 66_000), Err(6));
    }

    #[test]
    fn clock_that_was_set_back_delays_requests_by_one_period_at_most() {
        let (mut limiter, limit) = (RateLimiter::default(), limit(1, 10));
        assert_eq!(limiter.take(bucket(1), &limit, NOW_MS), Ok(()));
        assert_eq!(limiter.take(bucket(1), &limit, NOW_MS - 3_600_000), Err(10));
    }

    #[test]
    fn encoded_limiter_has_the_buckets_that_are_not_whole() {
        let (mut limiter, limit) = (RateLimiter::default(), limit(1, 10));
        assert_eq!(limiter.take(bucket(1), &limit, NOW_MS), Ok(()));
        assert_eq!(limiter.take(bucket(2), &limit, NOW_MS + 5_000), Ok(()));
        let mut decoded = RateLimiter::from_bytes(&limiter.to_bytes(NOW_MS + 12_000));
        assert_eq!(decoded.current.len(), 1, "the burst of the first is whole");
        assert_eq!(decoded.take(bucket(2), &limit, NOW_MS + 12_000), Err(3));
        for number in 0..2 * MAX_ENCODED_BUCKETS as u64 {
            let _ = limiter.take(bucket(100 + number), &limit, NOW_MS + number);
        }
        assert_eq!(limiter.to_bytes(NOW_MS).len(), MAX_ENCODED_BUCKETS * ENCODED_BUCKET_BYTES);
        assert!(RateLimiter::from_bytes(&[1; 17]).current.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_busy_buckets_stay() {
        let (mut limiter, limit) = (RateLimiter::default(), limit(1, 3_600));
        assert_eq!(limiter.take(bucket(0), &limit, NOW_MS), Ok(()));
        for number in 1..MAX_KEYS as u64 / 2 {
            assert_eq!(limiter.take(bucket(number), &limit, NOW_MS), Ok(()));
        }
        assert!(limiter.take(bucket(0), &limit, NOW_MS).is_err());
        for number in 0..2 * MAX_KEYS as u64 {
            assert_eq!(limiter.take(bucket(1 << 40 | number), &limit, NOW_MS), Ok(()));
            assert!(limiter.current.len() + limiter.previous.len() <= MAX_KEYS);
        }
    }

    #[test]
    fn requests_are_counted_by_what_the_rule_says() {
        let of = |holder: Option<&str>, address: &str| {
            let (rule, holder) = ("/a".to_owned(), holder.map(str::to_owned));
            RouteRateLimit { rule, limit: limit(1, 1), holder }.bucket(address.parse().ok())
        };
        assert_eq!(of(Some("u"), "192.0.2.1"), of(Some("u"), "192.0.2.2"));
        assert_ne!(of(Some("u"), "192.0.2.1"), of(Some("v"), "192.0.2.1"));
        assert_ne!(of(None, "192.0.2.1"), of(None, "192.0.2.2"), "without a holder by address");
        assert_eq!(of(None, "192.0.2.1"), of(None, "::ffff:192.0.2.1"));
        assert_eq!(of(None, "2001:db8::1"), of(None, "2001:db8::2:3"), "one network");
        assert_ne!(of(None, "2001:db8::1"), of(None, "2001:db8:0:1::1"));
    }
}
