//! Every setting, explained once: what `--help`, the sample file and `tollgate config show` say is made of this, the settings file
//! and the environment are checked against it, and a test holds the documentation to it.

use super::{appearance, grants, hashing, keys, limits, people, tls, watch};

/// A setting as people are told of it.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name in the environment, `TOLLGATE_…`.
    pub name: &'static str,
    /// The same as a flag; with underscores for hyphens it is the key in the settings file.
    pub flag: &'static str,
    /// What it means, in a sentence without its end.
    pub meaning: &'static str,
    /// What a value is: its unit and bounds.
    pub unit: &'static str,
    /// What holds without it.
    pub default: Default,
    /// A value that could be set.
    pub example: &'static str,
    /// How much of a value may be shown.
    pub secrecy: Secrecy,
    /// Whether every command takes it, not `serve` alone.
    pub common: bool,
}

/// What holds when a setting is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// This value, as it would be written.
    Value(&'static str),
    /// What these words say.
    Words(&'static str),
}

/// How much of a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// All of it.
    Open,
    /// A URL without the password and the query in it.
    Url,
    /// Nothing.
    Secret,
}

impl Setting {
    /// A setting without secrets that `serve` alone takes.
    pub(super) const fn new(name: &'static str, flag: &'static str, meaning: &'static str) -> Setting {
        let default = Default::Words("none");
        Setting { name, flag, meaning, unit: "", default, example: "", secrecy: Secrecy::Open, common: false }
    }

    /// The setting, with what a value is and one that could be set.
    pub(super) const fn of(self, unit: &'static str, example: &'static str) -> Setting {
        Setting { unit, example, ..self }
    }

    /// The setting, with the value that holds without it.
    pub(super) const fn or(self, value: &'static str) -> Setting {
        Setting { default: Default::Value(value), ..self }
    }

    /// The setting, with words for what holds without it.
    pub(super) const fn otherwise(self, words: &'static str) -> Setting {
        Setting { default: Default::Words(words), ..self }
    }

    /// The setting, which every command takes.
    pub(super) const fn common(self) -> Setting {
        Setting { common: true, ..self }
    }

    /// The setting, with how much of it may be shown.
    pub(super) const fn secrecy(self, secrecy: Secrecy) -> Setting {
        Setting { secrecy, ..self }
    }

    /// Its key in the settings file.
    #[must_use]
    pub fn key(&self) -> String {
        self.flag.replace('-', "_")
    }

    /// A value of it as it may be shown.
    #[must_use]
    pub fn shown(&self, value: &str) -> String {
        match self.secrecy {
            Secrecy::Open => value.to_owned(),
            Secrecy::Secret => "***".to_owned(),
            Secrecy::Url => shown_url(value).unwrap_or_else(|| "***".to_owned()),
        }
    }
}

/// A URL with asterisks for the password and the query, which may hold one, too.
fn shown_url(value: &str) -> Option<String> {
    let mut url = url::Url::parse(value).ok()?;
    if url.password().is_some() {
        url.set_password(Some("***")).ok()?;
    }
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    Some(url.to_string())
}

/// Settings under a heading.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The heading.
    pub heading: &'static str,
    /// The settings.
    pub settings: &'static [Setting],
}

/// All settings.
pub const GROUPS: [Group; 10] = [
    Group { heading: "Server", settings: &SERVER },
    Group { heading: "HTTPS", settings: &tls::EXPLAINED },
    Group { heading: "Tokens and grants", settings: &grants::EXPLAINED },
    Group { heading: "People", settings: &people::EXPLAINED },
    Group { heading: "Pages", settings: &appearance::EXPLAINED },
    Group { heading: "Passwords", settings: &hashing::EXPLAINED },
    Group { heading: "Limits", settings: &limits::EXPLAINED },
    Group { heading: "Keys", settings: &keys::EXPLAINED },
    Group { heading: "Running it", settings: &watch::EXPLAINED },
    Group { heading: "Logs", settings: &LOGS },
];

const SERVER: [Setting; 4] = [
    Setting::new("TOLLGATE_LISTEN", "listen", "Where to listen")
        .of("address and port", "0.0.0.0:8080")
        .or("127.0.0.1:8080"),
    Setting::new("TOLLGATE_PUBLIC_URL", "public-url", "The issuer: what clients and edges call the origin by")
        .of("URL", "https://auth.example")
        .otherwise("the address listened on")
        .common(),
    Setting::new(
        "TOLLGATE_HSTS",
        "hsts",
        "How long browsers remember to come by https alone (Strict-Transport-Security), where the public URL is https and names a host",
    )
    .of("seconds, 0 for not at all", "86400")
    .or("31536000"),
    Setting::new("TOLLGATE_DATABASE_URL", "database-url", "The database: SQLite in a file, or PostgreSQL")
        .of("sqlite://FILE or postgres://…", "postgres://tollgate@db/tollgate?sslmode=verify-full")
        .or("sqlite://tollgate.db")
        .secrecy(Secrecy::Url)
        .common(),
];

