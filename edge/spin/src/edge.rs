//! State of an instance, which outlives a request: the gate and its refresh. State that outlives
//! the instance is in [`crate::shared`].

use crate::introspection::Flights;
use std::cell::{Cell, Ref, RefCell, RefMut};
use std::time::{SystemTime, UNIX_EPOCH};
use tollgate_gate::{EdgeReport, Gate, MessageLog, NamedUpstreams, RefusalLog, Reporter, TrustedProxies};

/// The gate of this instance and the state of its refresh.
pub(crate) struct Edge {
    pub(crate) gate: RefCell<Gate>,
    pub(crate) upstreams: NamedUpstreams,
    pub(crate) trusted_proxies: TrustedProxies,
    /// Messages to share with other instances.
    pub(crate) log: RefCell<MessageLog>,
    /// Whether a refresh is running; at most one does.
    pub(crate) is_refreshing: Cell<bool>,
    /// Whether the last poll of the origin, by any instance, failed.
    pub(crate) has_failed: Cell<bool>,
    /// Time of the last look for messages of other instances, in Unix milliseconds.
    pub(crate) looked_at_ms: Cell<u64>,
    /// Name of the snapshot that this instance read from the key-value store or wrote to it.
    pub(crate) stored_snapshot: RefCell<String>,
    /// What this instance reports to the origin.
    pub(crate) reporter: RefCell<Reporter>,
    pub(crate) refusal_log: RefCell<RefusalLog>,
    /// Questions about single tokens.
    pub(crate) introspections: Flights,
    /// Number of pushes whose bodies are being read.
    pub(crate) pushes: Cell<usize>,
}

impl Edge {
    /// Borrows the gate. The borrow must end before the next await.
    pub(crate) fn gate(&self) -> Ref<'_, Gate> {
        self.gate.borrow()
    }

    /// The report of this instance's work for the origin, if the edge has a key and one is due.
    /// What an instance counted after its last report is lost when Spin ends it.
    pub(crate) fn take_due_report(&self) -> Option<EdgeReport> {
        let gate = self.gate();
        gate.settings().edge.as_ref()?;
        self.reporter.borrow_mut().take_due(gate.counters().totals(), now_ms())
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
