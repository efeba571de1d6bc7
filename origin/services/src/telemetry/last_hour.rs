//! The last hour, by minutes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Minutes that are remembered.
const KEPT: usize = 60;
/// Reasons told apart in a minute; the rest count as `other`.
const MAX_REASONS: usize = 32;

/// What happened in a minute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Minute {
    /// The Unix second in which it began.
    pub began_at: u64,
    /// Access tokens that were issued.
    pub issued: u64,
    /// Refusals by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Revocations that were heard of.
    pub revoked: u64,
}

/// The minutes in which something happened, by when they began.
#[derive(Debug, Default)]
pub(super) struct Minutes(Mutex<BTreeMap<u64, Minute>>);

impl Minutes {
    pub(super) fn issued(&self, now: u64) {
        self.change(now, |minute| minute.issued += 1);
    }

    pub(super) fn revoked(&self, now: u64) {
        self.change(now, |minute| minute.revoked += 1);
    }

    pub(super) fn refused(&self, now: u64, reason: &'static str) {
        self.change(now, |minute| {
            let is_known = minute.refused.len() < MAX_REASONS || minute.refused.contains_key(reason);
            *minute.refused.entry(if is_known { reason } else { "other" }).or_default() += 1;
        });
    }

    fn change(&self, now: u64, change: impl FnOnce(&mut Minute)) {
        let began_at = now - now % 60;
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(minutes.entry(began_at).or_insert_with(|| Minute { began_at, ..Minute::default() }));
        if minutes.len() > KEPT {
            minutes.pop_first();
        }
    }

    /// The last sixty minutes up to that of `now`, oldest first; those in which nothing happened,
    /// too.
    pub(super) fn until(&self, now: u64) -> Vec<Minute> {
        let newest = now - now % 60;
        let minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = |back: u64| {
            let began_at = newest.saturating_sub(back * 60);
            minutes.get(&began_at).cloned().unwrap_or(Minute { began_at, ..Minute::default() })
        };
        (0..KEPT as u64).rev().map(minute).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let minutes = Minutes::default();
        let now = 6_000_000;
        minutes.issued(now - 3600);
        minutes.issued(now - 3599 + 60);
        minutes.issued(now);
        minutes.refused(now + 59, "invalid_client");
        let hour = minutes.until(now + 59);
        assert_eq!(hour.len(), 60);
        assert_eq!(hour.iter().map(|minute| minute.issued).sum::<u64>(), 2, "the first is an hour ago");
        assert_eq!((hour[59].began_at, hour[59].issued, hour[59].refused["invalid_client"]), (now, 1, 1));
        let later = minutes.until(now + 3600);
        assert!(later.iter().all(|minute| minute.issued == 0), "an hour later nothing is left");
        assert_eq!(later[0].began_at, now + 60);
    }

    #[test]
    fn reasons_are_bounded() {
        let minutes = Minutes::default();
        for number in 0..40 {
            minutes.refused(60, Box::leak(format!("reason {number}").into_boxed_str()));
        }
        let hour = minutes.until(60);
        assert_eq!((hour[59].refused.len(), hour[59].refused["other"]), (33, 8));
    }
}
