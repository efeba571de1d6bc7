//! The settings of rate limits and connection limits.

use std::time::Duration;

use tollgate_model::rate_limit::{Limit, Rate, Rule};

use super::setting::{Secrecy, Setting};
use super::sources::{SettingError, Sources};

pub(super) const SETTINGS: [Setting; 13] = [
    Setting::new("TOLLGATE_LIMITS", "limits", "Rate limits on or off").allowed_values("on or off", "off").default("on"),
    Setting::new("TOLLGATE_LIMIT_REQUESTS", "limit-requests", "Requests of an address")
        .allowed_values(RATE, "600/1m")
        .default("120000/1m"),
    Setting::new(
        "TOLLGATE_LIMIT_AUTHORIZATION_REQUESTS",
        "limit-authorization-requests",
        "Authorization requests (also pushed) and device authorization requests of an address",
    )
    .allowed_values(RATE, "60/1m")
    .default("6000/1m")
    .formerly("TOLLGATE_LIMIT_STARTS", "limit-starts"),
    Setting::new(
        "TOLLGATE_LIMIT_REGISTRATIONS",
        "limit-registrations",
        "Registrations of clients and users by an address",
    )
    .allowed_values(RATE, "20/1d")
    .default("300/1h"),
    Setting::new("TOLLGATE_LIMIT_CLIENT", "limit-client", "Requests of an authenticated client")
        .allowed_values(RATE, "100/1s")
        .default("120000/1m"),
    Setting::new("TOLLGATE_LIMIT_SECRETS", "limit-secrets", "Wrong client secrets from an address")
        .allowed_values(RATE, "off")
        .default("600/1m"),
    Setting::new(
        "TOLLGATE_LIMIT_CLIENT_SECRETS",
        "limit-client-secrets",
        "Wrong secrets of one client from an address",
    )
    .allowed_values(RATE, "10/10m")
    .default("60/1m"),
    Setting::new("TOLLGATE_LIMIT_SIGN_INS", "limit-sign-ins", "Sign-ins from an address, successful or not")
        .allowed_values(RATE, "100/10m")
        .default("1000/10m"),
    Setting::new("TOLLGATE_LIMIT_WRONG_PASSWORDS", "limit-wrong-passwords", "Wrong passwords from an address")
        .allowed_values(RATE, "50/10m")
        .default("300/10m"),
    Setting::new(
        "TOLLGATE_LIMIT_ACCOUNT",
        "limit-account",
        "Wrong passwords for an account from unknown addresses and devices",
    )
    .allowed_values(RATE, "20/1h")
    .default("100/1h"),
    Setting::new("TOLLGATE_REDIS_URL", "redis-url", "Redis server in which several origins share their rate limits")
        .allowed_values("redis://… or rediss://…", "redis://redis:6379")
        .default_description("none: each has its own")
        .secrecy(Secrecy::Url),
    Setting::new("TOLLGATE_MAX_CONNECTIONS", "max-connections", "Concurrent connections; further ones wait")
        .allowed_values("16 to 1000000", "2000")
        .default("10000"),
    Setting::new(
        "TOLLGATE_REGISTERED_EDGES_ONLY",
        "registered-edges-only",
        "Whether requests for deltas are answered only if they are signed with the key of a registered edge",
    )
    .allowed_values("true or false", "true")
    .default("false"),
];

/// The form of a rate.
const RATE: &str = "COUNT/TIME or off";

/// The rate limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    rules: [Option<Rule>; Limit::ALL.len()],
}

/// Each limit that can be set: its setting, and its default as a count and a period in seconds.
const RATES: [(Limit, &str, u32, u64); 9] = [
    (Limit::Requests, "TOLLGATE_LIMIT_REQUESTS", 120_000, 60),
    (Limit::AuthorizationRequests, "TOLLGATE_LIMIT_AUTHORIZATION_REQUESTS", 6000, 60),
    (Limit::Registrations, "TOLLGATE_LIMIT_REGISTRATIONS", 300, 3600),
    (Limit::Client, "TOLLGATE_LIMIT_CLIENT", 120_000, 60),
    (Limit::Secrets, "TOLLGATE_LIMIT_SECRETS", 600, 60),
    (Limit::ClientSecrets, "TOLLGATE_LIMIT_CLIENT_SECRETS", 60, 60),
    (Limit::SignIns, "TOLLGATE_LIMIT_SIGN_INS", 1000, 600),
    (Limit::WrongPasswords, "TOLLGATE_LIMIT_WRONG_PASSWORDS", 300, 600),
    (Limit::Account, "TOLLGATE_LIMIT_ACCOUNT", 100, 3600),
];

/// Whether the limit counts failures. These use a sliding window, all others a token bucket.
fn counts_failures(limit: Limit) -> bool {
    matches!(limit, Limit::Secrets | Limit::ClientSecrets | Limit::WrongPasswords | Limit::Account)
}

