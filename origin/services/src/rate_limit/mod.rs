//! How often something may be asked for: by an address, by a client, for an account.
//!
//! Each limit is a [`Rule`] under a name. The names are hashes under a key of the issuer's: what is
//! kept, here or in Redis, tells nobody who signs in where. Where Redis is set, all origins share
//! their limits there, each decision one script; while it is away each origin goes by limits of its
//! own, and the log says so when that begins and ends. Nothing here is kept for good, and all of it
//! has an end: a flood of made-up names pushes out nothing but itself.
//!
//! # What is limited, and why so
//!
//! - **Requests of an address** and, of these, those that leave something in the database
//!   ([`Limit::AuthorizationRequests`], [`Limit::Registrations`]). An address is a machine, or a
//!   whole office behind one, so the usual limits are far above what people do: they keep one
//!   sender from taking all there is. Of IPv6, a /64 counts as one: a customer has at least that
//!   many.
//! - **Requests of a client** that authenticated. One that did not could be named by anybody, and
//!   would be locked out by them.
//! - **Wrong client secrets**, by address, and by address and client. Secrets of our making cannot
//!   be guessed: who has the right one is never refused for what others sent. One that a person
//!   chose is, for a while, if neither this origin knows it from the last minutes nor the address
//!   has been quiet.
//! - **Sign-ins**, see below.
//!
//! # Guessing passwords
//!
//! A limit on an account alone lets anybody lock its owner out. A limit on an address alone lets a
//! thousand addresses guess. So:
//!
//! 1. *An address at an account* has five tries, and after each further wrong one a wait twice as
//!    long, up to five minutes; an hour without one, or the right password, and it begins anew.
//!    Whoever guesses locks out nobody but their own address. The name need not exist: the answer
//!    is the same.
//! 2. *An address* has a number of wrong passwords, whatever the names ([`Limit::WrongPasswords`]):
//!    against one password tried on many accounts. And a number of sign-ins, right or wrong, for
//!    each costs a hash ([`Limit::SignIns`]).
//! 3. *An account* has a number of wrong passwords from strangers ([`Limit::Account`]): against
//!    many addresses that each have their five tries. No stranger is one who shows a *device
//!    cookie*, that a browser is given when its user signs in there, or who comes from an address
//!    from which the user signed in within the last thirty days. They are not refused for what
//!    strangers do, however many; a device is counted by itself in 1, so not even for what others
//!    do behind the same address. What is left to an attacker with many addresses is to keep the
//!    owner from signing in with a device that is new, at an address that is new, while the attack
//!    lasts.
//!
//! Each try is counted before it is checked, and given back if it was right or was never made: so a
//! thousand at once are not a thousand tries.
//!
//! What never happens: a session or a token that exists is refused for a limit on sign-ins; a
//! header is believed of a proxy that the settings do not name.

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

use memory::Local;
use redis::Redis;

/// How often what says nothing any more is dropped.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// One limit, on one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitCheck {
    pub limit: Limit,
    name: [u8; 16],
    pub rule: Rule,
}

/// What passed: each limit with what it says.
pub type AcceptedLimits = Vec<(LimitCheck, Verdict)>;

/// The limit that something did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests; try again in {} seconds", self.seconds())]
pub struct LimitExceeded {
    pub limit: Limit,
    pub rule: Rule,
    seconds: u32,
}

impl LimitExceeded {
    /// The refusal of one that has to wait for so long.
    pub fn new(limit: Limit, rule: Rule, wait: Duration) -> LimitExceeded {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        LimitExceeded { limit, rule, seconds: u32::try_from(seconds).unwrap_or(u32::MAX) }
    }

    /// Whole seconds to wait, for `Retry-After`.
    pub fn seconds(&self) -> u32 {
        self.seconds
    }

    /// What its rule says of it.
    pub fn verdict(&self) -> Verdict {
        let wait = Duration::from_secs(u64::from(self.seconds));
        Verdict { remaining: 0, reset: wait, wait: Some(wait) }
    }
}

/// The limits of one issuer. Those of all issuers of a process stand in one table.
pub struct RateLimiter {
    settings: LimitSettings,
    key: Zeroizing<[u8; 32]>,
    limiter: Arc<LimitStore>,
}

impl RateLimiter {
    /// The limits of the issuer with this key.
    pub fn new(settings: LimitSettings, key: Zeroizing<[u8; 32]>, limiter: Arc<LimitStore>) -> RateLimiter {
        RateLimiter { settings, key, limiter }
    }

    /// How often each limit was not passed since the start, by all issuers of the process.
    pub fn refusal_counts(&self) -> impl Iterator<Item = (Limit, u64)> {
        Limit::ALL.into_iter().map(|limit| (limit, self.limiter.refused[limit as usize].load(Ordering::Relaxed)))
    }

