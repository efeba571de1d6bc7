//! Rate limit algorithms: token bucket, sliding window, and slowdown after failures. Pure: times
//! are arguments, in microseconds of a monotonic clock.
//!
//! The Redis script of the rate limiter contains the same algorithms in the same order and with the
//! same arithmetic.

use std::time::Duration;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// A rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Requests of an address.
    Requests,
    /// Authorization requests (also pushed) and device authorization requests of an address.
    AuthorizationRequests,
    /// Registrations of clients and users by an address.
    Registrations,
    /// Requests of an authenticated client.
    Client,
    /// Wrong client secrets from an address.
    Secrets,
    /// Wrong secrets of one client from an address.
    ClientSecrets,
    /// Sign-ins from an address.
    SignIns,
    /// Wrong passwords from an address.
    WrongPasswords,
    /// Wrong passwords for an account from unknown addresses and devices.
    Account,
    /// Wrong passwords for an account from one address or device.
    Guesses,
}

impl Limit {
    pub const ALL: [Limit; 10] = [
        Limit::Requests,
        Limit::AuthorizationRequests,
        Limit::Registrations,
        Limit::Client,
        Limit::Secrets,
        Limit::ClientSecrets,
        Limit::SignIns,
        Limit::WrongPasswords,
        Limit::Account,
        Limit::Guesses,
    ];

    /// The name in headers, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Limit::Requests => "requests",
            Limit::AuthorizationRequests => "starts",
            Limit::Registrations => "registrations",
            Limit::Client => "client",
            Limit::Secrets => "secrets",
            Limit::ClientSecrets => "client-secrets",
            Limit::SignIns => "sign-ins",
            Limit::WrongPasswords => "wrong-passwords",
            Limit::Account => "account",
            Limit::Guesses => "guesses",
        }
    }
}

/// A number of events in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    seconds: u32,
}

/// The algorithm of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Token bucket: a burst of as many as the rate has, then the steady pace of the rate. For
    /// requests of similar cost.
    TokenBucket(Rate),
    /// Sliding window: at most so many in the past period, estimated from two counters. For
    /// failures: capacity returns as they age, not at a steady pace.
    SlidingWindow(Rate),
    /// A few at once, then a delay that doubles with each further one up to a maximum; reset after
    /// an hour without any. For wrong passwords.
    Slowdown,
}

/// Attempts without a delay: people mistype.
const FREE_ATTEMPTS: u32 = 5;
/// Delay after the last free attempt.
const FIRST_DELAY_MICROS: u64 = MICROS_PER_SECOND;
const MAX_DELAY_MICROS: u64 = 300 * MICROS_PER_SECOND;
/// How long an attempt is remembered.
const ATTEMPT_MEMORY_MICROS: u64 = 3600 * MICROS_PER_SECOND;

/// State of a limit for one address, client or account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleState {
    /// Bucket: when it is full. Window: when the current period began. Slowdown: when the next
    /// attempt is allowed.
    at: u64,
    /// Window: events of the current period. Slowdown: all attempts.
    count: u32,
    /// Window: events of the previous period.
    before: u32,
}

/// The decision about one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Further events allowed now, after this one.
    pub remaining: u32,
    /// How long until all are allowed again.
    pub reset: Duration,
    /// How long this event must wait; `None` if it is allowed.
    pub wait: Option<Duration>,
}

impl Rate {
    /// `None` if it allows nothing, or more than one event per microsecond.
    #[must_use]
    pub fn new(count: u32, period: Duration) -> Option<Rate> {
        let seconds = u32::try_from(period.as_secs()).ok().filter(|seconds| (1..=366 * 86400).contains(seconds))?;
        let rate = Rate { count, seconds };
        (count > 0 && rate.spacing() > 0).then_some(rate)
    }

    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }

    #[must_use]
    pub fn period(self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }

    fn micros(self) -> u64 {
        u64::from(self.seconds) * MICROS_PER_SECOND
    }

    /// Microseconds between two events at a steady pace.
    fn spacing(self) -> u64 {
        self.micros() / u64::from(self.count.max(1))
    }
}

impl Rule {
    /// Counts one event, if it is allowed.
    pub fn acquire(self, state: &mut RuleState, now: u64) -> Verdict {
        match self {
            Rule::TokenBucket(rate) => bucket(rate, state, now),
            Rule::SlidingWindow(rate) => window(rate, state, now),
            Rule::Slowdown => slowdown(state, now),
        }
    }

    /// Uncounts the last event.
    pub fn undo(self, state: &mut RuleState, now: u64) {
        match self {
            Rule::TokenBucket(rate) => state.at = state.at.saturating_sub(rate.spacing()),
            Rule::SlidingWindow(_) => state.count = state.count.saturating_sub(1),
            Rule::Slowdown => {
                state.count = state.count.saturating_sub(1);
                state.at = state.at.min(now);
            }
        }
    }

