//! What limits are made of: three small machines, each a state, a moment and a rule. Nothing here reads a clock; times are
//! microseconds of any one clock that does not go back.
//!
//! The script that does the same in Redis stands beside this file, in the same order and with the same arithmetic.

use std::time::Duration;

const MICROS: u64 = 1_000_000;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Requests of an address.
    Requests,
    /// Requests of an address that begin a sign-in or a grant: authorization requests, pushed ones, device codes.
    AuthorizationRequests,
    /// Registrations of clients and users by an address.
    Registrations,
    /// Requests of a client that authenticated.
    Client,
    /// Wrong client secrets of an address.
    Secrets,
    /// Wrong secrets of one client by an address.
    ClientSecrets,
    /// Sign-ins by an address.
    SignIns,
    /// Wrong passwords of an address.
    WrongPasswords,
    /// Wrong passwords for an account by strangers.
    Account,
    /// Wrong passwords for an account by one address or device.
    Guesses,
}

impl Limit {
    /// All of them.
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

    /// Its name in headers, logs and metrics.
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

/// How often something may happen: so many times in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    seconds: u32,
}

/// When something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A token bucket: as many at once as the rate has, and then as fast as it says. For what costs about the same each time.
    Bucket(Rate),
    /// A sliding window: so many in the time that lies behind, as two counters tell it. What is used up comes back as it grows old,
    /// not at a steady pace: for what should not happen.
    Window(Rate),
    /// So many at once, and after each further one a wait twice as long as the last, up to an end; forgotten after an hour
    /// without one. For guesses.
    Slowdown,
}

/// Guesses that are let pass at once: people do mistype.
const FREE: u32 = 5;
/// The wait after the last of them.
const FIRST_WAIT: u64 = MICROS;
/// The longest wait.
const LONGEST_WAIT: u64 = 300 * MICROS;
/// How long a guess is remembered.
const MEMORY: u64 = 3600 * MICROS;

/// Where a rule stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleState {
    /// Bucket: when it is full again. Window: when the current one began. Slowdown: when the next may come.
    at: u64,
    /// Window: how many in the current one. Slowdown: how many in all.
    count: u32,
    /// Window: how many in the one before.
    before: u32,
}

/// What a rule says of one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// How many more would pass now, after this one.
    pub remaining: u32,
    /// How long until all would pass again.
    pub reset: Duration,
    /// How long this one has to wait; none means that it passed.
    pub wait: Option<Duration>,
}

impl Rate {
    /// A rate; none when it lets nothing pass, or is finer than a microsecond.
    #[must_use]
    pub fn new(count: u32, period: Duration) -> Option<Rate> {
        let seconds = u32::try_from(period.as_secs()).ok().filter(|seconds| (1..=366 * 86400).contains(seconds))?;
        let rate = Rate { count, seconds };
        (count > 0 && rate.spacing() > 0).then_some(rate)
    }

    /// How many.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }

    /// In what time.
    #[must_use]
    pub fn period(self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }

    fn micros(self) -> u64 {
        u64::from(self.seconds) * MICROS
    }

    /// Microseconds between two at a steady pace.
    fn spacing(self) -> u64 {
        self.micros() / u64::from(self.count.max(1))
    }
}

impl Rule {
    /// Takes one more, if it passes.
    pub fn take(self, state: &mut RuleState, now: u64) -> Verdict {
        match self {
            Rule::Bucket(rate) => bucket(rate, state, now),
            Rule::Window(rate) => window(rate, state, now),
            Rule::Slowdown => slowdown(state, now),
        }
    }

    /// Gives the last one back, for it turned out not to count.
    pub fn give_back(self, state: &mut RuleState, now: u64) {
        match self {
            Rule::Bucket(rate) => state.at = state.at.saturating_sub(rate.spacing()),
            Rule::Window(_) => state.count = state.count.saturating_sub(1),
            Rule::Slowdown => {
                state.count = state.count.saturating_sub(1);
                state.at = state.at.min(now);
            }
        }
    }

