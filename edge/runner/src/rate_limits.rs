//! Rate limits of routes, counted by this process.

use crate::response::{Body, from_runner, now_ms};
use crate::{RateLimit, RateLimitKey};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use tollgate_core::{RateLimit as Limit, RateLimitKey as Key};
use tollgate_gate::{RateLimiter, RouteRateLimit, rate_limited};

#[derive(Default)]
pub(crate) struct RateLimits(Mutex<RateLimiter>);

impl RateLimits {
    /// Counts a request from this address. The response if it exceeds the limit.
    pub(crate) fn refuse(&self, limit: &RateLimit, address: IpAddr) -> Option<http::Response<Body>> {
        let by = match limit.by {
            RateLimitKey::Client => Key::Client,
            RateLimitKey::Subject => Key::Subject,
            RateLimitKey::Address => Key::Address,
        };
        let limit = RouteRateLimit {
            rule: limit.rule.clone(),
            limit: Limit { requests: limit.requests, seconds: limit.seconds, by },
            holder: limit.holder.clone(),
        };
        let mut limiter = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = limiter.take(limit.bucket(Some(address)), &limit.limit, now_ms());
        drop(limiter);
        taken.err().map(|seconds| from_runner(rate_limited(seconds)))
    }
}
