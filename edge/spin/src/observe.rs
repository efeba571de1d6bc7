//! What operators see of requests: lines about refusals, times and trace context.

use crate::edge::{Edge, now_ms};
use crate::http;
use spin_sdk::http::Request;
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::random::random;
use std::time::Duration;
use tollgate_gate::{RefusedRequest, new_traceparent, refusal_line, request_id_for_log, trace_id};

const TRACEPARENT: &str = "traceparent";

/// Measures how long something takes.
pub(crate) struct Stopwatch(u64);

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch(monotonic_clock::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_nanos(monotonic_clock::now().saturating_sub(self.0))
    }
}

/// Writes one line of JSON about a refused request, unless there were many for this reason lately.
pub(crate) fn log_refusal(edge: &Edge, request: &Request, refused: &RefusedRequest, status: u16) {
    let Some(omitted) = edge.refusal_log.borrow_mut().acquire_line(refused.reason, now_ms()) else { return };
    let request_id = http::values(request, "x-request-id").next().and_then(|id| std::str::from_utf8(id).ok());
    eprintln!("{}", refusal_line(refused, status, request_id_for_log(request_id.unwrap_or_default()), omitted));
}

/// Begins a trace in the headers for the upstream, if the settings say so and these have no valid
/// `traceparent`.
pub(crate) fn continue_trace(edge: &Edge, outbound: &mut Vec<(String, Vec<u8>)>) {
    if !edge.gate().settings().starts_traces {
        return;
    }
    let is_trace = |name: &str| name.eq_ignore_ascii_case(TRACEPARENT);
    let mut parents = outbound.iter().filter(|(name, _)| is_trace(name));
    let is_valid = |value: &[u8]| std::str::from_utf8(value).is_ok_and(|value| trace_id(value).is_some());
    if matches!((parents.next(), parents.next()), (Some((_, value)), None) if is_valid(value)) {
        return;
    }
    outbound.retain(|(name, _)| !is_trace(name) && !name.eq_ignore_ascii_case("tracestate"));
    let mut bytes = [0; 24];
    for part in bytes.as_chunks_mut().0 {
        *part = random::get_random_u64().to_be_bytes();
    }
    outbound.push((TRACEPARENT.to_owned(), new_traceparent(bytes).into_bytes()));
}