const LOGS: [Setting; 2] = [
    Setting::new("TOLLGATE_LOG", "log", "What to log, by level and part")
        .of("tracing's filter", "info,tollgate=debug")
        .or("info,sqlx=warn")
        .common(),
    Setting::new("TOLLGATE_LOG_FORMAT", "log-format", "How to log: lines for people, or JSON, an object a line")
        .of("pretty or json", "json")
        .or("pretty")
        .common(),
];

/// All settings, in the order in which they are explained.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|group| group.settings)
}

/// The setting of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.name == name)
}

/// A settings file with every setting, explained, each as it is by default or, where nothing is, with an example: all of them
/// commented out, so that what a later version has for a default comes with it.
#[must_use]
pub fn sample() -> String {
    let mut text = String::from(
        "# Settings of tollgate. Flags and the environment (TOLLGATE_…, .env included) come before this file.\n\
         # Remove the # before a setting to change it.\n",
    );
    for group in GROUPS {
        text.push_str(&format!("\n# {}\n", group.heading));
        for setting in group.settings {
            let (note, value) = match setting.default {
                Default::Value(value) => (format!("for example {}", setting.example), value),
                Default::Words(words) => (format!("default: {words}"), setting.example),
            };
            let (meaning, unit) = (setting.meaning, setting.unit);
            text.push_str(&format!("\n# {meaning}.\n# {unit}; {note}\n#{} = \"{value}\"\n", setting.key()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Settings, Sources};

    fn loaded(text: &str) -> Settings {
        Settings::from_sources(&Sources::from_file(text).expect("it can be read")).expect("they are good")
    }

    #[test]
    fn names_flags_and_keys_are_one() {
        let names: BTreeSet<&str> = all().map(|setting| setting.name).collect();
        assert_eq!(names.len(), all().count(), "each is explained once");
        for setting in all() {
            assert_eq!(setting.name, format!("TOLLGATE_{}", setting.key().to_uppercase()));
            assert!(!setting.meaning.is_empty() && !setting.meaning.ends_with('.') && !setting.unit.is_empty());
            assert!(!setting.example.is_empty(), "{}", setting.name);
        }
    }

    #[test]
    fn the_sample_changes_nothing() {
        let usual = format!("{:?}", loaded(""));
        assert_eq!(format!("{:?}", loaded(&sample())), usual);
        // Nor do the defaults that it names, once they are set.
        let is_default = |line: &&str| {
            all().any(|setting| matches!(setting.default, Default::Value(value) if *line == format!("#{} = \"{value}\"", setting.key())))
        };
        let sample = sample();
        let set: Vec<&str> = sample.lines().filter(is_default).map(|line| line.trim_start_matches('#')).collect();
        assert!(set.len() > 10, "{set:?}");
        // The file's name is what it was, only said aloud.
        let same = |text: String| text.replace("named_by: Some(File(\"tollgate.toml\"))", "named_by: None");
        assert_eq!(same(format!("{:?}", loaded(&set.join("\n")))), usual);
    }

    #[test]
    fn examples_are_good() {
        for setting in all() {
            let settings = Settings::from_pairs([(setting.name, setting.example)]);
            let needs_another =
                setting.name == "TOLLGATE_CLIENT_CERTIFICATE_HEADER" || setting.name.starts_with("TOLLGATE_TLS_");
            assert_eq!(settings.err().map(|error| error.to_string()).is_some(), needs_another, "{}", setting.name);
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = |name: &str, value: &str| find(name).map(|setting| setting.shown(value));
        let url = shown("TOLLGATE_DATABASE_URL", "postgres://u:hidden@h/db?password=hidden").expect("a setting");
        assert_eq!(url, "postgres://u:***@h/db?***");
        assert_eq!(shown("TOLLGATE_DATABASE_URL", "sqlite://tollgate.db").as_deref(), Some("sqlite://tollgate.db"));
        assert_eq!(shown("TOLLGATE_MASTER_KEY", "hidden").as_deref(), Some("***"));
    }
}
