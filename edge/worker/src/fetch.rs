//! Keeps the isolate's replica fresh. A fetch asks the isolate's hub; without hubs, or while the
//! hub fails, the origin. It outlives the request that started it.

use std::rc::Rc;

use tollgate_gate::Freshness;
use worker::{Context, Env, console_error};

use crate::{
    hubs::{self, HubSync},
    isolate::Isolate,
    now_ms, origin,
    single_flight::{Flight, FlightEnd},
};

/// How long a request waits for a fetch before it is decided by the replica as it is.
const FETCH_WAIT_MS: u64 = 2_000;

/// Keeps the replica fresh in the background. With hubs, an isolate that gets requests always has
/// one at its hub, which holds it until there is a change: so a push is known here as soon as it
/// arrives there. Without, it fetches if a refresh is due.
pub(crate) fn keep_fresh(isolate: &Rc<Isolate>, env: &Env, context: &Context) {
    let holds = isolate.hubs.as_ref().is_some_and(|hubs| hubs.hold_ms() > 0);
    if holds || isolate.gate.borrow().freshness(now_ms()) != Freshness::Fresh {
        drop(start(isolate, env, context));
    }
}

/// Waits for a fetch until the replica is no longer stale, at most [`FETCH_WAIT_MS`]; starts one if
/// none is under way.
pub(crate) async fn wait_for_fetch(isolate: &Rc<Isolate>, env: &Env, context: &Context) {
    isolate.fetches.wait(FETCH_WAIT_MS, || start(isolate, env, context), || !is_stale(isolate)).await;
}

/// Starts a fetch, unless one is under way or the last one failed a moment ago. It outlives the
/// request.
fn start(isolate: &Rc<Isolate>, env: &Env, context: &Context) -> Option<FlightEnd> {
    let timeout_ms =
        isolate.hubs.as_ref().map_or(origin::SYNC_TIMEOUT_MS, |hubs| hubs.hold_ms() + hubs::SYNC_TIMEOUT_MS);
    let (flight, ended) = isolate.fetches.try_start(timeout_ms)?;
    let (isolate, env) = (Rc::clone(isolate), env.clone());
    context.wait_until(async move { run(&isolate, &env, flight).await });
    Some(ended)
}

async fn run(isolate: &Isolate, env: &Env, flight: Flight) {
    flight.finish(fetch(isolate, env).await); // waiting requests continue before KV is written
    if isolate.hubs.is_none() {
        isolate.store_snapshot(env).await;
    }
}

fn is_stale(isolate: &Isolate) -> bool {
    isolate.gate.borrow().freshness(now_ms()) == Freshness::Stale
}

/// Syncs with the hub. Returns false after an error, and if the replica is stale because the origin
/// does not answer the hub: then it would not answer this isolate either. If the hub itself fails,
/// syncs with the origin as soon as the replica is stale.
async fn fetch(isolate: &Isolate, env: &Env) -> bool {
    let sync_with_origin = || origin::sync(&isolate.gate, || isolate.take_due_report(), drop);
    let Some(hubs) = &isolate.hubs else { return sync_with_origin().await };
    if hubs.is_available() {
        match hubs.sync(env, &isolate.gate, isolate.take_due_report()).await {
            Ok(HubSync::Complete) => return true,
            Ok(HubSync::OriginFailing) => return !is_stale(isolate),
            Ok(HubSync::Incomplete) => console_error!("tollgate: the hub lacks changes that this isolate has"),
            Err(why) => console_error!("tollgate: the hub failed: {why}"),
        }
    }
    !is_stale(isolate) || sync_with_origin().await
}
