//! What outlives a request in one isolate: the gate, and whether a fetch is under way. Nothing here belongs to a request: the
//! runtime forbids one request to wait for another one's stream, promise or timer.

use std::{
    cell::{OnceCell, RefCell},
    rc::Rc,
};

use tollgate_gate::{Gate, Settings, TrustedProxies, deprecated_settings};
use worker::{Env, console_error, console_warn, kv::KvStore, web_sys};

use crate::{hubs::Hubs, setting, turns::Turns};

/// The optional KV namespace that warms a cold start. It never makes anything fresh: KV may be a minute behind.
const KV_BINDING: &str = "TOLLGATE_KV";
/// Where a cold isolate finds the newest snapshot. A new wire format takes a new name.
const SNAPSHOT_KEY: &str = "tollgate/snapshot/v1";

thread_local! {
    static ISOLATE: OnceCell<Rc<Isolate>> = const { OnceCell::new() };
}

/// The gate of this isolate and the state of its fetches.
pub(crate) struct Isolate {
    /// What is borrowed of it is given back before the next await.
    pub(crate) gate: RefCell<Gate>,
    /// The proxies that are believed.
    pub(crate) proxies: TrustedProxies,
    /// Whose turn it is to fetch.
    pub(crate) turns: Rc<Turns>,
    /// The hubs, where they are bound.
    pub(crate) hubs: Option<Hubs>,
    /// The signature of the snapshot that KV is known to hold.
    stored: RefCell<Option<Vec<u8>>>,
}

impl Isolate {
    /// The isolate's gate, made and warmed on the first request. The error is one line that names the setting at fault.
    pub(crate) async fn current(env: &Env, request: &web_sys::Request) -> Result<Rc<Isolate>, String> {
        if let Some(isolate) = ISOLATE.with(|cell| cell.get().cloned()) {
            return Ok(isolate);
        }
        for deprecated in deprecated_settings(|name| setting(env, name)) {
            console_warn!("tollgate: {deprecated}");
        }
        let mut gate = Gate::new(Settings::from_lookup(|name| setting(env, name)).map_err(|error| error.to_string())?);
        let proxies = TrustedProxies::from_lookup(|name| setting(env, name)).map_err(|error| error.to_string())?;
        let hubs = Hubs::bound(env, request)?;
        if let Some(kv) = kv(env) {
            warm(&mut gate, &kv).await;
        }
        let stored = RefCell::new(mark(&gate));
        let isolate = Rc::new(Isolate { gate: RefCell::new(gate), proxies, turns: Rc::default(), hubs, stored });
        // Requests that came meanwhile made a gate of their own; the first one to finish is kept by all.
        Ok(ISOLATE.with(|cell| Rc::clone(cell.get_or_init(|| isolate))))
    }

    /// Keeps the snapshot for the next cold isolate, if KV is bound and does not hold it already. A store that fails costs a
    /// cold start some milliseconds, no more.
    pub(crate) async fn store_snapshot(&self, env: &Env) {
        let new = mark(&self.gate.borrow());
        let Some(kv) = kv(env).filter(|_| new.is_some() && *self.stored.borrow() != new) else { return };
        let Some(put) = self.gate.borrow().snapshot().map(|bytes| kv.put_bytes(SNAPSHOT_KEY, bytes)) else { return };
        let result = match put {
            Ok(put) => put.execute().await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => *self.stored.borrow_mut() = new,
            Err(error) => console_error!("tollgate: the snapshot is not stored in {KV_BINDING}: {error}"),
        }
    }
}

fn kv(env: &Env) -> Option<KvStore> {
    env.kv(KV_BINDING).ok()
}

async fn warm(gate: &mut Gate, kv: &KvStore) {
    match kv.get(SNAPSHOT_KEY).bytes().await {
        Ok(Some(snapshot)) => {
            if let Err(error) = gate.warm(&snapshot) {
                console_error!("tollgate: the stored snapshot is refused: {error}");
            }
        }
        Ok(None) => {}
        Err(error) => console_error!("tollgate: the stored snapshot cannot be read: {error}"),
    }
}

/// Tells one snapshot from the next: each ends in its signature.
fn mark(gate: &Gate) -> Option<Vec<u8>> {
    gate.snapshot().map(|bytes| bytes[bytes.len().saturating_sub(64)..].to_vec())
}
