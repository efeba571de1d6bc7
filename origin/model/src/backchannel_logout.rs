//! Pending logout tokens for clients (OpenID Connect Back-Channel Logout 1.0).

use serde_json::{Value, json};

use super::ids::ClientId;

/// Lifetime of a logout token in seconds (§2.4 recommends at most two minutes).
const LOGOUT_TOKEN_LIFETIME: u64 = 120;
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Seconds until the first retry; doubles with each failure.
const FIRST_RETRY_DELAY: u64 = 2;
/// Seconds.
const MAX_RETRY_DELAY: u64 = 15 * 60;
/// Seconds after which delivery to a client is abandoned.
const RETRY_PERIOD: u64 = 24 * 60 * 60;

/// A client to notify, because a session in which it had a grant ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingLogout {
    /// Unique.
    pub number: u64,
    pub client: ClientId,
    /// The user's identifier for the client.
    pub subject: String,
    /// Id of the grant, which is the `sid` of its tokens.
    pub session: String,
    /// When the session ended, Unix seconds.
    pub ended_at: u64,
    /// `traceparent` of the request that ended the session.
    pub trace: String,
    /// Number of attempts, including the current one.
    pub attempts: u64,
}

impl PendingLogout {
    /// The claims of a logout token issued now (§2.4).
    #[must_use]
    pub fn claims(&self, issuer: &str, jti: &str, now: u64) -> Value {
        json!({
            "iss": issuer,
            "aud": self.client,
            "sub": self.subject,
            "sid": self.session,
            "iat": now,
            "exp": now.saturating_add(LOGOUT_TOKEN_LIFETIME),
            "jti": jti,
            "events": { EVENT: {} },
        })
    }

    /// When to retry after a failure at `now`; `None` to abandon delivery. Half of the delay
    /// depends on `jitter` (0 to 1), so that deliveries that failed together are retried at
    /// different times.
    #[must_use]
    pub fn next_attempt(&self, now: u64, jitter: f64) -> Option<u64> {
        let doublings = u32::try_from(self.attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        let delay =
            FIRST_RETRY_DELAY.saturating_mul(1_u64.checked_shl(doublings).unwrap_or(u64::MAX)).min(MAX_RETRY_DELAY);
        let next = now.saturating_add((delay as f64 * (0.5 + jitter / 2.0)).ceil() as u64);
        (next < self.ended_at.saturating_add(RETRY_PERIOD)).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logout(attempts: u64) -> PendingLogout {
        PendingLogout {
            number: 1,
            client: "shop".parse().expect("an id"),
            subject: "someone".to_owned(),
            session: "tgg_one".to_owned(),
            ended_at: 1000,
            trace: String::new(),
            attempts,
        }
    }

    #[test]
    fn logout_token_names_the_session_for_clients_that_require_it() {
        let claims = logout(1).claims("https://issuer.example", "an id", 1000);
        assert_eq!((&claims["sid"], &claims["sub"]), (&json!("tgg_one"), &json!("someone")));
        assert_eq!((&claims["events"][EVENT], claims.get("nonce")), (&json!({}), None));
    }

    #[test]
    fn retry_delay_grows_to_a_bound_and_ends_after_a_day() {
        assert_eq!(logout(1).next_attempt(1000, 1.0), Some(1002));
        assert_eq!(logout(1).next_attempt(1000, 0.0), Some(1001));
        assert_eq!(logout(4).next_attempt(1000, 1.0), Some(1016));
        assert_eq!(logout(u64::MAX).next_attempt(1000, 1.0), Some(1000 + MAX_RETRY_DELAY));
        assert_eq!(logout(64).next_attempt(1000, 1.0), Some(1000 + MAX_RETRY_DELAY));
        assert_eq!(logout(100).next_attempt(1000 + RETRY_PERIOD - MAX_RETRY_DELAY, 1.0), None);
        let mut now = 1000;
        let mut attempts = 1;
        while let Some(next) = logout(attempts).next_attempt(now, 0.5) {
            assert!(next > now);
            (now, attempts) = (next, attempts + 1);
        }
        assert!((100..200).contains(&attempts) && now < 1000 + RETRY_PERIOD, "{attempts} attempts until {now}");
    }
}
