//! State of an isolate, which outlives a request: the gate and its fetches. It contains no object
//! of a request, because the runtime does not let a request use a stream, promise or timer of
//! another one.

use std::{
    cell::{OnceCell, RefCell},
    rc::Rc,
};

use tollgate_gate::{Gate, Settings, TrustedProxies, deprecated_settings};
use worker::{Env, console_error, console_warn, kv::KvStore, web_sys};

use crate::{hubs::Hubs, setting, single_flight::SingleFlight};

/// Optional KV namespace with a snapshot for cold starts. It never makes a replica fresh, because
/// KV may be a minute behind.
const KV_BINDING: &str = "TOLLGATE_KV";
/// Key of the newest snapshot. A new wire format needs a new key.
const SNAPSHOT_KEY: &str = "tollgate/snapshot/v1";

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
    /// Signature of the snapshot that KV has.
    stored_signature: RefCell<Option<Vec<u8>>>,
}

impl Isolate {
    /// The isolate's state, created on the first request. The error is one line that names the
    /// invalid setting.
    pub(crate) async fn current(env: &Env, request: &web_sys::Request) -> Result<Rc<Isolate>, String> {
        if let Some(isolate) = ISOLATE.with(|cell| cell.get().cloned()) {
            return Ok(isolate);
        }
        let mut gate = Gate::new(Settings::from_lookup(|name| setting(env, name)).map_err(|error| error.to_string())?);
        let trusted_proxies =
            TrustedProxies::from_lookup(|name| setting(env, name)).map_err(|error| error.to_string())?;
        let hubs = Hubs::from_env(env, request)?;
        if let Some(kv) = kv(env) {
            load_snapshot(&mut gate, &kv).await;
        }
        let stored_signature = RefCell::new(snapshot_signature(&gate));
        let isolate = Rc::new(Isolate {
            gate: RefCell::new(gate),
            trusted_proxies,
            fetches: Rc::default(),
            hubs,
            stored_signature,
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

    /// Stores the snapshot for the next cold start, if KV is bound and does not have it. Without
    /// it, a cold start takes some milliseconds longer.
    pub(crate) async fn store_snapshot(&self, env: &Env) {
        let new = snapshot_signature(&self.gate.borrow());
        let Some(kv) = kv(env).filter(|_| new.is_some() && *self.stored_signature.borrow() != new) else { return };
        let Some(put) = self.gate.borrow().snapshot().map(|bytes| kv.put_bytes(SNAPSHOT_KEY, bytes)) else { return };
        let result = match put {
            Ok(put) => put.execute().await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => *self.stored_signature.borrow_mut() = new,
            Err(error) => console_error!("tollgate: the snapshot cannot be written to {KV_BINDING}: {error}"),
        }
    }
}

fn kv(env: &Env) -> Option<KvStore> {
    env.kv(KV_BINDING).ok()
}

async fn load_snapshot(gate: &mut Gate, kv: &KvStore) {
    match kv.get(SNAPSHOT_KEY).bytes().await {
        Ok(Some(snapshot)) => {
            if let Err(error) = gate.warm(&snapshot) {
                console_error!("tollgate: the stored snapshot was refused: {error}");
            }
        }
        Ok(None) => {}
        Err(error) => console_error!("tollgate: the stored snapshot cannot be read: {error}"),
    }
}

/// The signature at the end of the snapshot, which identifies it.
fn snapshot_signature(gate: &Gate) -> Option<Vec<u8>> {
    gate.snapshot().map(|bytes| bytes[bytes.len().saturating_sub(64)..].to_vec())
}
