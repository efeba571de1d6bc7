//! Where settings come from, in order of precedence, and which source a value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use tollgate_system::files;

use super::setting::{Group, Setting};

const PREFIX: &str = "TOLLGATE_";

/// Where a value is set, from the strongest source to the weakest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// On the command line.
    Flag,
    /// In the environment.
    Environment,
    /// In the file `.env`.
    DotEnv,
    /// In this TOML file, or, for a secret, alone in this file.
    File(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag => f.write_str("flag"),
            Source::Environment => f.write_str("environment"),
            Source::DotEnv => f.write_str(".env"),
            Source::File(path) => f.write_str(path),
        }
    }
}

/// A value and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// As written.
    pub text: String,
    pub source: Source,
}

/// Error: a setting cannot be used. Displayed in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// The setting's name, as it was set.
    pub name: String,
    /// Where it is set; `None` for a default.
    pub source: Option<Source>,
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

/// A setting that is set under its deprecated name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeprecatedSetting<'a> {
    /// The deprecated name.
    pub name: &'static str,
    /// The name to use instead.
    pub new_name: &'static str,
    pub source: &'a Source,
}

/// All sources, merged: a value of a stronger source hides those of weaker ones. Deprecated names
/// are kept as written and resolved when a setting is read.
#[derive(Debug, Clone)]
pub struct Sources {
    /// All settings.
    table: &'static [Group],
    values: BTreeMap<String, Value>,
}

impl Sources {
    fn new(table: &'static [Group]) -> Sources {
        Sources { table, values: BTreeMap::new() }
    }

