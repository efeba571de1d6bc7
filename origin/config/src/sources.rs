//! Where settings come from, in order of precedence, and which source a value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::{SettingError, table};

const PREFIX: &str = "TOLLGATE_";

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// On the command line.
    Flag,
    /// In the environment.
    Environment,
    /// In the file `.env`.
    DotEnv,
    /// In this TOML file.
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

/// A value with its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// As written.
    pub text: String,
    /// Where it stands.
    pub source: Source,
}

/// All sources, merged: a value of an earlier source hides those of later ones.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    values: BTreeMap<String, Value>,
}

impl Sources {
    /// Reads all sources: these flags, the environment, `.env` in the working folder, and the TOML file (`named` by a flag;
    /// else `tollgate.toml` if there is one).
    ///
    /// # Errors
    /// When a file cannot be read, or `tollgate.toml` has a key that is no setting.
    pub fn read(flags: Vec<(String, String)>, named: Option<&Path>) -> Result<Sources, SettingError> {
        let mut sources = Sources::default();
        sources.add(Source::Flag, flags);
        sources.add(
            Source::Environment,
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        );
        sources.add(Source::DotEnv, read_dotenv()?);
        let path = named.unwrap_or(Path::new("tollgate.toml"));
        let source = Source::File(path.display().to_string());
        match std::fs::read_to_string(path) {
            Ok(text) => sources.add(source.clone(), read_toml(&text, &source)?),
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(source, &error)),
        }
        sources.refuse_unknown_in_file()?;
        Ok(sources)
    }

    /// An environment of these variables and nothing else.
    #[must_use]
    pub fn from_environment(variables: impl IntoIterator<Item = (String, String)>) -> Sources {
        let mut sources = Sources::default();
        sources.add(Source::Environment, variables);
        sources
    }

    /// What this text of a settings file says, and nothing else.
    #[cfg(test)]
    pub(super) fn from_file(text: &str) -> Result<Sources, SettingError> {
        let (mut sources, file) = (Sources::default(), Source::File("tollgate.toml".to_owned()));
        sources.add(file.clone(), read_toml(text, &file)?);
        sources.refuse_unknown_in_file()?;
        Ok(sources)
    }

    /// The value of a setting; an empty one counts as unset, so that a variable can be cleared.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The value of a setting, read by `read`.
    pub(super) fn parse<T, E: fmt::Display>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, SettingError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        read(&value.text).map(Some).map_err(|problem| SettingError {
            name: name.to_owned(),
            source: Some(value.source.clone()),
            problem: problem.to_string(),
        })
    }

    fn add(&mut self, source: Source, values: impl IntoIterator<Item = (String, String)>) {
        for (name, text) in values {
            let ours = name.starts_with(PREFIX) && !is_elsewhere(&name);
            if ours && !text.is_empty() {
                self.values.entry(name).or_insert(Value { text, source: source.clone() });
            }
        }
    }

    /// Names that look like settings and are none, probably misspelt. Worth a warning and no more: the environment and
    /// `.env` are shared with other programs, some of which make such names up (Kubernetes does for a service `tollgate`).
    pub fn unknown(&self) -> impl Iterator<Item = (&str, &Source)> {
        let unknown = self.values.iter().filter(|(name, _)| table::find(name).is_none());
        unknown.map(|(name, value)| (name.as_str(), &value.source))
    }

    /// The settings file is ours alone: what it has must be a setting.
    fn refuse_unknown_in_file(&self) -> Result<(), SettingError> {
        match self.unknown().find(|(_, source)| matches!(source, Source::File(_))) {
            None => Ok(()),
            Some((name, source)) => Err(SettingError {
                name: name.to_owned(),
                source: Some(source.clone()),
                problem: "there is no such setting".to_owned(),
            }),
        }
    }
}

/// Names of ours that other programs read: the edge's, and those of the test suite.
fn is_elsewhere(name: &str) -> bool {
    ["TOLLGATE_EDGE_", "TOLLGATE_TEST_"].iter().any(|prefix| name.starts_with(prefix))
}

fn read_dotenv() -> Result<Vec<(String, String)>, SettingError> {
    let variables = match dotenvy::from_path_iter(".env") {
        Ok(variables) => variables,
        Err(error) if error.not_found() => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(Source::DotEnv, &error)),
    };
    // The parser's message would quote the line, and with it perhaps a secret.
    variables.collect::<Result<_, _>>().map_err(|_| unreadable(Source::DotEnv, &"it has a line that is not NAME=VALUE"))
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

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn earlier_sources_win_and_are_remembered() {
        let mut sources = Sources::default();
        sources.add(Source::Flag, [pair("TOLLGATE_LISTEN", "flag")]);
        sources.add(Source::Environment, [pair("TOLLGATE_LISTEN", "environment"), pair("TOLLGATE_LOG", "")]);
        let file = Source::File("tollgate.toml".to_owned());
        let toml = "listen = \"file\"\nlog = \"debug\"\ntoken_lifetime = 60\n";
        sources.add(file.clone(), read_toml(toml, &file).expect("good TOML"));
        assert_eq!(sources.get("TOLLGATE_LISTEN").map(|value| &value.source), Some(&Source::Flag));
        assert_eq!(sources.get("TOLLGATE_LOG").map(|value| value.text.as_str()), Some("debug"));
        assert_eq!(sources.get("TOLLGATE_TOKEN_LIFETIME").map(|value| value.text.as_str()), Some("60"));
    }

    #[test]
    fn a_misspelt_setting_is_refused_in_the_file_and_noticed_elsewhere() {
        let file = Source::File("tollgate.toml".to_owned());
        let mut sources = Sources::from_environment([pair("TOLLGATE_LISTN", "x"), pair("TOLLGATE_EDGE_ORIGIN", "x")]);
        assert_eq!(sources.unknown().collect::<Vec<_>>(), [("TOLLGATE_LISTN", &Source::Environment)]);
        assert!(sources.refuse_unknown_in_file().is_ok());
        sources.add(file.clone(), read_toml("lisen = \"x\"", &file).expect("good TOML"));
        assert!(sources.refuse_unknown_in_file().is_err());
    }

    #[test]
    fn a_bad_file_is_told_in_one_line() {
        let file = Source::File("tollgate.toml".to_owned());
        for text in ["listen = ", "listen = [1]"] {
            let error = read_toml(text, &file).expect_err(text).to_string();
            assert!(error.contains("(tollgate.toml)") && !error.contains('\n'), "{error}");
        }
    }
}
