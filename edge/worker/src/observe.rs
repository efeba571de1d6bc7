//! What operators see of requests: lines about refusals, `Server-Timing` and trace context.

use std::time::Duration;

use tollgate_gate::{RefusedRequest, new_traceparent, refusal_line, request_id_for_log, server_timing, trace_id};
use worker::{Result, console_log, web_sys};

use crate::{http, isolate::Isolate, now_ms, random};

const TRACEPARENT: &str = "traceparent";

/// Measures time in milliseconds. The runtime stops the clock while code runs, so only waits are
/// measured.
pub(crate) struct Stopwatch(u64);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(now_ms())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_millis(now_ms().saturating_sub(self.0))
    }
}

/// Writes one line of JSON about a refused request, unless there were many for this reason lately.
pub(crate) fn log_refusal(isolate: &Isolate, request: &web_sys::Request, refused: &RefusedRequest, status: u16) {
    let Some(omitted) = isolate.refusal_log.borrow_mut().acquire_line(refused.reason, now_ms()) else { return };
    let header = |name| request.headers().get(name).ok().flatten();
    let request_id = header("x-request-id").or_else(|| header("cf-ray")).unwrap_or_default();
    console_log!("{}", refusal_line(refused, status, request_id_for_log(&request_id), omitted));
}

/// Begins a trace in the headers for the upstream, if the settings say so and these have no valid
/// `traceparent`.
pub(crate) fn continue_trace(isolate: &Isolate, outbound: &web_sys::Headers) -> Result<()> {
    if !isolate.gate.borrow().settings().starts_traces {
        return Ok(());
    }
    let parent = outbound.get(TRACEPARENT)?;
    if parent.is_none_or(|parent| trace_id(&parent).is_none()) {
        outbound.set(TRACEPARENT, &new_traceparent(random()?))?;
        outbound.delete("tracestate")?;
    }
    Ok(())
}

/// Adds `Server-Timing` to the response, if the settings say so.
pub(crate) fn with_server_timing(
    isolate: &Isolate,
    response: web_sys::Response,
    gate: Duration,
    upstream: Duration,
) -> Result<web_sys::Response> {
    // A WebSocket cannot be built again.
    if !isolate.gate.borrow().settings().server_timing || response.status() == 101 {
        return Ok(response);
    }
    http::with_added_headers(&response, [("server-timing", server_timing(gate, Some(upstream)).as_str())])
}
