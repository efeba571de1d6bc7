//! Audiences: the identifiers of the APIs that tokens are for.

use std::fmt;
use std::str::FromStr;

use super::malformed::{Malformed, identifier};

/// The API that a token is for (`aud`), usually its URL: 1 to 255 visible ASCII characters except
/// `"` and `\`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Audience(String);

impl Audience {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both name the same resource, by scheme-based normalization (RFC 3986 §6.2.3).
    #[must_use]
    pub fn is_same_resource(&self, other: &str) -> bool {
        is_same_resource(&self.0, other)
    }
}

impl FromStr for Audience {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Audience, Malformed> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
        identifier("audience", text, allowed, "must be 1 to 255 visible ASCII characters without \" and \\")
            .map(Audience)
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

json_as_text!(Audience);

/// Whether two resource indicators name the same resource: the same text, or the same `https` or
/// `http` URI after the normalization of RFC 3986 §6.2.3 (no default port, `/` for an empty path)
/// with scheme and host in lower case (§6.2.2.1). Nothing else is normalized: another path or
/// encoding is another resource.
fn is_same_resource(one: &str, other: &str) -> bool {
    one == other || normalized(one).is_some_and(|one| normalized(other) == Some(one))
}

/// Scheme, host with a non-default port, and the rest without the leading slash.
fn normalized(text: &str) -> Option<(String, String, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => "443",
        "http" => "80",
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.is_empty() || port == default_port => host,
        _ => authority,
    };
    Some((scheme, host.to_ascii_lowercase(), path.strip_prefix('/').unwrap_or(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_equal_after_scheme_based_normalization() {
        for other in ["https://mcp.example/", "HTTPS://MCP.example", "https://mcp.example:443", "https://mcp.example:/"]
        {
            assert!(is_same_resource("https://mcp.example", other), "{other}");
        }
        assert!(is_same_resource("http://[::1]:80?x", "http://[::1]/?x"));
        assert!(is_same_resource("urn:api", "urn:api") && is_same_resource("default", "default"));
        for (one, other) in [
            ("https://mcp.example", "http://mcp.example"),
            ("https://mcp.example", "https://mcp.example:80"),
            ("https://mcp.example", "https://mcp.example//"),
            ("https://mcp.example/a", "https://mcp.example/a/"),
            ("https://mcp.example/a", "https://mcp.example/A"),
            ("https://mcp.example", "https://user@mcp.example"),
            ("https://mcp.example", "https://mcp.example.evil.example"),
            ("https://a@mcp.example", "https://A@mcp.example"),
            ("urn:api", "URN:api"),
            ("https://", "https:///"),
            ("default", "default/"),
        ] {
            assert!(!is_same_resource(one, other), "{one} {other}");
        }
    }
}
