//! What outlives a request: the gate, and whether a fetch is under way. Spin reuses the instance for a while, so this is
//! filled once and then kept; what outlives the instance is in [`crate::shared`].

use crate::shared;
use spin_sdk::variables::{self, Error};
use std::cell::{Cell, OnceCell, Ref, RefCell, RefMut};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};
use tollgate_gate::{
    DEPRECATED_SETTINGS, Gate, MessageLog, SETTINGS, Settings, TrustedProxies, deprecated_settings, with_path,
};

thread_local! {
    static EDGE: OnceCell<Rc<Edge>> = const { OnceCell::new() };
}

/// The gate of this instance and the state of its fetches.
pub(crate) struct Edge {
    pub(crate) gate: RefCell<Gate>,
    /// The proxies that are believed.
    pub(crate) proxies: TrustedProxies,
    /// What this instance knows to leave for the next.
    pub(crate) record: RefCell<MessageLog>,
    /// Whether a fetch is under way: there is one at most.
    pub(crate) fetching: Cell<bool>,
    /// Whether the last question to the origin, of whichever instance, came to nothing.
    pub(crate) has_failed: Cell<bool>,
    /// Pushes whose bodies are being read.
    pub(crate) pushes: Cell<usize>,
}

impl Edge {
    /// The instance's gate, made and warmed on the first request. The error is one line that names the setting at fault.
    pub(crate) async fn current() -> Result<Rc<Edge>, String> {
        if let Some(edge) = EDGE.with(|cell| cell.get().cloned()) {
            return Ok(edge);
        }
        let (settings, proxies) = read_settings().await?;
        let edge = Rc::new(Edge {
            gate: RefCell::new(Gate::new(settings)),
            proxies,
            record: RefCell::default(),
            fetching: Cell::new(false),
            has_failed: Cell::new(false),
            pushes: Cell::new(0),
        });
        shared::begin(&edge).await;
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
}

/// The clock, in Unix milliseconds.
#[expect(clippy::disallowed_methods, reason = "the component's clock")]
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Reads the settings from Spin's variables, which have the same names in lower case. The two addresses come in two parts,
/// because Spin allows no path in `allowed_outbound_hosts`, where their first parts stand.
async fn read_settings() -> Result<(Settings, TrustedProxies), String> {
    let mut values = Vec::new();
    let deprecated = DEPRECATED_SETTINGS.iter().map(|(name, _)| *name);
    for name in SETTINGS.iter().map(|(name, _)| *name).chain(deprecated) {
        if let Some(value) = variable(name).await? {
            values.push((name, value));
        }
    }
    for (name, value) in &mut values {
        if matches!(*name, "TOLLGATE_EDGE_ORIGIN" | "TOLLGATE_EDGE_UPSTREAM") {
            let path = variable(&format!("{name}_PATH")).await?;
            *value = with_path(name, value, path.as_deref().unwrap_or_default()).map_err(|error| error.to_string())?;
        }
    }
    let get = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    for setting in deprecated_settings(get) {
        eprintln!("tollgate: {setting}");
    }
    let proxies = TrustedProxies::from_lookup(get).map_err(|error| error.to_string())?;
    Settings::from_lookup(get).map(|settings| (settings, proxies)).map_err(|error| error.to_string())
}

/// The Spin variable of a setting.
async fn variable(name: &str) -> Result<Option<String>, String> {
    match variables::get(name.to_ascii_lowercase()).await {
        Ok(value) => Ok(Some(value)),
        Err(Error::Undefined(_)) => Ok(None),
        Err(error) => Err(format!("{name} cannot be read: {error}")),
    }
}
