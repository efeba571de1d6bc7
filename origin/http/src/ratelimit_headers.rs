//! `RateLimit` headers (draft-ietf-httpapi-ratelimit-headers-10) and `Retry-After`.

use std::fmt::Write as _;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use tollgate_model::rate_limit::{Limit, Rule, Verdict};
use tollgate_services::rate_limit::{AcceptedLimits, LimitExceeded};

/// Limits that apply to the request.
pub(crate) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Remaining quota of these limits.
pub(crate) const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// Adds `Retry-After` and the exceeded limit to a 429 response.
pub(crate) fn insert_refusal_headers(refusal: &LimitExceeded, response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(refusal.seconds()));
    insert(&[(refusal.limit, refusal.rule, refusal.verdict())], headers);
}

/// Adds the limits and their state to a response, unless its handler added an exceeded one.
pub(crate) fn insert_ratelimit_headers(passed: &AcceptedLimits, headers: &mut HeaderMap) {
    if !headers.contains_key(STATE) {
        let limits: Vec<(Limit, Rule, Verdict)> =
            passed.iter().map(|(check, verdict)| (check.limit, check.rule, *verdict)).collect();
        insert(&limits, headers);
    }
}

/// `RateLimit-Policy: "requests";q=600;w=60` and `RateLimit: "requests";r=599;t=1`
fn insert(limits: &[(Limit, Rule, Verdict)], headers: &mut HeaderMap) {
    let (mut policies, mut states) = (String::new(), String::new());
    for (limit, rule, verdict) in limits {
        let Some(rate) = rule.rate() else { continue };
        let (name, comma) = (limit.as_str(), if policies.is_empty() { "" } else { ", " });
        let reset = verdict.wait.unwrap_or(verdict.reset).as_secs_f64().ceil();
        // Writing to a String cannot fail.
        let _ = write!(policies, "{comma}\"{name}\";q={};w={}", rate.count(), rate.period().as_secs());
        let _ = write!(states, "{comma}\"{name}\";r={};t={reset}", verdict.remaining);
    }
    for (name, value) in [(POLICY, policies), (STATE, states)] {
        if let Ok(value) = HeaderValue::try_from(value)
            && !value.is_empty()
        {
            headers.insert(name, value);
        }
    }
}
