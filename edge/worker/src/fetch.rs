//! Fetching from the origin: one fetch at a time in an isolate, outliving the request that led it. Requests that need its
//! result look for it by timers of their own, because the runtime lets none wait for another one's promise.

use std::{rc::Rc, time::Duration};

use futures::{channel::oneshot, future};
use tollgate_gate::{MAX_FETCH_BYTES, Refresh};
use worker::{Context, Delay, Env, console_error, web_sys};

use crate::{
    http::{self, BodyError},
    isolate::{Isolate, now_ms},
};

/// How long a request waits for a fetch before it is decided on what the gate holds, in milliseconds.
const WAIT: u64 = 2_000;
/// How often a request that did not get the turn looks whether the fetch is over.
const LOOK: Duration = Duration::from_millis(3);
/// Limit on one answer of the origin, body included, in milliseconds.
const ANSWER_LIMIT: u32 = 1_500;
/// Messages taken in one go: 4096 changes each, so more than any origin keeps.
const MOST_MESSAGES: usize = 16;

/// Starts a fetch unless one is under way; it runs on after the request is answered. What is returned resolves at its end.
pub(crate) fn start(isolate: &Rc<Isolate>, env: &Env, context: &Context) -> Option<oneshot::Receiver<()>> {
    let turn = isolate.take_turn()?;
    let (done, finished) = oneshot::channel();
    let env = env.clone();
    context.wait_until(async move {
        fetch(&turn.isolate).await;
        let isolate = Rc::clone(&turn.isolate);
        drop(turn); // waiting requests go on before KV is written
        let _ = done.send(()); // nobody waits for a background fetch
        isolate.store_snapshot(&env).await;
    });
    Some(finished)
}

/// Waits until the gate no longer requires a fetch, leading one if nobody does; for [`WAIT`] at most. A fetch that was under
/// way already may have asked too early to satisfy this request; the one after it is asked late enough, so its end is the end.
pub(crate) async fn required(isolate: &Rc<Isolate>, env: &Env, context: &Context) {
    let deadline = now_ms() + WAIT;
    for _ in 0..2 {
        if let Some(finished) = start(isolate, env, context) {
            let left = Duration::from_millis(deadline.saturating_sub(now_ms()));
            drop(future::select(finished, Delay::from(left)).await);
            return;
        }
        let turn = isolate.turn();
        while isolate.fetching() && isolate.turn() == turn && now_ms() < deadline {
            Delay::from(LOOK).await;
        }
        if isolate.gate().refresh(now_ms()) != Refresh::Required {
            return;
        }
    }
}

/// Takes messages from the origin until the gate has no more to ask.
async fn fetch(isolate: &Isolate) {
    for _ in 0..MOST_MESSAGES {
        let url = {
            let gate = isolate.gate();
            format!("{}{}", gate.settings().origin, gate.next_fetch(0))
        };
        let asked_at = now_ms();
        let more = match get(&url).await {
            Ok((status, body)) => match isolate.gate_mut().accept(status, &body, asked_at) {
                Ok(more) => more,
                Err(error) => {
                    console_error!("tollgate: the origin's answer is refused: {error}");
                    false
                }
            },
            Err(why) => {
                console_error!("tollgate: the origin cannot be asked: {why}");
                isolate.gate_mut().fetch_failed(&why, now_ms());
                false
            }
        };
        if !more {
            return;
        }
    }
}

/// GETs `url`; the error is a line for the log and the health report.
async fn get(url: &str) -> Result<(u16, Vec<u8>), String> {
    let init = web_sys::RequestInit::new();
    init.set_redirect(web_sys::RequestRedirect::Manual); // the origin never redirects an edge; whoever does is not it
    init.set_signal(Some(&web_sys::AbortSignal::timeout_with_u32(ANSWER_LIMIT)));
    let response = http::fetch(url, &init).await?;
    let Some(body) = response.body() else { return Ok((response.status(), Vec::new())) };
    match http::bounded(body, MAX_FETCH_BYTES).await {
        Ok(body) => Ok((response.status(), body)),
        Err(BodyError::TooLarge) => Err(format!("the answer is larger than {MAX_FETCH_BYTES} bytes")),
        Err(BodyError::Broken(why)) => Err(why),
    }
}
