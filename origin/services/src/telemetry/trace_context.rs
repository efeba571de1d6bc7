//! Which request of which trace is being answered (W3C Trace Context): taken from
//! `traceparent` if that is well formed, else begun here, and told to whoever is
//! asked while it is answered.
//!
//! `tracestate` is not handed on: what others put there is not for the servers that
//! are asked here.

use reqwest::RequestBuilder;
use tollgate_system::rng;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// A part of a trace that is done here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: [u8; 16],
    /// This part of it.
    pub span: [u8; 8],
    /// The part that asked for this one, unless the trace begins here.
    pub parent: Option<[u8; 8]>,
    /// Whether it is to be recorded, if it is for whoever began the trace to say.
    pub sampled: bool,
}

impl TraceContext {
    /// A part of the trace that `traceparent` tells of, or of a new one if it tells
    /// of none.
    #[must_use]
    pub fn continued(traceparent: Option<&str>) -> TraceContext {
        // Without randomness it has no name of its own; whatever needs randomness fails by
        // itself.
        let span = rng::random_id().unwrap_or([0xff; 8]);
        match traceparent.and_then(parse) {
            Some((trace, parent, sampled)) => TraceContext { trace, span, parent: Some(parent), sampled },
            None => {
                let trace = rng::random_id().unwrap_or([0xff; 16]);
                TraceContext { trace, span, parent: None, sampled: true }
            }
        }
    }

    /// That of the request that is being answered, else a new one.
    #[must_use]
    pub fn current() -> TraceContext {
        CURRENT.try_with(|current| *current).unwrap_or_else(|_| TraceContext::continued(None))
    }

    /// Does `work` as this part of the trace.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// What tells the next one of it.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let flags = u8::from(self.sampled);
        format!("00-{}-{}-{flags:02x}", hex(&self.trace), hex(&self.span))
    }
}

/// A request that tells of the trace in which it is sent.
pub fn traced(request: RequestBuilder) -> RequestBuilder {
    request.header("traceparent", TraceContext::current().traceparent())
}

/// `version "-" trace-id "-" parent-id "-" trace-flags`, all in small hex digits
/// (§3.2). Of a later version than ours, what ours has is read (§4.3).
fn parse(text: &str) -> Option<([u8; 16], [u8; 8], bool)> {
    let (known, rest) = text.split_at_checked(55)?;
    let mut parts = known.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let [version] = unhex(version)?;
    let fits = match version {
        0xff => false,
        0 => rest.is_empty(),
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    let (trace, parent, [flags]) = (unhex(trace)?, unhex(parent)?, unhex(flags)?);
    let named = trace != [0; 16] && parent != [0; 8];
    (fits && named && parts.next().is_none()).then_some((trace, parent, flags & 1 == 1))
}

/// Bytes in small hex digits.
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

    /// The example of §3.2.
    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_goes_on() {
        let context = TraceContext::continued(Some(GOOD));
        assert_eq!(hex(&context.trace), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.parent.map(|parent| hex(&parent)).as_deref(), Some("00f067aa0ba902b7"));
        assert!(context.sampled && context.traceparent().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
        assert!(!context.traceparent().contains("00f067aa0ba902b7"), "it is another part");
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-what the future will be like";
        let context = TraceContext::continued(Some(later));
        assert!(context.parent.is_some() && !context.sampled && context.traceparent().ends_with("-00"));
    }

    #[test]
    fn what_is_no_traceparent_begins_a_trace() {
        let mut bad =
            vec![String::new(), GOOD.to_uppercase(), format!("{GOOD}-"), format!("{GOOD}0"), GOOD.replace('-', "_")];
        bad.push(GOOD.replacen("00-", "ff-", 1));
        bad.push(GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)));
        bad.push(GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)));
        bad.push("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.x".to_owned());
        bad.push("ü".repeat(40));
        for text in bad {
            let context = TraceContext::continued(Some(&text));
            assert_eq!((context.parent, context.sampled), (None, true), "{text}");
        }
        assert_ne!(TraceContext::continued(None).trace, TraceContext::continued(None).trace);
    }

    #[tokio::test]
    async fn what_is_asked_meanwhile_is_part_of_it() {
        let context = TraceContext::continued(Some(GOOD));
        assert_eq!(context.scope(async { TraceContext::current() }).await, context);
        assert_ne!(TraceContext::current(), context);
    }
}
