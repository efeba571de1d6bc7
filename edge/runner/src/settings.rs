//! Settings of the runner, from flags, the environment, `.env` and `tollgate-edge.toml`, in this
//! order. The gate's own settings are checked by the gate and passed to the component by name and
//! value.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tollgate_gate::{DEPRECATED_SETTINGS, DeprecatedSetting, TrustedProxies, deprecated_settings};

/// Settings file that is read if it exists.
const FILE: &str = "tollgate-edge.toml";
const PREFIX: &str = "TOLLGATE_EDGE_";
const LISTEN: &str = "TOLLGATE_EDGE_LISTEN";
const COMPONENT: &str = "TOLLGATE_EDGE_COMPONENT";
const STORE: &str = "TOLLGATE_EDGE_STORE";
const MAX_CONNECTIONS: &str = "TOLLGATE_EDGE_MAX_CONNECTIONS";

/// A missing or invalid setting; displays as one line that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError(String);

impl SettingError {
    /// An error of the setting `name`.
    pub fn new(name: &str, problem: impl fmt::Display) -> SettingError {
        SettingError(format!("{name} {problem}"))
    }

    /// An error from the component, whose line names the setting.
    pub(crate) fn from_line(line: impl Into<String>) -> SettingError {
        SettingError(line.into())
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingError {}

/// Which component decides on requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GateKind {
    /// The WIT validator: the runner provides clock, network and proxying.
    #[default]
    Component,
    /// The Spin component, hosted as Spin does.
    Spin,
}

/// The settings of a runner.
#[derive(Debug, Clone)]
pub struct Settings {
    pub gate: GateKind,
    /// Address to listen on; port 0 selects a free port.
    pub listen: SocketAddr,
    /// File of the component; by default in the executable's folder.
    pub component: Option<PathBuf>,
    /// Cold-start store: a folder; by default memory only.
    pub store: Option<PathBuf>,
    /// Maximum number of simultaneous client connections.
    pub max_connections: usize,
    pub(crate) origin: String,
    pub(crate) upstream: String,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) upstream_timeout: Duration,
    pub(crate) max_staleness: Duration,
    /// The gate's own settings: names and unparsed values.
    pub(crate) gate_settings: Vec<(String, String)>,
}

impl Settings {
    /// Reads the settings through `get`, which returns the value of a name (`TOLLGATE_EDGE_LISTEN`,
    /// …). An empty value counts as unset.
    ///
    /// # Errors
    /// Names the first setting that is missing or invalid.
    pub fn from_lookup(gate: GateKind, get: impl Fn(&str) -> Option<String>) -> Result<Settings, SettingError> {
        let get = &|name: &str| get(name).filter(|value| !value.is_empty());
        let listen = get(LISTEN).unwrap_or_else(|| "127.0.0.1:8787".to_owned());
        let listen = listen.parse().map_err(|_| {
            SettingError::new(LISTEN, format_args!("must be an address such as 127.0.0.1:8787, not {listen:?}"))
        })?;
        let gate_settings =
            tollgate_gate::Settings::from_lookup(get).map_err(|error| SettingError::new(error.name, error.problem))?;
        let trusted_proxies =
            TrustedProxies::from_lookup(get).map_err(|error| SettingError::new(error.name, error.problem))?;
        let max_connections = get(MAX_CONNECTIONS).map_or(Ok(10_000), |text| {
            let number = text.trim().parse().ok().filter(|number| (16..=1_000_000).contains(number));
            number.ok_or_else(|| {
                SettingError::new(MAX_CONNECTIONS, format_args!("must be from 16 to 1000000, not {text:?}"))
            })
        })?;
        let deprecated = DEPRECATED_SETTINGS.iter().filter(|(_, new_name)| get(new_name).is_none());
        let names = tollgate_gate::SETTINGS.iter().map(|(name, _)| *name).chain(deprecated.map(|(name, _)| *name));
        let unparsed = names.filter_map(|name| Some((name.to_owned(), get(name)?))).collect();
        Ok(Settings {
            gate,
            listen,
            component: get(COMPONENT).map(PathBuf::from),
            store: get(STORE).map(PathBuf::from),
            max_connections,
            origin: gate_settings.origin,
            upstream: gate_settings.upstream,
            trusted_proxies,
            upstream_timeout: Duration::from_millis(gate_settings.upstream_timeout_ms),
            max_staleness: Duration::from_millis(gate_settings.max_staleness_ms),
            gate_settings: unparsed,
        })
    }

    /// URL of the upstream.
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// File of the component: as set, else in the executable's folder, else where cargo builds it.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn component_path(&self) -> Result<PathBuf, SettingError> {
        find_component(self.component.as_deref(), self.gate)
    }
}

/// Finds the file of the component for `gate`; `set` is the value of `TOLLGATE_EDGE_COMPONENT`.
///
/// # Errors
/// If there is no such file.
pub fn find_component(set: Option<&Path>, gate: GateKind) -> Result<PathBuf, SettingError> {
    if let Some(path) = set {
        return path
            .is_file()
            .then(|| path.to_owned())
            .ok_or_else(|| SettingError::new(COMPONENT, format_args!("is not a file: {}", path.display())));
    }
    let (name, package) = match gate {
        GateKind::Component => ("tollgate_component.wasm", "tollgate-component"),
        GateKind::Spin => ("tollgate_spin.wasm", "tollgate-spin"),
    };
    let executable = std::env::current_exe().unwrap_or_default();
    // Cargo builds executables in target/PROFILE, and tests in target/PROFILE/deps.
    let above = executable.ancestors().skip(1).take(3);
    let candidates = above.flat_map(|folder| [folder.join(name), folder.join("wasm32-wasip2/release").join(name)]);
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        let build = format!("cargo build --release --target wasm32-wasip2 --package {package}");
        SettingError::new(
            COMPONENT,
            format_args!("is not set, and {name} is not in the executable's folder; build it: {build}"),
        )
    })
}

/// The sources of settings, strongest first: flags, environment, `.env`, settings file.
pub struct Sources {
    flags: BTreeMap<String, String>,
    dotenv: BTreeMap<String, String>,
    file: BTreeMap<String, String>,
}

impl Sources {
    /// Reads `.env` (of the current folder or the nearest above it) and the settings file. `flags`
    /// are names and values from the command line.
    ///
    /// # Errors
    /// If one of the files exists but is invalid.
    pub fn read(flags: BTreeMap<String, String>, file: Option<&Path>) -> Result<Sources, SettingError> {
        let dotenv = match dotenvy::dotenv_iter() {
            Ok(entries) => entries
                .collect::<Result<BTreeMap<_, _>, _>>()
                .map_err(|error| SettingError::new(".env", format_args!("cannot be read: {}", one_line(error))))?,
            Err(error) if error.not_found() => BTreeMap::new(),
            Err(error) => return Err(SettingError::new(".env", format_args!("cannot be read: {}", one_line(error)))),
        };
        Ok(Sources { flags, dotenv, file: read_file(file)? })
    }

    /// The value of a setting: from the strongest source that has it, there under its name or else
    /// under its deprecated name.
    pub fn get(&self, name: &str) -> Option<String> {
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
            if ![LISTEN, COMPONENT, STORE, MAX_CONNECTIONS].contains(&&*name)
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
