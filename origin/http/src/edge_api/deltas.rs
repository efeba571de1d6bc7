//! `GET /edge/v1/deltas?after=SEQ&wait=SECONDS&nonce=HEX`: long poll for the signed changes after a
//! sequence. The response contains the request's nonce, so that it cannot be replayed for another
//! request.
//!
//! A registered edge may identify itself: `&edge=NAME&number=N&at=MS&report=TEXT&proof=HEX`, with
//! the request time, totals of its work (now and then, see [`EdgeReport`]) and, at the end of the
//! query, an HMAC over everything before it. `tollgate edge list` then shows the progress of the
//! edge. The response does not depend on it: an invalid proof only records nothing. A relay adds
//! the signed queries of its edges: `&relayed=QUERIES`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::Version;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures::stream;
use tollgate_core::{ConfigDigest, EdgeReport, Nonce};
use tollgate_model::{EdgeHeartbeat, Malformed};
use tollgate_services::revocation_feed::{DeltaAnswer, DeltaRequest};

use super::edge_feed::{EdgeAuthenticator, EdgeFeed};
use crate::extract::proxies::Proxies;
use crate::long_polls::{self, LongPolls};
use crate::oauth::caller::Caller;
use crate::oauth::parameters::Parameters;
use crate::openapi::responses::{BadRequest, Conflict, Unavailable};
use crate::problem;
use crate::problem::Problem;

/// Heartbeats that a relay hands on with one request.
const MAX_RELAYED: usize = 64;
/// Below the idle timeouts of common proxies.
const MAX_WAIT_SECONDS: f64 = 30.0;
/// The version of messages that may answer many requests.
const SHARED_VERSION: u8 = 3;
/// Larger messages are not copied for each edge.
const MAX_COPIED_BYTES: usize = 16 * 1024;

/// State of the endpoint for deltas.
pub(crate) struct DeltaEndpoint {
    pub(crate) feed: Arc<EdgeFeed>,
    pub(crate) edges: EdgeAuthenticator,
    pub(crate) long_polls: Arc<LongPolls>,
    pub(crate) proxies: Arc<Proxies>,
}