    /// When the state can be deleted, because it is equal to the initial state.
    pub fn expires_at(self, state: &RuleState) -> u64 {
        match self {
            Rule::TokenBucket(_) => state.at,
            Rule::SlidingWindow(rate) => state.at + 2 * rate.micros(),
            Rule::Slowdown => state.at + ATTEMPT_MEMORY_MICROS,
        }
    }

    #[must_use]
    pub fn rate(self) -> Option<Rate> {
        match self {
            Rule::TokenBucket(rate) | Rule::SlidingWindow(rate) => Some(rate),
            Rule::Slowdown => None,
        }
    }

    /// The arguments for the Redis script: name, count and microseconds.
    pub fn script_arguments(self) -> (&'static str, u32, u64) {
        match self {
            Rule::TokenBucket(rate) => ("bucket", rate.count, rate.micros()),
            Rule::SlidingWindow(rate) => ("window", rate.count, rate.micros()),
            Rule::Slowdown => ("slowdown", FREE_ATTEMPTS, ATTEMPT_MEMORY_MICROS),
        }
    }
}

impl Verdict {
    /// A wait of 0 means that the event is allowed.
    pub fn of_micros(remaining: u32, reset: u64, wait: u64) -> Verdict {
        let wait = (wait > 0).then(|| Duration::from_micros(wait));
        Verdict { remaining, reset: Duration::from_micros(reset), wait }
    }
}

/// Generic cell rate algorithm (ITU-T I.371): the state of a bucket is the time at which it is
/// full.
fn bucket(rate: Rate, state: &mut RuleState, now: u64) -> Verdict {
    let (spacing, depth) = (rate.spacing(), rate.spacing() * u64::from(rate.count));
    let full_at = state.at.max(now);
    let after = full_at + spacing;
    if after > now + depth {
        return Verdict::of_micros(0, full_at - now, after - now - depth);
    }
    state.at = after;
    let remaining = (now + depth - after) / spacing;
    Verdict::of_micros(u32::try_from(remaining).unwrap_or(u32::MAX), after - now, 0)
}

/// Two counters, for the current and the previous period. The previous one counts in proportion to
/// the part of it inside the sliding window, as if its events were evenly distributed. Evenly
/// distributed events never exceed the rate. Events at the end of a period can reach at most twice
/// the rate in a window across two periods, and never exceed it in the long run.
fn window(rate: Rate, state: &mut RuleState, now: u64) -> Verdict {
    let (period, limit) = (rate.micros(), u64::from(rate.count));
    if now >= state.at + 2 * period {
        *state = RuleState { at: now, ..RuleState::default() };
    } else if now >= state.at + period {
        *state = RuleState { at: state.at + period, count: 0, before: state.count };
    }
    let elapsed = now.saturating_sub(state.at).min(period);
    let (count, before) = (u64::from(state.count), u64::from(state.before));
    // Rounded up: a limit may be slightly too strict, never too lax.
    let overlapping = (before * (period - elapsed)).div_ceil(period);
    if count + overlapping + 1 > limit {
        let wait = match count + 1 > limit {
            // The wait until the next period has begun and the current one has aged enough.
            true => period - elapsed + aged(count, limit - 1, period),
            false => aged(before, limit - 1 - count, period).saturating_sub(elapsed),
        };
        return Verdict::of_micros(0, state.at + 2 * period - now, wait.max(1));
    }
    state.count += 1;
    let remaining = limit - (count + overlapping + 1);
    Verdict::of_micros(u32::try_from(remaining).unwrap_or(u32::MAX), state.at + 2 * period - now, 0)
}

/// How far into a period the `counted` events of the previous one count as at most `left`.
fn aged(counted: u64, left: u64, period: u64) -> u64 {
    if counted <= left { 0 } else { ((counted - left) * period).div_ceil(counted) }
}

