//! Device authorization grant (RFC 8628): a device shows a code, a user approves it in a browser,
//! and the device polls until then.

use std::fmt;
use std::str::FromStr;

use super::access::Access;
use super::grant::{Grant, GrantError};
use super::ids::ClientId;
use super::malformed::Malformed;
use super::secret::SecretHash;
use super::sender::Sender;

/// Initial seconds between two polls (RFC 8628 §3.2).
pub const POLL_INTERVAL: u64 = 5;
/// Seconds by which `slow_down` increases the interval (RFC 8628 §3.5).
const SLOW_DOWN_INCREMENT: u64 = 5;
/// Seconds.
const MAX_POLL_INTERVAL: u64 = 60;
/// Milliseconds by which a poll may be early: timers are coarse, and network latency varies.
const EARLY_POLL_TOLERANCE_MS: u64 = 1000;

/// RFC 8628 §6.1: only consonants, so that letters are not confused and codes contain no words.
const USER_CODE_ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const USER_CODE_LENGTH: usize = 8;

/// The code that a user types: eight of twenty letters, 34 bits. Written `XXXX-XXXX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCode(String);

impl UserCode {
    /// `None` if too many bytes would make some letters more likely; then other bytes must be
    /// drawn.
    #[must_use]
    pub fn from_random(random: &[u8; 32]) -> Option<UserCode> {
        // 240 is the largest multiple of twenty in a byte.
        let fair = random.iter().filter(|byte| **byte < 240);
        let letters: String =
            fair.map(|byte| char::from(USER_CODE_ALPHABET[usize::from(byte % 20)])).take(USER_CODE_LENGTH).collect();
        (letters.len() == USER_CODE_LENGTH).then_some(UserCode(letters))
    }

    /// The letters without the hyphen; their hash is stored.
    #[must_use]
    pub fn letters(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserCode {
    type Err = Malformed;

    /// Parses a typed code: case, hyphens and spaces are ignored (RFC 8628 §6.1).
    fn from_str(text: &str) -> Result<UserCode, Malformed> {
        let wrong = Malformed::new("code", "must be eight letters");
        let letters = text.chars().filter(|char| !char.is_whitespace() && !"-_–—".contains(*char));
        let letters: String = letters.map(|char| char.to_ascii_uppercase()).take(USER_CODE_LENGTH + 1).collect();
        let known = |byte: u8| USER_CODE_ALPHABET.contains(&byte);
        if letters.len() == USER_CODE_LENGTH && letters.bytes().all(known) { Ok(UserCode(letters)) } else { Err(wrong) }
    }
}

impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = self.0.split_at(USER_CODE_LENGTH / 2);
        write!(f, "{first}-{second}")
    }
}

/// A device code, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCode {
    /// Hash of the device code.
    pub hash: SecretHash,
    /// Hash of the user code.
    pub user_code: SecretHash,
    pub client: ClientId,
    /// The requested access.
    pub access: Access,
    /// The device, as it describes itself.
    pub sender: Sender,
    /// Unix seconds; 0 if not recorded.
    pub requested_at: u64,
    pub status: DeviceStatus,
    /// The Unix second at which the code expires.
    pub expires_at: u64,
    /// Required seconds between two polls.
    pub interval: u64,
    /// When the device last polled, Unix milliseconds; 0 if never.
    pub polled_at_ms: u64,
}

/// Status of a device code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceStatus {
    /// The user has not decided.
    Pending,
    /// The user denied access.
    Denied,
    /// The user approved access.
    Approved(Box<Grant>),
    /// The device redeemed the code.
    Redeemed(Box<Grant>),
}

/// The response to a poll (RFC 8628 §3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DevicePollOutcome {
    /// `authorization_pending`
    Pending,
    /// `slow_down`
    SlowDown {
        /// Required seconds between two polls from now on.
        interval: u64,
    },
    /// `access_denied`
    Denied,
    /// `expired_token`
    Expired,
    /// Tokens of this grant.
    Approved(Box<Grant>),
    /// `invalid_grant`
    Refused(GrantError),
}

