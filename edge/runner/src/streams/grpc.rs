//! gRPC calls, which say in trailers why they end.

use super::exchange::StreamEnd;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

/// Whether the message is one of a gRPC call. gRPC-Web, which has its trailers in the body, is not.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) else { return false };
    let prefix = b"application/grpc";
    let has_prefix = kind.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    has_prefix && matches!(kind.get(prefix.len()), None | Some(b'+' | b';' | b' '))
}

/// Trailers of a call that the edge ends, with the numbers of gRPC's status codes.
pub(super) fn trailers(end: StreamEnd) -> HeaderMap {
    let status = match end {
        _ if end.needs_new_token() => "16", // UNAUTHENTICATED
        StreamEnd::TooMany => "8",          // RESOURCE_EXHAUSTED
        _ => "14",                          // UNAVAILABLE
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    trailers.insert("grpc-message", HeaderValue::from_static(end.text()));
    trailers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_known_by_their_content_type() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC; a=b", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(is_grpc(&headers), expected, "{kind}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