    /// The moment from which the state says nothing that no state would not say.
    pub fn ends(self, state: &RuleState) -> u64 {
        match self {
            Rule::Bucket(_) => state.at,
            Rule::Window(rate) => state.at + 2 * rate.micros(),
            Rule::Slowdown => state.at + MEMORY,
        }
    }

    /// The rate, where there is one.
    #[must_use]
    pub fn rate(self) -> Option<Rate> {
        match self {
            Rule::Bucket(rate) | Rule::Window(rate) => Some(rate),
            Rule::Slowdown => None,
        }
    }

    /// The rule as the script takes it: its name, count and microseconds.
    pub fn arguments(self) -> (&'static str, u32, u64) {
        match self {
            Rule::Bucket(rate) => ("bucket", rate.count, rate.micros()),
            Rule::Window(rate) => ("window", rate.count, rate.micros()),
            Rule::Slowdown => ("slowdown", FREE, MEMORY),
        }
    }
}

impl Verdict {
    /// A verdict of these microseconds; a wait of none passes.
    pub fn of_micros(remaining: u32, reset: u64, wait: u64) -> Verdict {
        let wait = (wait > 0).then(|| Duration::from_micros(wait));
        Verdict { remaining, reset: Duration::from_micros(reset), wait }
    }
}

/// The generic cell rate algorithm (ITU-T I.371): a bucket is the one moment at which it will be full again.
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

/// Two counters, of this period and the one before, of which as much counts as still reaches into the time that lies behind, as if
/// they had come evenly. Who comes evenly never has more than the rate; who puts all at the end of a period has at most twice as
/// many in a time that lies across it, and no more in the long run.
fn window(rate: Rate, state: &mut RuleState, now: u64) -> Verdict {
    let (period, limit) = (rate.micros(), u64::from(rate.count));
    if now >= state.at + 2 * period {
        *state = RuleState { at: now, ..RuleState::default() };
    } else if now >= state.at + period {
        *state = RuleState { at: state.at + period, count: 0, before: state.count };
    }
    let gone = now.saturating_sub(state.at).min(period);
    let (count, before) = (u64::from(state.count), u64::from(state.before));
    // What reaches in is rounded up: a limit may be a little strict, and never lax.
    let reaching = (before * (period - gone)).div_ceil(period);
    if count + reaching + 1 > limit {
        let wait = match count + 1 > limit {
            // Until the next period has come, and this one reaches little enough into it.
            true => period - gone + fallen(count, limit - 1, period),
            false => fallen(before, limit - 1 - count, period).saturating_sub(gone),
        };
        return Verdict::of_micros(0, state.at + 2 * period - now, wait.max(1));
    }
    state.count += 1;
    let remaining = limit - (count + reaching + 1);
    Verdict::of_micros(u32::try_from(remaining).unwrap_or(u32::MAX), state.at + 2 * period - now, 0)
}

/// How far into a period what was counted before counts as no more than `left`.
fn fallen(counted: u64, left: u64, period: u64) -> u64 {
    if counted <= left { 0 } else { ((counted - left) * period).div_ceil(counted) }
}