fn slowdown(state: &mut RuleState, now: u64) -> Verdict {
    if now >= state.at + ATTEMPT_MEMORY_MICROS {
        *state = RuleState { at: now, ..RuleState::default() };
    }
    if now < state.at {
        let wait = state.at - now;
        return Verdict::of_micros(0, wait, wait);
    }
    state.count = state.count.saturating_add(1);
    let doublings = state.count.saturating_sub(FREE_ATTEMPTS).min(20);
    let wait = if state.count < FREE_ATTEMPTS { 0 } else { (FIRST_DELAY_MICROS << doublings).min(MAX_DELAY_MICROS) };
    state.at = now + wait;
    Verdict::of_micros(FREE_ATTEMPTS.saturating_sub(state.count), wait, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = MICROS_PER_SECOND;

    fn rate(count: u32, seconds: u64) -> Rate {
        Rate::new(count, Duration::from_secs(seconds)).expect("a rate")
    }

    /// Times of events: a long period with bursts and pauses, the same in each run.
    fn moments(seed: u64) -> impl Iterator<Item = u64> {
        let (mut random, mut now) = (seed | 1, 1_800_000_000 * SECOND);
        std::iter::repeat_with(move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            now += match random % 10 {
                0 => random % (30 * SECOND),
                1..=3 => random % SECOND,
                _ => random % 1000,
            };
            now
        })
    }

    /// Applies a rule to events and returns the times of those allowed. An event that waits as
    /// required is allowed then, and not earlier.
    fn passed(rule: Rule, seed: u64) -> Vec<u64> {
        let (mut state, mut passed) = (RuleState::default(), Vec::new());
        for now in moments(seed).take(20_000) {
            let before = state;
            let verdict = rule.acquire(&mut state, now);
            match verdict.wait {
                None => passed.push(now),
                Some(wait) => {
                    let wait = u64::try_from(wait.as_micros()).expect("small");
                    let (mut later, mut earlier) = (state, state);
                    assert_eq!(rule.acquire(&mut later, now + wait).wait, None, "{rule:?} {before:?} {now} + {wait}");
                    assert!(
                        wait <= 1 || rule.acquire(&mut earlier, now + wait - 1).wait.is_some(),
                        "{rule:?} {before:?}"
                    );
                }
            }
            let mut none = RuleState::default();
            let (mut old, end) = (state, rule.expires_at(&state));
            if end > now {
                assert_eq!(
                    rule.acquire(&mut old, end).remaining,
                    rule.acquire(&mut none, end).remaining,
                    "{rule:?} ends"
                );
            }
        }
        passed
    }

    /// The largest number of these times in any interval of this length.
    fn densest(moments: &[u64], period: u64) -> usize {
        let mut first = 0;
        let within = |(last, at): (usize, &u64)| {
            while moments[first] + period <= *at {
                first += 1;
            }
            last + 1 - first
        };
        moments.iter().enumerate().map(within).max().unwrap_or_default()
    }

    #[test]
    fn token_bucket_allows_a_burst_then_a_steady_pace() {
        for (seed, rate) in [(1, rate(10, 1)), (2, rate(100, 60)), (3, rate(1, 5)), (4, rate(7, 3))] {
            let passed = passed(Rule::TokenBucket(rate), seed);
            // In a period: the saved capacity, and what was added meanwhile.
            assert!(densest(&passed, rate.micros()) <= 2 * rate.count as usize, "{rate:?}");
            for periods in [10, 100] {
                let most = (periods + 1) * u64::from(rate.count) + 1;
                assert!(densest(&passed, periods * rate.micros()) as u64 <= most, "{rate:?} in {periods} periods");
            }
            assert!(densest(&passed, rate.micros()) >= rate.count as usize, "a burst passes: {rate:?}");
        }
    }

    #[test]
    fn sliding_window_holds_in_the_long_run_and_at_most_twice_in_between() {
        for (seed, rate) in [(5, rate(10, 1)), (6, rate(100, 60)), (7, rate(1, 5)), (8, rate(50, 10))] {
            let passed = passed(Rule::SlidingWindow(rate), seed);
            let count = rate.count as usize;
            assert!(densest(&passed, rate.micros()) <= 2 * count, "{rate:?}");
            assert!(densest(&passed, 50 * rate.micros()) <= 51 * count, "{rate:?}");
            assert!(densest(&passed, rate.micros()) >= count, "{rate:?}");
        }
    }

    #[test]
    fn slowdown_doubles_the_delay() {
        let (mut state, mut now, mut waits) = (RuleState::default(), 5000 * SECOND, Vec::new());
        for _ in 0..16 {
            let verdict = Rule::Slowdown.acquire(&mut state, now);
            assert_eq!(verdict.wait, None);
            waits.push(verdict.reset.as_secs());
            now += u64::try_from(verdict.reset.as_micros()).expect("small");
        }
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert!(Rule::Slowdown.acquire(&mut state, now - 1).wait.is_some());
        assert_eq!(
            Rule::Slowdown.acquire(&mut state, now + ATTEMPT_MEMORY_MICROS).remaining,
            FREE_ATTEMPTS - 1,
            "forgotten"
        );
    }

    #[test]
    fn undone_event_does_not_count() {
        for rule in [Rule::TokenBucket(rate(3, 60)), Rule::SlidingWindow(rate(3, 60))] {
            let (mut state, now) = (RuleState::default(), 5000 * SECOND);
            for _ in 0..50 {
                assert_eq!(rule.acquire(&mut state, now).wait, None, "{rule:?}");
                rule.undo(&mut state, now);
            }
            assert!(
                (0..3).all(|_| rule.acquire(&mut state, now).wait.is_none())
                    && rule.acquire(&mut state, now).wait.is_some()
            );
        }
        let (mut state, now) = (RuleState::default(), 5000 * SECOND);
        for _ in 0..50 {
            assert_eq!(Rule::Slowdown.acquire(&mut state, now).wait, None);
            Rule::Slowdown.undo(&mut state, now);
        }
        assert_eq!(Rule::Slowdown.acquire(&mut state, now).remaining, FREE_ATTEMPTS - 1);
    }
}
