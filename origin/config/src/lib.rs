//! Settings of the origin: flags override environment variables, these override `.env`, then
//! `tollgate.toml`, then the defaults.
//!
//! Every setting has one name, `TOLLGATE_…`; its flag and its key in the file are the same name
//! without the prefix, in lower case. An invalid value stops the start with one line that names the
//! setting and where it is set. Each setting is documented once, in the [table](Setting) that feeds
//! `--help`, the sample file and the check of `docs/settings.md`. A renamed setting keeps its old
//! name until 1.0; the start logs a warning.

mod accounts;
mod appearance;
mod checks;
mod grants;
mod hashing;
mod keys;
mod limits;
mod master_key;
mod network;
mod setting;
mod sources;
mod table;
mod telemetry;
mod tls;

pub use accounts::{AccountSettings, ExternalUsersSettings};
pub use appearance::{AppearanceSettings, Color};
pub use grants::{GrantSettings, LegacyGrants, RegistrationMode};
pub use hashing::HashSettings;
pub use limits::LimitSettings;
pub use master_key::MasterKeySource;
pub use network::Network;
pub use setting::{DefaultValue, FormerName, Group, Secrecy, Setting};
pub use sources::{DeprecatedSetting, SettingError, Source, Sources, Value};
pub use table::{GROUPS, all, find, sample, settings_file};
pub use telemetry::{OtlpSignals, TelemetrySettings};
pub use tls::{NamedFile, TlsClientAuth, TlsSettings};

use std::net::SocketAddr;
use std::time::Duration;

use tollgate_model::{Audience, IssuerUrl, KeyPolicy, MAX_TOKEN_LIFETIME, Malformed, Verifier};

use self::checks::{checked_address, checked_flag};

/// Seconds. Shorter-lived tokens expire before slow clients use them.
pub const MIN_TOKEN_LIFETIME: u64 = 10;

/// At `info`, sqlx logs every PostgreSQL notice.
const DEFAULT_LOG: &str = "info,sqlx=warn";

/// Seconds: one year, as browsers' preload lists require.
const DEFAULT_HSTS: u64 = 31_536_000;
const MAX_HSTS: u64 = 10 * DEFAULT_HSTS;
/// Seconds.
const MAX_SHUTDOWN_DRAIN: u64 = 300;

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address and port to listen on; port 0 selects a free port.
    pub listen: SocketAddr,
    /// `None` to serve HTTP.
    pub tls: Option<TlsSettings>,
    /// The default issuer without a trailing slash; `None` for the address listened on.
    pub public_url: Option<String>,
    /// `sqlite://FILE` or `postgres://…`.
    pub database_url: String,
    pub master_key: MasterKeySource,
    /// The audience of tokens of clients without a registered audience; `None` for the public URL.
    pub audience: Option<Audience>,
    /// What verifies the tokens of that audience, for a new database.
    pub verifier: Option<Verifier>,
    /// Lifetime of access tokens in seconds.
    pub token_lifetime: u64,
    /// Whether access tokens name their status list entry.
    pub status_list: bool,
    pub keys: KeyPolicy,
    pub grants: GrantSettings,
    pub hashing: HashSettings,
    pub limits: LimitSettings,
    /// The Redis server in which several origins share their rate limits: `redis://…` or
    /// `rediss://…`.
    pub redis_url: Option<String>,
    /// `max-age` of `Strict-Transport-Security` in seconds; 0 omits the header.
    pub hsts: u64,
    /// Concurrent connections.
    pub max_connections: usize,
    /// Whether requests for deltas must be signed with the key of a registered edge.
    pub registered_edges_only: bool,
    pub accounts: AccountSettings,
    pub appearance: AppearanceSettings,
    pub telemetry: TelemetrySettings,
    /// How long `/health/ready` answers 503 at shutdown before new connections are refused.
    pub shutdown_drain: Duration,
    /// What to log, in the syntax of tracing's `EnvFilter`.
    pub log: String,
    pub log_format: LogFormat,
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text, for people.
    Pretty,
    /// One JSON object per line.
    Json,
}

