//! `tollgate-edge relay`: follows an origin and answers edges in its place, so that a fleet is a
//! tree.
//!
//! A relay decides nothing and signs nothing. It sends the questions of many edges to the origin as
//! one question, whose nonce is the root over theirs, and gives each edge the signed answer with
//! the path from its own nonce. So an answer through a relay proves to an edge what an answer of
//! the origin does. Snapshots are cached and revalidated.
//!
//! Never: a message goes to edges that the origin's key did not sign, or that is not the answer to
//! their questions.

mod delta_batches;
mod heartbeats;
mod snapshot_cache;

use crate::origin_client::OriginClient;
use crate::response::{Body, full, json_error};
use crate::settings::RelaySettings;
use bytes::Bytes;
use delta_batches::{DeltaBatches, Question};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use snapshot_cache::SnapshotCache;
use std::sync::Arc;
use std::time::Duration;
use tollgate_core::{ConfigDigest, Nonce};
use tollgate_gate::JsonObject;

/// The origin's bound on waits.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// The version of messages that may answer many questions.
const SHARED_VERSION: u8 = 3;

/// A relay between an origin and edges.
pub(crate) struct Relay {
    deltas: Arc<DeltaBatches>,
    snapshots: SnapshotCache,
}

impl Relay {
    pub(crate) fn new(settings: &RelaySettings) -> reqwest::Result<Relay> {
        let client = Arc::new(OriginClient::new(&settings.origin)?);
        Ok(Relay {
            deltas: DeltaBatches::new(Arc::clone(&client), settings),
            snapshots: SnapshotCache::new(client, settings.snapshot_keys.clone()),
        })
    }

    /// Answers a request of an edge.
    pub(crate) async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let (parts, _body) = request.into_parts();
        match (&parts.method, parts.uri.path()) {
            (&Method::GET, "/edge/v1/deltas") => self.deltas(parts.uri.query().unwrap_or_default()).await,
            (&Method::GET, "/edge/v1/snapshot") => self.snapshot(&parts).await,
            (&Method::GET | &Method::HEAD, "/_tollgate/health") => self.health(),
            _ => {
                json_error(StatusCode::NOT_FOUND, "not_found", "a relay answers requests for deltas and snapshots only")
            }
        }
    }

    async fn deltas(&self, query: &str) -> Response<Body> {
        let question = match read_question(query) {
            Ok(question) => question,
            Err(why) => return json_error(StatusCode::BAD_REQUEST, "invalid_request", why),
        };
        self.deltas.heartbeats.record(query);
        match self.deltas.answer(question).await {
            Ok((shared, rest)) => message(full([shared.as_ref(), &rest].concat())),
            Err(failure) => failure.response(),
        }
    }

    async fn snapshot(&self, request: &Parts) -> Response<Body> {
        let snapshot = match self.snapshots.newest().await {
            Ok(snapshot) => snapshot,
            Err(why) => return json_error(StatusCode::BAD_GATEWAY, "temporarily_unavailable", &why),
        };
        let held = request.headers.get(IF_NONE_MATCH);
        let etag = HeaderValue::from_str(&snapshot.etag).ok();
        let mut response = match etag.is_some() && held == etag.as_ref() {
            true => {
                let mut response = Response::new(full(Bytes::new()));
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response
            }
            false => message(full(snapshot.bytes.clone())),
        };
        if let Some(etag) = etag {
            response.headers_mut().insert(ETAG, etag);
        }
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }

    /// 200 while the origin answers, else 503.
    fn health(&self) -> Response<Body> {
        let failure = self.deltas.failure();
        let status = if failure.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        let body = JsonObject::new()
            .text("status", if failure.is_some() { "origin_unreachable" } else { "ok" })
            .number("waiting", self.deltas.waiting() as u64)
            .number("questions", self.deltas.question_count())
            .number("answers", self.deltas.answer_count())
            .object("last_error", failure.map(|why| JsonObject::new().text("error", &why)));
        let mut response = Response::new(full(body.into_text()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

fn message(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Reads the query of a question. No value of it has characters that a query must encode.
fn read_question(query: &str) -> Result<Question, &'static str> {
    let get = |name: &str| {
        query.split('&').find_map(|parameter| parameter.split_once('=').filter(|(known, _)| *known == name))
    };
    let value = |name: &str| get(name).map(|(_, value)| value);
    let after = value("after").and_then(|text| text.parse().ok()).ok_or("after must be a sequence: a whole number")?;
    let wait = value("wait").map_or(Some(0.0), |text| text.parse::<f64>().ok());
    let wait = wait.filter(|seconds| (0.0..=MAX_WAIT.as_secs_f64()).contains(seconds));
    let wait = wait.map(Duration::from_secs_f64).ok_or("wait must be a number of seconds from 0 to 30")?;
    let nonce = value("nonce").and_then(Nonce::from_hex).ok_or("a relay needs a nonce of 32 hexadecimal digits")?;
    let version: u8 = value("version").and_then(|text| text.parse().ok()).unwrap_or_default();
    if version < SHARED_VERSION {
        return Err("this edge is too old for a relay: upgrade it, or let it ask the origin");
    }
    let config = match value("config") {
        Some(text) => Some(ConfigDigest::from_hex(text).ok_or("config must be 32 hexadecimal digits")?),
        None => None,
    };
    Ok(Question { after, wait, nonce, config: config.map(|digest| *digest.as_bytes()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "000102030405060708090a0b0c0d0e0f";

    #[test]
    fn a_question_is_read_as_the_origin_reads_it() {
        let query = format!("after=7&wait=0.250&nonce={NONCE}&version=3&config={NONCE}&edge=a&proof=b");
        let question = read_question(&query).expect("a question");
        assert_eq!((question.after, question.wait), (7, Duration::from_millis(250)));
        assert_eq!(question.nonce.to_string(), NONCE);
        assert_eq!(question.config, Some(*question.nonce.as_bytes()));
        let question = read_question(&format!("nonce={NONCE}&version=4&after=0")).expect("a question");
        assert_eq!((question.wait, question.config), (Duration::ZERO, None));
    }

    #[test]
    fn a_question_that_a_relay_cannot_answer_is_refused() {
        let all = format!("after=7&wait=1&nonce={NONCE}&version=3");
        assert!(read_question(&all).is_ok());
        for (from, to) in [
            ("after=7", "after=x"),
            ("after=7", "before=7"),
            ("wait=1", "wait=31"),
            ("wait=1", "wait=NaN"),
            ("wait=1", "wait=-1"),
            (NONCE, "00"),
            ("version=3", "version=2"),
            ("&version=3", ""),
            ("version=3", "version=3&config=1"),
        ] {
            assert!(read_question(&all.replace(from, to)).is_err(), "{to}");
        }
    }
}