impl Default for LimitSettings {
    fn default() -> LimitSettings {
        let mut settings = LimitSettings::off();
        for (limit, _, count, seconds) in RATES {
            settings.set(limit, Rate::new(count, Duration::from_secs(seconds)));
        }
        settings.rules[Limit::Guesses as usize] = Some(Rule::Slowdown);
        settings
    }
}

impl LimitSettings {
    /// All limits switched off.
    #[must_use]
    pub fn off() -> LimitSettings {
        LimitSettings { rules: Default::default() }
    }

    /// The rule of a limit, if it is switched on.
    #[must_use]
    pub fn rule(&self, limit: Limit) -> Option<Rule> {
        self.rules[limit as usize]
    }

    fn set(&mut self, limit: Limit, rate: Option<Rate>) {
        self.rules[limit as usize] =
            rate.map(if counts_failures(limit) { Rule::SlidingWindow } else { Rule::TokenBucket });
    }

    pub(super) fn from_sources(sources: &Sources) -> Result<LimitSettings, SettingError> {
        let mut settings = LimitSettings::default();
        for (limit, name, ..) in RATES {
            if let Some(rate) = sources.parse(name, checked_rate)? {
                settings.set(limit, rate);
            }
        }
        let is_on = sources.parse("TOLLGATE_LIMITS", |text| match text {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err("must be on or off"),
        })?;
        Ok(if is_on.unwrap_or(true) { settings } else { LimitSettings::off() })
    }
}

/// Parses `COUNT/PERIOD`, such as `600/10m`; `None` for `off`.
fn checked_rate(text: &str) -> Result<Option<Rate>, &'static str> {
    const WRONG: &str = "must be off, or a number and a time like 600/10m or 100/30s";
    if text == "off" {
        return Ok(None);
    }
    let (count, period) = text.split_once('/').ok_or(WRONG)?;
    let unit = |suffix: char, seconds: u64| Some((period.strip_suffix(suffix)?, seconds));
    let units = [unit('s', 1), unit('m', 60), unit('h', 3600), unit('d', 86400)];
    let (number, unit) = units.into_iter().flatten().next().ok_or(WRONG)?;
    let number: u64 = if number.is_empty() { 1 } else { number.parse().map_err(|_| WRONG)? };
    let seconds = number.checked_mul(unit).ok_or(WRONG)?;
    let rate = Rate::new(count.parse().map_err(|_| WRONG)?, Duration::from_secs(seconds));
    rate.map(Some).ok_or(WRONG)
}

/// `redis://…`, or `rediss://…` for TLS.
pub(super) fn checked_redis_url(text: &str) -> Result<String, &'static str> {
    match text.starts_with("redis://") || text.starts_with("rediss://") {
        true => Ok(text.to_owned()),
        false => Err("must begin with redis:// or rediss://"),
    }
}

pub(super) fn checked_connections(text: &str) -> Result<usize, &'static str> {
    let number = text.parse().ok().filter(|number| (16..=1_000_000).contains(number));
    number.ok_or("must be a number of connections, 16 to 1000000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_set_one_by_one_or_switched_off_together() {
        let from = |pairs: &[(&str, &str)]| {
            super::super::Settings::from_pairs(pairs.iter().copied()).map(|settings| settings.limits)
        };
        let rate = |count, seconds| Rate::new(count, Duration::from_secs(seconds));
        let defaults = from(&[]).expect("good");
        assert_eq!(defaults, LimitSettings::default());
        assert!(Limit::ALL.into_iter().all(|limit| defaults.rule(limit).is_some()), "all are on");
        let some = from(&[("TOLLGATE_LIMIT_SIGN_INS", "5/s"), ("TOLLGATE_LIMIT_ACCOUNT", "off")]).expect("good");
        assert_eq!(some.rule(Limit::SignIns), rate(5, 1).map(Rule::TokenBucket));
        assert_eq!(some.rule(Limit::Account), None);
        let some = from(&[("TOLLGATE_LIMIT_WRONG_PASSWORDS", "600/10m")]).expect("good");
        assert_eq!(some.rule(Limit::WrongPasswords), rate(600, 600).map(Rule::SlidingWindow));
        assert_eq!(from(&[("TOLLGATE_LIMITS", "off")]).expect("good"), LimitSettings::off());
        for wrong in ["5", "0/s", "x/m", "5/0s", "5/5", "5/400d", "-1/s"] {
            assert!(from(&[("TOLLGATE_LIMIT_REQUESTS", wrong)]).is_err(), "{wrong}");
        }
        assert!(from(&[("TOLLGATE_REDIS_URL", "127.0.0.1")]).is_err());
    }
}