impl Settings {
    /// Parses and checks all settings.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn from_sources(sources: &Sources) -> Result<Settings, SettingError> {
        sources.reject_conflicting_names()?;
        let database_url = sources.parse("TOLLGATE_DATABASE_URL", checked_database_url)?;
        let token_lifetime = sources.parse("TOLLGATE_TOKEN_LIFETIME", checked_lifetime)?.unwrap_or(3600);
        let public_url = sources.parse("TOLLGATE_PUBLIC_URL", checked_public_url)?;
        let tls = TlsSettings::from_sources(sources)?;
        if tls.is_some() {
            TlsSettings::check_issuer(public_url.as_deref(), sources)?;
        }
        let verifier = sources.parse("TOLLGATE_VERIFIER", |text| text.parse::<Verifier>())?;
        let grants = GrantSettings::from_sources(sources)?;
        grants.check_verifier(verifier, sources)?;
        Ok(Settings {
            listen: sources
                .parse("TOLLGATE_LISTEN", checked_address)?
                .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080))),
            tls,
            public_url,
            database_url: database_url.unwrap_or_else(|| "sqlite://tollgate.db".to_owned()),
            master_key: MasterKeySource::from_sources(sources)?,
            audience: sources.parse("TOLLGATE_AUDIENCE", |text| text.parse::<Audience>())?,
            verifier,
            token_lifetime,
            status_list: sources.parse("TOLLGATE_STATUS_LIST", checked_flag)?.unwrap_or(true),
            keys: keys::policy(sources, token_lifetime)?,
            grants,
            hashing: HashSettings::from_sources(sources)?,
            limits: LimitSettings::from_sources(sources)?,
            redis_url: sources.parse("TOLLGATE_REDIS_URL", limits::checked_redis_url)?,
            hsts: sources.parse("TOLLGATE_HSTS", checked_hsts)?.unwrap_or(DEFAULT_HSTS),
            max_connections: sources.parse("TOLLGATE_MAX_CONNECTIONS", limits::checked_connections)?.unwrap_or(10_000),
            registered_edges_only: sources.parse("TOLLGATE_REGISTERED_EDGES_ONLY", checked_flag)?.unwrap_or(false),
            accounts: AccountSettings::from_sources(sources)?,
            appearance: AppearanceSettings::from_sources(sources)?,
            telemetry: TelemetrySettings::from_sources(sources)?,
            shutdown_drain: sources.parse("TOLLGATE_SHUTDOWN_DRAIN", checked_drain)?.unwrap_or_default(),
            log: sources.parse("TOLLGATE_LOG", checked_log)?.unwrap_or_else(|| DEFAULT_LOG.to_owned()),
            log_format: sources.parse("TOLLGATE_LOG_FORMAT", checked_log_format)?.unwrap_or(LogFormat::Pretty),
        })
    }

    /// Parses pairs of names and values as if they were the whole environment: for tests and
    /// embedding.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Settings, SettingError> {
        let pairs = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        let mut sources = Sources::from_environment(pairs);
        sources.read_secret_files()?;
        Settings::from_sources(&sources)
    }

    /// The issuer of an origin that listens on `bound`.
    #[must_use]
    pub fn issuer(&self, bound: SocketAddr) -> String {
        self.public_url.clone().unwrap_or_else(|| self.url(bound))
    }

    /// The URL of an origin that listens on `bound`.
    #[must_use]
    pub fn url(&self, bound: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{bound}")
    }
}

fn checked_public_url(text: &str) -> Result<String, Malformed> {
    text.parse::<IssuerUrl>().map(|url| url.to_string())
}

pub fn checked_database_url(text: &str) -> Result<String, &'static str> {
    if text.contains(":memory:") || text.contains("mode=memory") {
        return Err("must not be an in-memory database: revocations must survive a restart");
    }
    let is_supported = ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
    if is_supported { Ok(text.to_owned()) } else { Err("must begin with sqlite:// or postgres://") }
}

fn checked_lifetime(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok().filter(|seconds| (MIN_TOKEN_LIFETIME..=MAX_TOKEN_LIFETIME).contains(seconds));
    seconds.ok_or_else(|| format!("must be seconds, {MIN_TOKEN_LIFETIME} to {MAX_TOKEN_LIFETIME}"))
}

fn checked_hsts(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= MAX_HSTS);
    seconds.ok_or_else(|| format!("must be seconds, 0 to {MAX_HSTS}"))
}

fn checked_drain(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= MAX_SHUTDOWN_DRAIN);
    seconds.map(Duration::from_secs).ok_or_else(|| format!("must be seconds, 0 to {MAX_SHUTDOWN_DRAIN}"))
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
    fn defaults_are_valid() {
        let settings = from(&[]).expect("defaults");
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.issuer(settings.listen), "http://127.0.0.1:8080");
        assert_eq!(settings.database_url, "sqlite://tollgate.db");
        assert_eq!(settings.token_lifetime, 3600);
    }

    #[test]
    fn invalid_value_is_reported_in_one_line() {
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
            ("TOLLGATE_VERIFIER", "Spring"),
            ("TOLLGATE_MASTER_KEY", "short"),
            ("TOLLGATE_LOG_FORMAT", "xml"),
        ] {
            let error = from(&[(name, value)]).expect_err(name).to_string();
            assert!(error.starts_with(&format!("{name} (environment)")), "{error}");
            assert!(!error.contains('\n') && !error.contains("short"), "{error}");
        }
    }

    #[test]
    fn issuer_has_no_trailing_slash() {
        let settings = from(&[("TOLLGATE_PUBLIC_URL", "https://auth.example/")]).expect("good");
        assert_eq!(settings.public_url.as_deref(), Some("https://auth.example"));
    }
}
