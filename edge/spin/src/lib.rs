//! The Tollgate edge gate as a Spin component (WASI 0.3).
//!
//! A thin host: it asks [`tollgate_gate::Gate`] about each request and acts on the decision. Spin
//! reuses the instance, and requests interleave at every await. So the gate is in a cell, and no
//! borrow of it crosses an await.
//!
//! Never: this crate verifies a token, decides which freshness suffices, or forwards a request that
//! the gate has not allowed.

mod edge;
mod fetch;
mod forward;
mod http;
mod instance;
mod introspection;
mod observe;
mod shared;
mod streams;

use edge::{Edge, now_ms};
use observe::Stopwatch;
use spin_sdk::http::Request;
use spin_sdk::http_service;
use spin_sdk::wasip3::http::types::{ErrorCode, Response};
use std::rc::Rc;
use tollgate_gate::{Connection, Decision, Gate};

/// Called by Spin for each request.
#[http_service]
async fn serve(request: Request) -> Result<Response, ErrorCode> {
    let edge = match instance::current_edge().await {
        Ok(edge) => edge,
        Err(error) => {
            eprintln!("tollgate: {error}");
            return http::json_error(500, "server_error", &error);
        }
    };
    let started = Stopwatch::start();
    let decision = decide_or_wait(&edge, &request).await;
    match decision {
        Decision::Forward(allowed) => forward::forward(&edge, request, &allowed, started.elapsed()).await,
        Decision::Answer(response) => {
            if let Some(refused) = &response.refused {
                observe::log_refusal(&edge, &request, refused, response.status);
            }
            http::from_gate(response)
        }
        Decision::Push => push(&edge, request).await,
        // A request that has waited gets another decision.
        Decision::Wait | Decision::Introspect(_) => {
            http::json_error(503, "temporarily_unavailable", "the gate cannot decide now; try again")
        }
    }
}

/// Decides on a request, after a refresh if the decision needs one. Otherwise the replica is kept
/// fresh in the background.
async fn decide_or_wait(edge: &Rc<Edge>, request: &Request) -> Decision {
    let mut decision = decide(edge, request, false);
    if decision == Decision::Wait {
        fetch::wait_for_refresh(edge).await;
        decision = decide(edge, request, true);
    } else {
        fetch::keep_fresh(edge);
    }
    if let Decision::Introspect(token) = decision {
        introspection::introspect(edge, &token).await;
        decision = decide(edge, request, true);
    }
    decision
}

/// Passes the request to the gate unchanged: all headers, repeated ones included, with values as
/// bytes. A host that has no `Host` among the headers has it in the URL.
fn decide(edge: &Edge, request: &Request, has_waited: bool) -> Decision {
    with_gate_request(edge, request, |gate, request| gate.decide(request, now_ms(), has_waited))
}

/// Calls `ask` with the gate and the request in the gate's form.
fn with_gate_request<B, T>(
    edge: &Edge,
    request: &Request<B>,
    ask: impl FnOnce(&Gate, &tollgate_gate::Request<'_>) -> T,
) -> T {
    let mut headers: Vec<(&str, &[u8])> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let authority = request.uri().authority().filter(|_| !request.headers().contains_key("host"));
    headers.extend(authority.map(|authority| ("host", authority.as_str().as_bytes())));
    let connection = Connection {
        is_https: http::is_https(request),
        is_from_trusted_proxy: http::client_address(request).is_some_and(|peer| edge.trusted_proxies.contains(peer)),
        client_certificate: None,
    };
    let (method, target) = (request.method().as_str(), http::target(request));
    let request = tollgate_gate::Request { method, target, headers: &headers, connection };
    ask(&edge.gate(), &request)
}

const MAX_CONCURRENT_PUSHES: usize = 2;
const PUSH_BODY_TIMEOUT_NS: u64 = 5_000_000_000;

/// Applies a push and shares it with all instances. The path is public: so an instance reads few
/// pushes at a time and limits their time. The origin repeats its pushes, and sync does not depend
/// on them.
async fn push(edge: &Rc<Edge>, request: Request) -> Result<Response, ErrorCode> {
    let Some(_guard) = PushGuard::begin(edge) else {
        return http::json_error(503, "temporarily_unavailable", "too many concurrent pushes; try again");
    };
    let message = match http::read_body(request.into_body(), tollgate_gate::MAX_PUSH_BYTES, PUSH_BODY_TIMEOUT_NS).await
    {
        Ok(message) => message,
        Err(http::BodyError::TooLarge) => {
            return http::json_error(413, "too_large", "the message is larger than an origin sends");
        }
        Err(http::BodyError::TooSlow) => {
            return http::json_error(408, "invalid_request", "the body arrived too slowly");
        }
        Err(http::BodyError::Broken(code)) => return Err(code),
    };
    shared::catch_up(edge).await;
    let before = edge.gate().sequence();
    let response = edge.gate_mut().push(&message, now_ms());
    // A log of another snapshot would start empty, without a proof of freshness.
    let can_be_shared = edge.log.borrow().has_snapshot_of(&edge.gate());
    if edge.gate().sequence() > before && can_be_shared {
        edge.log.borrow_mut().append(&edge.gate(), before, &message, None);
        shared::store(edge).await;
    }
    http::from_gate(response)
}

/// A push that is being read; ends when it is dropped.
struct PushGuard(Rc<Edge>);

impl PushGuard {
    fn begin(edge: &Rc<Edge>) -> Option<PushGuard> {
        let pushes = edge.pushes.get();
        (pushes < MAX_CONCURRENT_PUSHES).then(|| {
            edge.pushes.set(pushes + 1);
            PushGuard(Rc::clone(edge))
        })
    }
}

impl Drop for PushGuard {
    fn drop(&mut self) {
        self.0.pushes.set(self.0.pushes.get().saturating_sub(1));
    }
}
