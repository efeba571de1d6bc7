//! The Tollgate edge gate as a Cloudflare Worker.
//!
//! A thin adapter: it takes a request apart, asks [`tollgate_gate::Gate`], and does what the gate says. An isolate serves
//! many requests at once on one thread and they interleave at every await, so the gate lives in a cell and no borrow of it
//! crosses an await. It never judges a token, never decides how fresh is fresh enough, and never forwards what the gate did
//! not allow.

mod fetch;
mod forward;
mod http;
mod hub;
mod hubs;
mod isolate;
mod origin;
mod protocol;
mod push;
mod turns;

use std::rc::Rc;

use tollgate_gate::{Decision, Freshness};
use worker::{
    Context, Env, Result, console_error, event, js_sys,
    wasm_bindgen::{JsCast, JsValue},
    web_sys,
};

use crate::isolate::Isolate;

/// What the runtime calls for every request. It takes the runtime's own request, for the `worker` crate's reads an unknown
/// method as GET, and the gate must judge what will be forwarded.
#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> Result<web_sys::Response> {
    let isolate = match Isolate::current(&env, &request).await {
        Ok(isolate) => isolate,
        Err(error) => {
            console_error!("tollgate: {error}");
            return http::json_error(500, "configuration_error", &error);
        }
    };
    match decide_fresh(&isolate, &env, &context, &request).await {
        Decision::Forward { identity } => forward::forward(&isolate, &request, &identity).await,
        Decision::Answer(answer) => http::answer(&answer),
        Decision::Push => push::push(&isolate, &env, &request).await,
        // One that has waited is not told to wait.
        Decision::Wait => http::json_error(503, "temporarily_unavailable", "the gate cannot tell now; try again"),
    }
}

/// Decides at once what does not depend on fresh word, and the rest after a fetch. A fetch that is due and awaited by nobody runs
/// in the background.
async fn decide_fresh(isolate: &Rc<Isolate>, env: &Env, context: &Context, request: &web_sys::Request) -> Decision {
    let decision = decide(isolate, request, false);
    if decision == Decision::Wait {
        fetch::required(isolate, env, context).await;
        return decide(isolate, request, true);
    }
    let due = isolate.gate.borrow().freshness(now_ms());
    if due != Freshness::Fresh {
        drop(fetch::start(isolate, env, context));
    }
    decision
}

/// Hands the request to the gate as it came. Repeated headers reach a Worker already joined by commas; the gate knows.
fn decide(isolate: &Isolate, request: &web_sys::Request, has_waited: bool) -> Decision {
    let headers = http::headers(&request.headers());
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let (method, target) = (request.method(), http::target(request));
    let request = tollgate_gate::Request { method: &method, target: &target, headers: &headers };
    isolate.gate.borrow().decide(&request, now_ms(), has_waited)
}

/// The clock, in Unix milliseconds. The runtime stops it while code runs: it tells the time of the last arrival of anything.
fn now_ms() -> u64 {
    worker::Date::now().as_millis()
}

/// Random bytes of the runtime's cryptographic source. The error is a line for the log.
fn random<const N: usize>() -> std::result::Result<[u8; N], String> {
    let bytes = js_sys::Uint8Array::new_with_length(u32::try_from(N).unwrap_or(u32::MAX));
    let fill = || {
        let crypto = js_sys::Reflect::get(&js_sys::global(), &JsValue::from_str("crypto"))?;
        let fill = js_sys::Reflect::get(&crypto, &JsValue::from_str("getRandomValues"))?;
        fill.dyn_into::<js_sys::Function>()?.call1(&crypto, &bytes)
    };
    fill().map_err(|error: JsValue| format!("the runtime gives no random numbers: {error:?}"))?;
    bytes.to_vec().try_into().map_err(|_| "the runtime gives too few random numbers".to_owned())
}

/// A variable or secret as text; wrangler hands a bare number or truth value on as such.
fn setting(env: &Env, name: &str) -> Option<String> {
    let value = js_sys::Reflect::get(env, &JsValue::from_str(name)).ok()?;
    let number = || value.as_f64().map(|number| number.to_string());
    let truth = || value.as_bool().map(|truth| truth.to_string());
    value.as_string().or_else(number).or_else(truth)
}
