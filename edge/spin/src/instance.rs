//! The [`Edge`] of this instance: created from Spin's variables on the first request.

use crate::edge::Edge;
use crate::fetch::random_nonce;
use crate::shared;
use spin_sdk::variables::{self, Error};
use spin_sdk::wasip3::random::random;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use tollgate_gate::{
    DEPRECATED_SETTINGS, DeprecatedSetting, Gate, NamedUpstreams, Reporter, SETTINGS, Settings, TrustedProxies,
    deprecated_settings, with_path,
};

/// Setting of [`NamedUpstreams`].
const UPSTREAMS: &str = "TOLLGATE_EDGE_UPSTREAMS";

thread_local! {
    static EDGE: OnceCell<Rc<Edge>> = const { OnceCell::new() };
}

/// The edge of this instance, created on the first request. The error is one line that names
/// the invalid setting.
pub(crate) async fn current_edge() -> Result<Rc<Edge>, String> {
    if let Some(edge) = EDGE.with(|cell| cell.get().cloned()) {
        return Ok(edge);
    }
    let InstanceSettings { settings, upstreams, trusted_proxies, deprecated } = InstanceSettings::read().await?;
    let edge = Rc::new(Edge {
        gate: RefCell::new(Gate::new(settings).with_instance_seed(random_nonce())),
        upstreams,
        trusted_proxies,
        log: RefCell::default(),
        is_refreshing: Cell::new(false),
        has_failed: Cell::new(false),
        looked_at_ms: Cell::new(0),
        stored_snapshot: RefCell::default(),
        reporter: RefCell::new(Reporter::new(random::get_random_u64())),
        refusal_log: RefCell::default(),
        introspections: RefCell::default(),
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

/// The settings of an instance, and the deprecated names among them.
struct InstanceSettings {
    settings: Settings,
    upstreams: NamedUpstreams,
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
        let names = SETTINGS.iter().map(|(name, _)| *name).chain(deprecated_names).chain([UPSTREAMS]);
        for name in names {
            if let Some(value) = variable(name).await? {
                values.push((name, value));
            }
        }
        if cfg!(feature = "middleware") {
            // Middleware has no upstream of its own.
            values.retain(|(name, _)| *name != "TOLLGATE_EDGE_UPSTREAM");
            values.push(("TOLLGATE_EDGE_UPSTREAM", "http://next.invalid".to_owned()));
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
            upstreams: NamedUpstreams::from_lookup(get).map_err(|error| error.to_string())?,
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
