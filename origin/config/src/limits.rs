//! The settings of limits: how often what may be asked for, how many may be connected, and where origins share their limits.

use std::time::Duration;

use tollgate_model::rate_limit::{Limit, Rate, Rule};

use super::table::{Secrecy, Setting};
use super::{SettingError, Sources};

pub(super) const EXPLAINED: [Setting; 12] = [
    Setting::new("TOLLGATE_LIMITS", "limits", "Whether there are any limits").of("on or off", "off").or("on"),
    Setting::new("TOLLGATE_LIMIT_REQUESTS", "limit-requests", "Requests of an address")
        .of(RATE, "600/1m")
        .or("120000/1m"),
    Setting::new(
        "TOLLGATE_LIMIT_STARTS",
        "limit-starts",
        "Authorization requests, pushed ones and device codes of an address",
    )
    .of(RATE, "60/1m")
    .or("6000/1m"),
    Setting::new(
        "TOLLGATE_LIMIT_REGISTRATIONS",
        "limit-registrations",
        "Registrations of clients and users by an address",
    )
    .of(RATE, "20/1d")
    .or("300/1h"),
    Setting::new("TOLLGATE_LIMIT_CLIENT", "limit-client", "Requests of a client that authenticated")
        .of(RATE, "100/1s")
        .or("120000/1m"),
    Setting::new("TOLLGATE_LIMIT_SECRETS", "limit-secrets", "Wrong client secrets of an address")
        .of(RATE, "off")
        .or("600/1m"),
    Setting::new("TOLLGATE_LIMIT_CLIENT_SECRETS", "limit-client-secrets", "Wrong secrets of one client by an address")
        .of(RATE, "10/10m")
        .or("60/1m"),
    Setting::new("TOLLGATE_LIMIT_SIGN_INS", "limit-sign-ins", "Sign-ins by an address, right or wrong")
        .of(RATE, "100/10m")
        .or("1000/10m"),
    Setting::new("TOLLGATE_LIMIT_WRONG_PASSWORDS", "limit-wrong-passwords", "Wrong passwords of an address")
        .of(RATE, "50/10m")
        .or("300/10m"),
    Setting::new("TOLLGATE_LIMIT_ACCOUNT", "limit-account", "Wrong passwords for an account by strangers")
        .of(RATE, "20/1h")
        .or("100/1h"),
    Setting::new("TOLLGATE_REDIS_URL", "redis-url", "Where several origins share their limits")
        .of("redis://… or rediss://…", "redis://redis:6379")
        .otherwise("none: each has its own")
        .secrecy(Secrecy::Url),
    Setting::new("TOLLGATE_MAX_CONNECTIONS", "max-connections", "Connections at once; further ones wait")
        .of("16 to 1000000", "2000")
        .or("10000"),
];

/// How a limit is written.
const RATE: &str = "COUNT/TIME or off";

/// How often what may be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    rules: [Option<Rule>; Limit::ALL.len()],
}

/// Each limit that can be set: the setting's name, and by default how many in how many seconds.
const RATES: [(Limit, &str, u32, u64); 9] = [
    (Limit::Requests, "TOLLGATE_LIMIT_REQUESTS", 120_000, 60),
    (Limit::Starts, "TOLLGATE_LIMIT_STARTS", 6000, 60),
    (Limit::Registrations, "TOLLGATE_LIMIT_REGISTRATIONS", 300, 3600),
    (Limit::Client, "TOLLGATE_LIMIT_CLIENT", 120_000, 60),
    (Limit::Secrets, "TOLLGATE_LIMIT_SECRETS", 600, 60),
    (Limit::ClientSecrets, "TOLLGATE_LIMIT_CLIENT_SECRETS", 60, 60),
    (Limit::SignIns, "TOLLGATE_LIMIT_SIGN_INS", 1000, 600),
    (Limit::WrongPasswords, "TOLLGATE_LIMIT_WRONG_PASSWORDS", 300, 600),
    (Limit::Account, "TOLLGATE_LIMIT_ACCOUNT", 100, 3600),
];