    /// Reads all sources for the settings of `table`, see [`Sources::read`].
    pub(super) fn read_for(
        table: &'static [Group],
        flags: Vec<(String, String)>,
        file: Option<&Path>,
    ) -> Result<Sources, SettingError> {
        let mut sources = Sources::read_without_file_for(table, flags)?;
        let path = file.unwrap_or(Path::new("tollgate.toml"));
        let source = Source::File(path.display().to_string());
        match std::fs::read_to_string(path) {
            Ok(text) => sources.add(source.clone(), read_toml(&text, &source)?),
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(source, &error)),
        }
        sources.read_secret_files()?;
        sources.reject_unknown_in_file()?;
        Ok(sources)
    }

    /// Reads all sources except the settings file.
    pub(super) fn read_without_file_for(
        table: &'static [Group],
        flags: Vec<(String, String)>,
    ) -> Result<Sources, SettingError> {
        let mut sources = Sources::new(table);
        sources.add(Source::Flag, flags);
        sources.add(
            Source::Environment,
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        );
        sources.add(Source::DotEnv, read_dotenv()?);
        Ok(sources)
    }

    pub(super) fn from_environment_for(
        table: &'static [Group],
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Sources {
        let mut sources = Sources::new(table);
        sources.add(Source::Environment, variables);
        sources
    }

    #[cfg(test)]
    pub(super) fn from_file_for(table: &'static [Group], text: &str) -> Result<Sources, SettingError> {
        let (mut sources, file) = (Sources::new(table), Source::File("tollgate.toml".to_owned()));
        sources.add(file.clone(), read_toml(text, &file)?);
        sources.read_secret_files()?;
        sources.reject_unknown_in_file()?;
        Ok(sources)
    }

    /// Reads the files named by `NAME_FILE` for each setting `NAME` that is a secret or may contain
    /// one, as container platforms provide secrets. A stronger source of `NAME` overrides the file.
    ///
    /// # Errors
    /// If a file cannot be read, is empty or too large, or one source sets both names.
    pub(super) fn read_secret_files(&mut self) -> Result<(), SettingError> {
        let names: Vec<(String, &'static str)> =
            self.settings().filter_map(|setting| Some((setting.file_name()?, setting.name))).collect();
        for (file_name, name) in names {
            let Some(file) = self.values.remove(&file_name) else { continue };
            let failed = |problem: String| SettingError { name: file_name, source: Some(file.source.clone()), problem };
            match self.values.get(name) {
                Some(value) if value.source < file.source => continue,
                Some(value) if value.source == file.source => {
                    return Err(failed(format!("{name} is set, too: set only one of them")));
                }
                _ => {}
            }
            let text =
                read_secret(Path::new(&file.text)).map_err(|problem| failed(format!("{} {problem}", file.text)))?;
            self.values.insert(name.to_owned(), Value { text, source: Source::File(file.text) });
        }
        Ok(())
    }

    fn settings(&self) -> impl Iterator<Item = &'static Setting> + use<> {
        self.table.iter().flat_map(|group| group.settings)
    }

    /// The value of a setting, set under its name or its deprecated name. An empty value counts as
    /// unset, so that a variable can be cleared.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.named(name).map(|(_, value)| value)
    }

    /// As [`Sources::get`], with the name under which the value is set.
    fn named<'name>(&self, name: &'name str) -> Option<(&'name str, &Value)> {
        let under = |name: &'name str| Some((name, self.values.get(name)?));
        let former = || self.settings().find(|setting| setting.name == name)?.former;
        under(name).or_else(|| under(former()?.name))
    }

    /// The value of a setting, parsed by `parse`.
    pub(super) fn parse<T, E: fmt::Display>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, SettingError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        parse(&value.text).map(Some).map_err(|problem| self.error(name, problem.to_string()))
    }

    /// The error about the value of this setting, with the name and the place where it is set.
    pub(super) fn error(&self, name: &str, problem: String) -> SettingError {
        match self.named(name) {
            Some((name, value)) => SettingError { name: name.to_owned(), source: Some(value.source.clone()), problem },
            None => SettingError { name: name.to_owned(), source: None, problem },
        }
    }

    fn add(&mut self, source: Source, values: impl IntoIterator<Item = (String, String)>) {
        for (name, text) in values {
            let is_setting = name.starts_with(PREFIX) && !is_of_other_program(&name);
            if is_setting && !text.is_empty() {
                self.values.entry(name).or_insert(Value { text, source: source.clone() });
            }
        }
    }

    /// The deprecated names that are in use, for a warning.
    pub fn deprecated(&self) -> impl Iterator<Item = DeprecatedSetting<'_>> {
        self.settings().filter_map(|setting| {
            let former = setting.former?;
            let source = &self.values.get(former.name)?.source;
            Some(DeprecatedSetting { name: former.name, new_name: setting.name, source })
        })
    }

    /// Checks that no setting has two different values, one of them under its deprecated name.
    pub(super) fn reject_conflicting_names(&self) -> Result<(), SettingError> {
        for DeprecatedSetting { name, new_name, source } in self.deprecated() {
            let (old, new) = (self.values.get(name), self.values.get(new_name));
            if new.is_some() && new.map(|value| &value.text) != old.map(|value| &value.text) {
                let problem = format!("{name}, its deprecated name, has another value ({source}): remove {name}");
                return Err(self.error(new_name, problem));
            }
        }
        Ok(())
    }

    /// Names that look like settings but are unknown, probably misspelt. Only a warning: the
    /// environment and `.env` are shared with other programs, and some of them create such names
    /// (Kubernetes does for a service named `tollgate`).
    pub fn unknown(&self) -> impl Iterator<Item = (&str, &Source)> {
        let has_name = |setting: &Setting, name: &str| {
            setting.name == name || setting.former.is_some_and(|former| former.name == name)
        };
        let unknown =
            self.values.iter().filter(move |(name, _)| !self.settings().any(|setting| has_name(setting, name)));
        unknown.map(|(name, value)| (name.as_str(), &value.source))
    }

    /// No other program uses the settings file: an unknown name in it is an error.
    fn reject_unknown_in_file(&self) -> Result<(), SettingError> {
        match self.unknown().find(|(_, source)| matches!(source, Source::File(_))) {
            None => Ok(()),
            Some((name, source)) => Err(SettingError {
                name: name.to_owned(),
                source: Some(source.clone()),
                problem: "unknown setting".to_owned(),
            }),
        }
    }
}

/// Whether other programs read this name: edges, `tollgate bench`, or the test suite.
fn is_of_other_program(name: &str) -> bool {
    ["TOLLGATE_EDGE_", "TOLLGATE_BENCH_", "TOLLGATE_TEST_"].iter().any(|prefix| name.starts_with(prefix))
}

