//! What outlives a request: the gate, and whether a fetch is under way. Spin reuses the instance, so this is filled once
//! and then kept; a cold instance warms itself from the key-value store.

use spin_sdk::key_value::Store;
use spin_sdk::variables::{self, Error};
use std::cell::{Cell, OnceCell, Ref, RefCell, RefMut};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};
use tollgate_gate::{BackOff, Gate, SETTINGS, Settings, TrustedProxies};

/// Where a cold instance finds the newest snapshot. A new wire format takes a new name.
const SNAPSHOT_KEY: &str = "tollgate/snapshot/v1";

thread_local! {
    static EDGE: OnceCell<Rc<Edge>> = const { OnceCell::new() };
}

/// The gate of this instance and the state of its fetches.
pub(crate) struct Edge {
    gate: RefCell<Gate>,
    /// The proxies that are believed.
    pub(crate) proxies: TrustedProxies,
    /// Whether a fetch is under way: there is one at most.
    pub(crate) fetching: Cell<bool>,
    /// What became of the last ones.
    pub(crate) back_off: Cell<BackOff>,
}

impl Edge {
    /// The instance's gate, made and warmed on the first request. The error is one line that names the setting at fault.
    pub(crate) async fn current() -> Result<Rc<Edge>, String> {
        if let Some(edge) = EDGE.with(|cell| cell.get().cloned()) {
            return Ok(edge);
        }
        let (settings, proxies) = read_settings().await?;
        let mut gate = Gate::new(settings);
        if let Some(snapshot) = load_snapshot().await
            && let Err(error) = gate.warm(&snapshot)
        {
            eprintln!("tollgate: the stored snapshot is refused: {error}");
        }
        let edge =
            Rc::new(Edge { gate: RefCell::new(gate), proxies, fetching: Cell::default(), back_off: Cell::default() });
        // Requests that came meanwhile made a gate of their own; the first one to finish is kept by all.
        Ok(EDGE.with(|cell| Rc::clone(cell.get_or_init(|| edge))))
    }

    /// The gate, to be read. Give it back before the next await.
    pub(crate) fn gate(&self) -> Ref<'_, Gate> {
        self.gate.borrow()
    }

    /// The gate, to be changed. Give it back before the next await.
    pub(crate) fn gate_mut(&self) -> RefMut<'_, Gate> {
        self.gate.borrow_mut()
    }

    /// Keeps a snapshot for the next cold instance. A store that fails costs a cold start some milliseconds, no more.
    pub(crate) async fn store_snapshot(snapshot: &[u8]) {
        let stored = async { Store::open_default().await?.set(SNAPSHOT_KEY, snapshot).await };
        if let Err(error) = stored.await {
            eprintln!("tollgate: the snapshot is not stored: {error}");
        }
    }
}

/// The clock, in Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Reads the settings from Spin's variables, which have the same names in lower case.
async fn read_settings() -> Result<(Settings, TrustedProxies), String> {
    let mut values = Vec::new();
    for (name, _) in SETTINGS {
        match variables::get(name.to_ascii_lowercase()).await {
            Ok(value) => values.push((name, value)),
            Err(Error::Undefined(_)) => {}
            Err(error) => return Err(format!("{name} cannot be read: {error}")),
        }
    }
    let get = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let proxies = TrustedProxies::from_lookup(get).map_err(|error| error.to_string())?;
    Settings::from_lookup(get).map(|settings| (settings, proxies)).map_err(|error| error.to_string())
}

/// The snapshot that an earlier instance stored, if any.
async fn load_snapshot() -> Option<Vec<u8>> {
    let loaded = async { Store::open_default().await?.get(SNAPSHOT_KEY).await };
    loaded.await.unwrap_or_else(|error| {
        eprintln!("tollgate: the stored snapshot cannot be read: {error}");
        None
    })
}
