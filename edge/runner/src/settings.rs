//! Settings of the runner: flags over environment over `.env` over `tollgate-edge.toml`. What the gate itself understands
//! is checked by the gate's own reader and handed on by name, so that nothing is interpreted twice.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tollgate_gate::TrustedProxies;

/// The file that is read when it is there.
const FILE: &str = "tollgate-edge.toml";
const PREFIX: &str = "TOLLGATE_EDGE_";
const LISTEN: &str = "TOLLGATE_EDGE_LISTEN";
const COMPONENT: &str = "TOLLGATE_EDGE_COMPONENT";
const STORE: &str = "TOLLGATE_EDGE_STORE";
const MAX_CONNECTIONS: &str = "TOLLGATE_EDGE_MAX_CONNECTIONS";

/// A setting that is missing or wrong; displays as one line that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError(String);

impl SettingError {
    /// A complaint about the setting `name`.
    pub fn new(name: &str, problem: impl fmt::Display) -> SettingError {
        SettingError(format!("{name} {problem}"))
    }

    /// A complaint of the component's, which names its setting.
    pub(crate) fn line(line: impl Into<String>) -> SettingError {
        SettingError(line.into())
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingError {}

/// Which component decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GateKind {
    /// The WIT validator: this crate brings clock, network and proxying.
    #[default]
    Component,
    /// The Spin component, hosted as Spin hosts it.
    Spin,
}

/// Everything a runner needs to start, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which component decides.
    pub gate: GateKind,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The component's file, if it is not the one beside the executable.
    pub component: Option<PathBuf>,
    /// Folder for what a cold start needs; none: memory only.
    pub store: Option<PathBuf>,
    /// Clients' connections at once.
    pub max_connections: usize,
    pub(crate) origin: String,
    pub(crate) upstream: String,
    pub(crate) proxies: TrustedProxies,
    pub(crate) upstream_timeout: Duration,
    /// The bound on how old the gate's knowledge may be.
    pub(crate) hard: Duration,
    /// The gate's own settings by their names, as given.
    pub(crate) of_gate: Vec<(String, String)>,
}

impl Settings {
    /// Reads settings by their names (`TOLLGATE_EDGE_LISTEN`, …); an empty value counts as absent.
    ///
    /// # Errors
    /// One line that names the setting at fault.
    pub fn from_lookup(gate: GateKind, get: impl Fn(&str) -> Option<String>) -> Result<Settings, SettingError> {
        let get = &|name: &str| get(name).filter(|value| !value.is_empty());
        let listen = get(LISTEN).unwrap_or_else(|| "127.0.0.1:8787".to_owned());
        let listen = listen.parse().map_err(|_| {
            SettingError::new(LISTEN, format_args!("must be an address such as 127.0.0.1:8787, not {listen:?}"))
        })?;
        let known =
            tollgate_gate::Settings::from_lookup(get).map_err(|error| SettingError::new(error.name, error.problem))?;
        let proxies = TrustedProxies::from_lookup(get).map_err(|error| SettingError::new(error.name, error.problem))?;
        let max_connections = get(MAX_CONNECTIONS).map_or(Ok(10_000), |text| {
            let number = text.trim().parse().ok().filter(|number| (16..=1_000_000).contains(number));
            number
                .ok_or_else(|| SettingError::new(MAX_CONNECTIONS, format_args!("must be 16 to 1000000, not {text:?}")))
        })?;
        let of_gate = tollgate_gate::SETTINGS.iter().filter_map(|(name, _)| Some(((*name).to_owned(), get(name)?)));
        Ok(Settings {
            gate,
            listen,
            component: get(COMPONENT).map(PathBuf::from),
            store: get(STORE).map(PathBuf::from),
            max_connections,
            origin: known.origin,
            upstream: known.upstream,
            proxies,
            upstream_timeout: Duration::from_millis(known.upstream_timeout_ms),
            hard: Duration::from_millis(known.max_staleness_ms),
            of_gate: of_gate.collect(),
        })
    }

    /// Where allowed requests go.
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// The component's file: the one set, else the one beside the executable, else the one that cargo built.
    ///
    /// # Errors
    /// When there is none.
    pub fn component_path(&self) -> Result<PathBuf, SettingError> {
        find_component(self.component.as_deref(), self.gate)
    }
}

/// Finds the component's file for `gate`; `set` is what `TOLLGATE_EDGE_COMPONENT` says.
///
/// # Errors
/// When there is no such file.
pub fn find_component(set: Option<&Path>, gate: GateKind) -> Result<PathBuf, SettingError> {
    if let Some(path) = set {
        return path
            .is_file()
            .then(|| path.to_owned())
            .ok_or_else(|| SettingError::new(COMPONENT, format_args!("names no file: {}", path.display())));
    }
    let (name, package) = match gate {
        GateKind::Component => ("tollgate_component.wasm", "tollgate-component"),
        GateKind::Spin => ("tollgate_spin.wasm", "tollgate-spin"),
    };
    let executable = std::env::current_exe().unwrap_or_default();
    // An executable of cargo's lies in target/PROFILE, a test's in target/PROFILE/deps.
    let above = executable.ancestors().skip(1).take(3);
    let candidates = above.flat_map(|folder| [folder.join(name), folder.join("wasm32-wasip2/release").join(name)]);
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        let build = format!("cargo build --release --target wasm32-wasip2 --package {package}");
        SettingError::new(
            COMPONENT,
            format_args!("is not set, and {name} is not beside the executable; build it: {build}"),
        )
    })
}

/// Where values come from, strongest first.
pub struct Sources {
    flags: BTreeMap<String, String>,
    dotenv: BTreeMap<String, String>,
    file: BTreeMap<String, String>,
}

impl Sources {
    /// Reads `.env` (from here upwards) and the settings file; `flags` are names and values from the command line.
    ///
    /// # Errors
    /// When one of the files is there but cannot be understood.
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

    /// The value of a setting by its name.
    pub fn get(&self, name: &str) -> Option<String> {
        let from = |map: &BTreeMap<String, String>| map.get(name).filter(|value| !value.is_empty()).cloned();
        from(&self.flags)
            .or_else(|| std::env::var(name).ok().filter(|value| !value.is_empty()))
            .or_else(|| from(&self.dotenv))
            .or_else(|| from(&self.file))
    }
}

/// The settings file: `listen = "127.0.0.1:8787"`, that is the names in lower case without their prefix, or the full names.
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
            {
                return Err(SettingError::new(&name, format_args!("is no setting, but stands in {}", shown.display())));
            }
            let value = plain(value).ok_or_else(|| {
                SettingError::new(
                    &name,
                    format_args!("must be text, a whole number, true or false in {}", shown.display()),
                )
            })?;
            Ok((name, value))
        })
        .collect()
}

/// A value of the settings file as the environment would give it.
fn plain(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(items) => {
            items.into_iter().map(plain).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

fn one_line(error: impl fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