/// Signed changes after a sequence, as soon as there are any.
#[utoipa::path(
    get, path = "/edge/v1/deltas",
    params(
        ("after" = u64, Query, description = "Sequence of the last known change"),
        ("wait" = Option<f64>, Query, description = "Longest wait in seconds, 0 to 30"),
        (
            "nonce" = Option<String>,
            Query,
            description = "128 random bits, as 32 lower-case hexadecimal digits; returned in the response",
        ),
        ("version" = Option<u8>, Query, description = "Newest version of messages that the edge understands"),
        (
            "config" = Option<String>,
            Query,
            description = "Digest of the edge's configuration: the response may contain a newer one",
        ),
        ("edge" = Option<String>, Query, description = "Name of a registered edge"),
        ("number" = Option<u64>, Query, description = "Number of the registration, from the edge's key"),
        ("at" = Option<u64>, Query, description = "Time of the request, Unix milliseconds"),
        (
            "report" = Option<String>,
            Query,
            description = "Totals of the edge's work since its start",
        ),
        (
            "relayed" = Option<String>,
            Query,
            description = "From a relay: signed queries of its edges, one a line",
        ),
        (
            "proof" = Option<String>,
            Query,
            description = "HMAC-SHA256 with the edge's key over the query before it; last parameter",
        ),
    ),
    responses(
        (status = 200, description = "Signed changes", body = Vec<u8>, content_type = "application/octet-stream"),
        BadRequest, Conflict, Unavailable,
        (
            status = 403,
            description = "Only registered edges are answered",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
        (
            status = 410,
            description = "The sequence is too old: fetch the snapshot",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
        (
            status = 500,
            description = "The feed cannot be read",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(crate) async fn get(
    State(endpoint): State<Arc<DeltaEndpoint>>,
    version: Version,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let text = query.unwrap_or_default();
    let query = Parameters::from_form(&text);
    let query = query.map_err(|error| Problem::bad_request(&error.to_string()))?;
    let after = query.get("after").and_then(|text| text.parse().ok());
    let after = after.ok_or_else(|| Problem::bad_request("after must be a sequence: a whole number"))?;
    let wait = parse_wait(query.get("wait"))
        .ok_or_else(|| Problem::bad_request("wait must be a number of seconds from 0 to 30"))?;

    let nonce = query.get("nonce").map(|text| Nonce::from_hex(text).ok_or(text)).transpose();
    let nonce = nonce.map_err(|_| Problem::bad_request("nonce must be 32 lower-case hexadecimal digits"))?;
    let heartbeat = parse_heartbeat(&query, after).map_err(|error| Problem::bad_request(&error.to_string()))?;
    let config = query.get("config").map(|text| ConfigDigest::from_hex(text).ok_or(text)).transpose();
    let config = config.map_err(|_| Problem::bad_request("config must be 32 lower-case hexadecimal digits"))?;
    let newest_version: u8 = query.get("version").and_then(|text| text.parse().ok()).unwrap_or_default();

    let edge = endpoint.edges.authenticate(&text, heartbeat).await?;
    let poll = match (wait.is_zero(), &edge) {
        (true, _) => None,
        (false, Some(_)) => endpoint.long_polls.begin_authenticated(),
        (false, None) => endpoint.long_polls.begin(caller.address(&endpoint.proxies)),
    };
    let allowed_wait = if poll.is_some() { wait } else { Duration::ZERO };
    let request = DeltaRequest { after, nonce, takes_shared: newest_version >= SHARED_VERSION, config };
    let answer = endpoint.feed.deltas(request, allowed_wait).await?;
    if let Some(edge) = edge {
        endpoint.edges.record(edge);
    }
    if let Some(relayed) = query.get("relayed") {
        record_relayed(&endpoint, relayed).await;
    }
    let headers = [(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, "no-store")];
    let mut response = (headers, body(answer)).into_response();
    if allowed_wait < wait {
        long_polls::close_connection(version, &mut response);
    }
    Ok(response)
}

fn body(answer: DeltaAnswer) -> Body {
    let DeltaAnswer { shared, rest } = answer;
    match shared.len() <= MAX_COPIED_BYTES {
        true => [shared.as_ref(), &rest].concat().into(),
        false => Body::from_stream(stream::iter([shared, rest.into()].map(Ok::<Bytes, Infallible>))),
    }
}

/// Records the heartbeats that a relay hands on: the own queries of its edges, one a line. Those
/// without a valid proof are ignored.
async fn record_relayed(endpoint: &DeltaEndpoint, queries: &str) {
    for text in queries.lines().take(MAX_RELAYED) {
        let Ok(query) = Parameters::from_form(text) else { continue };
        let after = query.get("after").and_then(|after| after.parse().ok()).unwrap_or_default();
        let heartbeat = parse_heartbeat(&query, after).ok().flatten();
        if let Ok(Some(edge)) = endpoint.edges.authenticate(text, heartbeat).await {
            endpoint.edges.record(edge);
        }
    }
}

/// The unverified heartbeat of a request, if it has all of its parameters.
fn parse_heartbeat(query: &Parameters, sequence: u64) -> Result<Option<EdgeHeartbeat>, Malformed> {
    let Some(name) = query.get("edge").map(str::parse).transpose()? else { return Ok(None) };
    let number = |name| query.get(name).and_then(|text| text.parse().ok());
    let (Some(number), Some(at_ms)) = (number("number"), number("at")) else { return Ok(None) };
    let report = query.get("report").and_then(EdgeReport::parse);
    Ok(Some(EdgeHeartbeat { name, number, sequence, at_ms, report }))
}

fn parse_wait(text: Option<&str>) -> Option<Duration> {
    let seconds: f64 = text.unwrap_or("0").parse().ok()?;
    (0.0..=MAX_WAIT_SECONDS).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_bounded() {
        assert_eq!(parse_wait(None), Some(Duration::ZERO));
        assert_eq!(parse_wait(Some("0.5")), Some(Duration::from_millis(500)));
        assert_eq!(parse_wait(Some("30")), Some(Duration::from_secs(30)));
        for text in ["-1", "30.1", "NaN", "inf", "x", "-0.1"] {
            assert_eq!(parse_wait(Some(text)), None, "{text}");
        }
    }
}