impl DeviceCode {
    /// Decides a poll of `client` at this Unix millisecond. A device that polls too early gets
    /// `slow_down` even if the user has decided: otherwise ignoring the interval would cost
    /// nothing. The new interval is five seconds more than the device waited, so a device that adds
    /// five seconds after each `slow_down` is in time at its next poll.
    #[must_use]
    pub fn poll(&self, client: &ClientId, now_ms: u64) -> DevicePollOutcome {
        if self.client != *client {
            return DevicePollOutcome::Refused(GrantError::OtherClient);
        }
        if let DeviceStatus::Redeemed(_) = &self.status {
            return DevicePollOutcome::Refused(GrantError::Replayed);
        }
        if now_ms / 1000 >= self.expires_at {
            return DevicePollOutcome::Expired;
        }
        // If the clock was set back, it is unknown how long the device waited.
        let waited_ms = now_ms.checked_sub(self.polled_at_ms);
        if let Some(waited_ms) =
            waited_ms.filter(|waited_ms| waited_ms + EARLY_POLL_TOLERANCE_MS < self.interval * 1000)
        {
            let interval =
                (waited_ms / 1000 + SLOW_DOWN_INCREMENT).clamp(POLL_INTERVAL + SLOW_DOWN_INCREMENT, MAX_POLL_INTERVAL);
            return DevicePollOutcome::SlowDown { interval };
        }
        match &self.status {
            DeviceStatus::Pending => DevicePollOutcome::Pending,
            DeviceStatus::Denied => DevicePollOutcome::Denied,
            DeviceStatus::Approved(grant) if grant.is_active(now_ms / 1000) => {
                DevicePollOutcome::Approved(grant.clone())
            }
            DeviceStatus::Approved(_) => DevicePollOutcome::Refused(GrantError::Ended),
            DeviceStatus::Redeemed(_) => DevicePollOutcome::Refused(GrantError::Replayed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Audience, AuthorizationDetails, Scope};
    use super::*;

    #[test]
    fn user_code_is_parsed_however_it_is_typed() {
        let code = UserCode::from_random(&[0x21; 32]).expect("fair bytes");
        let written = code.to_string();
        assert_eq!((written.len(), &written[4..5]), (9, "-"));
        for typed in [written.clone(), written.to_lowercase(), written.replace('-', ""), written.replace('-', " - ")] {
            assert_eq!(typed.parse::<UserCode>(), Ok(code.clone()), "{typed}");
        }
        for typed in ["", "BCDF-GHJ", "BCDF-GHJKL", "ABCD-EFGH", "BCDF-GHJ1", "ÄCDF-GHJK"] {
            assert!(typed.parse::<UserCode>().is_err(), "{typed}");
        }
        assert_eq!(UserCode::from_random(&[255; 32]), None);
    }

    /// Simulates a device that waits `first_ms` before each poll, and `more_ms` longer after each
    /// `slow_down`; returns the responses.
    fn played(first_ms: u64, more_ms: u64, polls: usize) -> Vec<DevicePollOutcome> {
        let (mut code, mut now_ms, mut pace_ms, mut answers) = (code(), 100_000, first_ms, Vec::new());
        for _ in 0..polls {
            now_ms += pace_ms;
            let answer = code.poll(&code.client.clone(), now_ms);
            if let DevicePollOutcome::SlowDown { interval } = answer {
                code.interval = interval;
                pace_ms += more_ms;
            }
            code.polled_at_ms = now_ms;
            answers.push(answer);
        }
        answers
    }

    #[test]
    fn device_that_slows_down_recovers() {
        let slowed = |answers: &[DevicePollOutcome]| {
            answers.iter().filter(|poll| matches!(poll, DevicePollOutcome::SlowDown { .. })).count()
        };
        assert_eq!(slowed(&played(4960, 0, 50)), 0, "jitter alone");
        assert_eq!(slowed(&played(3000, 5000, 20)), 2, "3 s, 8 s, and from then on 13 s");
        assert_eq!(slowed(&played(5000, 5000, 20)), 0);
        assert_eq!(slowed(&played(100, 0, 50)), 50, "who does not slow down gets nothing");
        let (mut code, client) = (code(), "tv".parse::<ClientId>().expect("an id"));
        // Ten polls at once, as by a faulty loop: what counts is how long the device waits
        // afterwards.
        for _ in 0..10 {
            let DevicePollOutcome::SlowDown { interval } = code.poll(&client, 100_001) else { panic!("too early") };
            (code.interval, code.polled_at_ms) = (interval, 100_001);
        }
        assert_eq!(code.poll(&client, 110_001), DevicePollOutcome::Pending);
    }

    fn code() -> DeviceCode {
        let audience: Audience = "api".parse().expect("an audience");
        let details = AuthorizationDetails::default();
        DeviceCode {
            hash: SecretHash::of("d"),
            user_code: SecretHash::of("u"),
            client: "tv".parse().expect("an id"),
            access: Access { scope: Scope::default(), audience: audience.into(), details },
            sender: Sender::default(),
            requested_at: 100,
            status: DeviceStatus::Pending,
            expires_at: 700,
            interval: 5,
            polled_at_ms: 100_000,
        }
    }

    #[test]
    fn device_that_polls_too_early_is_slowed_down() {
        let (code, client) = (code(), "tv".parse::<ClientId>().expect("an id"));
        assert_eq!(code.poll(&client, 103_999), DevicePollOutcome::SlowDown { interval: 10 });
        assert_eq!(code.poll(&client, 104_000), DevicePollOutcome::Pending, "a second of jitter");
        let slower = DeviceCode { interval: 10, ..code.clone() };
        assert_eq!(slower.poll(&client, 108_999), DevicePollOutcome::SlowDown { interval: 13 });
        assert_eq!(slower.poll(&client, 109_960), DevicePollOutcome::Pending);
        let slowest = DeviceCode { interval: 60, ..code.clone() };
        assert_eq!(slowest.poll(&client, 101_000), DevicePollOutcome::SlowDown { interval: 10 });
        assert_eq!(slowest.poll(&client, 158_000), DevicePollOutcome::SlowDown { interval: 60 });
        assert_eq!(code.poll(&client, 99_000), DevicePollOutcome::Pending, "the clock was set back");
        assert_eq!(code.poll(&client, 700_000), DevicePollOutcome::Expired);
        let denied = DeviceCode { status: DeviceStatus::Denied, ..code.clone() };
        assert_eq!(
            (denied.poll(&client, 101_000), denied.poll(&client, 105_000)),
            (DevicePollOutcome::SlowDown { interval: 10 }, DevicePollOutcome::Denied)
        );
        assert_eq!(
            code.poll(&"x".parse().expect("an id"), 105_000),
            DevicePollOutcome::Refused(GrantError::OtherClient)
        );
    }
}
