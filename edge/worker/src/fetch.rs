//! Keeping an isolate's gate fresh: a fetch outlives the request that led it, and asks the isolate's hub before the origin.

use std::rc::Rc;

use tollgate_gate::Freshness;
use worker::{Context, Env, console_error};

use crate::{isolate::Isolate, now_ms, origin, turns::Finished};

/// How long a request waits for a fetch before it is decided on what the gate holds, in milliseconds.
const WAIT: u64 = 2_000;

/// Starts a fetch unless one is under way, or one failed a moment ago; it runs on after the request is answered.
pub(crate) fn start(isolate: &Rc<Isolate>, env: &Env, context: &Context) -> Option<Finished> {
    let (turn, finished) = isolate.turns.take()?;
    let (isolate, env) = (Rc::clone(isolate), env.clone());
    context.wait_until(async move {
        turn.end(fetch(&isolate, &env).await); // waiting requests go on before KV is written
        isolate.store_snapshot(&env).await;
    });
    Some(finished)
}

/// Waits until the gate no longer requires a fetch, leading one if nobody does; for [`WAIT`] at most.
pub(crate) async fn required(isolate: &Rc<Isolate>, env: &Env, context: &Context) {
    isolate.turns.wait(WAIT, || start(isolate, env, context), || !is_required(isolate)).await;
}

fn is_required(isolate: &Isolate) -> bool {
    isolate.gate.borrow().freshness(now_ms()) == Freshness::Stale
}

/// Asks the hub; the origin itself if there is no hub, if it does not help, or if its word is too old or
/// not the last. True when nothing went wrong.
async fn fetch(isolate: &Isolate, env: &Env) -> bool {
    if let Some(hubs) = isolate.hubs.as_ref().filter(|hubs| hubs.may_be_asked()) {
        match hubs.ask(env, &isolate.gate).await {
            Ok(false) if !is_required(isolate) => return true,
            Ok(_) => {}
            Err(why) => console_error!("tollgate: asking the origin, for the hub is of no help: {why}"),
        }
    }
    origin::pull(&isolate.gate, drop).await
}
