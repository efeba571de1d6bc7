//! Limits in this process's own memory: a table with an end, and a sweep that empties it of what
//! says nothing any more.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tollgate_model::rate_limit::{Rule, RuleState, Verdict};

use super::LimitCheck;

/// Parts of the table, each under a lock of its own.
const PARTS: usize = 16;
/// Names that a part keeps, of some sixty bytes each: 8 MiB in all. Whoever makes up names, as with
/// the networks of IPv6, pushes out those that would have been forgotten soonest: his own.
const NAMES_PER_PART: usize = 8192;

type Part = HashMap<[u8; 16], (Rule, RuleState)>;

/// The table.
#[derive(Default)]
pub(super) struct Local {
    parts: [Mutex<Part>; PARTS],
}

impl Local {
    /// Takes one more of each of these, or, if one of them does not pass, none of any.
    ///
    /// # Errors
    /// The number of the one that does not pass, and what its rule says.
    pub(super) fn take(&self, checks: &[LimitCheck], now: u64) -> Result<Vec<Verdict>, (usize, Verdict)> {
        let mut verdicts = Vec::with_capacity(checks.len());
        for (nth, check) in checks.iter().enumerate() {
            let verdict = self.with(check, now, |state| check.rule.acquire(state, now));
            if verdict.wait.is_some() {
                self.give_back(checks.get(..nth).unwrap_or_default(), now);
                return Err((nth, verdict));
            }
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }

    /// Gives back what was taken last.
    pub(super) fn give_back(&self, checks: &[LimitCheck], now: u64) {
        for check in checks {
            self.with(check, now, |state| check.rule.undo(state, now));
        }
    }

    /// Forgets all that was taken of these.
    pub(super) fn forget(&self, checks: &[LimitCheck]) {
        for check in checks {
            self.part(&check.name).remove(&check.name);
        }
    }

    /// Whether something was taken of this that is not over.
    pub(super) fn holds(&self, check: &LimitCheck, now: u64) -> bool {
        self.remaining(check, now).is_some()
    }

    /// How long what was taken of this still counts, if something was and does.
    pub(super) fn remaining(&self, check: &LimitCheck, now: u64) -> Option<Duration> {
        let part = self.part(&check.name);
        let (rule, state) = part.get(&check.name)?;
        let left = rule.expires_at(state).checked_sub(now)?;
        (left > 0).then(|| Duration::from_micros(left))
    }

    /// Drops what says nothing any more.
    pub(super) fn sweep(&self, now: u64) {
        for part in &self.parts {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            part.retain(|_, (rule, state)| rule.expires_at(state) > now);
            part.shrink_to(NAMES_PER_PART / 8);
        }
    }

    fn with<T>(&self, check: &LimitCheck, now: u64, act: impl FnOnce(&mut RuleState) -> T) -> T {
        let mut part = self.part(&check.name);
        if part.len() >= NAMES_PER_PART && !part.contains_key(&check.name) {
            make_room(&mut part, now);
        }
        let (rule, state) = part.entry(check.name).or_insert((check.rule, RuleState::default()));
        *rule = check.rule;
        act(state)
    }

    fn part(&self, name: &[u8; 16]) -> MutexGuard<'_, Part> {
        let nth = usize::from(name[0]) % PARTS;
        self.parts[nth].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops what says nothing, and if all says something, the eighth that will be forgotten soonest.
fn make_room(part: &mut Part, now: u64) {
    part.retain(|_, (rule, state)| rule.expires_at(state) > now);
    if part.len() < NAMES_PER_PART {
        return;
    }
    let mut ends: Vec<u64> = part.values().map(|(rule, state)| rule.expires_at(state)).collect();
    let (_, last, _) = ends.select_nth_unstable(NAMES_PER_PART / 8);
    let last = *last;
    part.retain(|_, (rule, state)| rule.expires_at(state) > last);
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

    fn len(local: &Local) -> usize {
        local.parts.iter().map(|part| part.lock().expect("whole").len()).sum()
    }

    #[test]
    fn either_all_are_taken_or_none_is() {
        let local = Local::default();
        let (wide, narrow) = (check(1, 10, 60), check(2, 2, 60));
        for _ in 0..2 {
            assert!(local.take(&[wide, narrow], NOW).is_ok());
        }
        for _ in 0..20 {
            assert_eq!(local.take(&[wide, narrow], NOW).expect_err("full").0, 1);
        }
        let left = local.take(&[wide], NOW).expect("it was not charged");
        assert_eq!(left[0].remaining, 7);
        local.forget(&[narrow]);
        assert!(local.take(&[narrow], NOW).is_ok());
    }

    #[test]
    fn memory_has_an_end_and_the_oldest_go_first() {
        let local = Local::default();
        let kept = check(u64::MAX, 1, 3600);
        assert!(local.take(&[kept], NOW).is_ok());
        for name in 0..(3 * PARTS * NAMES_PER_PART) as u64 {
            assert!(local.take(&[check(name, 1, 60)], NOW + name).is_ok());
        }
        assert!(len(&local) <= PARTS * NAMES_PER_PART);
        assert!(local.take(&[kept], NOW).is_err(), "what lasts longest is kept");
        local.sweep(NOW + 3_600_000_000);
        assert_eq!(len(&local), 0, "nothing says anything any more");
    }
}
