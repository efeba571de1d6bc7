//! What the process was told: flags, over environment variables, over `.env`, over `tollgate.toml`, over defaults.
//!
//! Every setting has one name, `TOLLGATE_…`; a flag and a key of the file are the same name without the prefix, in small
//! letters. A value that cannot be used stops the start with one line that names the setting and where the value stands. Each is
//! explained once, in the table that `--help` and all else is made of.

mod appearance;
mod grants;
mod hashing;
mod keys;
mod limits;
mod master_key;
mod people;
mod sources;
mod table;
mod tls;
mod watch;

pub use appearance::{AppearanceSettings, Color};
pub use grants::{GrantSettings, Network, Registration};
pub use hashing::HashSettings;
pub use limits::LimitSettings;
pub use master_key::MasterKeySource;
pub use people::{PeopleSettings, UsersApiSettings};
pub use sources::{Source, Sources, Value};
pub use table::{Default, GROUPS, Group, Secrecy, Setting, all, find, sample};
pub use tls::{Asks, NamedFile, TlsSettings};
pub use watch::WatchSettings;

use std::fmt;
use std::net::SocketAddr;

use tollgate_model::{Audience, IssuerUrl, KeyPolicy, MAX_TOKEN_LIFETIME, Malformed};

/// `TOLLGATE_TOKEN_LIFETIME` at least: shorter ones expire before a slow client has used them.
pub const MIN_TOKEN_LIFETIME: u64 = 10;

/// `TOLLGATE_LOG` by default; sqlx tells of every notice of PostgreSQL at `info`.
const DEFAULT_LOG: &str = "info,sqlx=warn";

/// `TOLLGATE_HSTS` by default, in seconds: a year, as browsers' preload lists ask for.
const HSTS: u64 = 31_536_000;
/// `TOLLGATE_HSTS` at most.
const MAX_HSTS: u64 = 10 * HSTS;

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The certificates with which HTTPS is answered there; HTTP without.
    pub tls: Option<TlsSettings>,
    /// The default issuer, if it was set, without a trailing slash. Unset, it is the address listened on.
    pub public_url: Option<String>,
    /// `sqlite://FILE` or `postgres://…`.
    pub database_url: String,
    /// Where the master key is.
    pub master_key: MasterKeySource,
    /// The audience of tokens of clients that have none of their own; the public URL if unset.
    pub audience: Option<Audience>,
    /// How long tokens live, in seconds.
    pub token_lifetime: u64,
    /// Whether access tokens say in which status list they stand.
    pub status_list: bool,
    /// When keys are replaced.
    pub keys: KeyPolicy,
    /// How long grants last, who may register, and which proxies are believed.
    pub grants: GrantSettings,
    /// What a password's hash costs, and how many are made at once.
    pub hashing: HashSettings,
    /// How often what may be asked for.
    pub limits: LimitSettings,
    /// The Redis server in which origins share their limits: `redis://…` or `rediss://…`.
    pub redis_url: Option<String>,
    /// How long browsers are told to come by https alone, in seconds; 0 to tell them nothing.
    pub hsts: u64,
    /// How many may be connected at once.
    pub max_connections: usize,
    /// Whether people may make accounts, and who else may vouch for them.
    pub people: PeopleSettings,
    /// The languages of pages, and the team's name, logo and accent colour.
    pub appearance: AppearanceSettings,
    /// Where figures and traces go, and how it ends.
    pub watch: WatchSettings,
    /// What to log, in the syntax of tracing's `EnvFilter`.
    pub log: String,
    /// How to log.
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// A setting cannot be used. One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// The setting's name.
    pub name: String,
    /// Where its value stands; none for a default.
    pub source: Option<Source>,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{} ({source}): {}", self.name, self.problem),
            None => write!(f, "{}: {}", self.name, self.problem),
        }
    }
}

impl std::error::Error for SettingError {}

