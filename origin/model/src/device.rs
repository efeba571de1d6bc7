//! Device codes (RFC 8628): a device asks, a user agrees on another, and the device polls until then.

use std::fmt;
use std::str::FromStr;

use super::{Access, ClientId, Grant, GrantError, Malformed, SecretHash, Sender};

/// How long a device code is good, in seconds.
pub const DEVICE_CODE_LIFETIME: u64 = 600;
/// The seconds between two polls at first (RFC 8628 §3.2).
pub const POLL_INTERVAL: u64 = 5;
/// By how much `slow_down` lengthens that (RFC 8628 §3.5).
const SLOW_DOWN: u64 = 5;
/// The longest it gets, in seconds.
const MAX_INTERVAL: u64 = 60;
/// Milliseconds that a poll may be early: timers are coarse, and the network delays one request more than the next.
const JITTER_MS: u64 = 1000;

/// RFC 8628 §6.1: consonants alone, so that no two look alike and no words come out.
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const LENGTH: usize = 8;

/// The code that a user types: eight letters of twenty, 34 bits. Written `XXXX-XXXX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCode(String);

impl UserCode {
    /// The code of these random bytes; nothing when too many of them would favour some letters, and others must be drawn.
    #[must_use]
    pub fn from_random(random: &[u8; 32]) -> Option<UserCode> {
        // 240 is the largest multiple of twenty that a byte reaches.
        let fair = random.iter().filter(|byte| **byte < 240);
        let letters: String = fair.map(|byte| char::from(ALPHABET[usize::from(byte % 20)])).take(LENGTH).collect();
        (letters.len() == LENGTH).then_some(UserCode(letters))
    }

    /// The letters alone, as they are hashed.
    #[must_use]
    pub fn letters(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserCode {
    type Err = Malformed;

    /// Reads what a person typed: in any case, with dashes and spaces anywhere (RFC 8628 §6.1).
    fn from_str(text: &str) -> Result<UserCode, Malformed> {
        let wrong = Malformed::new("code", "must be eight letters");
        let letters = text.chars().filter(|char| !char.is_whitespace() && !"-_–—".contains(*char));
        let letters: String = letters.map(|char| char.to_ascii_uppercase()).take(LENGTH + 1).collect();
        let known = |byte: u8| ALPHABET.contains(&byte);
        if letters.len() == LENGTH && letters.bytes().all(known) { Ok(UserCode(letters)) } else { Err(wrong) }
    }
}

impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = self.0.split_at(LENGTH / 2);
        write!(f, "{first}-{second}")
    }
}

/// A device code, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCode {
    /// What is stored of the device code.
    pub hash: SecretHash,
    /// What is stored of the user code.
    pub user_code: SecretHash,
    /// Who asked.
    pub client: ClientId,
    /// For what.
    pub access: Access,
    /// From where, as far as the device tells.
    pub sender: Sender,
    /// When, Unix seconds; 0 if that is not on record.
    pub asked_at: u64,
    /// What became of it.
    pub status: DeviceStatus,
    /// The Unix second from which it is bad.
    pub expires_at: u64,
    /// The seconds that must lie between two polls.
    pub interval: u64,
    /// When the device polled last, Unix milliseconds; 0 when it has not.
    pub polled_at_ms: u64,
}

/// What became of a device code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceStatus {
    /// The user has not decided.
    Pending,
    /// The user refused.
    Denied,
    /// The user agreed.
    Approved(Box<Grant>),
    /// The device took what it was given.
    Redeemed(Box<Grant>),
}

/// What a poll is answered (RFC 8628 §3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DevicePollOutcome {
    /// `authorization_pending`
    Pending,
    /// `slow_down`: from now on so many seconds must lie between two polls.
    SlowDown {
        /// The seconds.
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
    /// Decides a poll of `client` at this Unix millisecond. A device that asks too early is slowed down whatever the user said
    /// meanwhile: an interval that costs nothing to ignore would be ignored. What it must wait from then on is five seconds more than it
    /// just did: so a device that slows down by five seconds each time it is told to is in time again at its next poll.
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
        // A clock that was set back says nothing of how long the device waited.
        let waited_ms = now_ms.checked_sub(self.polled_at_ms);
        if let Some(waited_ms) = waited_ms.filter(|waited_ms| waited_ms + JITTER_MS < self.interval * 1000) {
            let interval = (waited_ms / 1000 + SLOW_DOWN).clamp(POLL_INTERVAL + SLOW_DOWN, MAX_INTERVAL);
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
    fn a_user_code_reads_however_it_is_typed() {
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

    /// Plays a device that waits `first_ms` before each poll, and by `more_ms` longer after each `slow_down`: what it is answered.
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
    fn a_device_that_slows_down_recovers() {
        let slowed = |answers: &[DevicePollOutcome]| {
            answers.iter().filter(|poll| matches!(poll, DevicePollOutcome::SlowDown { .. })).count()
        };
        assert_eq!(slowed(&played(4960, 0, 50)), 0, "jitter alone");
        assert_eq!(slowed(&played(3000, 5000, 20)), 2, "3 s, 8 s, and from then on 13 s");
        assert_eq!(slowed(&played(5000, 5000, 20)), 0);
        assert_eq!(slowed(&played(100, 0, 50)), 50, "who does not slow down gets nothing");
        let (mut code, client) = (code(), "tv".parse::<ClientId>().expect("an id"));
        // Ten polls at once, as of a loop that went wrong: what counts is how long the device waits from then on.
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
            asked_at: 100,
            status: DeviceStatus::Pending,
            expires_at: 700,
            interval: 5,
            polled_at_ms: 100_000,
        }
    }

    #[test]
    fn an_impatient_device_is_slowed_down() {
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
