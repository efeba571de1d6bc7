//! Trace context of the current request (W3C Trace Context): taken from its `traceparent` header,
//! or new if the header is absent or malformed, and sent with each outbound request.
//!
//! `tracestate` is not forwarded: its content is not meant for the servers that this origin calls.

use reqwest::RequestBuilder;
use tokio::task::futures::TaskLocalFuture;
use tollgate_system::current_request::{self, CurrentRequest};
use tollgate_system::rng;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// A span of this origin within a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    /// The caller's span, unless the trace begins here.
    pub parent: Option<[u8; 8]>,
    /// Whether the trace is recorded, as decided by the service that began it.
    pub sampled: bool,
}

impl TraceContext {
    /// A span in the trace of `traceparent`, or in a new trace.
    #[must_use]
    pub fn continued(traceparent: Option<&str>) -> TraceContext {
        // Without random bytes the id is not unique; what needs random bytes fails by itself.
        let span = rng::random_id().unwrap_or([0xff; 8]);
        match traceparent.and_then(parse) {
            Some((trace, parent, sampled)) => TraceContext { trace, span, parent: Some(parent), sampled },
            None => {
                let trace = rng::random_id().unwrap_or([0xff; 16]);
                TraceContext { trace, span, parent: None, sampled: true }
            }
        }
    }

    /// The context of the current request, or a new one.
    #[must_use]
    pub fn current() -> TraceContext {
        TraceContext::of_request().unwrap_or_else(|| TraceContext::continued(None))
    }

    /// The context of the current request; none outside of one.
    #[must_use]
    pub fn of_request() -> Option<TraceContext> {
        CURRENT.try_with(|current| *current).ok()
    }

    /// Runs `work` with this context as the current one.
    pub fn scope<F: Future>(self, work: F) -> TaskLocalFuture<TraceContext, F> {
        CURRENT.scope(self, work)
    }

    /// Value of the `traceparent` header for an outbound request.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let flags = u8::from(self.sampled);
        format!("00-{}-{}-{flags:02x}", hex(&self.trace), hex(&self.span))
    }
}

/// Adds the current trace context and request ID to an outbound request. Outside of a request, the
/// ID is that of the new trace.
pub fn traced(request: RequestBuilder) -> RequestBuilder {
    let trace = TraceContext::current();
    let id = current_request::id().filter(|id| !id.is_empty()).unwrap_or_else(|| hex(&trace.trace));
    request.header("traceparent", trace.traceparent()).header("x-request-id", id)
}

/// Work of the current request that another task does: with the same trace context and request ID.
pub fn on_behalf_of_request<F: Future>(work: F) -> TaskLocalFuture<TraceContext, TaskLocalFuture<CurrentRequest, F>> {
    let request = CurrentRequest::new(current_request::id().unwrap_or_default(), false);
    TraceContext::current().scope(request.scope(work))
}

/// Parses `version "-" trace-id "-" parent-id "-" trace-flags`, in lower-case hex (section 3.2). Of
/// a later version, the fields of version 00 are read (section 4.3).
fn parse(text: &str) -> Option<([u8; 16], [u8; 8], bool)> {
    let (fields, rest) = text.split_at_checked(55)?;
    let mut parts = fields.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let [version] = unhex(version)?;
    let is_readable = match version {
        0xff => false,
        0 => rest.is_empty(),
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    let (trace, parent, [flags]) = (unhex(trace)?, unhex(parent)?, unhex(flags)?);
    let has_ids = trace != [0; 16] && parent != [0; 8];
    (is_readable && has_ids && parts.next().is_none()).then_some((trace, parent, flags & 1 == 1))
}

/// Encodes bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_hex = text.len() == 2 * N && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    is_hex.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of section 3.2.
    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn valid_traceparent_continues_the_trace() {
        let context = TraceContext::continued(Some(VALID));
        assert_eq!(hex(&context.trace), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.parent.map(|parent| hex(&parent)).as_deref(), Some("00f067aa0ba902b7"));
        assert!(context.sampled && context.traceparent().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
        assert!(!context.traceparent().contains("00f067aa0ba902b7"), "a new span");
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-what the future will be like";
        let context = TraceContext::continued(Some(later));
        assert!(context.parent.is_some() && !context.sampled && context.traceparent().ends_with("-00"));
    }

    #[test]
    fn invalid_traceparent_begins_a_new_trace() {
        let mut invalid = vec![
            String::new(),
            VALID.to_uppercase(),
            format!("{VALID}-"),
            format!("{VALID}0"),
            VALID.replace('-', "_"),
        ];
        invalid.push(VALID.replacen("00-", "ff-", 1));
        invalid.push(VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)));
        invalid.push(VALID.replace("00f067aa0ba902b7", &"0".repeat(16)));
        invalid.push("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.x".to_owned());
        invalid.push("ü".repeat(40));
        for text in invalid {
            let context = TraceContext::continued(Some(&text));
            assert_eq!((context.parent, context.sampled), (None, true), "{text}");
        }
        assert_ne!(TraceContext::continued(None).trace, TraceContext::continued(None).trace);
    }

    #[tokio::test]
    async fn outbound_requests_have_the_current_context() {
        let context = TraceContext::continued(Some(VALID));
        let serving = context.scope(async {
            let other_task =
                tokio::spawn(on_behalf_of_request(async { (TraceContext::current(), current_request::id()) }));
            (TraceContext::current(), other_task.await.expect("no panic"))
        });
        let (own, of_task) = CurrentRequest::new("1a-2b".to_owned(), false).scope(serving).await;
        assert_eq!((own, of_task), (context, (context, Some("1a-2b".to_owned()))));
        assert_ne!(TraceContext::current(), context);
    }

    #[tokio::test]
    async fn outbound_requests_have_the_request_id() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().build().expect("a client");
        let headers = || traced(http.get("http://127.0.0.1/")).build().expect("a request").headers().clone();
        let context = TraceContext::continued(Some(VALID));
        let serving = context.scope(async { headers() });
        let sent = CurrentRequest::new("1a-2b".to_owned(), false).scope(serving).await;
        assert_eq!(sent["x-request-id"], "1a-2b");
        assert_eq!(sent["traceparent"], context.traceparent());
        let sent = headers();
        let trace = sent["traceparent"].to_str().expect("text").split('-').nth(1).expect("a trace").to_owned();
        assert_eq!(sent["x-request-id"], trace, "outside of a request");
    }
}
