//! Limit of log lines about refused requests, so that a flood does not fill the log. Each reason
//! has a limit of its own, so that a flood of one reason hides no other.

use tollgate_core::{REFUSAL_REASONS, RateLimit, RateLimitKey, refusal_reason_index};

use crate::json::JsonObject;
use crate::message::RefusedRequest;
use crate::rate_limiter::{RateLimitBucket, RateLimiter};

/// Lines of one reason: 60 in a burst, ten a minute on average, some megabytes a day at most. As
/// the origin's.
const LINES: RateLimit = RateLimit { requests: 60, seconds: 360, by: RateLimitKey::Address };
/// Longest ID of a request in a line, in characters. A client may choose it.
const MAX_REQUEST_ID: usize = 128;

/// The limits, and the refusals without a line since the last line of their reason.
#[derive(Debug)]
pub struct RefusalLog {
    limiter: RateLimiter,
    omitted: [u64; REFUSAL_REASONS.len()],
}

impl Default for RefusalLog {
    fn default() -> Self {
        Self { limiter: RateLimiter::default(), omitted: [0; REFUSAL_REASONS.len()] }
    }
}

impl RefusalLog {
    /// If a line about a refusal for this reason may be written at `now_ms`: the number of such
    /// refusals without a line before it.
    pub fn acquire_line(&mut self, reason: &str, now_ms: u64) -> Option<u64> {
        let index = refusal_reason_index(reason);
        let is_allowed = self.limiter.take(RateLimitBucket::from_number(index as u64), &LINES, now_ms).is_ok();
        let omitted = self.omitted.get_mut(index)?;
        if is_allowed {
            return Some(std::mem::take(omitted));
        }
        *omitted = omitted.saturating_add(1);
        None
    }
}

/// A line about a refused request as JSON, for hosts whose log is text. It has neither the token
/// nor the path.
pub fn refusal_line(refused: &RefusedRequest, status: u16, request_id: &str, omitted: u64) -> String {
    let mut line = JsonObject::new()
        .text("message", "request refused")
        .text("reason", refused.reason)
        .number("status", u64::from(status))
        .text("request_id", request_id_for_log(request_id));
    if let Some(route) = &refused.route {
        line = line.text("route", route);
    }
    if let Some(client) = &refused.client {
        line = line.text("client_id", client);
    }
    line.number("omitted", omitted).into_text()
}

/// The ID of a request as a log shows it: at most 128 characters.
pub fn request_id_for_log(request_id: &str) -> &str {
    request_id.char_indices().nth(MAX_REQUEST_ID).map_or(request_id, |(end, _)| &request_id[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    #[test]
    fn lines_of_each_reason_are_limited() {
        let mut log = RefusalLog::default();
        let lines = (0..1000).filter(|_| log.acquire_line("expired", NOW_MS).is_some()).count();
        assert_eq!(lines, 60);
        assert_eq!(log.acquire_line("revoked", NOW_MS), Some(0), "another reason");
        assert_eq!(log.acquire_line("expired", NOW_MS + 6_000), Some(940));
        assert_eq!(log.acquire_line("expired", NOW_MS + 6_001), None);
        assert_eq!(log.acquire_line("expired", NOW_MS + 12_001), Some(1));
    }

    #[test]
    fn lines_are_json_with_what_is_known() {
        let mut refused = RefusedRequest { reason: "missing_token", route: None, client: None };
        let line = refusal_line(&refused, 401, "a\"b", 0);
        let expected =
            r#"{"message":"request refused","reason":"missing_token","status":401,"request_id":"a\"b","omitted":0}"#;
        assert_eq!(line, expected);
        refused.route = Some("GET /a".to_owned());
        refused.client = Some("shop".to_owned());
        let value: serde_json::Value =
            serde_json::from_str(&refusal_line(&refused, 401, &"ü".repeat(500), 7)).expect("JSON");
        assert_eq!((value["route"].as_str(), value["client_id"].as_str()), (Some("GET /a"), Some("shop")));
        assert_eq!(value["request_id"].as_str().map(|id| id.chars().count()), Some(MAX_REQUEST_ID));
    }
}
