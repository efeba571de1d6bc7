//! The sources of settings: flags, the environment, `.env` and the settings file, in this order.

use super::SettingError;
use super::table::RUNNER_SETTINGS;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use tollgate_gate::{DEPRECATED_SETTINGS, DPOP_NONCE_KEY, DeprecatedSetting, deprecated_settings};

/// Settings file that is read if it exists.
const FILE: &str = "tollgate-edge.toml";
const PREFIX: &str = "TOLLGATE_EDGE_";
/// Settings whose value can be in a file, which `NAME_FILE` names: secrets, and the snapshot key,
/// which is copied from the origin.
const VALUES_IN_FILES: [&str; 5] = [
    "TOLLGATE_EDGE_SNAPSHOT_KEY",
    "TOLLGATE_EDGE_SECRET_KEYS",
    "TOLLGATE_EDGE_KEY",
    "TOLLGATE_EDGE_IDENTITY_KEY",
    DPOP_NONCE_KEY,
];
const MAX_VALUE_FILE_BYTES: u64 = 64 * 1024;

/// The sources of settings, strongest first: flags, environment, `.env`, settings file.
pub struct Sources {
    flags: BTreeMap<String, String>,
    dotenv: BTreeMap<String, String>,
    file: BTreeMap<String, String>,
    /// Values of settings that are set by `NAME_FILE`.
    from_value_files: BTreeMap<String, String>,
}

impl Sources {
    /// Reads `.env` (of the current folder or the nearest above it) and the settings file. `flags`
    /// are names and values from the command line.
    ///
    /// # Errors
    /// If one of the files exists but is invalid, or a file that a setting names cannot be read.
    pub fn read(flags: BTreeMap<String, String>, file: Option<&Path>) -> Result<Sources, SettingError> {
        let dotenv = match dotenvy::dotenv_iter() {
            Ok(entries) => entries
                .collect::<Result<BTreeMap<_, _>, _>>()
                .map_err(|error| SettingError::new(".env", format_args!("cannot be read: {}", one_line(error))))?,
            Err(error) if error.not_found() => BTreeMap::new(),
            Err(error) => return Err(SettingError::new(".env", format_args!("cannot be read: {}", one_line(error)))),
        };
        let mut sources = Sources { flags, dotenv, file: read_file(file)?, from_value_files: BTreeMap::new() };
        sources.read_value_files()?;
        Ok(sources)
    }

    /// Reads the files named by `NAME_FILE`, unless a stronger source sets `NAME`.
    fn read_value_files(&mut self) -> Result<(), SettingError> {
        for name in VALUES_IN_FILES {
            let file_name = format!("{name}_FILE");
            let mut sources = self.values(name).into_iter().zip(self.values(&file_name));
            match sources.find(|(value, file)| value.is_some() || file.is_some()) {
                Some((Some(_), Some(_))) => {
                    return Err(SettingError::new(&file_name, format_args!("and {name} are both set: set only one")));
                }
                Some((None, Some(path))) => {
                    let text = read_value(Path::new(&path))
                        .map_err(|problem| SettingError::new(&file_name, format_args!("{path} {problem}")))?;
                    self.from_value_files.insert(name.to_owned(), text);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The value of a setting: from the strongest source that has it, there under its name or else
    /// under its deprecated name.
    pub fn get(&self, name: &str) -> Option<String> {
        if let Some(value) = self.from_value_files.get(name) {
            return Some(value.clone());
        }
        let deprecated = DEPRECATED_SETTINGS.iter().find(|(_, new_name)| *new_name == name);
        let old_values = deprecated.map(|(old_name, _)| self.values(old_name)).unwrap_or_default();
        self.values(name).into_iter().zip(old_values).find_map(|(value, old_value)| value.or(old_value))
    }

    /// The deprecated names that are in use, for a warning.
    pub fn deprecated(&self) -> Vec<DeprecatedSetting> {
        deprecated_settings(|name| self.values(name).into_iter().flatten().next()).collect()
    }

    /// The values of a setting in all sources, strongest first; empty values count as unset.
    fn values(&self, name: &str) -> [Option<String>; 4] {
        let in_map = |values: &BTreeMap<String, String>| values.get(name).cloned();
        [in_map(&self.flags), std::env::var(name).ok(), in_map(&self.dotenv), in_map(&self.file)]
            .map(|value| value.filter(|value| !value.is_empty()))
    }
}

/// The content of a file without the line break at its end.
fn read_value(path: &Path) -> Result<String, String> {
    let cannot_read = |error| format!("cannot be read: {}", one_line(error));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(cannot_read)?;
    file.take(MAX_VALUE_FILE_BYTES + 1).read_to_string(&mut text).map_err(cannot_read)?;
    if text.len() as u64 > MAX_VALUE_FILE_BYTES {
        return Err(format!("is larger than {MAX_VALUE_FILE_BYTES} bytes"));
    }
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err("is empty".to_owned()),
        value => Ok(value.to_owned()),
    }
}

/// Reads the settings file. Its keys are the names in lower case without their prefix, or the full
/// names: `listen = "127.0.0.1:8787"`.
fn read_file(path: Option<&Path>) -> Result<BTreeMap<String, String>, SettingError> {
    let shown = path.unwrap_or(Path::new(FILE));
    let text = match std::fs::read_to_string(shown) {
        Ok(text) => text,
        Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => {
            return Err(SettingError::new(
                &shown.display().to_string(),
                format_args!("cannot be read: {}", one_line(error)),
            ));
        }
    };
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        SettingError::new(&shown.display().to_string(), format_args!("is not TOML: {}", one_line(error.message())))
    })?;
    table
        .into_iter()
        .map(|(key, value)| {
            let name =
                if key.starts_with(PREFIX) { key.clone() } else { format!("{PREFIX}{}", key.to_ascii_uppercase()) };
            let names_value_file = name.strip_suffix("_FILE").is_some_and(|name| VALUES_IN_FILES.contains(&name));
            if !RUNNER_SETTINGS.iter().any(|setting| setting.name == name)
                && !names_value_file
                && !tollgate_gate::SETTINGS.iter().any(|(known, _)| *known == name)
                && !DEPRECATED_SETTINGS.iter().any(|(known, _)| *known == name)
            {
                return Err(SettingError::new(
                    &name,
                    format_args!("is not a setting: remove it from {}", shown.display()),
                ));
            }
            let value = to_text(value).ok_or_else(|| {
                SettingError::new(
                    &name,
                    format_args!("must be a string, an integer, true or false in {}", shown.display()),
                )
            })?;
            Ok((name, value))
        })
        .collect()
}

/// A value of the settings file in the form of an environment variable.
fn to_text(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(items) => {
            items.into_iter().map(to_text).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

fn one_line(error: impl fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
