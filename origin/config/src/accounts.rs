//! The settings of user accounts: sign-up and the external user directory.

use std::fmt;
use std::time::Duration;

use tollgate_model::OutboundUrl;
use zeroize::Zeroizing;

use super::checks::checked_flag;
use super::setting::{Secrecy, Setting};
use super::sources::{SettingError, Sources};

const DEFAULT_EXTERNAL_USERS_TIMEOUT: Duration = Duration::from_secs(5);
/// Seconds; a person waits this long at sign-in.
const MAX_EXTERNAL_USERS_TIMEOUT: u64 = 10;

pub(super) const SETTINGS: [Setting; 4] = [
    Setting::new("TOLLGATE_SIGN_UP", "sign-up", "Whether users can create accounts at /register")
        .allowed_values("true or false", "true")
        .default("false"),
    Setting::new(
        "TOLLGATE_USERS_API_URL",
        "users-api-url",
        "URL of the external user directory (POST, username and password), asked for users unknown to the origin",
    )
    .allowed_values("https URL, or http on a loopback address", "https://users.example/check")
    .secrecy(Secrecy::Url),
    Setting::new("TOLLGATE_USERS_API_TIMEOUT", "users-api-timeout", "How long to wait for its response")
        .allowed_values("seconds, 1 to 10", "3")
        .default("5"),
    Setting::new("TOLLGATE_USERS_API_SECRET", "users-api-secret", "Bearer token that the origin sends to it")
        .allowed_values("ASCII characters without spaces", "0f3a9c41d7")
        .secrecy(Secrecy::Secret),
];

/// Whether users can create accounts, and the external user directory.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    /// Whether users can create accounts themselves.
    pub sign_up: bool,
    /// The external user directory, if there is one.
    pub external_users: Option<ExternalUsersSettings>,
}

/// An external user directory: an HTTP API that checks names and passwords.
#[derive(Clone)]
pub struct ExternalUsersSettings {
    /// Where names and passwords are posted.
    pub url: OutboundUrl,
    /// How long to wait for a response.
    pub timeout: Duration,
    /// The bearer token that the origin sends.
    pub secret: Option<Zeroizing<String>>,
}

impl fmt::Debug for ExternalUsersSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalUsersSettings")
            .field("url", &self.url)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl AccountSettings {
    pub(super) fn from_sources(sources: &Sources) -> Result<AccountSettings, SettingError> {
        let url = sources.parse("TOLLGATE_USERS_API_URL", |text| text.parse::<OutboundUrl>())?;
        let timeout = sources.parse("TOLLGATE_USERS_API_TIMEOUT", checked_timeout)?;
        let timeout = timeout.unwrap_or(DEFAULT_EXTERNAL_USERS_TIMEOUT);
        let secret = sources.parse("TOLLGATE_USERS_API_SECRET", checked_bearer_token)?;
        Ok(AccountSettings {
            sign_up: sources.parse("TOLLGATE_SIGN_UP", checked_flag)?.unwrap_or(false),
            external_users: url.map(|url| ExternalUsersSettings { url, timeout, secret }),
        })
    }
}

fn checked_timeout(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (1..=MAX_EXTERNAL_USERS_TIMEOUT).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| format!("must be seconds, 1 to {MAX_EXTERNAL_USERS_TIMEOUT}"))
}

/// RFC 6750 §2.1
fn checked_bearer_token(text: &str) -> Result<Zeroizing<String>, &'static str> {
    match text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(Zeroizing::new(text.to_owned())),
        false => Err("must be ASCII characters without spaces"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;

    #[test]
    fn external_users_api_must_use_tls_and_its_secret_is_not_printed() {
        let from = |pairs: &[(&str, &str)]| Settings::from_pairs(pairs.iter().copied());
        for url in ["https://users.example/check", "http://127.0.0.1:9000/check", "http://[::1]/check"] {
            let settings = from(&[("TOLLGATE_USERS_API_URL", url), ("TOLLGATE_USERS_API_SECRET", "s3cret")]);
            let accounts = settings.expect(url).accounts;
            assert_eq!(accounts.external_users.as_ref().expect("set").timeout.as_secs(), 5);
            assert!(!format!("{accounts:?}").contains("s3cret"));
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
        assert!(!from(&[]).expect("defaults").accounts.sign_up);
    }
}
