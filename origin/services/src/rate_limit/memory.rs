//! Limits in memory: a bounded table whose expired entries are dropped.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tollgate_model::rate_limit::{Rule, RuleState, Verdict};

use super::check::LimitCheck;

/// Shards of the table, each with a lock of its own.
const SHARDS: usize = 16;
/// Entries per shard, of about sixty bytes each: 8 MiB in all. A flood of made-up names, such as
/// IPv6 networks, evicts the entries that expire first, which are its own.
const MAX_ENTRIES_PER_SHARD: usize = 8192;

type Shard = HashMap<[u8; 16], (Rule, RuleState)>;

/// The table.
#[derive(Default)]
pub(super) struct LocalLimits {
    shards: [Mutex<Shard>; SHARDS],
}

impl LocalLimits {
    /// Counts one for each of these limits, or for none of them if one is exceeded.
    ///
    /// # Errors
    /// The index of the limit that is exceeded, and its verdict.
    pub(super) fn acquire(&self, checks: &[LimitCheck], now: u64) -> Result<Vec<Verdict>, (usize, Verdict)> {
        let mut verdicts = Vec::with_capacity(checks.len());
        for (nth, check) in checks.iter().enumerate() {
            let verdict = self.with(check, now, |state| check.rule.acquire(state, now));
            if verdict.wait.is_some() {
                self.refund(checks.get(..nth).unwrap_or_default(), now);
                return Err((nth, verdict));
            }
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }

    /// Takes back the last count of each of these limits.
    pub(super) fn refund(&self, checks: &[LimitCheck], now: u64) {
        for check in checks {
            self.with(check, now, |state| check.rule.undo(state, now));
        }
    }

    /// Resets these limits.
    pub(super) fn reset(&self, checks: &[LimitCheck]) {
        for check in checks {
            self.shard(&check.name).remove(&check.name);
        }
    }

    /// Whether the limit has a count that has not expired.
    pub(super) fn is_counted(&self, check: &LimitCheck, now: u64) -> bool {
        self.remaining(check, now).is_some()
    }

    /// Time until the count of a limit expires, if it has one.
    pub(super) fn remaining(&self, check: &LimitCheck, now: u64) -> Option<Duration> {
        let shard = self.shard(&check.name);
        let (rule, state) = shard.get(&check.name)?;
        let remaining = rule.expires_at(state).checked_sub(now)?;
        (remaining > 0).then(|| Duration::from_micros(remaining))
    }

    /// Drops expired entries.
    pub(super) fn sweep(&self, now: u64) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, (rule, state)| rule.expires_at(state) > now);
            shard.shrink_to(MAX_ENTRIES_PER_SHARD / 8);
        }
    }

    fn with<T>(&self, check: &LimitCheck, now: u64, act: impl FnOnce(&mut RuleState) -> T) -> T {
        let mut shard = self.shard(&check.name);
        if shard.len() >= MAX_ENTRIES_PER_SHARD && !shard.contains_key(&check.name) {
            make_room(&mut shard, now);
        }
        let (rule, state) = shard.entry(check.name).or_insert((check.rule, RuleState::default()));
        *rule = check.rule;
        act(state)
    }

    fn shard(&self, name: &[u8; 16]) -> MutexGuard<'_, Shard> {
        let nth = usize::from(name[0]) % SHARDS;
        self.shards[nth].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops expired entries, and if there are none, the eighth of the entries that expire first.
fn make_room(shard: &mut Shard, now: u64) {
    shard.retain(|_, (rule, state)| rule.expires_at(state) > now);
    if shard.len() < MAX_ENTRIES_PER_SHARD {
        return;
    }
    let mut expiries: Vec<u64> = shard.values().map(|(rule, state)| rule.expires_at(state)).collect();
    let (_, last, _) = expiries.select_nth_unstable(MAX_ENTRIES_PER_SHARD / 8);
    let last = *last;
    shard.retain(|_, (rule, state)| rule.expires_at(state) > last);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_model::rate_limit::{Limit, Rate};

    const NOW: u64 = 1_800_000_000_000_000;

    fn check(name: u64, count: u32, seconds: u64) -> LimitCheck {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&name.to_le_bytes());
        let rule = Rule::TokenBucket(Rate::new(count, Duration::from_secs(seconds)).expect("a rate"));
        LimitCheck { limit: Limit::Requests, name: bytes, rule }
    }

    fn len(local: &LocalLimits) -> usize {
        local.shards.iter().map(|shard| shard.lock().expect("whole").len()).sum()
    }

    #[test]
    fn all_limits_are_counted_or_none() {
        let local = LocalLimits::default();
        let (wide, narrow) = (check(1, 10, 60), check(2, 2, 60));
        for _ in 0..2 {
            assert!(local.acquire(&[wide, narrow], NOW).is_ok());
        }
        for _ in 0..20 {
            assert_eq!(local.acquire(&[wide, narrow], NOW).expect_err("full").0, 1);
        }
        let left = local.acquire(&[wide], NOW).expect("it was not charged");
        assert_eq!(left[0].remaining, 7);
        local.reset(&[narrow]);
        assert!(local.acquire(&[narrow], NOW).is_ok());
    }

    #[test]
    fn full_table_evicts_entries_that_expire_first() {
        let local = LocalLimits::default();
        let longest = check(u64::MAX, 1, 3600);
        assert!(local.acquire(&[longest], NOW).is_ok());
        for name in 0..(3 * SHARDS * MAX_ENTRIES_PER_SHARD) as u64 {
            assert!(local.acquire(&[check(name, 1, 60)], NOW + name).is_ok());
        }
        assert!(len(&local) <= SHARDS * MAX_ENTRIES_PER_SHARD);
        assert!(local.acquire(&[longest], NOW).is_err(), "the entry that expires last is kept");
        local.sweep(NOW + 3_600_000_000);
        assert_eq!(len(&local), 0, "all entries have expired");
    }
}