impl Settings {
    /// Checks the settings that the sources give.
    ///
    /// # Errors
    /// The first one that cannot be used.
    pub fn from_sources(sources: &Sources) -> Result<Settings, SettingError> {
        let database_url = sources.parse("TOLLGATE_DATABASE_URL", checked_database_url)?;
        let token_lifetime = sources.parse("TOLLGATE_TOKEN_LIFETIME", checked_lifetime)?.unwrap_or(3600);
        let public_url = sources.parse("TOLLGATE_PUBLIC_URL", checked_public_url)?;
        let tls = TlsSettings::from_sources(sources)?;
        if tls.is_some() {
            TlsSettings::check_issuer(public_url.as_deref(), sources)?;
        }
        Ok(Settings {
            listen: sources
                .parse("TOLLGATE_LISTEN", checked_address)?
                .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080))),
            tls,
            public_url,
            database_url: database_url.unwrap_or_else(|| "sqlite://tollgate.db".to_owned()),
            master_key: MasterKeySource::from_sources(sources)?,
            audience: sources.parse("TOLLGATE_AUDIENCE", |text| text.parse::<Audience>())?,
            token_lifetime,
            status_list: sources.parse("TOLLGATE_STATUS_LIST", checked_flag)?.unwrap_or(true),
            keys: keys::policy(sources, token_lifetime)?,
            grants: GrantSettings::from_sources(sources)?,
            hashing: HashSettings::from_sources(sources)?,
            limits: LimitSettings::from_sources(sources)?,
            redis_url: sources.parse("TOLLGATE_REDIS_URL", limits::redis_url)?,
            hsts: sources.parse("TOLLGATE_HSTS", checked_hsts)?.unwrap_or(HSTS),
            max_connections: sources.parse("TOLLGATE_MAX_CONNECTIONS", limits::connections)?.unwrap_or(10_000),
            people: PeopleSettings::from_sources(sources)?,
            appearance: AppearanceSettings::from_sources(sources)?,
            watch: WatchSettings::from_sources(sources)?,
            log: sources.parse("TOLLGATE_LOG", checked_log)?.unwrap_or_else(|| DEFAULT_LOG.to_owned()),
            log_format: sources.parse("TOLLGATE_LOG_FORMAT", checked_log_format)?.unwrap_or(LogFormat::Pretty),
        })
    }

    /// Settings from pairs of names and values alone, as if they stood in the environment: for tests and embedders.
    ///
    /// # Errors
    /// The first one that cannot be used.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Settings, SettingError> {
        Settings::from_sources(&Sources::from_environment(
            pairs.into_iter().map(|(name, value)| (name.into(), value.into())),
        ))
    }

    /// The issuer when listening on `bound`.
    #[must_use]
    pub fn issuer(&self, bound: SocketAddr) -> String {
        self.public_url.clone().unwrap_or_else(|| self.url(bound))
    }

    /// Where it answers when listening on `bound`.
    #[must_use]
    pub fn url(&self, bound: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{bound}")
    }
}

fn checked_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an address and a port, e.g. 127.0.0.1:8080")
}

fn checked_public_url(text: &str) -> Result<String, Malformed> {
    text.parse::<IssuerUrl>().map(|url| url.to_string())
}

pub fn checked_database_url(text: &str) -> Result<String, &'static str> {
    if text.contains(":memory:") || text.contains("mode=memory") {
        return Err("cannot be a database in memory: revocations must outlive the process");
    }
    let known = ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
    if known { Ok(text.to_owned()) } else { Err("must begin with sqlite:// or postgres://") }
}

fn checked_lifetime(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok().filter(|seconds| (MIN_TOKEN_LIFETIME..=MAX_TOKEN_LIFETIME).contains(seconds));
    seconds.ok_or_else(|| format!("must be seconds, {MIN_TOKEN_LIFETIME} to {MAX_TOKEN_LIFETIME}"))
}

fn checked_hsts(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= MAX_HSTS);
    seconds.ok_or_else(|| format!("must be seconds, 0 to {MAX_HSTS}"))
}

fn checked_flag(text: &str) -> Result<bool, &'static str> {
    text.parse().map_err(|_| "must be true or false")
}

fn checked_log(text: &str) -> Result<String, String> {
    let filter = text.parse::<tracing_subscriber::EnvFilter>();
    filter.map(|_| text.to_owned()).map_err(|error| format!("is not a log filter: {error}"))
}

fn checked_log_format(text: &str) -> Result<LogFormat, &'static str> {
    match text {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be pretty or json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Settings, SettingError> {
        Settings::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn defaults_serve_a_newcomer() {
        let settings = from(&[]).expect("defaults are good");
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.issuer(settings.listen), "http://127.0.0.1:8080");
        assert_eq!(settings.database_url, "sqlite://tollgate.db");
        assert_eq!(settings.token_lifetime, 3600);
    }

    #[test]
    fn bad_values_are_named_in_one_line() {
        for (name, value) in [
            ("TOLLGATE_LISTEN", "8080"),
            ("TOLLGATE_PUBLIC_URL", "https://auth.example/oauth"),
            ("TOLLGATE_PUBLIC_URL", "ftp://auth.example"),
            ("TOLLGATE_DATABASE_URL", "mysql://db"),
            ("TOLLGATE_DATABASE_URL", "sqlite::memory:"),
            ("TOLLGATE_TOKEN_LIFETIME", "0"),
            ("TOLLGATE_TOKEN_LIFETIME", "86401"),
            ("TOLLGATE_KEY_ROTATION", "1"),
            ("TOLLGATE_KEY_ROTATION", "90 days"),
            ("TOLLGATE_KEY_PUBLISH_AHEAD", "0"),
            ("TOLLGATE_AUDIENCE", "two words"),
            ("TOLLGATE_MASTER_KEY", "short"),
            ("TOLLGATE_LOG_FORMAT", "xml"),
        ] {
            let error = from(&[(name, value)]).expect_err(name).to_string();
            assert!(error.starts_with(&format!("{name} (environment)")), "{error}");
            assert!(!error.contains('\n') && !error.contains("short"), "{error}");
        }
    }

    #[test]
    fn a_trailing_slash_is_not_part_of_the_issuer() {
        let settings = from(&[("TOLLGATE_PUBLIC_URL", "https://auth.example/")]).expect("good");
        assert_eq!(settings.public_url.as_deref(), Some("https://auth.example"));
    }
}
