//! Pushes from the origin: to the hubs, from which the isolates get them, or without hubs to this
//! isolate.

use tollgate_gate::{MAX_PUSH_BYTES, PUSH_HEADER};
use worker::{Env, Result, web_sys};

use crate::{
    http::{self, BodyError},
    isolate::Isolate,
    now_ms,
};

/// Applies a push that the gate admitted. Without hubs it reaches this isolate only; the others
/// fetch the changes.
pub(crate) async fn push(isolate: &Isolate, env: &Env, request: &web_sys::Request) -> Result<web_sys::Response> {
    let message = match http::read_body(request.body(), MAX_PUSH_BYTES).await {
        Ok(message) => message,
        Err(BodyError::TooLarge) => {
            return http::json_error(413, "too_large", "the message is larger than an origin sends");
        }
        Err(BodyError::Broken(why)) => {
            return http::json_error(400, "invalid_request", &format!("the message ended early: {why}"));
        }
    };
    let Some(hubs) = &isolate.hubs else {
        return http::from_gate(&isolate.gate.borrow_mut().push(&message, now_ms()));
    };
    let header = request.headers().get(PUSH_HEADER).ok().flatten();
    let at_ms = header.and_then(|header| isolate.gate.borrow().push_time(&header));
    if at_ms.is_none() {
        // Without a key, anyone can send a push: one that is not the origin's does not reach the
        // hubs.
        let response = isolate.gate.borrow_mut().push(&message, now_ms());
        if !matches!(response.status, 200 | 409) {
            return http::from_gate(&response);
        }
    }
    http::from_gate(&hubs.push(env, &message, at_ms).await)
}
