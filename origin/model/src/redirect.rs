//! Redirect URIs of clients (RFC 6749 §3.1.2, RFC 8252 §7, RFC 9700 §2.1), and URLs that the origin
//! requests.
//!
//! A redirect URI must equal a registered one, character by character. The only exception is the
//! port of a loopback address, which a native application chooses when it starts. Looser rules have
//! led to open redirectors.

use std::fmt;
use std::str::FromStr;

use super::malformed::Malformed;

/// Bytes; the URI is sent in a `Location` header.
const MAX_REDIRECT_URI_BYTES: usize = 1024;

/// A registered redirect URI: `https`, `http` with a loopback address, or a private-use scheme that
/// contains a dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RedirectUri(String);

impl RedirectUri {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `presented` equals this URI, except for the port of a loopback address (RFC 8252
    /// §7.3).
    #[must_use]
    pub fn matches(&self, presented: &str) -> bool {
        if self.0 == presented {
            return true;
        }
        match (loopback(&self.0), loopback(presented)) {
            (Some(own), Some(other)) => own == other && presented.parse::<RedirectUri>().is_ok(),
            _ => false,
        }
    }

    /// The host of an `https` or `http` URI.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        url::Url::parse(&self.0).ok()?.host_str().map(str::to_owned)
    }

    /// Whether the URI leads to an application on the user's machine, which any other application
    /// there can impersonate (RFC 8252 §8.6).
    #[must_use]
    pub fn is_native(&self) -> bool {
        !self.0.starts_with("https://")
    }
}

/// Whether a URI may contain the byte (RFC 3986 §2).
fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)
}

/// The host of a loopback `http` URI, and the text after its port.
fn loopback(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("http://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = ["127.0.0.1", "[::1]", "localhost"].into_iter().find(|host| {
        let port = authority.strip_prefix(host);
        port.is_some_and(|port| port.is_empty() || is_port(port))
    })?;
    Some((host, path))
}

/// `:` and a number from 1 to 65535.
fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse::<u16>().ok()).is_some_and(|port| port > 0)
}

impl FromStr for RedirectUri {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<RedirectUri, Malformed> {
        let wrong = |problem| Malformed::new("redirect URI", problem);
        if text.len() > MAX_REDIRECT_URI_BYTES || !text.bytes().all(is_uri_byte) {
            return Err(wrong("must be at most 1024 characters of those that RFC 3986 allows"));
        }
        if text.contains('#') {
            return Err(wrong("must not have a fragment (RFC 6749 §3.1.2)"));
        }
        let url = url::Url::parse(text).map_err(|_| wrong("must be an absolute URI"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("must not contain a user name or password"));
        }
        match url.scheme() {
            "https" if text.starts_with("https://") && url.host_str().is_some_and(|host| !host.contains('*')) => {}
            "http" if loopback(text).is_some() => {}
            "http" => return Err(wrong("may be http only with a loopback address (RFC 8252 §7.3)")),
            // A private-use scheme contains a reversed domain name. `javascript`, `data` and the
            // like contain no dot.
            scheme if scheme.contains('.') && text.starts_with(scheme) => {}
            _ => {
                return Err(wrong(
                    "must be https, http with a loopback address, or a private-use scheme such as com.example.app",
                ));
            }
        }
        Ok(RedirectUri(text.to_owned()))
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A URL that the origin requests, such as a client's `jwks_uri` or `backchannel_logout_uri`:
/// `https`, or `http` with a loopback address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OutboundUrl(String);

impl OutboundUrl {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OutboundUrl {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<OutboundUrl, Malformed> {
        let uri: RedirectUri = text.parse().map_err(|error: Malformed| Malformed::new("URL", error.problem))?;
        match text.starts_with("https://") || text.starts_with("http://") {
            true => Ok(OutboundUrl(uri.0)),
            false => Err(Malformed::new("URL", "must be https, or http with a loopback address")),
        }
    }
}

impl fmt::Display for OutboundUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A URL that people open, such as a client's `policy_uri`: `https` or `http`. The origin never
/// requests it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WebUrl(String);

impl WebUrl {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }

