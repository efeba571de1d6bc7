//! What an issuer counts of itself: for `/metrics`, for the console's charts, and for whoever asks
//! how it is doing.
//!
//! Counting never waits and never grows: labels are few and known beforehand, and of time the last
//! hour is kept, by minutes. Nothing here is on record: it begins at zero with the process. What
//! must be known for ever stands in the audit log.

mod labelled;
mod last_hour;
mod otlp;
mod trace_context;

pub use labelled::{LabelledCounter, LabelledHistogram, SECONDS};
pub use last_hour::Minute;
pub use otlp::{Span, SpanExporter};
pub use trace_context::TraceContext;
pub use trace_context::{hex, traced};

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch::Receiver;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tollgate_core::RevokedBefore;
use tollgate_model::rate_limit::{Rate, Rule, RuleState};
use tollgate_storage::{Store, StoreError};
use tollgate_system::clock;

use self::last_hour::Minutes;
use crate::feed_change::FeedChange;

/// Routes told apart; what has none of its own counts as `unknown`.
const MAX_ROUTES: usize = 256;
/// Combinations of labels of any other family.
const MAX_SERIES: usize = 512;

/// Failed authentications of a way that are noted at once, each with a line of its own; and in how
/// many seconds as many more: ten a minute, some megabytes a day at worst.
const MAX_NOTES: u32 = 60;
const NOTES_PERIOD: Duration = Duration::from_secs(360);

/// Ways to authenticate, failures of which are noted apart: a flood of one hides none of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// A person, by a password.
    SignIn,
    /// A client.
    Client,
    /// Whoever asks the admin API.
    AdminApi,
}

impl CredentialKind {
    /// Its name, for the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CredentialKind::SignIn => "sign-in",
            CredentialKind::Client => "client",
            CredentialKind::AdminApi => "admin API",
        }
    }
}

/// What one issuer counts.
#[derive(Debug)]
pub struct Metrics {
    /// Answers by route and class of status.
    pub requests: LabelledCounter<2>,
    /// How long answers took, by route.
    pub durations: LabelledHistogram,
    /// Access tokens that were issued, by grant type.
    pub issued: LabelledCounter<1>,
    /// Refusals, by route and reason: the error code of an OAuth endpoint, or what else was the
    /// matter.
    pub refused: LabelledCounter<2>,
    /// Answers of the introspection endpoint, by whether the token was active.
    pub introspected: LabelledCounter<1>,
    /// Revocations that this origin heard of, whoever made them, by kind.
    pub revoked: LabelledCounter<1>,
    minutes: Minutes,
    /// By [`CredentialKind`].
    notes: [Mutex<Notes>; 3],
    began: Instant,
}

/// How many more failures may be noted, and how many since the last note were not.
#[derive(Debug, Default)]
struct Notes {
    bucket: RuleState,
    left_out: u64,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            requests: LabelledCounter::new(MAX_ROUTES * 5),
            durations: LabelledHistogram::new(MAX_ROUTES),
            issued: LabelledCounter::new(MAX_SERIES),
            refused: LabelledCounter::new(MAX_SERIES),
            introspected: LabelledCounter::new(MAX_SERIES),
            revoked: LabelledCounter::new(MAX_SERIES),
            minutes: Minutes::default(),
            notes: Default::default(),
            began: Instant::now(),
        }
    }
}

impl Metrics {
    /// Counts an answer of a route.
    pub fn answered(&self, route: &str, status: u16, took: Duration) {
        self.requests.add([route, class(status)]);
        self.durations.observe(route, took);
    }

    /// Counts an access token that was issued by this grant type.
    pub fn issued(&self, grant_type: &str) {
        self.issued.add([grant_type]);
        self.minutes.issued(clock::now());
    }

    /// Counts a refusal of a route. `reason` is one of few words, never anything that was sent.
    pub fn refused(&self, route: &str, reason: &'static str) {
        self.refused.add([route, reason]);
        self.minutes.refused(clock::now(), reason);
    }

    /// Counts an answer of the introspection endpoint.
    pub fn introspected(&self, active: bool) {
        self.introspected.add([if active { "true" } else { "false" }]);
    }

