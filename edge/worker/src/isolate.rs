//! What outlives a request in one isolate: the gate, and whether a fetch is under way. Nothing here belongs to a request: the
//! runtime forbids one request to wait for another one's stream, promise or timer.

use std::{
    cell::{Cell, OnceCell, Ref, RefCell, RefMut},
    rc::Rc,
};

use tollgate_gate::{Gate, Settings};
use worker::{Env, console_error, js_sys, kv::KvStore, wasm_bindgen::JsValue};

/// The optional KV namespace that warms a cold start. It never makes anything fresh: KV may be a minute behind.
const KV_BINDING: &str = "TOLLGATE_KV";
/// Where a cold isolate finds the newest snapshot. A new wire format takes a new name.
const SNAPSHOT_KEY: &str = "tollgate/snapshot/v1";
/// After this long a fetch is taken for lost, in milliseconds: the request that led it may have been ended by the runtime,
/// which runs no destructors. Longer than any fetch takes by its own limits.
const LOST_AFTER: u64 = 3_000;

thread_local! {
    static ISOLATE: OnceCell<Rc<Isolate>> = const { OnceCell::new() };
}

/// The gate of this isolate and the state of its fetches.
pub(crate) struct Isolate {
    gate: RefCell<Gate>,
    /// When the fetch under way began, in Unix milliseconds.
    fetching_since: Cell<Option<u64>>,
    /// The signature of the snapshot that KV is known to hold.
    stored: RefCell<Option<Vec<u8>>>,
}

impl Isolate {
    /// The isolate's gate, made and warmed on the first request. The error is one line that names the setting at fault.
    pub(crate) async fn current(env: &Env) -> Result<Rc<Isolate>, String> {
        if let Some(isolate) = ISOLATE.with(|cell| cell.get().cloned()) {
            return Ok(isolate);
        }
        let mut gate = Gate::new(Settings::from_lookup(|name| setting(env, name)).map_err(|error| error.to_string())?);
        if let Some(kv) = kv(env) {
            warm(&mut gate, &kv).await;
        }
        let stored = RefCell::new(mark(&gate));
        let isolate = Rc::new(Isolate { gate: RefCell::new(gate), fetching_since: Cell::new(None), stored });
        // Requests that came meanwhile made a gate of their own; the first one to finish is kept by all.
        Ok(ISOLATE.with(|cell| Rc::clone(cell.get_or_init(|| isolate))))
    }

    /// The gate, to be read. Give it back before the next await.
    pub(crate) fn gate(&self) -> Ref<'_, Gate> {
        self.gate.borrow()
    }

    /// The gate, to be changed. Give it back before the next await.
    pub(crate) fn gate_mut(&self) -> RefMut<'_, Gate> {
        self.gate.borrow_mut()
    }

    /// Whether a fetch is under way.
    pub(crate) fn fetching(&self) -> bool {
        self.fetching_since.get().is_some_and(|since| now_ms().saturating_sub(since) < LOST_AFTER)
    }

    /// Tells the fetch under way from the next one.
    pub(crate) fn turn(&self) -> Option<u64> {
        self.fetching_since.get()
    }

    /// Takes the turn to fetch, if nobody has it.
    pub(crate) fn take_turn(self: &Rc<Self>) -> Option<Turn> {
        if self.fetching() {
            return None;
        }
        let since = now_ms();
        self.fetching_since.set(Some(since));
        Some(Turn { isolate: Rc::clone(self), since })
    }

    /// Keeps the snapshot for the next cold isolate, if KV is bound and does not hold it already. A store that fails costs a
    /// cold start some milliseconds, no more.
    pub(crate) async fn store_snapshot(&self, env: &Env) {
        let new = mark(&self.gate());
        let Some(kv) = kv(env).filter(|_| new.is_some() && *self.stored.borrow() != new) else { return };
        let Some(put) = self.gate().snapshot().map(|bytes| kv.put_bytes(SNAPSHOT_KEY, bytes)) else { return };
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

/// The turn to fetch; given back when dropped.
pub(crate) struct Turn {
    pub(crate) isolate: Rc<Isolate>,
    since: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        // A turn taken for lost has passed to another fetch, whose turn this must not end.
        if self.isolate.fetching_since.get() == Some(self.since) {
            self.isolate.fetching_since.set(None);
        }
    }
}

/// The clock, in Unix milliseconds. The runtime stops it while code runs: it tells the time of the last arrival of anything.
pub(crate) fn now_ms() -> u64 {
    worker::Date::now().as_millis()
}

/// A variable or secret as text; wrangler hands a bare number or truth value on as such.
fn setting(env: &Env, name: &str) -> Option<String> {
    let value = js_sys::Reflect::get(env, &JsValue::from_str(name)).ok()?;
    let number = || value.as_f64().map(|number| number.to_string());
    let truth = || value.as_bool().map(|truth| truth.to_string());
    value.as_string().or_else(number).or_else(truth)
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
