//! Pushes from the origin: to this isolate, and to the hubs, from which the other isolates get
//! them.

use tollgate_gate::MAX_PUSH_BYTES;
use worker::{Env, Result, web_sys};

use crate::{
    http::{self, BodyError},
    isolate::Isolate,
    now_ms,
};

/// Applies a push. Without hubs it reaches this isolate only; the others fetch the changes.
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
    let response = isolate.gate.borrow_mut().push(&message, now_ms());
    match &isolate.hubs {
        // The path is public: messages that are not the origin's do not reach the hubs.
        Some(hubs) if matches!(response.status, 200 | 409) => http::from_gate(&hubs.push(env, &message).await),
        _ => http::from_gate(&response),
    }
}
