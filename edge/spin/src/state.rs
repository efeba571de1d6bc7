//! State of an instance, which outlives a request: the gate and its refresh. State that outlives
//! the instance is in [`crate::shared`].

use crate::shared;
use spin_sdk::variables::{self, Error};
use std::cell::{Cell, OnceCell, Ref, RefCell, RefMut};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};
use tollgate_gate::{
    DEPRECATED_SETTINGS, DeprecatedSetting, Gate, MessageLog, SETTINGS, Settings, TrustedProxies, deprecated_settings,
    with_path,
};

thread_local! {
    static EDGE: OnceCell<Rc<Edge>> = const { OnceCell::new() };
}

/// The gate of this instance and the state of its refresh.
pub(crate) struct Edge {
    pub(crate) gate: RefCell<Gate>,
    pub(crate) trusted_proxies: TrustedProxies,
    /// Messages to share with other instances.
    pub(crate) log: RefCell<MessageLog>,
    /// Whether a refresh is running; at most one does.
    pub(crate) is_refreshing: Cell<bool>,
    /// Whether the last poll of the origin, by any instance, failed.
    pub(crate) has_failed: Cell<bool>,
    /// Number of pushes whose bodies are being read.
    pub(crate) pushes: Cell<usize>,
}

impl Edge {
    /// The edge of this instance, created on the first request. The error is one line that names
    /// the invalid setting.
    pub(crate) async fn current() -> Result<Rc<Edge>, String> {
        if let Some(edge) = EDGE.with(|cell| cell.get().cloned()) {
            return Ok(edge);
        }
        let InstanceSettings { settings, trusted_proxies, deprecated } = InstanceSettings::read().await?;
        let edge = Rc::new(Edge {
            gate: RefCell::new(Gate::new(settings)),
            trusted_proxies,
            log: RefCell::default(),
            is_refreshing: Cell::new(false),
            has_failed: Cell::new(false),
            pushes: Cell::new(0),
        });
        shared::initialize(&edge).await;
        // Concurrent requests may have created another edge; the first one is kept.
        let keep = || {
            for setting in deprecated {
                eprintln!("tollgate: {setting}");
            }
            edge
        };
        Ok(EDGE.with(|cell| Rc::clone(cell.get_or_init(keep))))
    }

    /// Borrows the gate. The borrow must end before the next await.
    pub(crate) fn gate(&self) -> Ref<'_, Gate> {
        self.gate.borrow()
    }

    /// Borrows the gate mutably. The borrow must end before the next await.
    pub(crate) fn gate_mut(&self) -> RefMut<'_, Gate> {
        self.gate.borrow_mut()
    }
}

/// Unix time in milliseconds.
#[expect(clippy::disallowed_methods, reason = "the component's clock")]
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The settings of an instance, and the deprecated names among them.
struct InstanceSettings {
    settings: Settings,
    trusted_proxies: TrustedProxies,
    deprecated: Vec<DeprecatedSetting>,
}

impl InstanceSettings {
    /// Reads the settings from Spin's variables, which have the same names in lower case. The paths
    /// of the two URLs have their own variables, because Spin allows no path in
    /// `allowed_outbound_hosts`.
    async fn read() -> Result<Self, String> {
        let mut values = Vec::new();
        let deprecated_names = DEPRECATED_SETTINGS.iter().map(|(name, _)| *name);
        for name in SETTINGS.iter().map(|(name, _)| *name).chain(deprecated_names) {
            if let Some(value) = variable(name).await? {
                values.push((name, value));
            }
        }
        for (name, value) in &mut values {
            if matches!(*name, "TOLLGATE_EDGE_ORIGIN" | "TOLLGATE_EDGE_UPSTREAM") {
                let path = variable(&format!("{name}_PATH")).await?;
                let joined = with_path(name, value, path.as_deref().unwrap_or_default());
                *value = joined.map_err(|error| error.to_string())?;
            }
        }
        let get = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        Ok(Self {
            settings: Settings::from_lookup(get).map_err(|error| error.to_string())?,
            trusted_proxies: TrustedProxies::from_lookup(get).map_err(|error| error.to_string())?,
            deprecated: deprecated_settings(get).collect(),
        })
    }
}

/// The Spin variable of a setting.
async fn variable(name: &str) -> Result<Option<String>, String> {
    match variables::get(name.to_ascii_lowercase()).await {
        Ok(value) => Ok(Some(value)),
        Err(Error::Undefined(_)) => Ok(None),
        Err(error) => Err(format!("{name} cannot be read: {error}")),
    }
}
