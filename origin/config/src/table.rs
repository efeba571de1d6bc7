//! The table of all settings.
//!
//! `--help`, `tollgate config sample` and `tollgate config show` are made from it, the settings
//! file and the environment are checked against it, and a test compares `docs/settings.md` with it.

use std::path::Path;

use super::setting::{DefaultValue, Group, Secrecy, Setting};
use super::sources::{SettingError, Sources};
use super::{accounts, appearance, grants, hashing, keys, limits, telemetry, tls};

/// All settings, in the order in which they are documented.
pub const GROUPS: [Group; 10] = [
    Group { heading: "Server", settings: &SERVER },
    Group { heading: "HTTPS", settings: &tls::SETTINGS },
    Group { heading: "Tokens and grants", settings: &grants::SETTINGS },
    Group { heading: "Accounts", settings: &accounts::SETTINGS },
    Group { heading: "Pages", settings: &appearance::SETTINGS },
    Group { heading: "Password hashing", settings: &hashing::SETTINGS },
    Group { heading: "Rate limits", settings: &limits::SETTINGS },
    Group { heading: "Keys", settings: &keys::SETTINGS },
    Group { heading: "Telemetry", settings: &telemetry::SETTINGS },
    Group { heading: "Logs", settings: &LOGS },
];

const SERVER: [Setting; 7] = [
    Setting::new("TOLLGATE_LISTEN", "listen", "Address and port to listen on")
        .allowed_values("address and port", "0.0.0.0:8080")
        .default("127.0.0.1:8080"),
    Setting::new(
        "TOLLGATE_PUBLIC_URL",
        "public-url",
        "The issuer: the URL by which clients and edges reach the origin",
    )
    .allowed_values("URL", "https://auth.example")
    .default_description("http:// or https:// and the address listened on")
    .common(),
    Setting::new(
        "TOLLGATE_HSTS",
        "hsts",
        "How long browsers use https only (Strict-Transport-Security), if the public URL is https with a host name",
    )
    .allowed_values("seconds, 0 to switch it off", "86400")
    .default("31536000"),
    Setting::new(
        "TOLLGATE_TRUSTED_PROXIES",
        "trusted-proxies",
        "Trusted proxies: their X-Forwarded-For and client certificate headers are believed",
    )
    .allowed_values("addresses or ranges, comma-separated", "10.0.0.0/8, ::1"),
    Setting::new(
        "TOLLGATE_CLIENT_CERTIFICATE_HEADER",
        "client-certificate-header",
        "Header in which trusted proxies forward client certificates; they must remove it from incoming requests",
    )
    .allowed_values("header name", "client-cert"),
    Setting::new("TOLLGATE_DATABASE_URL", "database-url", "The database: a SQLite file, or PostgreSQL")
        .allowed_values("sqlite://FILE or postgres://…", "postgres://tollgate@db/tollgate?sslmode=verify-full")
        .default("sqlite://tollgate.db")
        .secrecy(Secrecy::Url)
        .common(),
    Setting::new(
        "TOLLGATE_SHUTDOWN_DRAIN",
        "shutdown-drain",
        "How long /health/ready answers 503 at shutdown while requests are still served, so that load balancers notice",
    )
    .allowed_values("seconds, 0 to 300", "10")
    .default("0")
    .formerly("TOLLGATE_DRAIN", "drain"),
];

const LOGS: [Setting; 2] = [
    Setting::new("TOLLGATE_LOG", "log", "What to log, by level and module")
        .allowed_values("filter in the syntax of tracing's EnvFilter", "info,tollgate=debug")
        .default("info,sqlx=warn")
        .common(),
    Setting::new("TOLLGATE_LOG_FORMAT", "log-format", "Log format: text lines, or one JSON object a line")
        .allowed_values("pretty or json", "json")
        .default("pretty")
        .common(),
];

/// All settings, in the order in which they are documented.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|group| group.settings)
}

/// The setting of this name; deprecated names are not found.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.name == name)
}

impl Sources {
    /// Reads all sources: `flags`, the environment, `.env` in the working directory, and the TOML
    /// file (`file` if a flag names it; else `tollgate.toml` if it exists).
    ///
    /// # Errors
    /// If a file cannot be read, or the settings file contains an unknown setting.
    pub fn read(flags: Vec<(String, String)>, file: Option<&Path>) -> Result<Sources, SettingError> {
        Sources::read_for(&GROUPS, flags, file)
    }

    /// Reads the environment and `.env` in the working directory: what overrides a settings file.
    ///
    /// # Errors
    /// If `.env` or the file of a secret cannot be read.
    pub fn read_without_file() -> Result<Sources, SettingError> {
        let mut sources = Sources::read_without_file_for(&GROUPS, Vec::new())?;
        sources.read_secret_files()?;
        Ok(sources)
    }

    /// Only these environment variables.
    #[must_use]
    pub fn from_environment(variables: impl IntoIterator<Item = (String, String)>) -> Sources {
        Sources::from_environment_for(&GROUPS, variables)
    }

    /// Only a settings file with this text.
    #[cfg(test)]
    pub(super) fn from_file(text: &str) -> Result<Sources, SettingError> {
        Sources::from_file_for(&GROUPS, text)
    }
}

/// A settings file with every setting and its documentation, commented out, so that later versions
/// can change defaults. The value is the default, or an example if no value expresses the default.
#[must_use]
pub fn sample() -> String {
    settings_file(&[])
}