/// Whether a limit is on what should not happen; such a one slides, and the others are buckets.
fn slides(limit: Limit) -> bool {
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
    /// No limits at all.
    #[must_use]
    pub fn off() -> LimitSettings {
        LimitSettings { rules: Default::default() }
    }

    /// The rule of a limit, if it is on.
    #[must_use]
    pub fn rule(&self, limit: Limit) -> Option<Rule> {
        self.rules[limit as usize]
    }

    fn set(&mut self, limit: Limit, rate: Option<Rate>) {
        self.rules[limit as usize] = rate.map(if slides(limit) { Rule::Window } else { Rule::Bucket });
    }

    pub(super) fn from_sources(sources: &Sources) -> Result<LimitSettings, SettingError> {
        let mut settings = LimitSettings::default();
        for (limit, name, ..) in RATES {
            if let Some(rate) = sources.parse(name, rate)? {
                settings.set(limit, rate);
            }
        }
        let on = sources.parse("TOLLGATE_LIMITS", |text| match text {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err("must be on or off"),
        })?;
        Ok(if on.unwrap_or(true) { settings } else { LimitSettings::off() })
    }
}

/// `COUNT/PERIOD`, as in `600/10m`; `off` for none.
fn rate(text: &str) -> Result<Option<Rate>, &'static str> {
    const WRONG: &str = "must be off, or a number and a time like 600/10m or 100/30s";
    if text == "off" {
        return Ok(None);
    }
    let (count, period) = text.split_once('/').ok_or(WRONG)?;
    let unit = |suffix: char, seconds: u64| Some((period.strip_suffix(suffix)?, seconds));
    let known = [unit('s', 1), unit('m', 60), unit('h', 3600), unit('d', 86400)];
    let (number, unit) = known.into_iter().flatten().next().ok_or(WRONG)?;
    let number: u64 = if number.is_empty() { 1 } else { number.parse().map_err(|_| WRONG)? };
    let seconds = number.checked_mul(unit).ok_or(WRONG)?;
    let rate = Rate::new(count.parse().map_err(|_| WRONG)?, Duration::from_secs(seconds));
    rate.map(Some).ok_or(WRONG)
}

/// `redis://…`, or `rediss://…` over TLS.
pub(super) fn redis_url(text: &str) -> Result<String, &'static str> {
    match text.starts_with("redis://") || text.starts_with("rediss://") {
        true => Ok(text.to_owned()),
        false => Err("must begin with redis:// or rediss://"),
    }
}

pub(super) fn connections(text: &str) -> Result<usize, &'static str> {
    let number = text.parse().ok().filter(|number| (16..=1_000_000).contains(number));
    number.ok_or("must be a number of connections, 16 to 1000000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_set_one_by_one_or_switched_off() {
        let from = |pairs: &[(&str, &str)]| {
            super::super::Settings::from_pairs(pairs.iter().copied()).map(|settings| settings.limits)
        };
        let rate = |count, seconds| Rate::new(count, Duration::from_secs(seconds));
        let usual = from(&[]).expect("good");
        assert_eq!(usual, LimitSettings::default());
        assert!(Limit::ALL.into_iter().all(|limit| usual.rule(limit).is_some()), "all are on");
        let some = from(&[("TOLLGATE_LIMIT_SIGN_INS", "5/s"), ("TOLLGATE_LIMIT_ACCOUNT", "off")]).expect("good");
        assert_eq!(some.rule(Limit::SignIns), rate(5, 1).map(Rule::Bucket));
        assert_eq!(some.rule(Limit::Account), None);
        let some = from(&[("TOLLGATE_LIMIT_WRONG_PASSWORDS", "600/10m")]).expect("good");
        assert_eq!(some.rule(Limit::WrongPasswords), rate(600, 600).map(Rule::Window));
        assert_eq!(from(&[("TOLLGATE_LIMITS", "off")]).expect("good"), LimitSettings::off());
        for wrong in ["5", "0/s", "x/m", "5/0s", "5/5", "5/400d", "-1/s"] {
            assert!(from(&[("TOLLGATE_LIMIT_REQUESTS", wrong)]).is_err(), "{wrong}");
        }
        assert!(from(&[("TOLLGATE_REDIS_URL", "127.0.0.1")]).is_err());
    }
}
