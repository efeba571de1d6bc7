//! Settings of the runner, from flags, the environment, `.env` and `tollgate-edge.toml`, in this
//! order. The gate's own settings are checked by the gate and passed to the component by name and
//! value.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tollgate_gate::{DEPRECATED_SETTINGS, DeprecatedSetting, TrustedProxies, deprecated_settings};

/// Components from the build script; `None` where the build embeds none.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded_components.rs"));
}

/// Settings file that is read if it exists.
const FILE: &str = "tollgate-edge.toml";
const PREFIX: &str = "TOLLGATE_EDGE_";
const LISTEN: &str = "TOLLGATE_EDGE_LISTEN";
const COMPONENT: &str = "TOLLGATE_EDGE_COMPONENT";
const STORE: &str = "TOLLGATE_EDGE_STORE";
const MAX_CONNECTIONS: &str = "TOLLGATE_EDGE_MAX_CONNECTIONS";
/// Settings whose value can be in a file, which `NAME_FILE` names: secrets, and the snapshot key,
/// which is copied from the origin.
const VALUES_IN_FILES: [&str; 3] = ["TOLLGATE_EDGE_SNAPSHOT_KEY", "TOLLGATE_EDGE_SECRET_KEYS", "TOLLGATE_EDGE_KEY"];
const MAX_VALUE_FILE_BYTES: u64 = 64 * 1024;

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
    /// File of the component; by default the embedded one, or the file in the executable's folder.
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
        let listen = parse_listen(get(LISTEN))?;
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

    /// The component: as set, else the embedded one, else the file in the executable's folder or
    /// where cargo builds it.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn component_source(&self) -> Result<ComponentSource, SettingError> {
        find_component(self.component.as_deref(), self.gate)
    }
}

/// The address to listen on, from the value of `TOLLGATE_EDGE_LISTEN`.
pub(crate) fn parse_listen(set: Option<String>) -> Result<SocketAddr, SettingError> {
    let listen = set.unwrap_or_else(|| "127.0.0.1:8787".to_owned());
    listen.parse().map_err(|_| {
        SettingError::new(LISTEN, format_args!("must be an address such as 127.0.0.1:8787, not {listen:?}"))
    })
}

/// Where a component is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComponentSource {
    File(PathBuf),
    /// The bytes that the program was built with.
    Embedded(&'static [u8]),
}

/// Finds the component for `gate`; `set` is the value of `TOLLGATE_EDGE_COMPONENT`.
///
/// # Errors
/// If there is no such file.
pub fn find_component(set: Option<&Path>, gate: GateKind) -> Result<ComponentSource, SettingError> {
    if let Some(path) = set {
        return path
            .is_file()
            .then(|| ComponentSource::File(path.to_owned()))
            .ok_or_else(|| SettingError::new(COMPONENT, format_args!("is not a file: {}", path.display())));
    }
    let (name, package, embedded) = match gate {
        GateKind::Component => ("tollgate_component.wasm", "tollgate-component", embedded::COMPONENT),
        GateKind::Spin => ("tollgate_spin.wasm", "tollgate-spin", embedded::SPIN_COMPONENT),
    };
    if let Some(bytes) = embedded {
        return Ok(ComponentSource::Embedded(bytes));
    }
    let executable = std::env::current_exe().unwrap_or_default();
    // Cargo builds executables in target/PROFILE, and tests in target/PROFILE/deps.
    let above = executable.ancestors().skip(1).take(3);
    let candidates = above.flat_map(|folder| [folder.join(name), folder.join("wasm32-wasip2/release").join(name)]);
    candidates.into_iter().find(|path| path.is_file()).map(ComponentSource::File).ok_or_else(|| {
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
            if ![LISTEN, COMPONENT, STORE, MAX_CONNECTIONS].contains(&&*name)
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