fn read_dotenv() -> Result<Vec<(String, String)>, SettingError> {
    let variables = match dotenvy::from_path_iter(".env") {
        Ok(variables) => variables,
        Err(error) if error.not_found() => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(Source::DotEnv, &error)),
    };
    // The parser's message would quote the line, which may contain a secret.
    variables.collect::<Result<_, _>>().map_err(|_| unreadable(Source::DotEnv, &"it has a line that is not NAME=VALUE"))
}

/// The content of a secret's file, without the line break at its end.
fn read_secret(path: &Path) -> Result<String, String> {
    let text = files::read_secret(path).map_err(|error| format!("cannot be read: {error}"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err("is empty".to_owned()),
        secret => Ok(secret.to_owned()),
    }
}

/// `listen = "127.0.0.1:8080"` in the file is `TOLLGATE_LISTEN`.
fn read_toml(text: &str, source: &Source) -> Result<Vec<(String, String)>, SettingError> {
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| unreadable(source.clone(), &error.message()))?;
    let setting = |(key, value): (String, toml::Value)| {
        let name = format!("{PREFIX}{}", key.to_uppercase().replace('-', "_"));
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            _ => {
                let problem = format!("{key} must be a string, a whole number, true or false");
                return Err(SettingError { name, source: Some(source.clone()), problem });
            }
        };
        Ok((name, text))
    };
    table.into_iter().map(setting).collect()
}

