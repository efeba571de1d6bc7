//! Comparison of a proof's `htu` with the URL of its request (RFC 9449 section 4.3, point 9):
//! without query and fragment, after the normalization of RFC 3986 sections 6.2.2 and 6.2.3. Dot
//! segments are not resolved: a gate refuses paths that have them.

/// The URL of a request, as its client sees it.
#[derive(Debug, Clone, Copy)]
pub struct RequestUrl<'a> {
    /// Whether the scheme is `https`; else it is `http`.
    pub is_https: bool,
    /// Host and port.
    pub authority: &'a str,
    /// The path as sent.
    pub path: &'a str,
}

impl RequestUrl<'_> {
    /// Whether `htu` is this URL.
    pub(super) fn is_named_by(&self, htu: &str) -> bool {
        let (scheme, default_port) = if self.is_https { ("https", "443") } else { ("http", "80") };
        let Some((claimed_scheme, rest)) = htu.split_once("://") else { return false };
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        claimed_scheme.eq_ignore_ascii_case(scheme)
            && is_same_authority(authority, self.authority, default_port)
            && normal_path(path).eq(normal_path(self.path))
    }
}

fn is_same_authority(one: &str, other: &str, default_port: &str) -> bool {
    let (host, port) = split_port(one);
    let (other_host, other_port) = split_port(other);
    let explicit = |port| if port == default_port { "" } else { port };
    // User information is not part of a request's URL, so an authority with `@` is another one.
    !host.is_empty()
        && !host.contains('@')
        && host.eq_ignore_ascii_case(other_host)
        && explicit(port) == explicit(other_port)
}

/// Host and port; the port is empty if there is none. Colons in the brackets of an IPv6 address
/// separate nothing.
fn split_port(authority: &str) -> (&str, &str) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, ""),
    }
}

/// The bytes of a path, each with whether it stands for itself only when it is percent-encoded.
/// Unreserved characters mean the same in both forms (RFC 3986 section 6.2.2.2), and so do bytes
/// that a URL must encode.
fn normal_path(path: &str) -> impl Iterator<Item = (u8, bool)> {
    let mut rest = if path.is_empty() { "/" } else { path }.as_bytes();
    core::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        if *first == b'%'
            && let Some(([high, low], after)) = after.split_first_chunk()
            && let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low))
        {
            rest = after;
            let byte = high << 4 | low;
            return Some((byte, !is_unreserved(byte)));
        }
        rest = after;
        Some((*first, !first.is_ascii_graphic()))
    })
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_compared_after_normalization() {
        let url = RequestUrl { is_https: true, authority: "api.example", path: "/a%2Fb/caf%C3%A9~" };
        for htu in [
            "https://api.example/a%2Fb/caf%C3%A9~",
            "HTTPS://API.Example:443/a%2fb/caf%c3%a9%7E",
            "https://api.example:/%61%2Fb/café~?page=2#end",
        ] {
            assert!(url.is_named_by(htu), "{htu}");
        }
        for htu in [
            "",
            "https",
            "https://",
            "https:///a%2Fb/caf%C3%A9~",
            "http://api.example/a%2Fb/caf%C3%A9~",
            "https://api.example:8443/a%2Fb/caf%C3%A9~",
            "https://api.example:443:443/a%2Fb/caf%C3%A9~",
            "https://user@api.example/a%2Fb/caf%C3%A9~",
            "https://api.example.evil/a%2Fb/caf%C3%A9~",
            "https://api.example/a/b/caf%C3%A9~",
            "https://api.example/a%2Fb/caf%C3%A9~/",
            "https://api.example/A%2Fb/caf%C3%A9~",
            "https://api.example?/a%2Fb/caf%C3%A9~",
            "//api.example/a%2Fb/caf%C3%A9~",
            "/a%2Fb/caf%C3%A9~",
            "https:\\\\api.example\\a",
        ] {
            assert!(!url.is_named_by(htu), "{htu}");
        }
        let root = RequestUrl { is_https: false, authority: "[::1]:80", path: "/" };
        for htu in ["http://[::1]", "http://[::1]/", "http://[::1]:80/?a", "http://[::1]#a"] {
            assert!(root.is_named_by(htu), "{htu}");
        }
        assert!(!root.is_named_by("http://[::1]:8080/") && !root.is_named_by("https://[::1]/"));
        assert!(!root.is_named_by("http://[::1]/%2F") && !root.is_named_by("http://[::1]/%"));
    }
}