fn slowdown(state: &mut RuleState, now: u64) -> Verdict {
    if now >= state.at + MEMORY {
        *state = RuleState { at: now, ..RuleState::default() };
    }
    if now < state.at {
        let wait = state.at - now;
        return Verdict::of_micros(0, wait, wait);
    }
    state.count = state.count.saturating_add(1);
    let doublings = state.count.saturating_sub(FREE).min(20);
    let wait = if state.count < FREE { 0 } else { (FIRST_WAIT << doublings).min(LONGEST_WAIT) };
    state.at = now + wait;
    Verdict::of_micros(FREE.saturating_sub(state.count), wait, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = MICROS;

    fn rate(count: u32, seconds: u64) -> Rate {
        Rate::new(count, Duration::from_secs(seconds)).expect("a rate")
    }

    /// The moments at which one more is asked for: a long time with bursts and pauses, the same each run.
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

    /// Runs a rule over many moments and gives those that passed. Whoever is told to wait and does, passes then and not earlier.
    fn passed(rule: Rule, seed: u64) -> Vec<u64> {
        let (mut state, mut passed) = (RuleState::default(), Vec::new());
        for now in moments(seed).take(20_000) {
            let before = state;
            let verdict = rule.take(&mut state, now);
            match verdict.wait {
                None => passed.push(now),
                Some(wait) => {
                    let wait = u64::try_from(wait.as_micros()).expect("small");
                    let (mut later, mut earlier) = (state, state);
                    assert_eq!(rule.take(&mut later, now + wait).wait, None, "{rule:?} {before:?} {now} + {wait}");
                    assert!(wait <= 1 || rule.take(&mut earlier, now + wait - 1).wait.is_some(), "{rule:?} {before:?}");
                }
            }
            let mut none = RuleState::default();
            let (mut old, end) = (state, rule.ends(&state));
            if end > now {
                assert_eq!(rule.take(&mut old, end).remaining, rule.take(&mut none, end).remaining, "{rule:?} ends");
            }
        }
        passed
    }

    /// The most of these moments in any so long a time.
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
    fn a_bucket_lets_a_burst_and_then_its_pace_pass() {
        for (seed, rate) in [(1, rate(10, 1)), (2, rate(100, 60)), (3, rate(1, 5)), (4, rate(7, 3))] {
            let passed = passed(Rule::Bucket(rate), seed);
            // In a period: what was saved up, and what came meanwhile.
            assert!(densest(&passed, rate.micros()) <= 2 * rate.count as usize, "{rate:?}");
            for periods in [10, 100] {
                let most = (periods + 1) * u64::from(rate.count) + 1;
                assert!(densest(&passed, periods * rate.micros()) as u64 <= most, "{rate:?} in {periods} periods");
            }
            assert!(densest(&passed, rate.micros()) >= rate.count as usize, "a burst passes: {rate:?}");
        }
    }

    #[test]
    fn a_window_holds_in_the_long_run_and_twice_as_many_at_worst() {
        for (seed, rate) in [(5, rate(10, 1)), (6, rate(100, 60)), (7, rate(1, 5)), (8, rate(50, 10))] {
            let passed = passed(Rule::Window(rate), seed);
            let count = rate.count as usize;
            assert!(densest(&passed, rate.micros()) <= 2 * count, "{rate:?}");
            assert!(densest(&passed, 50 * rate.micros()) <= 51 * count, "{rate:?}");
            assert!(densest(&passed, rate.micros()) >= count, "{rate:?}");
        }
    }

    #[test]
    fn guesses_wait_longer_each_time() {
        let (mut state, mut now, mut waits) = (RuleState::default(), 5000 * SECOND, Vec::new());
        for _ in 0..16 {
            let verdict = Rule::Slowdown.take(&mut state, now);
            assert_eq!(verdict.wait, None);
            waits.push(verdict.reset.as_secs());
            now += u64::try_from(verdict.reset.as_micros()).expect("small");
        }
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert!(Rule::Slowdown.take(&mut state, now - 1).wait.is_some());
        assert_eq!(Rule::Slowdown.take(&mut state, now + MEMORY).remaining, FREE - 1, "forgotten");
    }

    #[test]
    fn what_is_given_back_does_not_count() {
        for rule in [Rule::Bucket(rate(3, 60)), Rule::Window(rate(3, 60))] {
            let (mut state, now) = (RuleState::default(), 5000 * SECOND);
            for _ in 0..50 {
                assert_eq!(rule.take(&mut state, now).wait, None, "{rule:?}");
                rule.give_back(&mut state, now);
            }
            assert!(
                (0..3).all(|_| rule.take(&mut state, now).wait.is_none()) && rule.take(&mut state, now).wait.is_some()
            );
        }
        let (mut state, now) = (RuleState::default(), 5000 * SECOND);
        for _ in 0..50 {
            assert_eq!(Rule::Slowdown.take(&mut state, now).wait, None);
            Rule::Slowdown.give_back(&mut state, now);
        }
        assert_eq!(Rule::Slowdown.take(&mut state, now).remaining, FREE - 1);
    }
}
