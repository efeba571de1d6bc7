//! Trace context (W3C Trace Context) and `Server-Timing` of requests, for all hosts.
//!
//! An edge exports no spans. So it passes a valid `traceparent` on unchanged, and the upstream's
//! span is a child of the client's: a span ID of the edge would name a span that no one has seen.

use std::time::Duration;

/// The trace ID of a `traceparent` header; none if the header is malformed.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let (fields, rest) = traceparent.split_at_checked(55)?;
    let mut parts = fields.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex =
        |text: &str, len| text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |text: &str, len| is_hex(text, len) && text.bytes().any(|byte| byte != b'0');
    let is_end = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    let is_valid = is_hex(version, 2) && version != "ff" && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2);
    (is_valid && is_end).then_some(trace)
}

/// The `traceparent` of a new trace, which is to be recorded. `random` must not be all zero in its
/// first 16 or its last 8 bytes: these are the IDs of trace and parent.
pub fn new_traceparent(random: [u8; 24]) -> String {
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let (trace, parent) = hex.split_at(32);
    format!("00-{trace}-{parent}-01")
}

/// Value of `Server-Timing`: how long the gate took for its decision, with its wait for the origin,
/// and how long the upstream took to begin its response.
pub fn server_timing(gate: Duration, upstream: Option<Duration>) -> String {
    let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
    match upstream {
        Some(upstream) => format!("gate;dur={:.3}, upstream;dur={:.3}", millis(gate), millis(upstream)),
        None => format!("gate;dur={:.3}", millis(gate)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_ids_are_taken_from_valid_headers_only() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let valid = format!("00-{trace}-b7ad6b7169203331-01");
        assert_eq!(trace_id(&valid), Some(trace));
        assert_eq!(trace_id(&format!("01-{trace}-b7ad6b7169203331-01-more")), Some(trace), "a later version");
        for malformed in [
            "",
            "00",
            &valid[..54],
            &format!("{valid}-more"),
            &format!("01-{trace}-b7ad6b7169203331-01more"),
            &valid.replace("00-", "ff-"),
            &valid.to_uppercase(),
            &valid.replace(trace, &"0".repeat(32)),
            &valid.replace("b7ad6b7169203331", "0000000000000000"),
            &valid.replace('-', "_"),
            &"é".repeat(40),
        ] {
            assert_eq!(trace_id(malformed), None, "{malformed}");
        }
        let mut random = [0; 24];
        (random[0], random[23]) = (0xab, 1);
        let new = new_traceparent(random);
        assert_eq!(new, format!("00-ab{}-{}01-01", "0".repeat(30), "0".repeat(14)));
        assert!(trace_id(&new).is_some());
    }

    #[test]
    fn server_timing_is_in_milliseconds() {
        let (gate, upstream) = (Duration::from_micros(123), Duration::from_millis(12));
        assert_eq!(server_timing(gate, Some(upstream)), "gate;dur=0.123, upstream;dur=12.000");
        assert_eq!(server_timing(gate, None), "gate;dur=0.123");
    }
}
