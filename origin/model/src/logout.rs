//! That a user signed out, for a client that is yet to be told (OpenID Connect Back-Channel Logout 1.0).

use serde_json::{Value, json};

use super::ClientId;

/// How long a logout token is good, in seconds (§2.4 recommends two minutes at most).
const LIFETIME: u64 = 120;
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// The pause after the first failure, in seconds; each further failure doubles it.
const FIRST_PAUSE: u64 = 2;
/// The longest pause.
const LONGEST_PAUSE: u64 = 15 * 60;
/// After a day a client that does not answer is told no more.
const GIVEN_UP_AFTER: u64 = 24 * 60 * 60;

/// A client that had a grant of a session which ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logout {
    /// Its number among all of them.
    pub number: u64,
    /// Who is to be told.
    pub client: ClientId,
    /// The user as the client knows them.
    pub subject: String,
    /// The grant's id, which is the `sid` of its tokens.
    pub session: String,
    /// When the session ended, Unix seconds.
    pub ended_at: u64,
    /// The `traceparent` of the request that ended it.
    pub trace: String,
    /// How often it was taken up, this time included.
    pub tries: u64,
}

impl Logout {
    /// What a logout token says that is made now (§2.4).
    #[must_use]
    pub fn claims(&self, issuer: &str, jti: &str, now: u64) -> Value {
        json!({
            "iss": issuer,
            "aud": self.client,
            "sub": self.subject,
            "sid": self.session,
            "iat": now,
            "exp": now.saturating_add(LIFETIME),
            "jti": jti,
            "events": { EVENT: {} },
        })
    }

    /// When to try again after a try that failed now; none when it was tried long enough. Of the pause half is left to `jitter`,
    /// 0 to 1: those that failed together do not come back together.
    #[must_use]
    pub fn next_try(&self, now: u64, jitter: f64) -> Option<u64> {
        let doublings = u32::try_from(self.tries.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = FIRST_PAUSE.saturating_mul(1_u64.checked_shl(doublings).unwrap_or(u64::MAX)).min(LONGEST_PAUSE);
        let next = now.saturating_add((pause as f64 * (0.5 + jitter / 2.0)).ceil() as u64);
        (next < self.ended_at.saturating_add(GIVEN_UP_AFTER)).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logout(tries: u64) -> Logout {
        Logout {
            number: 1,
            client: "shop".parse().expect("an id"),
            subject: "someone".to_owned(),
            session: "tgg_one".to_owned(),
            ended_at: 1000,
            trace: String::new(),
            tries,
        }
    }

    #[test]
    fn pauses_grow_to_a_bound_and_end_after_a_day() {
        assert_eq!(logout(1).next_try(1000, 1.0), Some(1002));
        assert_eq!(logout(1).next_try(1000, 0.0), Some(1001));
        assert_eq!(logout(4).next_try(1000, 1.0), Some(1016));
        assert_eq!(logout(u64::MAX).next_try(1000, 1.0), Some(1000 + LONGEST_PAUSE));
        assert_eq!(logout(64).next_try(1000, 1.0), Some(1000 + LONGEST_PAUSE));
        assert_eq!(logout(100).next_try(1000 + GIVEN_UP_AFTER - LONGEST_PAUSE, 1.0), None);
        let mut now = 1000;
        let mut tries = 1;
        while let Some(next) = logout(tries).next_try(now, 0.5) {
            assert!(next > now);
            (now, tries) = (next, tries + 1);
        }
        assert!((100..200).contains(&tries) && now < 1000 + GIVEN_UP_AFTER, "{tries} tries until {now}");
    }
}
