//! Issuers: their names and URLs.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use url::Url;

use super::malformed::{MAX_IDENTIFIER_BYTES, Malformed};

/// First path segments with a meaning at every issuer; an issuer's path must not contain them.
const RESERVED_SEGMENTS: [&str; 18] = [
    "account",
    "admin",
    "assets",
    "authorize",
    "consent",
    "device",
    "edge",
    "health",
    "login",
    "logout",
    "metrics",
    "oauth",
    "openapi.json",
    "register",
    "revoke",
    "ssf",
    "token",
    "validate",
];

/// An issuer's name on the command line and in the name of its database: 1 to 32 characters of `a-z
/// 0-9 -`, beginning with a letter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct IssuerName(String);

impl IssuerName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IssuerName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<IssuerName, Malformed> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let begins_with_letter = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        match begins_with_letter && text.len() <= 32 && text.bytes().all(allowed) {
            true => Ok(IssuerName(text.to_owned())),
            false => Err(Malformed::new("issuer name", "must be 1 to 32 characters of a-z 0-9 -, a letter first")),
        }
    }
}

impl fmt::Display for IssuerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An issuer identifier (RFC 8414 §2): scheme, host, optional port and path, without a trailing
/// slash. It is the `iss` of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerUrl {
    text: String,
    /// Length of `text` before the path, in bytes.
    origin: usize,
}

impl IssuerUrl {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host and port as in the `Host` header, without the scheme's default port.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.text[..self.origin].split_once("://").map_or("", |(_, authority)| authority)
    }

    /// The path: empty, or beginning with a slash and not ending in one.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.text[self.origin..]
    }

    /// Whether `host`, the value of a `Host` header, names this issuer. It may contain the scheme's
    /// default port.
    #[must_use]
    pub fn has_host(&self, host: &str) -> bool {
        let own_port = if self.text.starts_with("https:") { ":443" } else { ":80" };
        host.strip_suffix(own_port).unwrap_or(host).eq_ignore_ascii_case(self.authority())
    }
}

impl FromStr for IssuerUrl {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<IssuerUrl, Malformed> {
        let wrong = || {
            Malformed::new(
                "issuer",
                "must be http:// or https://, a host, perhaps a port and a path of A-Z a-z 0-9 . _ ~ - without \
                 segments that the server uses itself, and nothing after it; at most 255 characters",
            )
        };
        let url = Url::parse(text).map_err(|_| wrong())?;
        let origin = url.origin().ascii_serialization();
        let text = text.trim_end_matches('/');
        let path = text.strip_prefix(&origin).ok_or_else(wrong)?;
        let is_segment = |segment: &str| {
            segment.starts_with(|first: char| first.is_ascii_alphanumeric())
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
                && !RESERVED_SEGMENTS.contains(&segment)
        };
        let is_path_valid =
            path.is_empty() || path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_segment));
        let is_valid = matches!(url.scheme(), "http" | "https") && is_path_valid && text.len() <= MAX_IDENTIFIER_BYTES;
        if is_valid { Ok(IssuerUrl { text: text.to_owned(), origin: origin.len() }) } else { Err(wrong()) }
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A registered issuer other than the default one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    pub name: IssuerName,
    pub url: IssuerUrl,
    /// The encrypted URL of its database; `None` if the URL is derived from the name.
    pub sealed_database: Option<Vec<u8>>,
    /// Unix seconds.
    pub created_at: u64,
}

impl Issuer {
    /// The context bound into the ciphertext of the database URL.
    #[must_use]
    pub fn secret_context(name: &IssuerName) -> String {
        format!("issuer database|{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuer_is_an_origin_with_an_optional_path() {
        for (text, authority, path) in [
            ("https://auth.example", "auth.example", ""),
            ("https://auth.example/", "auth.example", ""),
            ("https://auth.example:8443/one", "auth.example:8443", "/one"),
            ("http://127.0.0.1:8080/one/two-2/", "127.0.0.1:8080", "/one/two-2"),
        ] {
            let url: IssuerUrl = text.parse().expect(text);
            assert_eq!((url.authority(), url.path()), (authority, path));
            assert_eq!(url.as_str(), text.trim_end_matches('/'));
        }
        for text in [
            "",
            "auth.example",
            "ftp://auth.example",
            "https://auth.example?x",
            "https://auth.example/#",
            "https://AUTH.example",
            "https://auth.example:443",
            "https://a@auth.example",
            "https://auth.example/a b",
            "https://auth.example/a//b",
            "https://auth.example/../a",
            "https://auth.example/.well-known",
            "https://auth.example/a/oauth",
            "https://auth.example/%61",
        ] {
            assert!(text.parse::<IssuerUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn host_may_contain_the_default_port() {
        let url: IssuerUrl = "https://auth.example/one".parse().expect("good");
        assert!(url.has_host("auth.example") && url.has_host("AUTH.example:443"));
        assert!(!url.has_host("auth.example:80") && !url.has_host("other.example"));
        assert!("one-2".parse::<IssuerName>().is_ok());
        for name in ["", "One", "2", "-", "a_b", "a".repeat(33).as_str()] {
            assert!(name.parse::<IssuerName>().is_err(), "{name}");
        }
    }
}
