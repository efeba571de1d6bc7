//! The path by which route rules are found. Edge and upstream must interpret a path alike:
//! otherwise `/x/..%2fadmin` would bypass the rule for `/admin`. A path that two servers could
//! interpret differently is therefore refused.

/// Whether all servers interpret this path alike. It must begin with `/` and be percent-encoded
/// correctly and once; it may end in `/`. Refused are:
/// - empty and dot segments, encoded slashes, backslashes and control characters;
/// - `;`, because some servers cut a segment there (`/admin;x` is `/admin`, `..;` is `..`);
/// - `?` and `#`, encoded or not, because a server that decodes before it splits ends the path
///   there.
pub(crate) fn is_unambiguous(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let segments = rest.strip_suffix('/').unwrap_or(rest);
    if segments.is_empty() {
        return rest.is_empty();
    }
    segments.split('/').all(|segment| {
        percent_decode(segment).is_some_and(|decoded| {
            !decoded.is_empty()
                && decoded != b"."
                && decoded != b".."
                && !decoded
                    .iter()
                    .any(|byte| matches!(byte, b'/' | b'\\' | b';' | b'%' | b'?' | b'#' | 0x00..=0x1f | 0x7f))
        })
    })
}

/// The path in the form of route rules: percent-decoded, because `/%61dmin` is `/admin` to all
/// servers.
pub(crate) fn decode(path: &str) -> Option<String> {
    String::from_utf8(percent_decode(path)?).ok()
}

/// Percent-decodes once; `None` for a `%` without two hexadecimal digits.
pub(crate) fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' { hex(bytes.next()?)? * 16 + hex(bytes.next()?)? } else { byte });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Percent-encodes what a header value cannot carry: all but printable ASCII, `%` itself, and
/// leading and trailing spaces, which parsers of headers remove: `admin ` must not become `admin`.
pub(crate) fn encode_header_value(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    let trimmed = text.trim_matches(' ');
    let inner = text.len() - text.trim_start_matches(' ').len()..;
    for (at, byte) in text.bytes().enumerate() {
        let is_at_an_end = byte == b' ' && (at < inner.start || at >= inner.start + trimmed.len());
        match byte {
            b' '..=b'~' if byte != b'%' && !is_at_an_end => encoded.push(byte as char),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_paths_are_recognized() {
        for path in ["/", "/a", "/a/", "/a/b.c", "/%61", "/a..b", "/...", "/caf%C3%A9", "/a%20b"] {
            assert!(is_unambiguous(path), "{path}");
        }
        for path in [
            "",
            "a",
            "//",
            "//a",
            "/a//b",
            "/.",
            "/..",
            "/a/../b",
            "/%2e%2E/a",
            "/a/.",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/%00",
            "/a%",
            "/%4",
            "/%zz",
            "/a%0d",
            "/admin;x",
            "/a/..;/b",
            "/a#b",
            "/%2561",
            "/a%3Bb",
            "/admin%3Fx",
            "/admin%3fx",
            "/admin%23x",
            "/%3F",
            "/#",
        ] {
            assert!(!is_unambiguous(path), "{path}");
        }
    }

    #[test]
    fn header_values_carry_any_identifier() {
        assert_eq!(encode_header_value("a b@c"), "a b@c");
        assert_eq!(encode_header_value("50% é\n"), "50%25 %C3%A9%0A");
        assert_eq!(encode_header_value(" a b  "), "%20a b%20%20");
        assert_eq!(encode_header_value("  "), "%20%20");
    }
}
