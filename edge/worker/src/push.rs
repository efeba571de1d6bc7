//! What the origin pushes: to this isolate, and to the hubs, from which all others hear it.

use tollgate_gate::MAX_PUSH_BYTES;
use worker::{Env, Result, web_sys};

use crate::{
    http::{self, BodyError},
    isolate::Isolate,
    now_ms,
};

/// Takes a pushed message. Without hubs it reaches this one isolate, and the others learn the same by pulling.
pub(crate) async fn push(isolate: &Isolate, env: &Env, request: &web_sys::Request) -> Result<web_sys::Response> {
    let message = match http::bounded(request.body(), MAX_PUSH_BYTES).await {
        Ok(message) => message,
        Err(BodyError::TooLarge) => {
            return http::json_error(413, "too_large", "the pushed message is larger than any the origin makes");
        }
        Err(BodyError::Broken(why)) => {
            return http::json_error(400, "invalid_request", &format!("the pushed message broke off: {why}"));
        }
    };
    let answer = isolate.gate.borrow_mut().push(&message, now_ms());
    match &isolate.hubs {
        // What is not the origin's own goes no further: a stranger must not keep the hubs busy.
        Some(hubs) if matches!(answer.status, 200 | 409) => http::answer(&hubs.push(env, &message).await),
        _ => http::answer(&answer),
    }
}
