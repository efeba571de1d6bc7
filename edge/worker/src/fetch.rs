//! Keeps the isolate's replica fresh. A fetch asks the isolate's hub first, then the origin, and
//! outlives the request that started it.

use std::rc::Rc;

use tollgate_gate::Freshness;
use worker::{Context, Env, console_error};

use crate::{isolate::Isolate, now_ms, origin, single_flight::FlightEnd};

/// How long a request waits for a fetch before it is decided by the replica as it is.
const FETCH_WAIT_MS: u64 = 2_000;

/// Starts a fetch, unless one is under way or the last one failed a moment ago. It outlives the
/// request.
pub(crate) fn start(isolate: &Rc<Isolate>, env: &Env, context: &Context) -> Option<FlightEnd> {
    let (flight, ended) = isolate.fetches.try_start()?;
    let (isolate, env) = (Rc::clone(isolate), env.clone());
    context.wait_until(async move {
        flight.finish(fetch(&isolate, &env).await); // waiting requests continue before KV is written
        isolate.store_snapshot(&env).await;
    });
    Some(ended)
}

/// Waits for a fetch until the replica is no longer stale, at most [`FETCH_WAIT_MS`]; starts one if
/// none is under way.
pub(crate) async fn wait_for_fetch(isolate: &Rc<Isolate>, env: &Env, context: &Context) {
    isolate.fetches.wait(FETCH_WAIT_MS, || start(isolate, env, context), || !is_stale(isolate)).await;
}

fn is_stale(isolate: &Isolate) -> bool {
    isolate.gate.borrow().freshness(now_ms()) == Freshness::Stale
}

/// Syncs with the hub. Syncs with the origin if there is no hub, if it fails, or if its answer
/// leaves the replica stale or incomplete. Returns false after an error.
async fn fetch(isolate: &Isolate, env: &Env) -> bool {
    if let Some(hubs) = isolate.hubs.as_ref().filter(|hubs| hubs.is_available()) {
        match hubs.sync(env, &isolate.gate).await {
            Ok(false) if !is_stale(isolate) => return true,
            Ok(_) => {}
            Err(why) => console_error!("tollgate: the hub failed, fetching from the origin instead: {why}"),
        }
    }
    origin::sync(&isolate.gate, drop).await
}
