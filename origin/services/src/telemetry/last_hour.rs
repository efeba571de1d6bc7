//! Statistics of the last hour, by minute.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// LastHour in memory.
const MAX_MINUTES: usize = 60;
/// Reasons with counters of their own in each minute; the rest count as `other`.
const MAX_REASONS: usize = 32;

/// Statistics of one minute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MinuteStats {
    /// Unix time of its first second.
    pub began_at: u64,
    /// Issued access tokens.
    pub issued: u64,
    /// Refusals by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Revocations in the feed.
    pub revoked: u64,
}

/// LastHour with at least one event, by `began_at`.
#[derive(Debug, Default)]
pub(super) struct LastHour(Mutex<BTreeMap<u64, MinuteStats>>);

impl LastHour {
    pub(super) fn issued(&self, now: u64) {
        self.change(now, |minute| minute.issued += 1);
    }

    pub(super) fn revoked(&self, now: u64) {
        self.change(now, |minute| minute.revoked += 1);
    }

    pub(super) fn refused(&self, now: u64, reason: &'static str) {
        self.change(now, |minute| {
            let has_room = minute.refused.len() < MAX_REASONS || minute.refused.contains_key(reason);
            *minute.refused.entry(if has_room { reason } else { "other" }).or_default() += 1;
        });
    }

    fn change(&self, now: u64, change: impl FnOnce(&mut MinuteStats)) {
        let began_at = now - now % 60;
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(minutes.entry(began_at).or_insert_with(|| MinuteStats { began_at, ..MinuteStats::default() }));
        if minutes.len() > MAX_MINUTES {
            minutes.pop_first();
        }
    }

    /// The sixty minutes up to that of the Unix second `now`, oldest first, including minutes
    /// without events.
    pub(super) fn until(&self, now: u64) -> Vec<MinuteStats> {
        let newest = now - now % 60;
        let minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = |back: u64| {
            let began_at = newest.saturating_sub(back * 60);
            minutes.get(&began_at).cloned().unwrap_or(MinuteStats { began_at, ..MinuteStats::default() })
        };
        (0..MAX_MINUTES as u64).rev().map(minute).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_cover_one_hour() {
        let minutes = LastHour::default();
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
    fn reasons_beyond_the_limit_count_as_other() {
        let minutes = LastHour::default();
        for number in 0..40 {
            minutes.refused(60, Box::leak(format!("reason {number}").into_boxed_str()));
        }
        let hour = minutes.until(60);
        assert_eq!((hour[59].refused.len(), hour[59].refused["other"]), (33, 8));
    }
}
