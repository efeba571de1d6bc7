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

/// Where `http` redirect URIs may lead. Only parsing decides what a redirect URI is; this decides
/// which ones are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HttpRedirects {
    /// To the user's own machine (RFC 8252 §7.3).
    #[default]
    LoopbackOnly,
    /// To any host, for development: codes and tokens cross the network in plain text.
    AnyHost,
}

/// A redirect URI: `https`, `http`, or a private-use scheme.
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

    /// Checks that responses may be sent there.
    ///
    /// # Errors
    /// If it is `http` with another host than a loopback address, where that is not allowed.
    pub fn check(&self, http: HttpRedirects) -> Result<(), Malformed> {
        const PROBLEM: &str = "may be http only with a loopback address (RFC 8252 section 7.3), unless \
                               TOLLGATE_ALLOW_HTTP_REDIRECTS is on, for development";
        match self.is_insecure() && http == HttpRedirects::LoopbackOnly {
            true => Err(Malformed::new("redirect URI", PROBLEM)),
            false => Ok(()),
        }
    }

    /// Whether responses cross the network in plain text.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.0.starts_with("http://") && loopback(&self.0).is_none()
    }

    /// The host of an `https` or `http` URI.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        url::Url::parse(&self.0).ok()?.host_str().map(str::to_owned)
    }

    /// Whether a client may register the URI by itself. Its private-use scheme must contain a
    /// reversed domain name (RFC 8252 §7.1), which two applications do not share by accident, or be
    /// one of `schemes`.
    #[must_use]
    pub fn may_be_self_registered(&self, schemes: &[String]) -> bool {
        let scheme = self.0.split(':').next().unwrap_or_default();
        matches!(scheme, "https" | "http") || scheme.contains('.') || schemes.iter().any(|allowed| allowed == scheme)
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

/// Schemes whose URIs run code, read files or lead to other protocols, and those of the web in
/// other spellings. No redirect URI may have one.
const FORBIDDEN_SCHEMES: &[&str] = &[
    "about",
    "blob",
    "chrome",
    "chrome-extension",
    "cid",
    "content",
    "data",
    "file",
    "filesystem",
    "ftp",
    "ftps",
    "gopher",
    "http",
    "https",
    "intent",
    "jar",
    "javascript",
    "ldap",
    "livescript",
    "mailto",
    "mhtml",
    "mid",
    "mocha",
    "moz-extension",
    "ms-msdt",
    "ms-officecmd",
    "resource",
    "search-ms",
    "shell",
    "sms",
    "ssh",
    "tel",
    "telnet",
    "urn",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

/// The host of a loopback `http` URI, and the text after its port. Names below `localhost` are
/// loopback addresses (RFC 6761 §6.3).
fn loopback(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("http://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => authority.split_at(colon),
        _ => (authority, ""),
    };
    let is_loopback = matches!(host, "127.0.0.1" | "[::1]" | "localhost") || is_below_localhost(host);
    (is_loopback && (port.is_empty() || is_port(port))).then_some((host, path))
}

fn is_below_localhost(host: &str) -> bool {
    let is_label = |label: &str| {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_plain)
    };
    host.strip_suffix(".localhost").is_some_and(|name| name.split('.').all(is_label))
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
        let has_web_form = text.starts_with("https://") || text.starts_with("http://");
        match url.scheme() {
            "https" | "http" if has_web_form && url.host_str().is_some_and(|host| !host.contains('*')) => {}
            scheme if !FORBIDDEN_SCHEMES.contains(&scheme) && text.starts_with(scheme) => {}
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
        // The origin's resolver may know other addresses of names below `localhost`.
        let is_loopback = loopback(text).is_some_and(|(host, _)| !is_below_localhost(host));
        match text.starts_with("https://") || is_loopback {
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
            "http://app.localhost:3000/cb",
            "http://a.b-1.localhost/cb",
            "com.example.app:/cb",
            "app:/cb",
            "vscode://publisher.extension/cb",
        ] {
            uri(text);
        }
        for text in [
            "",
            "/cb",
            "http://127.0.0.1@evil.example/cb",
            "http://localhost:99999/cb",
            "http://*.example/cb",
            "https://app.example/cb#x",
            "https://*.example/cb",
            "https://user@app.example/cb",
            "https:app.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "JavaScript:alert(1)",
            "vbscript:x",
            "file:///etc/passwd",
            "blob:https://app.example/1",
            "about:blank",
            "wss://app.example/cb",
            "view-source:https://app.example/",
            "http:127.0.0.1/cb",
            "http://a@b.localhost/cb",
            "https://app.example/ä",
            "https://app.example/a b",
        ] {
            assert!(text.parse::<RedirectUri>().is_err(), "{text:?} passed");
        }
    }

    #[test]
    fn http_leads_to_the_users_machine_unless_the_operator_allows_other_hosts() {
        for text in ["https://app.example/cb", "http://127.0.0.1:5000/cb", "http://app.localhost/cb", "app:/cb"] {
            assert_eq!(uri(text).check(HttpRedirects::LoopbackOnly), Ok(()), "{text}");
        }
        for text in [
            "http://app.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.1:0/cb",
            "http://localhost.evil.example/cb",
            "http://.localhost/cb",
            "http://a..localhost/cb",
            "http://evillocalhost/cb",
            "http://LOCALHOST/cb",
        ] {
            assert!(uri(text).check(HttpRedirects::LoopbackOnly).is_err(), "{text}");
            assert_eq!(uri(text).check(HttpRedirects::AnyHost), Ok(()), "{text}");
            assert!(uri(text).is_native(), "{text}: users are asked each time");
            assert!(text.parse::<OutboundUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn clients_register_schemes_by_themselves_that_are_theirs_or_listed() {
        let schemes = ["cursor".to_owned(), "vscode".to_owned()];
        for text in
            ["https://app.example/cb", "http://127.0.0.1/cb", "com.example.app:/cb", "cursor://callback", "vscode:/x"]
        {
            assert!(uri(text).may_be_self_registered(&schemes), "{text}");
        }
        for text in ["app:/cb", "vscode-insiders:/cb", "cursorx:/cb"] {
            assert!(!uri(text).may_be_self_registered(&schemes), "{text}");
        }
    }

    #[test]
    fn origin_requests_no_names_below_localhost() {
        assert!("http://localhost:3000/keys".parse::<OutboundUrl>().is_ok());
        for text in ["http://app.localhost/keys", "app:/keys", "com.example.app:/keys"] {
            assert!(text.parse::<OutboundUrl>().is_err(), "{text}");
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
        assert!(uri("http://app.localhost/cb").matches("http://app.localhost:5000/cb"));
        assert!(!uri("http://app.localhost/cb").matches("http://other.localhost/cb"));
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
