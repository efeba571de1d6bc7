//! State of an isolate, which outlives a request: the gate and its fetches. It contains no object
//! of a request, because the runtime does not let a request use a stream, promise or timer of
//! another one.

use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
};

use tollgate_gate::{
    EdgeReport, Gate, NamedUpstreams, Nonce, RateLimiter, RefusalLog, Reporter, Settings, TrustedProxies,
    deprecated_settings,
};
use worker::{Env, console_warn, web_sys};

use crate::introspection::Flights;
use crate::{hubs::Hubs, kv, now_ms, random, setting, single_flight::SingleFlight};

thread_local! {
    static ISOLATE: OnceCell<Rc<Isolate>> = const { OnceCell::new() };
}

/// The gate of this isolate and the state of its fetches.
pub(crate) struct Isolate {
    /// Each borrow must end before the next await.
    pub(crate) gate: RefCell<Gate>,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) fetches: Rc<SingleFlight>,
    /// The hubs, if they are bound.
    pub(crate) hubs: Option<Hubs>,
    /// What this isolate reports to the origin.
    reporter: RefCell<Reporter>,
    pub(crate) refusal_log: RefCell<RefusalLog>,
    pub(crate) upstreams: NamedUpstreams,
    /// Questions about single tokens.
    pub(crate) introspections: Flights,
    /// Counts of route rules' rate limits, without hubs or while they fail.
    pub(crate) limiter: RefCell<RateLimiter>,
    /// Time of the last check whether KV has the snapshot.
    kv_checked_ms: Cell<u64>,
}

impl Isolate {
    /// The isolate's state, created on the first request. The error is one line that names the
    /// invalid setting.
    pub(crate) async fn current(env: &Env, request: &web_sys::Request) -> Result<Rc<Isolate>, String> {
        if let Some(isolate) = ISOLATE.with(|cell| cell.get().cloned()) {
            return Ok(isolate);
        }
        let settings = Settings::from_lookup(|name| setting(env, name)).map_err(|error| error.to_string())?;
        let mut gate = Gate::new(settings).with_instance_seed(Nonce::from_bytes(random()?));
        let trusted_proxies =
            TrustedProxies::from_lookup(|name| setting(env, name)).map_err(|error| error.to_string())?;
        let upstreams = NamedUpstreams::from_lookup(|name| setting(env, name)).map_err(|error| error.to_string())?;
        let hubs = Hubs::from_env(env, request, &gate)?;
        kv::load_snapshot(&mut gate, env).await;
        let isolate = Rc::new(Isolate {
            gate: RefCell::new(gate),
            trusted_proxies,
            fetches: Rc::default(),
            hubs,
            reporter: RefCell::new(Reporter::new(u64::from_be_bytes(random()?))),
            refusal_log: RefCell::default(),
            upstreams,
            introspections: RefCell::default(),
            limiter: RefCell::default(),
            kv_checked_ms: Cell::new(0),
        });
        // Concurrent requests may have created another one; the first is kept.
        let keep = || {
            for deprecated in deprecated_settings(|name| setting(env, name)) {
                console_warn!("tollgate: {deprecated}");
            }
            isolate
        };
        Ok(ISOLATE.with(|cell| Rc::clone(cell.get_or_init(keep))))
    }

    /// The report of this isolate's work for the origin, if the edge has a key and one is due.
    pub(crate) fn take_due_report(&self) -> Option<EdgeReport> {
        let gate = self.gate.borrow();
        gate.settings().edge.as_ref()?;
        self.reporter.borrow_mut().take_due(gate.counters().totals(), now_ms())
    }

    /// Stores the snapshot for the next cold start, if KV is bound and there are no hubs: the
    /// directory of hubs does it for all isolates.
    pub(crate) async fn store_snapshot(&self, env: &Env) {
        kv::store_snapshot(&self.gate, &self.kv_checked_ms, env).await;
    }
}
