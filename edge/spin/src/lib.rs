//! The Tollgate edge gate as a Spin component (WASI 0.3).
//!
//! A thin adapter: it takes a request apart, asks [`tollgate_gate::Gate`], and does what the gate says. The instance is
//! reused and requests interleave at every await, so the gate lives in a cell and no borrow of it crosses an await.
//! It never judges a token, never decides how fresh is fresh enough, and never forwards what the gate did not allow.

mod fetch;
mod forward;
mod http;
mod state;

use spin_sdk::http::Request;
use spin_sdk::http_service;
use spin_sdk::wasip3::http::types::{ErrorCode, Response};
use state::{Edge, now_ms};
use std::rc::Rc;
use tollgate_gate::{Decision, Refresh};

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
    let due = edge.gate().refresh(now_ms());
    if due != Refresh::Fresh {
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

/// Takes a message that the origin pushed. It reaches this one instance; the others learn the same by pulling.
async fn push(edge: &Edge, request: Request) -> Result<Response, ErrorCode> {
    match http::bounded(request.into_body(), tollgate_gate::MAX_PUSH_BYTES).await {
        Ok(body) => {
            let answer = edge.gate_mut().push(&body, now_ms());
            http::answer(answer)
        }
        Err(http::BodyError::TooLarge) => {
            http::json_error(413, "too_large", "the message is larger than any that an origin pushes")
        }
        Err(http::BodyError::Broken(code)) => Err(code),
    }
}
