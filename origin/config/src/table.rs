//! The table of all settings.
//!
//! `--help`, `tollgate config sample` and `tollgate config show` are made from it, the settings
//! file and the environment are checked against it, and a test compares `docs/settings.md` with it.

use super::{accounts, appearance, grants, hashing, keys, limits, telemetry, tls};

/// A setting: its names and what `--help` says about it.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name in the environment, `TOLLGATE_…`.
    pub name: &'static str,
    /// Its flag, without `--`; with underscores for hyphens also its key in the settings file.
    pub flag: &'static str,
    /// Its deprecated name, if it was renamed.
    pub former: Option<FormerName>,
    /// Its meaning: a sentence without a full stop.
    pub meaning: &'static str,
    /// Allowed values: form, unit and bounds.
    pub allowed_values: &'static str,
    pub default: DefaultValue,
    /// An allowed value.
    pub example: &'static str,
    pub secrecy: Secrecy,
    /// Whether every command accepts it as a flag, not only `serve`.
    pub is_common: bool,
}

/// The name of a setting before it was renamed. It works in every source until 1.0, with a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormerName {
    /// In the environment, `TOLLGATE_…`.
    pub name: &'static str,
    /// As a flag, without `--`.
    pub flag: &'static str,
}

/// What applies if a setting is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// This value, as it would be written.
    Value(&'static str),
    /// A description, for defaults that no value expresses.
    Description(&'static str),
}

/// How much of a value may be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// All of it.
    Open,
    /// A URL, without its password and query.
    Url,
    /// Nothing.
    Secret,
}

impl Setting {
    /// A setting that only `serve` accepts, with a value that may be printed.
    pub(super) const fn new(name: &'static str, flag: &'static str, meaning: &'static str) -> Setting {
        Setting {
            name,
            flag,
            former: None,
            meaning,
            allowed_values: "",
            default: DefaultValue::Description("none"),
            example: "",
            secrecy: Secrecy::Open,
            is_common: false,
        }
    }

    /// Sets the description of the allowed values, and one of them as the example.
    pub(super) const fn allowed_values(self, allowed_values: &'static str, example: &'static str) -> Setting {
        Setting { allowed_values, example, ..self }
    }

    /// Sets the default value.
    pub(super) const fn default(self, value: &'static str) -> Setting {
        Setting { default: DefaultValue::Value(value), ..self }
    }

    /// Sets the description of a default that no value expresses.
    pub(super) const fn default_description(self, description: &'static str) -> Setting {
        Setting { default: DefaultValue::Description(description), ..self }
    }

    /// Sets the deprecated name.
    pub(super) const fn formerly(self, name: &'static str, flag: &'static str) -> Setting {
        Setting { former: Some(FormerName { name, flag }), ..self }
    }

    /// Lets every command accept the setting.
    pub(super) const fn common(self) -> Setting {
        Setting { is_common: true, ..self }
    }

    /// Sets how much of a value may be printed.
    pub(super) const fn secrecy(self, secrecy: Secrecy) -> Setting {
        Setting { secrecy, ..self }
    }

    /// Its key in the settings file.
    #[must_use]
    pub fn key(&self) -> String {
        self.flag.replace('-', "_")
    }

    /// `value` with its secret parts replaced by asterisks.
    #[must_use]
    pub fn redacted(&self, value: &str) -> String {
        match self.secrecy {
            Secrecy::Open => value.to_owned(),
            Secrecy::Secret => "***".to_owned(),
            Secrecy::Url => redacted_url(value).unwrap_or_else(|| "***".to_owned()),
        }
    }
}

/// A URL with asterisks for its password and its query, which may contain a password, too.
fn redacted_url(value: &str) -> Option<String> {
    let mut url = url::Url::parse(value).ok()?;
    if url.password().is_some() {
        url.set_password(Some("***")).ok()?;
    }
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    Some(url.to_string())
}

/// Settings under one heading.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    pub heading: &'static str,
    pub settings: &'static [Setting],
}

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

const SERVER: [Setting; 5] = [
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

/// Whether a setting has this name, or had it before it was renamed.
pub(super) fn is_name(name: &str) -> bool {
    all().any(|setting| setting.name == name || setting.former.is_some_and(|former| former.name == name))
}

/// A settings file with every setting and its documentation, commented out, so that later versions
/// can change defaults. The value is the default, or an example if no value expresses the default.
#[must_use]
pub fn sample() -> String {
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
            text.push_str(&format!("\n# {meaning}.\n# {allowed_values}; {note}\n#{} = \"{value}\"\n", setting.key()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Settings, Sources};

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
            assert!(find(name).is_none() && is_name(name), "{name}");
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
