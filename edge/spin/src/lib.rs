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
    refresh(&edge).await;
    match decide(&edge, &request) {
        Decision::Forward { identity } => forward::forward(&edge, request, &identity).await,
        Decision::Answer(answer) => http::answer(answer),
        Decision::Push => push(&edge, request).await,
    }
}

/// Starts or awaits a fetch when the gate says that one is due.
async fn refresh(edge: &Rc<Edge>) {
    let due = edge.gate().refresh(now_ms());
    match due {
        Refresh::Fresh => {}
        Refresh::Background => fetch::start(edge),
        Refresh::Required => {
            fetch::start(edge);
            fetch::finished(edge).await;
        }
    }
}

/// Hands the request to the gate exactly as it came: every header, repeated ones repeated, values as bytes.
fn decide(edge: &Edge, request: &Request) -> Decision {
    let headers: Vec<(&str, &[u8])> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request =
        tollgate_gate::Request { method: request.method().as_str(), target: http::target(request), headers: &headers };
    edge.gate().decide(&request, now_ms())
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
