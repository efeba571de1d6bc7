//! Rate limits of route rules: counted by a hub for all isolates, or by this isolate without hubs
//! and while the hub fails.

use tollgate_gate::{Response, RouteRateLimit, rate_limited};
use worker::{Env, console_error, web_sys};

use crate::{forward, http, isolate::Isolate, now_ms};

/// Counts a request. Returns the response to one that exceeds the limit.
pub(crate) async fn check(
    isolate: &Isolate,
    env: &Env,
    request: &web_sys::Request,
    limit: &RouteRateLimit,
) -> Option<Response> {
    let bucket = limit.bucket(forward::client_address(&http::headers(&request.headers())));
    if let Some(hubs) = &isolate.hubs {
        match hubs.count_request(env, bucket, &limit.limit).await {
            Ok(retry_after) => return retry_after.map(rate_limited),
            Err(why) => console_error!("tollgate: a rate limit is counted by this isolate alone: {why}"),
        }
    }
    isolate.limiter.borrow_mut().take(bucket, &limit.limit, now_ms()).err().map(rate_limited)
}
