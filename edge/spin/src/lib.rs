//! The Tollgate edge gate as a Spin component (WASI 0.3).
//!
//! A thin adapter: it takes a request apart, asks [`tollgate_gate::Gate`], and does what the gate says. The instance is
//! reused and requests interleave at every await, so the gate lives in a cell and no borrow of it crosses an await.
//! It never judges a token, never decides how fresh is fresh enough, and never forwards what the gate did not allow.

mod fetch;
mod forward;
mod http;
mod shared;
mod state;

use spin_sdk::http::Request;
use spin_sdk::http_service;
use spin_sdk::wasip3::http::types::{ErrorCode, Response};
use state::{Edge, now_ms};
use std::rc::Rc;
use tollgate_gate::{Decision, Freshness};

/// What Spin calls for every request.
#[http_service]
async fn serve(request: Request) -> Result<Response, ErrorCode> {
    let edge = match Edge::current().await {
        Ok(edge) => edge,
        Err(error) => {
            eprintln!("tollgate: {error}");
            return http::json_error(500, "server_error", &error);
        }
    };
    match decide_fresh(&edge, &request).await {
        Decision::Forward { identity } => forward::forward(&edge, request, &identity).await,
        Decision::Answer(answer) => http::answer(answer),
        Decision::Push => push(&edge, request).await,
        // One that has waited is not told to wait.
        Decision::Wait => http::json_error(503, "temporarily_unavailable", "the gate cannot tell now; try again"),
    }
}

/// Decides at once what does not depend on fresh word, and the rest after a fetch. A fetch that is due and awaited by nobody runs
/// in the background.
async fn decide_fresh(edge: &Rc<Edge>, request: &Request) -> Decision {
    let decision = decide(edge, request, false);
    if decision == Decision::Wait {
        fetch::required(edge).await;
        return decide(edge, request, true);
    }
    let due = edge.gate().freshness(now_ms());
    if due != Freshness::Fresh {
        fetch::start(edge);
    }
    decision
}

/// Hands the request to the gate exactly as it came: every header, repeated ones repeated, values as bytes.
fn decide(edge: &Edge, request: &Request, has_waited: bool) -> Decision {
    let headers: Vec<(&str, &[u8])> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request =
        tollgate_gate::Request { method: request.method().as_str(), target: http::target(request), headers: &headers };
    edge.gate().decide(&request, now_ms(), has_waited)
}

/// Pushes that an instance reads at a time.
const MAX_PUSHES: usize = 2;
/// How long the body of a push may take, in nanoseconds.
const PUSH_TIMEOUT: u64 = 5_000_000_000;

/// Takes a message that the origin pushed, for all instances. Anybody can post one: so few are read at a time, and none for
/// long. Real pushes are repeated, and never needed.
async fn push(edge: &Rc<Edge>, request: Request) -> Result<Response, ErrorCode> {
    let Some(_one_of_few) = Push::begin(edge) else {
        return http::json_error(503, "temporarily_unavailable", "too many messages are pushed at a time; try again");
    };
    let message = match http::bounded(request.into_body(), tollgate_gate::MAX_PUSH_BYTES, PUSH_TIMEOUT).await {
        Ok(message) => message,
        Err(http::BodyError::TooLarge) => {
            return http::json_error(413, "too_large", "the message is larger than any that an origin pushes");
        }
        Err(http::BodyError::Late) => return http::json_error(408, "invalid_request", "the body came too slowly"),
        Err(http::BodyError::Broken(code)) => return Err(code),
    };
    shared::catch_up(edge).await;
    let before = edge.gate().sequence();
    let answer = edge.gate_mut().push(&message, now_ms());
    if edge.gate().sequence() > before {
        edge.record.borrow_mut().append(&edge.gate(), before, &message, None);
        shared::keep_record(edge).await;
    }
    http::answer(answer)
}

/// A push that is being read.
struct Push(Rc<Edge>);

impl Push {
    fn begin(edge: &Rc<Edge>) -> Option<Push> {
        let pushes = edge.pushes.get();
        (pushes < MAX_PUSHES).then(|| {
            edge.pushes.set(pushes + 1);
            Push(Rc::clone(edge))
        })
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        self.0.pushes.set(self.0.pushes.get().saturating_sub(1));
    }
}