    /// Whether limits are shared with other origins now; none if they are not to be.
    pub fn is_redis_connected(&self) -> Option<bool> {
        self.limiter.redis.as_ref().map(Redis::is_there)
    }

    /// Takes a request of an address; `of`: what it is beside a request.
    pub async fn acquire_request(&self, address: IpAddr, of: Option<Limit>) -> Result<AcceptedLimits, LimitExceeded> {
        let network = network(address);
        let limits = [Some(Limit::Requests), of];
        let checks: Vec<LimitCheck> =
            limits.into_iter().flatten().filter_map(|limit| self.check(limit, &[&network])).collect();
        self.limiter.take(&checks).await
    }

    /// Takes a request of a client that authenticated.
    pub async fn acquire_client(&self, client: &ClientId) -> Result<(), LimitExceeded> {
        match self.check(Limit::Client, &[client.as_str()]) {
            Some(check) => self.limiter.take(&[check]).await.map(drop),
            None => Ok(()),
        }
    }

    /// The limit on something of this name, if it is set.
    fn check(&self, limit: Limit, name: &[&str]) -> Option<LimitCheck> {
        let rule = self.settings.rule(limit)?;
        Some(LimitCheck { limit, name: self.name(limit, name), rule })
    }

    /// No part of a name has a line break, so no two names are one text.
    fn name(&self, limit: Limit, parts: &[&str]) -> [u8; 16] {
        let text = Zeroizing::new(format!("{}\n{}", limit.as_str(), parts.join("\n")));
        let mut name = [0; 16];
        name.copy_from_slice(&keyed(&self.key, &text)[..16]);
        name
    }
}

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 one.
pub fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [first, second, third, fourth, ..] = address.segments();
            format!("{first:x}:{second:x}:{third:x}:{fourth:x}::/64")
        }
    }
}

/// The table of a process, and Redis if it is set.
pub struct LimitStore {
    local: Local,
    redis: Option<Redis>,
    began: Instant,
    refused: [AtomicU64; Limit::ALL.len()],
}

impl LimitStore {
    /// A limiter with nothing in it. `redis`: `redis://…`.
    ///
    /// # Errors
    /// When the address of Redis is none.
    pub fn new(redis: Option<&str>) -> anyhow::Result<Arc<LimitStore>> {
        let redis = redis.map(Redis::new).transpose()?;
        Ok(Arc::new(LimitStore { local: Local::default(), redis, began: Instant::now(), refused: Default::default() }))
    }

    /// Sweeps, and keeps the connection to Redis, until `stop`.
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

    /// Takes one more of each of these, or, if one of them does not pass, none of any.
    async fn take(&self, checks: &[LimitCheck]) -> Result<AcceptedLimits, LimitExceeded> {
        if checks.is_empty() {
            return Ok(AcceptedLimits::new());
        }
        let shared = match &self.redis {
            Some(redis) => Box::pin(redis.take(checks)).await,
            None => None,
        };
        let taken = shared.unwrap_or_else(|| self.local.take(checks, self.now()));
        match taken {
            Ok(verdicts) => Ok(checks.iter().copied().zip(verdicts).collect()),
            Err((nth, verdict)) => {
                // There is a check of that number: both count the same list.
                let check = checks.get(nth).unwrap_or(&checks[0]);
                self.refused[check.limit as usize].fetch_add(1, Ordering::Relaxed);
                tracing::debug!(limit = check.limit.as_str(), "refused");
                Err(LimitExceeded::new(check.limit, check.rule, verdict.wait.unwrap_or_default()))
            }
        }
    }

    /// Gives back what was taken last of these.
    async fn give_back(&self, checks: &[LimitCheck]) {
        let shared = match &self.redis {
            Some(redis) if !checks.is_empty() => redis.give_back(checks).await,
            _ => None,
        };
        if shared.is_none() {
            self.local.give_back(checks, self.now());
        }
    }

    /// Forgets all that was taken of these.
    async fn forget(&self, checks: &[LimitCheck]) {
        if let Some(redis) = &self.redis {
            redis.forget(checks).await;
        }
        self.local.forget(checks);
    }

    /// Whether something was taken of this that is not over.
    async fn holds(&self, check: &LimitCheck) -> bool {
        let shared = match &self.redis {
            Some(redis) => redis.holds(check).await,
            None => None,
        };
        shared.unwrap_or_else(|| self.local.holds(check, self.now()))
    }

    /// Microseconds of a clock that does not go back, and began longer before this process than any
    /// limit lasts: so that no state is older than time.
    fn now(&self) -> u64 {
        let since = self.began.elapsed() + Duration::from_secs(400 * 86400);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_its_network() {
        let of = |address: &str| network(address.parse().expect("an address"));
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(of("2001:db8:1:2:ffff::1"), of("2001:db8:1:2::"));
        assert_ne!(of("2001:db8:1:3::1"), of("2001:db8:1:2::1"));
    }
}
