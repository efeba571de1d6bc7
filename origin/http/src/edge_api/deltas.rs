//! `GET /edge/v1/deltas?after=SEQ&wait=SECONDS&nonce=HEX`: what follows a sequence, signed, as soon
//! as there is something. With a nonce the answer bears it, so that nobody can pass it off as the
//! answer to another question.
//!
//! An edge that is registered may say which it is: `&edge=NAME&number=N&at=MS&proof=HEX`, with the
//! time of the question and, at the end of the query, the proof by its key over all before it.
//! `tollgate edge list` then shows how far it is. Without a good proof the answer is the same, and
//! nothing is noted.

use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::Version;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use tollgate_core::Nonce;
use tollgate_model::{EdgeHeartbeat, Malformed};

use crate::oauth::caller::Caller;
use crate::oauth::parameters::Parameters;
use crate::openapi::refusals::{BadRequest, Conflict, Unavailable};
use crate::problem;
use crate::problem::Problem;
use crate::{AppState, long_polls};

/// The longest wait, in seconds: below the idle limits of common proxies.
const LONGEST_WAIT: f64 = 30.0;

/// What follows a sequence, signed, as soon as there is something.
#[utoipa::path(
    get, path = "/edge/v1/deltas",
    params(
        ("after" = u64, Query, description = "The sequence"),
        ("wait" = Option<f64>, Query, description = "Seconds, 0 to 30"),
        (
            "nonce" = Option<String>,
            Query,
            description = "128 random bits that the answer bears, as 32 hexadecimal digits in small letters",
        ),
        ("edge" = Option<String>, Query, description = "The name of the edge, if it is registered"),
        ("number" = Option<u64>, Query, description = "The number of its registration, from its key"),
        ("at" = Option<u64>, Query, description = "When it asks, Unix milliseconds"),
        (
            "proof" = Option<String>,
            Query,
            description = "HMAC-SHA256 by its key over the query before it, at the query's end",
        ),
    ),
    responses(
        (status = 200, description = "Changes, signed", body = Vec<u8>, content_type = "application/octet-stream"),
        BadRequest, Conflict, Unavailable,
        (
            status = 410,
            description = "Too old: take the snapshot",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
        (
            status = 500,
            description = "What is there cannot be read",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(crate) async fn get(
    State(app): State<AppState>,
    version: Version,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let text = query.unwrap_or_default();
    let query = Parameters::from_form(&text);
    let query = query.map_err(|error| Problem::bad_request(&error.to_string()))?;
    let after = query.get("after").and_then(|text| text.parse().ok());
    let after = after.ok_or_else(|| Problem::bad_request("after must be a sequence, a whole number"))?;
    let wait = wait(query.get("wait")).ok_or_else(|| Problem::bad_request("wait must be seconds, 0 to 30"))?;

    let nonce = query.get("nonce").map(|text| Nonce::from_hex(text).ok_or(text)).transpose();
    let nonce = nonce.map_err(|_| Problem::bad_request("nonce must be 32 hexadecimal digits in small letters"))?;
    let contact = contact(&query, after).map_err(|error| Problem::bad_request(&error.to_string()))?;

    let poll = app.long_polls.begin(caller.address(&app.grants.trusted_proxies)).filter(|_| !wait.is_zero());
    let may_wait = if poll.is_some() { wait } else { Duration::ZERO };
    let changes = app.feed_changes.clone();
    let message = app.feed.wait_for_deltas(after, nonce, may_wait, changes, &app.stop).await?;
    if let Some(contact) = contact {
        app.edge_heartbeats.record(&text, contact, &app.keys.current(), app.clock.now_ms());
    }
    let headers = [(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, "no-store")];
    let mut response = (headers, message.bytes).into_response();
    if may_wait < wait {
        long_polls::close(version, &mut response);
    }
    Ok(response)
}

/// What an edge says of itself, if it says all that a proof is over.
fn contact(query: &Parameters, sequence: u64) -> Result<Option<EdgeHeartbeat>, Malformed> {
    let Some(name) = query.get("edge").map(str::parse).transpose()? else { return Ok(None) };
    let number = |name| query.get(name).and_then(|text| text.parse().ok());
    let (Some(number), Some(at_ms)) = (number("number"), number("at")) else { return Ok(None) };
    Ok(Some(EdgeHeartbeat { name, number, sequence, at_ms }))
}

fn wait(text: Option<&str>) -> Option<Duration> {
    let seconds: f64 = text.unwrap_or("0").parse().ok()?;
    (0.0..=LONGEST_WAIT).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_bounded() {
        assert_eq!(wait(None), Some(Duration::ZERO));
        assert_eq!(wait(Some("0.5")), Some(Duration::from_millis(500)));
        assert_eq!(wait(Some("30")), Some(Duration::from_secs(30)));
        for text in ["-1", "30.1", "NaN", "inf", "x", "-0.1"] {
            assert_eq!(wait(Some(text)), None, "{text}");
        }
    }
}