    /// Whether an authentication that fails now may be noted in the logs, where there is room for
    /// few; then, how many before it were not.
    pub fn may_log_failure(&self, way: CredentialKind) -> Option<u64> {
        self.may_log_failure_at(way, self.began.elapsed())
    }

    fn may_log_failure_at(&self, way: CredentialKind, since_began: Duration) -> Option<u64> {
        let mut notes = self.notes[way as usize].lock().unwrap_or_else(PoisonError::into_inner);
        let now = u64::try_from(since_began.as_micros()).unwrap_or(u64::MAX);
        let rule = Rule::TokenBucket(Rate::new(MAX_NOTES, NOTES_PERIOD)?);
        if rule.acquire(&mut notes.bucket, now).wait.is_some() {
            notes.left_out += 1;
            return None;
        }
        Some(std::mem::take(&mut notes.left_out))
    }

    /// Counts a revocation of this kind.
    fn revoked(&self, kind: &'static str) {
        self.revoked.add([kind]);
        self.minutes.revoked(clock::now());
    }

    /// The last sixty minutes up to that of the Unix second `now`, oldest first.
    #[must_use]
    pub fn last_hour(&self, now: u64) -> Vec<Minute> {
        self.minutes.until(now)
    }

    /// Counts the revocations that the history tells of from now on, until `stop`: those of this
    /// process, of other origins on the database, and of the command line alike.
    pub async fn follow(self: Arc<Self>, store: Store, mut wake: Receiver<FeedChange>, stop: CancellationToken) {
        let mut seen = wake.borrow_and_update().head.sequence;
        loop {
            tokio::select! {
                changed = wake.wait_for(|wake| wake.head.sequence != seen) => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
            match self.count_after(&store, seen).await {
                Ok(newest) => seen = newest,
                Err(error) => {
                    tracing::debug!(%error, "the revocations cannot be counted");
                    // What cannot be read now will be with the next.
                    if stop.run_until_cancelled(sleep(Duration::from_secs(1))).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    async fn count_after(&self, store: &Store, seen: u64) -> Result<u64, StoreError> {
        let page = store.get_feed_page(seen).await?;
        for delta in page.deltas.iter().filter(|delta| delta.revoked_before != RevokedBefore::NOT_REVOKED) {
            self.revoked(delta.kind.name());
        }
        // Deltas older than what is kept are passed over.
        Ok(page.deltas.last().map_or(page.head.sequence, |delta| delta.sequence))
    }
}

/// `2xx` and the like.
fn class(status: u16) -> &'static str {
    match status {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_leaves_few_lines() {
        let (meters, day) = (Metrics::default(), 24 * 60 * 60);
        let at = |seconds| meters.may_log_failure_at(CredentialKind::SignIn, Duration::from_secs(seconds));
        let noted = (0..100).filter(|_| at(600).is_some()).count();
        assert_eq!((noted, at(605), at(606), at(606), at(700)), (60, None, Some(41), None, Some(1)));
        let noted = (0..day).filter(|second| at(1000 + second).is_some()).count();
        assert!(noted <= 15_000, "{noted} in a day");
        assert_eq!(meters.may_log_failure_at(CredentialKind::Client, Duration::from_secs(605)), Some(0), "another way");
    }

    #[test]
    fn what_is_counted_can_be_read() {
        let meters = Metrics::default();
        meters.answered("/oauth/token", 200, Duration::from_millis(3));
        meters.answered("/oauth/token", 401, Duration::from_millis(3));
        meters.issued("client_credentials");
        meters.issued("client_credentials");
        meters.refused("/oauth/token", "invalid_client");
        meters.revoked("token");
        let now = clock::now();
        let hour = meters.last_hour(now);
        let sum = |figure: fn(&Minute) -> u64| hour.iter().map(figure).sum::<u64>();
        assert_eq!((hour.len(), sum(|minute| minute.issued), sum(|minute| minute.revoked)), (60, 2, 1));
        assert_eq!(sum(|minute| minute.refused.get("invalid_client").copied().unwrap_or(0)), 1);
        assert_eq!(meters.requests.read().len(), 2);
        assert_eq!(meters.issued.read(), [(["client_credentials".to_owned()], 2)]);
        assert_eq!(meters.durations.read()[0].1.count(), 2);
    }
}
