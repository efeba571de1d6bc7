//! How the end of sessions, grants and clients is recorded.

use tollgate_model::Actor;
use tollgate_storage::Termination;

use crate::telemetry::TraceContext;

/// How what `by` ends at `now` is recorded: back-channel logouts that follow belong to the current
/// request's trace.
#[must_use]
pub fn termination(by: &Actor, reason: &'static str, now: u64) -> Termination {
    Termination { trace: TraceContext::current().traceparent(), ..Termination::new(by, reason, now) }
}