fn unreadable(source: Source, error: &dyn fmt::Display) -> SettingError {
    SettingError { name: "settings".to_owned(), source: Some(source), problem: format!("cannot be read: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GROUPS, Settings};

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn stronger_sources_override_weaker_ones() {
        let mut sources = Sources::new(&GROUPS);
        sources.add(Source::Flag, [pair("TOLLGATE_LISTEN", "flag")]);
        sources.add(Source::Environment, [pair("TOLLGATE_LISTEN", "environment"), pair("TOLLGATE_LOG", "")]);
        let file = Source::File("tollgate.toml".to_owned());
        let toml = "listen = \"file\"\nlog = \"debug\"\ntoken_lifetime = 60\n";
        sources.add(file.clone(), read_toml(toml, &file).expect("valid TOML"));
        assert_eq!(sources.get("TOLLGATE_LISTEN").map(|value| &value.source), Some(&Source::Flag));
        assert_eq!(sources.get("TOLLGATE_LOG").map(|value| value.text.as_str()), Some("debug"));
        assert_eq!(sources.get("TOLLGATE_TOKEN_LIFETIME").map(|value| value.text.as_str()), Some("60"));
    }

    #[test]
    fn misspelt_setting_is_refused_in_the_file_and_reported_elsewhere() {
        let file = Source::File("tollgate.toml".to_owned());
        let mut sources = Sources::from_environment([pair("TOLLGATE_LISTN", "x"), pair("TOLLGATE_EDGE_ORIGIN", "x")]);
        assert_eq!(sources.unknown().collect::<Vec<_>>(), [("TOLLGATE_LISTN", &Source::Environment)]);
        assert!(sources.reject_unknown_in_file().is_ok());
        sources.add(file.clone(), read_toml("lisen = \"x\"", &file).expect("valid TOML"));
        assert!(sources.reject_unknown_in_file().is_err());
    }

    #[test]
    fn invalid_file_is_reported_in_one_line() {
        let file = Source::File("tollgate.toml".to_owned());
        for text in ["listen = ", "listen = [1]"] {
            let error = read_toml(text, &file).expect_err(text).to_string();
            assert!(error.contains("(tollgate.toml)") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn deprecated_names_work_in_every_source_and_are_reported() {
        let drain =
            |sources: &Sources| Settings::from_sources(sources).map(|settings| settings.shutdown_drain.as_secs());
        let old = || [pair("TOLLGATE_DRAIN", "7")];
        for source in [Source::Flag, Source::Environment, Source::DotEnv] {
            let mut sources = Sources::new(&GROUPS);
            sources.add(source.clone(), old());
            assert_eq!(drain(&sources), Ok(7), "{source}");
            let deprecated: Vec<_> = sources.deprecated().map(|found| (found.name, found.new_name)).collect();
            assert_eq!(deprecated, [("TOLLGATE_DRAIN", "TOLLGATE_SHUTDOWN_DRAIN")], "{source}");
            assert_eq!(sources.unknown().count(), 0, "{source}");
        }
        let sources = Sources::from_file("drain = 7").expect("a settings file");
        assert_eq!((drain(&sources), sources.deprecated().count()), (Ok(7), 1));

        let invalid = Sources::from_environment([pair("TOLLGATE_DRAIN", "soon")]);
        let error = drain(&invalid).expect_err("not a number").to_string();
        assert!(error.starts_with("TOLLGATE_DRAIN (environment)"), "{error}");
    }

    #[test]
    fn secrets_are_read_from_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let write = |name: &str, text: &str| std::fs::write(path(name), text).expect("a file");
        write("url", "postgres://tollgate:hidden@db/tollgate\n");
        let read = |pairs: Vec<(String, String)>| {
            let mut sources = Sources::from_environment(pairs);
            sources.read_secret_files().map(|()| sources)
        };
        let named = |file: &str| pair("TOLLGATE_DATABASE_URL_FILE", &path(file));

        let sources = read(vec![named("url")]).expect("a secret");
        let value = sources.get("TOLLGATE_DATABASE_URL").expect("its value");
        assert_eq!(value.text, "postgres://tollgate:hidden@db/tollgate");
        assert_eq!(value.source, Source::File(path("url")));
        assert_eq!(sources.unknown().count(), 0);

        write("empty", "\n");
        write("large", &"x".repeat(64 * 1024 + 1));
        let both = vec![named("url"), pair("TOLLGATE_DATABASE_URL", "sqlite://other.db")];
        for pairs in [vec![named("missing")], vec![named("empty")], vec![named("large")], both] {
            let error = read(pairs).expect_err("no secret").to_string();
            assert!(error.starts_with("TOLLGATE_DATABASE_URL_FILE (environment): "), "{error}");
            assert!(!error.contains('\n') && !error.contains("hidden"), "{error}");
        }

        let mut sources = Sources::new(&GROUPS);
        sources.add(Source::Flag, [pair("TOLLGATE_DATABASE_URL", "sqlite://other.db")]);
        sources.add(Source::Environment, [named("missing")]);
        sources.read_secret_files().expect("the flag overrides the file");
        assert_eq!(sources.get("TOLLGATE_DATABASE_URL").map(|value| &value.source), Some(&Source::Flag));
    }

    #[test]
    fn master_key_file_stays_a_setting_of_its_own() {
        let mut sources = Sources::from_environment([pair("TOLLGATE_MASTER_KEY_FILE", "created-later.key")]);
        sources.read_secret_files().expect("the file is not read as a secret");
        assert!(sources.get("TOLLGATE_MASTER_KEY").is_none());
        assert!(sources.get("TOLLGATE_MASTER_KEY_FILE").is_some());
    }

    #[test]
    fn every_deprecated_name_sets_its_setting() {
        for setting in crate::all() {
            let Some(former) = setting.former else { continue };
            let settings = |name: Option<&'static str>| {
                let https = [("TOLLGATE_TLS_CERTIFICATE", "tls.crt"), ("TOLLGATE_TLS_KEY", "tls.key")];
                let pairs = https.into_iter().chain(name.map(|name| (name, setting.example)));
                format!("{:?}", Settings::from_pairs(pairs).expect("allowed values"))
            };
            assert_eq!(settings(Some(former.name)), settings(Some(setting.name)), "{}", former.name);
            assert_ne!(settings(Some(former.name)), settings(None), "{}", former.name);
        }
    }

    #[test]
    fn different_values_under_old_and_new_name_are_refused() {
        let check = |old: &str| {
            let pairs = [pair("TOLLGATE_DRAIN", old), pair("TOLLGATE_SHUTDOWN_DRAIN", "7")];
            Settings::from_sources(&Sources::from_environment(pairs)).map(|settings| settings.shutdown_drain.as_secs())
        };
        assert_eq!(check("7"), Ok(7));
        let error = check("8").expect_err("two values").to_string();
        assert!(error.starts_with("TOLLGATE_SHUTDOWN_DRAIN (environment): TOLLGATE_DRAIN"), "{error}");
    }
}
