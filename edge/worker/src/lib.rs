//! The Tollgate edge gate as a Cloudflare Worker.
//!
//! A thin adapter: it takes a request apart, asks [`tollgate_gate::Gate`], and does what the gate says. An isolate serves
//! many requests at once on one thread and they interleave at every await, so the gate lives in a cell and no borrow of it
//! crosses an await. It never judges a token, never decides how fresh is fresh enough, and never forwards what the gate did
//! not allow.

mod fetch;
mod forward;
mod http;
mod isolate;

use std::rc::Rc;

use tollgate_gate::{Decision, Refresh};
use worker::{Context, Env, Result, console_error, event, web_sys};

use crate::{
    http::BodyError,
    isolate::{Isolate, now_ms},
};

/// What the runtime calls for every request. It takes the runtime's own request, for the `worker` crate's reads an unknown
/// method as GET, and the gate must judge what will be forwarded.
#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> Result<web_sys::Response> {
    let isolate = match Isolate::current(&env).await {
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
        Decision::Push => push(&isolate, request).await,
    }
}

/// Starts or awaits a fetch when the gate says that one is due.
async fn refresh(isolate: &Rc<Isolate>, env: &Env, context: &Context) {
    let due = isolate.gate().refresh(now_ms());
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
    isolate.gate().decide(&request, now_ms())
}

/// Takes a message that the origin pushed. It reaches this one isolate; the others learn the same by pulling.
async fn push(isolate: &Isolate, request: web_sys::Request) -> Result<web_sys::Response> {
    let body = request.body().map(|stream| http::bounded(stream, tollgate_gate::MAX_PUSH_BYTES));
    let body = match body {
        Some(body) => body.await,
        None => Ok(Vec::new()),
    };
    match body {
        Ok(body) => {
            let answer = isolate.gate_mut().push(&body, now_ms());
            http::answer(&answer)
        }
        Err(BodyError::TooLarge) => {
            http::json_error(413, "too_large", "the pushed message is larger than any the origin makes")
        }
        Err(BodyError::Broken(why)) => {
            http::json_error(400, "invalid_request", &format!("the pushed message broke off: {why}"))
        }
    }
}
