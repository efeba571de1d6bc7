//! Hosts of route rules and of requests. Host names are compared as HTTP does: without case and
//! without port (RFC 9110 section 4.2.3).

use core::cmp::Reverse;

/// Longest host name (RFC 1035 section 2.3.4).
const MAX_HOST_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// Whether `text` is the host of a rule: a name or an IPv4 address in lower case without port, or
/// `*.` and a name for all names below it.
pub(super) fn is_pattern(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    is_host(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// The host of a request's authority (`Host` or `:authority`) without its port. `None` if it is no
/// host name or address, or ends in a dot: servers differ in whether that is the same host.
pub(super) fn host_name(authority: &str) -> Option<&str> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, ""),
    };
    let is_address = host.starts_with('[')
        && host.ends_with(']')
        && host.bytes().all(|byte| byte.is_ascii_hexdigit() || b"[]:.".contains(&byte));
    ((is_host(host) || is_address) && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(host)
}

fn is_host(text: &str) -> bool {
    let is_label_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| (1..=MAX_LABEL_BYTES).contains(&label.len()) && label.bytes().all(is_label_byte);
    text.len() <= MAX_HOST_BYTES && text.split('.').all(is_label)
}

/// Whether a host that [`host_name`] returned is the rule's, or below it.
pub(super) fn matches(pattern: &str, host: &str) -> bool {
    let Some(suffix) = pattern.strip_prefix('*') else { return pattern.eq_ignore_ascii_case(host) };
    let end = host.len().checked_sub(suffix.len()).and_then(|at| host.as_bytes().get(at..));
    host.len() > suffix.len() && end.is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
}

/// Rank of a rule's host in the order of precedence: a host, then hosts below a name, of which the
/// longest comes first, then all hosts.
pub(super) fn rank(pattern: Option<&str>) -> (u8, Reverse<usize>, &str) {
    match pattern {
        Some(pattern) if pattern.starts_with('*') => (1, Reverse(pattern.len()), pattern),
        Some(host) => (0, Reverse(0), host),
        None => (2, Reverse(0), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_without_case_and_port() {
        for (authority, host) in [
            ("api.example", Some("api.example")),
            ("API.example:8080", Some("API.example")),
            ("api.example:", Some("api.example")),
            ("127.0.0.1:80", Some("127.0.0.1")),
            ("[::1]", Some("[::1]")),
            ("[::1]:80", Some("[::1]")),
            ("", None),
            (":80", None),
            ("api.example.", None),
            ("api..example", None),
            ("a@api.example", None),
            ("api.example:x", None),
            ("api.example/a", None),
            ("api example", None),
            ("\u{e9}.example", None),
        ] {
            assert_eq!(host_name(authority), host, "{authority}");
        }
        assert!(matches("api.example", "API.Example") && !matches("api.example", "api.example2"));
        assert!(matches("*.example", "a.example") && matches("*.example", "A.b.EXAMPLE"));
        assert!(
            !matches("*.example", "example") && !matches("*.example", ".example") && !matches("*.example", "aexample")
        );
    }

    #[test]
    fn hosts_of_rules_are_names_in_lower_case() {
        for host in ["api.example", "*.example", "localhost", "10.0.0.1", "a_b.example", "xn--bcher-kva.example"] {
            assert!(is_pattern(host), "{host}");
        }
        for host in ["", "*", "*.", "A.example", "a.example:80", "*.*.example", "a.*", "a.example.", "[::1]", "\u{e9}"]
        {
            assert!(!is_pattern(host), "{host}");
        }
    }
}
