//! The Tollgate edge gate as a Cloudflare Worker.
//!
//! A thin host: it asks [`tollgate_gate::Gate`] about each request and acts on the decision. An
//! isolate serves many requests on one thread, and they interleave at every await. So the gate is
//! in a cell, and no borrow of it crosses an await.
//!
//! Never: this crate verifies a token, decides which freshness suffices, or forwards a request that
//! the gate has not allowed.

mod cf;
mod fetch;
mod forward;
mod http;
mod hub;
mod hubs;
mod introspection;
mod isolate;
mod kv;
mod observe;
mod origin;
mod protocol;
mod push;
mod rate_limit;
mod single_flight;
mod streams;

use std::rc::Rc;

use tollgate_gate::{Connection, Decision, Gate, ProofUse, Response};
use worker::{
    Context, Env, Result, console_error, event, js_sys,
    wasm_bindgen::{JsCast, JsValue},
    web_sys,
};

use crate::{cf::Cf, hubs::Hubs, isolate::Isolate};

/// Path of the gate's health report. Its response names the hub of this isolate.
const HEALTH_PATH: &str = "/_tollgate/health";

/// Called by the runtime for each request. It takes the runtime's request type, because that of the
/// `worker` crate reads an unknown method as GET, and the gate must decide on what is forwarded.
#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> Result<web_sys::Response> {
    let context = Rc::new(context);
    let isolate = match Isolate::current(&env, &request).await {
        Ok(isolate) => isolate,
        Err(error) => {
            console_error!("tollgate: {error}");
            return http::json_error(500, "configuration_error", &error);
        }
    };
    let started = observe::Stopwatch::start();
    let decision = decide_or_wait(&isolate, &env, &context, &request).await;
    let decided = started.elapsed();
    match decision {
        Decision::Forward(allowed) => {
            let response = forward::forward(&isolate, &env, &context, &request, &allowed).await?;
            let upstream = started.elapsed().saturating_sub(decided);
            observe::with_server_timing(&isolate, response, decided, upstream)
        }
        Decision::Answer(mut response) => {
            if let Some(refused) = &response.refused {
                observe::log_refusal(&isolate, &request, refused, response.status);
            }
            if let Some(hubs) = isolate.hubs.as_ref().filter(|_| http::target(&request) == HEALTH_PATH) {
                response.headers.push(("tollgate-hub".into(), hubs.own()));
            }
            http::from_gate(&response)
        }
        Decision::Push => push::push(&isolate, &env, &request).await,
        // A request that has waited gets another decision.
        Decision::Wait | Decision::Introspect(_) => {
            http::json_error(503, "temporarily_unavailable", "the gate cannot decide now; try again")
        }
    }
}

/// Decides on a request, after a fetch if the decision needs one. Otherwise the replica is kept
/// fresh in the background.
async fn decide_or_wait(isolate: &Rc<Isolate>, env: &Env, context: &Context, request: &web_sys::Request) -> Decision {
    let mut decision = decide(isolate, request, false);
    if decision == Decision::Wait {
        fetch::wait_for_fetch(isolate, env, context).await;
        decision = decide(isolate, request, true);
    } else {
        fetch::keep_fresh(isolate, env, context);
    }
    if let Decision::Introspect(token) = decision {
        introspection::introspect(isolate, &token).await;
        decision = decide(isolate, request, true);
    }
    // Taken before the next await: another request may decide then.
    let proof_use = isolate.gate.borrow().take_proof_use();
    match (&isolate.hubs, proof_use) {
        (Some(hubs), Some(proof_use)) => confirm_first_use(isolate, hubs, env, proof_use).await.unwrap_or(decision),
        _ => decision,
    }
}

/// Records the use of a DPoP proof for all isolates. Returns what to answer instead if another one
/// has used it, or if that cannot be known.
async fn confirm_first_use(isolate: &Isolate, hubs: &Hubs, env: &Env, proof_use: ProofUse) -> Option<Decision> {
    match hubs.record_proof(env, proof_use).await {
        Ok(true) => None,
        Ok(false) => Some(Decision::Answer(isolate.gate.borrow().refuse_replayed_proof())),
        Err(why) => {
            console_error!("tollgate: the use of a proof cannot be recorded: {why}");
            let why = "whether the proof was used before cannot be known now; try again with another";
            Some(Decision::Answer(Response::error(503, "temporarily_unavailable", why)))
        }
    }
}

/// Passes the request to the gate unchanged. The runtime has joined repeated headers by commas, for
/// which the gate is prepared.
fn decide(isolate: &Isolate, request: &web_sys::Request, has_waited: bool) -> Decision {
    with_gate_request(isolate, request, |gate, request| gate.decide(request, now_ms(), has_waited))
}

/// Calls `ask` with the gate and the request in the gate's form.
fn with_gate_request<T>(
    isolate: &Isolate,
    request: &web_sys::Request,
    ask: impl FnOnce(&Gate, &tollgate_gate::Request<'_>) -> T,
) -> T {
    let headers = http::headers(&request.headers());
    let (method, target) = (request.method(), http::target(request));
    let connection = Connection {
        is_https: request.url().starts_with("https:"),
        is_from_trusted_proxy: forward::client_address(&headers)
            .is_some_and(|peer| isolate.trusted_proxies.contains(peer)),
        client_certificate: Cf::of(request).client_certificate(),
    };
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request = tollgate_gate::Request { method: &method, target: &target, headers: &headers, connection };
    ask(&isolate.gate.borrow(), &request)
}

/// Unix time in milliseconds. The runtime stops the clock while code runs: this is the time of the
/// last I/O.
fn now_ms() -> u64 {
    worker::Date::now().as_millis()
}

/// Random bytes from the runtime's cryptographic source. The error is one line for the log.
fn random<const N: usize>() -> std::result::Result<[u8; N], String> {
    let bytes = js_sys::Uint8Array::new_with_length(u32::try_from(N).unwrap_or(u32::MAX));
    let fill = || {
        let crypto = js_sys::Reflect::get(&js_sys::global(), &JsValue::from_str("crypto"))?;
        let fill = js_sys::Reflect::get(&crypto, &JsValue::from_str("getRandomValues"))?;
        fill.dyn_into::<js_sys::Function>()?.call1(&crypto, &bytes)
    };
    fill().map_err(|error: JsValue| format!("the runtime's random source failed: {error:?}"))?;
    bytes.to_vec().try_into().map_err(|_| "the runtime's random source returned too few bytes".to_owned())
}

/// A variable or secret as text. Wrangler passes numbers and booleans with their own types.
fn setting(env: &Env, name: &str) -> Option<String> {
    let value = js_sys::Reflect::get(env, &JsValue::from_str(name)).ok()?;
    let number = || value.as_f64().map(|number| number.to_string());
    let boolean = || value.as_bool().map(|boolean| boolean.to_string());
    value.as_string().or_else(number).or_else(boolean)
}
