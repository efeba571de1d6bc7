//! Rate limits, by address, by client and by account.
//!
//! Each limit is a [`Rule`] under a name. Names are hashes under a key of the issuer, so neither
//! the memory nor Redis reveals who signs in from where. With Redis, all origins share their
//! limits, and each decision is one script; while Redis is down, each origin uses local limits, and
//! the log says when that begins and ends. All state expires and is bounded: a flood of made-up
//! names evicts only entries of its own.
//!
//! # What is limited, and why
//!
//! - **Requests of an address**, and separately those that create rows in the database
//!   ([`Limit::AuthorizationRequests`], [`Limit::Registrations`]). An address may be one computer
//!   or an office behind one NAT, so the default limits are far above what people need; they keep
//!   one sender from using up all capacity. An IPv6 /64 counts as one address, because each
//!   customer has at least that many.
//! - **Requests of an authenticated client.** Without authentication anyone could name a client and
//!   lock it out.
//! - **Wrong client secrets**, by address, and by address and client. Generated secrets cannot be
//!   guessed, so a correct one is always accepted. A secret that a person chose is refused while
//!   the limit is exceeded, unless it was verified during the last minutes.
//! - **Sign-ins**, see below.
//!
//! # Password guessing
//!
//! With a limit by account only, anyone could lock out its owner. With a limit by address only, an
//! attacker with a thousand addresses could guess. So there are three limits:
//!
//! 1. *An address and an account* have five attempts. After each further wrong one the delay
//!    doubles, up to five minutes; an hour without an attempt or the correct password resets it. An
//!    attacker locks out only their own address. The account need not exist: the response is the
//!    same.
//! 2. *An address* has a number of wrong passwords for any accounts ([`Limit::WrongPasswords`]),
//!    against one password that is tried on many accounts (password spraying), and a number of
//!    sign-ins ([`Limit::SignIns`]), because each costs a hash.
//! 3. *An account* has a number of wrong passwords from strangers ([`Limit::Account`]), against
//!    attackers with many addresses. A stranger is a browser without a *device cookie*, which a
//!    browser gets when its user signs in, at an address from which the user did not sign in during
//!    the last thirty days. Known devices and addresses are never refused for what strangers do. A
//!    device counts by itself in 1, so it is not refused for what others do at the same address
//!    either. An attacker with many addresses can only keep the owner from signing in with a new
//!    device at a new address while the attack lasts.
//!
//! An attempt is counted before the password is checked, and refunded if it was correct or was not
//! made. So a thousand concurrent attempts are not a thousand free ones.
//!
//! Never: the refusal of a valid session or token because of a sign-in limit; a forwarded address
//! from a proxy that the settings do not name.

mod client_secret;
mod memory;
mod redis;
mod sign_in;

pub use sign_in::SignInAttempt;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tollgate_config::LimitSettings;
use tollgate_model::ClientId;
use tollgate_model::rate_limit::{Limit, Rule, Verdict};
use tollgate_model::secret::keyed;
use zeroize::Zeroizing;

use memory::LocalLimits;
use redis::RedisLimits;

/// Offset of the monotonic clock, longer than any limit lasts.
const CLOCK_OFFSET: Duration = Duration::from_secs(400 * 86400);
/// Interval at which expired entries are dropped.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// A limit for one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitCheck {
    pub limit: Limit,
    name: [u8; 16],
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

/// Rate limits of one issuer. All issuers of a process share a [`LimitStore`].
pub struct RateLimiter {
    settings: LimitSettings,
    key: Zeroizing<[u8; 32]>,
    store: Arc<LimitStore>,
}

impl RateLimiter {
    /// `key` is the issuer's key for the names of limits.
    pub fn new(settings: LimitSettings, key: Zeroizing<[u8; 32]>, store: Arc<LimitStore>) -> RateLimiter {
        RateLimiter { settings, key, store }
    }

