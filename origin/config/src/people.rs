//! The settings of people: whether they may make accounts, and who else may vouch for them.

use std::fmt;
use std::time::Duration;

use tollgate_model::OutboundUrl;
use zeroize::Zeroizing;

use super::table::{Secrecy, Setting};
use super::{SettingError, Sources, checked_flag};

/// `TOLLGATE_USERS_API_TIMEOUT` by default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// Seconds that an API of users has at most: the person waits so long.
const MAX_PATIENCE: u64 = 10;

pub(super) const EXPLAINED: [Setting; 4] = [
    Setting::new("TOLLGATE_SIGN_UP", "sign-up", "Whether people may make accounts at /register")
        .of("true or false", "true")
        .or("false"),
    Setting::new(
        "TOLLGATE_USERS_API_URL",
        "users-api-url",
        "Where names and passwords are posted that no local user has",
    )
    .of("URL, https unless on a loopback address", "https://users.example/check")
    .secrecy(Secrecy::Url),
    Setting::new("TOLLGATE_USERS_API_TIMEOUT", "users-api-timeout", "How long it has to answer")
        .of("seconds, 1 to 10", "3")
        .or("5"),
    Setting::new("TOLLGATE_USERS_API_SECRET", "users-api-secret", "What the origin shows it as a bearer token")
        .of("ASCII characters without spaces", "0f3a9c41d7")
        .secrecy(Secrecy::Secret),
];

/// The settings of people, checked.
#[derive(Debug, Clone)]
pub struct PeopleSettings {
    /// Whether people may make accounts for themselves.
    pub sign_up: bool,
    /// Who else knows users, if somebody does.
    pub users_api: Option<UsersApiSettings>,
}

/// An HTTP API that knows users.
#[derive(Clone)]
pub struct UsersApiSettings {
    /// Where names and passwords are posted.
    pub url: OutboundUrl,
    /// How long it has to answer.
    pub timeout: Duration,
    /// What this origin shows it, as a bearer token.
    pub secret: Option<Zeroizing<String>>,
}

impl fmt::Debug for UsersApiSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsersApiSettings")
            .field("url", &self.url)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl PeopleSettings {
    pub(super) fn from_sources(sources: &Sources) -> Result<PeopleSettings, SettingError> {
        let url = sources.parse("TOLLGATE_USERS_API_URL", |text| text.parse::<OutboundUrl>())?;
        let timeout = sources.parse("TOLLGATE_USERS_API_TIMEOUT", patience)?.unwrap_or(DEFAULT_TIMEOUT);
        let secret = sources.parse("TOLLGATE_USERS_API_SECRET", secret)?;
        Ok(PeopleSettings {
            sign_up: sources.parse("TOLLGATE_SIGN_UP", checked_flag)?.unwrap_or(false),
            users_api: url.map(|url| UsersApiSettings { url, timeout, secret }),
        })
    }
}

fn patience(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (1..=MAX_PATIENCE).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| format!("must be seconds, 1 to {MAX_PATIENCE}"))
}

/// What a header can carry (RFC 6750 §2.1).
fn secret(text: &str) -> Result<Zeroizing<String>, &'static str> {
    match text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(Zeroizing::new(text.to_owned())),
        false => Err("must be ASCII characters without spaces"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;

    #[test]
    fn passwords_travel_over_tls_or_not_at_all() {
        let from = |pairs: &[(&str, &str)]| Settings::from_pairs(pairs.iter().copied());
        for url in ["https://users.example/check", "http://127.0.0.1:9000/check", "http://[::1]/check"] {
            let people =
                from(&[("TOLLGATE_USERS_API_URL", url), ("TOLLGATE_USERS_API_SECRET", "s3cret")]).expect(url).people;
            assert_eq!(people.users_api.as_ref().expect("set").timeout.as_secs(), 5);
            assert!(!format!("{people:?}").contains("s3cret"), "settings may be shown");
        }
        for (name, value) in [
            ("TOLLGATE_USERS_API_URL", "http://users.example/check"),
            ("TOLLGATE_USERS_API_URL", "users.example"),
            ("TOLLGATE_USERS_API_TIMEOUT", "0"),
            ("TOLLGATE_USERS_API_TIMEOUT", "11"),
            ("TOLLGATE_USERS_API_SECRET", "two words"),
            ("TOLLGATE_SIGN_UP", "yes"),
        ] {
            let error = from(&[(name, value)]).expect_err(name).to_string();
            assert!(error.starts_with(name) && !error.contains("two words"), "{error}");
        }
        assert!(!from(&[]).expect("good").people.sign_up);
    }
}
