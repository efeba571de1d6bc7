//! IDs of requests and traces, by which the logs of edge, upstream and origin are compared.

use crate::response::now_ms;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The request's ID. A request without one gets a new one, which the upstream then receives.
pub(crate) fn of_request(headers: &mut HeaderMap) -> HeaderValue {
    if let Some(id) = headers.get(REQUEST_ID) {
        return id.clone();
    }
    let id = HeaderValue::try_from(new_id()).unwrap_or(HeaderValue::from_static(""));
    headers.insert(REQUEST_ID, id.clone());
    id
}

/// The request's ID for the log, at most 128 characters: a client may have chosen it.
pub(crate) fn for_log(headers: &HeaderMap) -> &str {
    let id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    tollgate_gate::request_id_for_log(id)
}

/// The ID of the trace that the request belongs to. A valid `traceparent` is passed on unchanged.
/// If there is none, and `starts_traces` is set, a new trace begins.
pub(crate) fn continue_trace(headers: &mut HeaderMap, starts_traces: bool) -> Option<String> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    if let (Some(parent), None) = (parents.next(), parents.next())
        && let Some(trace) = parent.to_str().ok().and_then(tollgate_gate::trace_id)
    {
        return Some(trace.to_owned());
    }
    let (trace, traceparent) = starts_traces.then(new_trace)?;
    headers.insert(TRACEPARENT, HeaderValue::try_from(traceparent).ok()?);
    headers.remove(TRACESTATE);
    Some(trace)
}

/// Tells the client the request's ID, unless the upstream told it another.
pub(crate) fn set_on_response(headers: &mut HeaderMap, id: HeaderValue) {
    headers.entry(REQUEST_ID).or_insert(id);
}

/// A new trace: its ID, and the `traceparent` of a request within it.
pub(crate) fn new_trace() -> (String, String) {
    let trace = new_id();
    let traceparent = format!("00-{trace}-{:016x}-01", process_digits());
    (trace, traceparent)
}

/// An ID of 32 hexadecimal digits: those of the process, then a number. It is unique and no secret.
fn new_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}{:016x}", process_digits(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Random digits of this process, never zero. Without a random source they are the time.
#[expect(clippy::disallowed_methods, reason = "the runner's random source")]
fn process_digits() -> u64 {
    static DIGITS: OnceLock<u64> = OnceLock::new();
    *DIGITS.get_or_init(|| {
        let mut random = [0; 8];
        let filled = getrandom::fill(&mut random);
        filled.map_or_else(|_| now_ms(), |()| u64::from_be_bytes(random)) | 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_keep_their_id_or_get_a_new_one() {
        let mut headers = HeaderMap::new();
        let first = of_request(&mut headers);
        assert_eq!((headers.get(REQUEST_ID), first.len()), (Some(&first), 32));
        assert_eq!(of_request(&mut headers), first);
        assert_ne!(of_request(&mut HeaderMap::new()), first);
        let mut response = HeaderMap::new();
        set_on_response(&mut response, first.clone());
        set_on_response(&mut response, HeaderValue::from_static("other"));
        assert_eq!(response.get_all(REQUEST_ID).iter().collect::<Vec<_>>(), [&first]);
    }

    #[test]
    fn traces_are_continued_and_begin_only_where_that_is_set() {
        let with = |parents: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for parent in parents {
                headers.append(TRACEPARENT, HeaderValue::from_static(parent));
            }
            headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
            headers
        };
        let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        for starts_traces in [false, true] {
            let mut headers = with(&[valid]);
            let trace = continue_trace(&mut headers, starts_traces);
            assert_eq!(trace.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
            assert_eq!(headers, with(&[valid]), "passed on unchanged");
        }
        for parents in [vec![], vec!["malformed"], vec![valid, valid]] {
            let mut headers = with(&parents);
            assert_eq!(continue_trace(&mut headers, false), None);
            assert_eq!(headers, with(&parents));
            let trace = continue_trace(&mut headers, true).expect("a new trace");
            let parent =
                headers.get(TRACEPARENT).and_then(|parent| parent.to_str().ok()).and_then(tollgate_gate::trace_id);
            assert_eq!((parent, headers.get(TRACESTATE)), (Some(trace.as_str()), None));
        }
    }

    #[test]
    fn traceparents_are_well_formed() {
        let (trace, traceparent) = new_trace();
        let fields: Vec<&str> = traceparent.split('-').collect();
        assert_eq!((fields.len(), fields[0], fields[1], fields[3]), (4, "00", trace.as_str(), "01"));
        assert!(fields[2].len() == 16 && fields[2] != "0".repeat(16), "{traceparent}");
    }
}