    /// Refusals by limit since the start, of all issuers of the process.
    pub fn refusal_counts(&self) -> impl Iterator<Item = (Limit, u64)> {
        Limit::ALL.into_iter().map(|limit| (limit, self.store.refused[limit as usize].load(Ordering::Relaxed)))
    }

    /// Whether limits are shared in Redis at present. None if Redis is not configured.
    pub fn is_redis_connected(&self) -> Option<bool> {
        self.store.redis.as_ref().map(RedisLimits::is_connected)
    }

    /// Counts a request of an address, and for the additional limit of its route.
    pub async fn acquire_request(
        &self,
        address: IpAddr,
        additional: Option<Limit>,
    ) -> Result<AcceptedLimits, LimitExceeded> {
        let network = network(address);
        let limits = [Some(Limit::Requests), additional];
        let checks: Vec<LimitCheck> =
            limits.into_iter().flatten().filter_map(|limit| self.check(limit, &[&network])).collect();
        self.store.take(&checks).await
    }

    /// Counts a request of an authenticated client.
    pub async fn acquire_client(&self, client: &ClientId) -> Result<(), LimitExceeded> {
        match self.check(Limit::Client, &[client.as_str()]) {
            Some(check) => self.store.take(&[check]).await.map(drop),
            None => Ok(()),
        }
    }

    /// The check of a limit for a name, if the limit is configured.
    fn check(&self, limit: Limit, name: &[&str]) -> Option<LimitCheck> {
        let rule = self.settings.rule(limit)?;
        Some(LimitCheck { limit, name: self.name(limit, name), rule })
    }

    /// No part of a name has a line break, so different names give different texts.
    fn name(&self, limit: Limit, parts: &[&str]) -> [u8; 16] {
        let text = Zeroizing::new(format!("{}\n{}", limit.as_str(), parts.join("\n")));
        let mut name = [0; 16];
        name.copy_from_slice(&keyed(&self.key, &text)[..16]);
        name
    }
}

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 address.
pub fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [first, second, third, fourth, ..] = address.segments();
            format!("{first:x}:{second:x}:{third:x}:{fourth:x}::/64")
        }
    }
}

/// State of all limits of a process: in memory, and in Redis if it is configured.
pub struct LimitStore {
    local: LocalLimits,
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
    async fn take(&self, checks: &[LimitCheck]) -> Result<AcceptedLimits, LimitExceeded> {
        if checks.is_empty() {
            return Ok(AcceptedLimits::new());
        }
        let shared = match &self.redis {
            Some(redis) => Box::pin(redis.take(checks)).await,
            None => None,
        };
        let outcome = shared.unwrap_or_else(|| self.local.take(checks, self.now()));
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
    async fn refund(&self, checks: &[LimitCheck]) {
        let shared = match &self.redis {
            Some(redis) if !checks.is_empty() => redis.refund(checks).await,
            _ => None,
        };
        if shared.is_none() {
            self.local.refund(checks, self.now());
        }
    }

    /// Resets these limits.
    async fn reset(&self, checks: &[LimitCheck]) {
        if let Some(redis) = &self.redis {
            redis.reset(checks).await;
        }
        self.local.reset(checks);
    }

    /// Whether the limit has a count that has not expired.
    async fn is_counted(&self, check: &LimitCheck) -> bool {
        let shared = match &self.redis {
            Some(redis) => redis.is_counted(check).await,
            None => None,
        };
        shared.unwrap_or_else(|| self.local.is_counted(check, self.now()))
    }

    /// Microseconds of a monotonic clock. Its zero is further in the past than the longest limit
    /// lasts, so subtractions of a period do not underflow.
    fn now(&self) -> u64 {
        let since = self.started.elapsed() + CLOCK_OFFSET;
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_addresses_of_one_64_prefix_count_as_one() {
        let of = |address: &str| network(address.parse().expect("an address"));
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(of("2001:db8:1:2:ffff::1"), of("2001:db8:1:2::"));
        assert_ne!(of("2001:db8:1:3::1"), of("2001:db8:1:2::1"));
    }
}
