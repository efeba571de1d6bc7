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

use tollgate_gate::{Decision, Refresh};
use worker::{Context, Env, Result, console_error, event, js_sys, wasm_bindgen::JsValue, web_sys};

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
    refresh(&isolate, &env, &context).await;
    match decide(&isolate, &request) {
        Decision::Forward { identity } => forward::forward(&isolate, &request, &identity).await,
        Decision::Answer(answer) => http::answer(&answer),
        Decision::Push => push::push(&isolate, &env, &request).await,
    }
}

/// Starts or awaits a fetch when the gate says that one is due.
async fn refresh(isolate: &Rc<Isolate>, env: &Env, context: &Context) {
    let due = isolate.gate.borrow().refresh(now_ms());
    match due {
        Refresh::Fresh => {}
        Refresh::Background => drop(fetch::start(isolate, env, context)),
        Refresh::Required => fetch::required(isolate, env, context).await,
    }
}

/// Hands the request to the gate as it came. Repeated headers reach a Worker already joined by commas; the gate knows.
fn decide(isolate: &Isolate, request: &web_sys::Request) -> Decision {
    let headers = http::headers(&request.headers());
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let (method, target) = (request.method(), http::target(request));
    let request = tollgate_gate::Request { method: &method, target: &target, headers: &headers };
    isolate.gate.borrow().decide(&request, now_ms())
}

/// The clock, in Unix milliseconds. The runtime stops it while code runs: it tells the time of the last arrival of anything.
fn now_ms() -> u64 {
    worker::Date::now().as_millis()
}

/// A variable or secret as text; wrangler hands a bare number or truth value on as such.
fn setting(env: &Env, name: &str) -> Option<String> {
    let value = js_sys::Reflect::get(env, &JsValue::from_str(name)).ok()?;
    let number = || value.as_f64().map(|number| number.to_string());
    let truth = || value.as_bool().map(|truth| truth.to_string());
    value.as_string().or_else(number).or_else(truth)
}
