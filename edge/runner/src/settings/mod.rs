//! Settings of the runner, from flags, the environment, `.env` and `tollgate-edge.toml`, in this
//! order. The gate's own settings are checked by the gate and passed to the component by name and
//! value.

mod component;
mod listener;
mod lookup;
mod relay;
mod sources;
mod streams;
mod table;
mod upstream;

pub use component::{ComponentSource, find_component};
pub(crate) use listener::{ClientTimeouts, ListenerSettings, TlsSettings};
pub use relay::RelaySettings;
pub use sources::Sources;
pub(crate) use streams::StreamSettings;
pub use table::{DEPRECATED_FLAGS, GATE_FLAGS, RUNNER_SETTINGS, RunnerSetting};
pub(crate) use upstream::{
    EjectionSettings, HealthCheckSettings, MAX_TARGETS, UpstreamSettings, UpstreamTimeouts, UpstreamUrl,
};

use crate::upstream::HttpVersions;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lookup::Lookup;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use table::{COMPONENT, LISTEN, SNAPSHOT_URL, STORE, UPSTREAM};
use tollgate_gate::{DEPRECATED_SETTINGS, DPOP_NONCE, DPOP_NONCE_KEY, TrustedProxies};

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
    pub(crate) listener: ListenerSettings,
    pub(crate) origin: String,
    /// Another place of the origin's snapshot.
    pub(crate) snapshot_url: Option<String>,
    pub(crate) upstreams: UpstreamSettings,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) streams: StreamSettings,
    pub(crate) max_staleness: Duration,
    /// Whether the edge has a key, by which it authenticates to its origin.
    pub(crate) is_registered: bool,
    pub(crate) server_timing: bool,
    pub(crate) starts_traces: bool,
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
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let nonce_key = generated_nonce_key(&get)?;
        let get = &|name: &str| get(name).or_else(|| nonce_key.clone().filter(|_| name == DPOP_NONCE_KEY));
        let listen = parse_listen(get(LISTEN))?;
        let for_gate = &|name: &str| {
            let first = |value: String| upstream::http_url(value.split(',').next().unwrap_or_default().trim());
            get(name).map(|value| if name == UPSTREAM { first(value) } else { value })
        };
        let gate_settings = tollgate_gate::Settings::from_lookup(for_gate)
            .map_err(|error| SettingError::new(error.name, error.problem))?;
        let response_timeout = Duration::from_millis(gate_settings.upstream_timeout_ms);
        let upstreams = UpstreamSettings::from_lookup(Lookup(get), response_timeout)?;
        let is_for_spin = |first: &UpstreamUrl| first.versions != HttpVersions::Http2 && upstreams.default.len() == 1;
        if gate == GateKind::Spin && !upstreams.default.first().is_some_and(is_for_spin) {
            return Err(SettingError::new(UPSTREAM, "must be one URL with http or https for a Spin component"));
        }
        let trusted_proxies =
            TrustedProxies::from_lookup(get).map_err(|error| SettingError::new(error.name, error.problem))?;
        let lookup = Lookup(get);
        let deprecated = DEPRECATED_SETTINGS.iter().filter(|(_, new_name)| get(new_name).is_none());
        let names = tollgate_gate::SETTINGS.iter().map(|(name, _)| *name).chain(deprecated.map(|(name, _)| *name));
        let unparsed = names.filter_map(|name| Some((name.to_owned(), for_gate(name)?))).collect();
        Ok(Settings {
            gate,
            listen,
            component: get(COMPONENT).map(PathBuf::from),
            store: get(STORE).map(PathBuf::from),
            listener: ListenerSettings::from_lookup(lookup)?,
            origin: gate_settings.origin,
            snapshot_url: lookup.text(SNAPSHOT_URL).map(checked_snapshot_url).transpose()?,
            upstreams,
            trusted_proxies,
            streams: StreamSettings::from_lookup(lookup)?,
            max_staleness: Duration::from_millis(gate_settings.max_staleness_ms),
            is_registered: gate_settings.edge.is_some(),
            server_timing: gate_settings.server_timing,
            starts_traces: gate_settings.starts_traces,
            gate_settings: unparsed,
        })
    }

    /// First URL of the upstream of routes that name none.
    pub fn upstream(&self) -> &str {
        self.upstreams.default.first().map_or("", |first| &first.url)
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

/// A random key for the nonces of DPoP proofs, if they are required and the settings have no key.
#[expect(clippy::disallowed_methods, reason = "the runner's random source")]
fn generated_nonce_key(get: &impl Fn(&str) -> Option<String>) -> Result<Option<String>, SettingError> {
    if get(DPOP_NONCE).is_none_or(|value| value.trim() != "true") || get(DPOP_NONCE_KEY).is_some() {
        return Ok(None);
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| {
        SettingError::new(DPOP_NONCE_KEY, format_args!("is not set, and the system's random source failed: {error}"))
    })?;
    Ok(Some(URL_SAFE_NO_PAD.encode(secret)))
}

/// A snapshot is signed, so that it may come by http.
fn checked_snapshot_url(value: String) -> Result<String, SettingError> {
    match value.starts_with("https://") || value.starts_with("http://") {
        true => Ok(value),
        false => Err(SettingError::new(
            SNAPSHOT_URL,
            format_args!("must be a URL such as https://cdn.example/tollgate/snapshot, not {value:?}"),
        )),
    }
}

/// The address to listen on, from the value of `TOLLGATE_EDGE_LISTEN`.
pub(crate) fn parse_listen(set: Option<String>) -> Result<SocketAddr, SettingError> {
    parse_address(LISTEN, set.as_deref().unwrap_or("127.0.0.1:8787"))
}

pub(crate) fn parse_address(name: &str, address: &str) -> Result<SocketAddr, SettingError> {
    address.parse().map_err(|_| {
        SettingError::new(name, format_args!("must be an address such as 127.0.0.1:8787, not {address:?}"))
    })
}
