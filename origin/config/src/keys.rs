//! The settings of keys: the master key and key rotation.

use std::ops::RangeInclusive;

use tollgate_model::KeyPolicy;
use tollgate_model::status_list::STATUS_LIST_LIFETIME;

use super::setting::{Secrecy, Setting};
use super::sources::{SettingError, Sources};

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;
/// Seconds. Verifiers cache keys for up to hours.
const MIN_KEY_ROTATION: u64 = HOUR;
const MAX_KEY_ROTATION: u64 = 3660 * DAY;
const MAX_PUBLISH_AHEAD: u64 = 30 * DAY;

pub(super) const SETTINGS: [Setting; 4] = [
    Setting::new("TOLLGATE_MASTER_KEY", "master-key", "Key that encrypts the private keys in the database")
        .allowed_values("32 bytes in base64url", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
        .default_description("the key in the file")
        .secrecy(Secrecy::Secret),
    Setting::new("TOLLGATE_MASTER_KEY_FILE", "master-key-file", "File with the master key, created at the first start")
        .allowed_values("file", "/run/secrets/tollgate.key")
        .default("tollgate.key")
        .common(),
    Setting::new("TOLLGATE_KEY_ROTATION", "key-rotation", "How long a key signs before the next one replaces it")
        .allowed_values("seconds, or a number with m, h or d, at least an hour; off for no automatic rotation", "30d")
        .default("90d"),
    Setting::new(
        "TOLLGATE_KEY_PUBLISH_AHEAD",
        "key-publish-ahead",
        "How long a key is published before it signs; longer than any cache of the JWKS",
    )
    .allowed_values("seconds, or a number with m, h or d", "2h")
    .default("1h"),
];

pub(super) fn policy(sources: &Sources, token_lifetime: u64) -> Result<KeyPolicy, SettingError> {
    let rotation = sources.parse("TOLLGATE_KEY_ROTATION", |text| match text {
        "off" => Ok(None),
        _ => checked_duration(text, MIN_KEY_ROTATION..=MAX_KEY_ROTATION).map(Some),
    })?;
    let ahead = sources.parse("TOLLGATE_KEY_PUBLISH_AHEAD", |text| checked_duration(text, 1..=MAX_PUBLISH_AHEAD))?;
    let policy = KeyPolicy {
        rotation: rotation.unwrap_or(Some(90 * DAY)),
        ahead: ahead.unwrap_or(HOUR),
        // ID tokens live as long as access tokens.
        statement_lifetime: token_lifetime.max(STATUS_LIST_LIFETIME),
    };
    match policy.rotation.is_some_and(|rotation| policy.ahead >= rotation) {
        false => Ok(policy),
        true => {
            let problem = "must be shorter than TOLLGATE_KEY_ROTATION".to_owned();
            Err(sources.error("TOLLGATE_KEY_PUBLISH_AHEAD", problem))
        }
    }
}

/// Parses seconds, or a number of seconds, minutes, hours or days with `s`, `m`, `h` or `d`.
fn checked_duration(text: &str, allowed: RangeInclusive<u64>) -> Result<u64, String> {
    let (number, unit) = match text.char_indices().next_back() {
        Some((end, 's')) => (&text[..end], 1),
        Some((end, 'm')) => (&text[..end], 60),
        Some((end, 'h')) => (&text[..end], HOUR),
        Some((end, 'd')) => (&text[..end], DAY),
        _ => (text, 1),
    };
    let seconds = number.parse().ok().and_then(|number: u64| number.checked_mul(unit));
    seconds.filter(|seconds| allowed.contains(seconds)).ok_or_else(|| {
        format!("must be seconds, or a number with s, m, h or d: {} to {} s", allowed.start(), allowed.end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn from(pairs: &[(&str, &str)]) -> Result<Settings, SettingError> {
        Settings::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn durations_have_units() {
        let rotation = |text| from(&[("TOLLGATE_KEY_ROTATION", text)]).map(|settings| settings.keys.rotation);
        for (text, seconds) in [("7200", 7200), ("7200s", 7200), ("120m", 7200), ("2h", 7200), ("1d", DAY)] {
            assert_eq!(rotation(text), Ok(Some(seconds)), "{text}");
        }
        assert_eq!(rotation("off"), Ok(None));
        let late = from(&[("TOLLGATE_KEY_ROTATION", "1h"), ("TOLLGATE_KEY_PUBLISH_AHEAD", "60m")]);
        assert!(late.is_err(), "a key must be published before it signs");
    }
}