    #[must_use]
    pub fn host(&self) -> String {
        let url = url::Url::parse(&self.0).ok();
        url.as_ref().and_then(url::Url::host_str).unwrap_or_default().to_owned()
    }
}

impl FromStr for WebUrl {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<WebUrl, Malformed> {
        let wrong = |problem| Malformed::new("URL", problem);
        if text.len() > MAX_REDIRECT_URI_BYTES || !text.bytes().all(is_uri_byte) {
            return Err(wrong("must be at most 1024 characters of those that RFC 3986 allows"));
        }
        let url = url::Url::parse(text).map_err(|_| wrong("must be an absolute URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("must not contain a user name or password"));
        }
        let is_web = text.starts_with("https://") || text.starts_with("http://");
        match is_web && url.host_str().is_some() {
            true => Ok(WebUrl(text.to_owned())),
            false => Err(wrong("must be https or http")),
        }
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

json_as_text!(RedirectUri, OutboundUrl, WebUrl);

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> RedirectUri {
        text.parse().expect(text)
    }

    #[test]
    fn only_schemes_that_lead_to_the_client_are_allowed() {
        for text in [
            "https://app.example/cb",
            "https://app.example/cb?a=b",
            "https://app.example:8443/cb",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:5000/cb",
            "http://[::1]:5000/cb",
            "http://localhost:3000/",
            "com.example.app:/cb",
        ] {
            uri(text);
        }
        for text in [
            "",
            "/cb",
            "http://app.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.1@evil.example/cb",
            "http://127.0.0.1:0/cb",
            "http://localhost:99999/cb",
            "https://app.example/cb#x",
            "https://*.example/cb",
            "https://user@app.example/cb",
            "https:app.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "app:/cb",
            "https://app.example/ä",
            "https://app.example/a b",
        ] {
            assert!(text.parse::<RedirectUri>().is_err(), "{text:?} passed");
        }
    }

    #[test]
    fn urls_for_people_are_of_the_web() {
        for text in ["https://app.example", "https://app.example/terms?lang=de#privacy", "http://app.example:8080/"] {
            assert!(text.parse::<WebUrl>().is_ok(), "{text}");
        }
        let url: WebUrl = "https://App.example/terms".parse().expect("a URL");
        assert_eq!((url.host().as_str(), url.is_https()), ("app.example", true));
        for text in [
            "",
            "/terms",
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://a.example/",
            "https:a",
            "https://",
            "https://u@a.example/",
            "https://a.example/\">",
        ] {
            assert!(text.parse::<WebUrl>().is_err(), "{text:?} passed");
        }
    }

    #[test]
    fn match_is_exact_except_for_loopback_ports() {
        let registered = uri("https://app.example/cb");
        assert!(registered.matches("https://app.example/cb"));
        for text in [
            "https://app.example/cb/",
            "https://app.example/cb?a",
            "https://APP.example/cb",
            "https://app.example:443/cb",
            "https://app.example/x/../cb",
            "http://app.example/cb",
        ] {
            assert!(!registered.matches(text), "{text}");
        }
        let native = uri("http://127.0.0.1/cb");
        assert!(native.matches("http://127.0.0.1:61023/cb"));
        assert!(uri("http://127.0.0.1:1/cb").matches("http://127.0.0.1:2/cb"));
        for text in [
            "http://127.0.0.1:61023/other",
            "http://localhost:61023/cb",
            "http://127.0.0.1:x/cb",
            "http://127.0.0.1:1/cb#f",
            "http://127.0.0.1:1@evil.example/cb",
            "http://127.0.0.1:/cb",
        ] {
            assert!(!native.matches(text), "{text}");
        }
    }
}
