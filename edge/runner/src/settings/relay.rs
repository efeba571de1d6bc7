//! Settings of a relay: those of an edge that concern its listener and its origin.

use super::listener::ListenerSettings;
use super::lookup::Lookup;
use super::table::{LISTEN, UPSTREAM};
use super::{SettingError, parse_listen};
use std::net::SocketAddr;
use tollgate_gate::EdgeIdentity;

/// The settings of `tollgate-edge relay`.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// Address to listen on; port 0 selects a free port.
    pub listen: SocketAddr,
    pub(crate) listener: ListenerSettings,
    pub(crate) origin: String,
    pub(crate) snapshot_keys: Vec<[u8; 32]>,
    /// Identity with which the relay authenticates to the origin.
    pub(crate) edge: Option<EdgeIdentity>,
}

impl RelaySettings {
    /// Reads the settings through `get`, as [`Settings::from_lookup`](super::Settings::from_lookup)
    /// does. A relay has no upstream.
    ///
    /// # Errors
    /// Names the first setting that is missing or invalid.
    pub fn from_lookup(get: impl Fn(&str) -> Option<String>) -> Result<RelaySettings, SettingError> {
        let get = &|name: &str| get(name).filter(|value| !value.is_empty());
        let of_edge = |name: &str| match name {
            UPSTREAM => Some("http://127.0.0.1".to_owned()),
            _ => get(name),
        };
        let of_edge = tollgate_gate::Settings::from_lookup(of_edge)
            .map_err(|error| SettingError::new(error.name, error.problem))?;
        Ok(RelaySettings {
            listen: parse_listen(get(LISTEN))?,
            listener: ListenerSettings::from_lookup(Lookup(get))?,
            origin: of_edge.origin,
            snapshot_keys: of_edge.snapshot_keys,
            edge: of_edge.edge,
        })
    }
}