/// The [`sample`] with these settings, by name, set to these values.
#[must_use]
pub fn settings_file(values: &[(&str, &str)]) -> String {
    let mut text = String::from(
        "# Settings of tollgate. Flags and the environment (TOLLGATE_…, also in .env) override this file.\n\
         # Remove the # before a setting to change it.\n",
    );
    for group in GROUPS {
        text.push_str(&format!("\n# {}\n", group.heading));
        for setting in group.settings {
            let (note, value) = match setting.default {
                DefaultValue::Value(value) => (format!("for example {}", setting.example), value),
                DefaultValue::Description(description) => (format!("default: {description}"), setting.example),
            };
            let (meaning, allowed_values) = (setting.meaning, setting.allowed_values);
            let line = match values.iter().find(|(name, _)| *name == setting.name) {
                Some((_, set)) => format!("{} = {}", setting.key(), toml::Value::String((*set).to_owned())),
                None => format!("#{} = \"{value}\"", setting.key()),
            };
            text.push_str(&format!("\n# {meaning}.\n# {allowed_values}; {note}\n{line}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Settings;
    use crate::setting::FormerName;

    fn settings_of(text: &str) -> Settings {
        Settings::from_sources(&Sources::from_file(text).expect("a settings file")).expect("valid settings")
    }

    #[test]
    fn names_flags_and_keys_correspond() {
        let names: BTreeSet<&str> = all().map(|setting| setting.name).collect();
        assert_eq!(names.len(), all().count(), "each name is used once");
        let name_of = |flag: &str| format!("TOLLGATE_{}", flag.replace('-', "_").to_uppercase());
        for setting in all() {
            assert_eq!(setting.name, name_of(setting.flag));
            assert!(!setting.meaning.is_empty() && !setting.meaning.ends_with('.'));
            assert!(!setting.allowed_values.is_empty() && !setting.example.is_empty(), "{}", setting.name);
        }
        let former: Vec<FormerName> = all().filter_map(|setting| setting.former).collect();
        for FormerName { name, flag } in &former {
            assert_eq!(*name, name_of(flag));
            assert!(find(name).is_none(), "{name}");
        }
        let former_names: BTreeSet<&str> = former.iter().map(|former| former.name).collect();
        assert_eq!(former_names.len(), former.len(), "each former name is used once");
    }

    #[test]
    fn sample_file_changes_no_setting() {
        let defaults = format!("{:?}", settings_of(""));
        assert_eq!(format!("{:?}", settings_of(&sample())), defaults);
        // The same is true if the default values that it shows are set.
        let is_default = |line: &&str| {
            all().any(|setting| {
                matches!(setting.default, DefaultValue::Value(value) if *line == format!("#{} = \"{value}\"", setting.key()))
            })
        };
        let sample = sample();
        let set: Vec<&str> = sample.lines().filter(is_default).map(|line| line.trim_start_matches('#')).collect();
        assert!(set.len() > 10, "{set:?}");
        // Only the source of the master key file's name differs.
        let without_source = |text: String| text.replace("named_by: Some(File(\"tollgate.toml\"))", "named_by: None");
        assert_eq!(without_source(format!("{:?}", settings_of(&set.join("\n")))), defaults);
    }

    #[test]
    fn settings_file_sets_the_given_values_only() {
        let odd = r#"sqlite:///srv/a "quoted"\ folder/tollgate.db"#;
        let text = settings_file(&[("TOLLGATE_DATABASE_URL", odd), ("TOLLGATE_LISTEN", "127.0.0.1:1")]);
        let settings = settings_of(&text);
        assert_eq!((settings.database_url.as_str(), settings.listen.port()), (odd, 1));
        let is_set = |line: &&str| !line.is_empty() && !line.starts_with('#');
        assert_eq!(text.lines().filter(is_set).count(), 2);
    }

    #[test]
    fn env_example_is_in_step_with_the_table() {
        let text = include_str!("../../../.env.example");
        let is_line = |line: &&str| line.trim_start_matches('#').starts_with("TOLLGATE_");
        let lines: Vec<&str> = text.lines().filter(is_line).map(|line| line.trim_start_matches('#')).collect();
        assert!(lines.len() > 10, "{lines:?}");
        let parsed = dotenvy::from_read_iter(lines.join("\n").as_bytes()).collect::<Result<Vec<_>, _>>();
        let pairs = parsed.expect("each line is NAME=VALUE");
        for (name, _) in &pairs {
            assert!(find(name).is_some(), "{name} is no setting");
        }
        Settings::from_pairs(pairs).expect("all of them together are valid");
        // Names in comments exist, too.
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for name in words.filter(|word| word.starts_with("TOLLGATE_")) {
            assert!(find(name).is_some(), "{name} is no setting");
        }
    }

    #[test]
    fn examples_are_valid() {
        for setting in all() {
            let settings = Settings::from_pairs([(setting.name, setting.example)]);
            let needs_another =
                setting.name == "TOLLGATE_CLIENT_CERTIFICATE_HEADER" || setting.name.starts_with("TOLLGATE_TLS_");
            assert_eq!(settings.err().map(|error| error.to_string()).is_some(), needs_another, "{}", setting.name);
        }
    }

    #[test]
    fn secrets_are_redacted() {
        let redacted = |name: &str, value: &str| find(name).map(|setting| setting.redacted(value));
        let url = redacted("TOLLGATE_DATABASE_URL", "postgres://u:hidden@h/db?password=hidden").expect("a setting");
        assert_eq!(url, "postgres://u:***@h/db?***");
        assert_eq!(redacted("TOLLGATE_DATABASE_URL", "sqlite://tollgate.db").as_deref(), Some("sqlite://tollgate.db"));
        assert_eq!(redacted("TOLLGATE_MASTER_KEY", "hidden").as_deref(), Some("***"));
    }
}
