//! Settings of upstreams.

use super::SettingError;
use super::lookup::Lookup;
use super::table::{CONNECT_TIMEOUT, READ_TIMEOUT, UPSTREAM_IDLE_TIMEOUT};
use crate::upstream::HttpVersions;
use std::time::Duration;

/// Scheme of upstreams that speak HTTP/2 without TLS, known in advance.
const HTTP2_SCHEME: &str = "h2c://";

/// Limits on the time that upstreams take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpstreamTimeouts {
    /// To open a connection.
    pub(crate) connect: Duration,
    /// Until the response begins, once the upstream has the request.
    pub(crate) response: Duration,
    /// Each pause in a response.
    pub(crate) read: Duration,
    /// For which an idle connection is kept.
    pub(crate) idle: Duration,
}

impl UpstreamTimeouts {
    pub(super) fn from_lookup(get: Lookup<'_>, response: Duration) -> Result<UpstreamTimeouts, SettingError> {
        Ok(UpstreamTimeouts {
            connect: get.seconds(CONNECT_TIMEOUT, 5, 1..=3600)?,
            response,
            // As in Spin.
            read: get.seconds(READ_TIMEOUT, 600, 1..=86_400)?,
            idle: get.seconds(UPSTREAM_IDLE_TIMEOUT, 30, 1..=86_400)?,
        })
    }
}

/// Where requests are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UpstreamUrl {
    /// With the scheme `http` or `https`, without a trailing slash.
    pub(crate) url: String,
    pub(crate) versions: HttpVersions,
}

impl UpstreamUrl {
    /// Takes a URL whose scheme is `http`, `https` or `h2c`.
    pub(super) fn new(url: &str) -> UpstreamUrl {
        let url = url.trim().trim_end_matches('/');
        let versions = match url {
            _ if url.starts_with(HTTP2_SCHEME) => HttpVersions::Http2,
            _ if url.starts_with("https://") => HttpVersions::Negotiated,
            _ => HttpVersions::Http1,
        };
        UpstreamUrl { url: http_url(url), versions }
    }
}

/// The URL with `http` for the scheme of HTTP/2 without TLS, which gates do not know.
pub(super) fn http_url(url: &str) -> String {
    url.strip_prefix(HTTP2_SCHEME).map_or_else(|| url.to_owned(), |rest| format!("http://{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_of_an_upstream_says_which_http_it_speaks() {
        let upstream = |url: &str, versions| UpstreamUrl { url: url.to_owned(), versions };
        assert_eq!(UpstreamUrl::new("http://api:80/"), upstream("http://api:80", HttpVersions::Http1));
        assert_eq!(UpstreamUrl::new("https://api/v1"), upstream("https://api/v1", HttpVersions::Negotiated));
        assert_eq!(UpstreamUrl::new("h2c://api:80"), upstream("http://api:80", HttpVersions::Http2));
    }
}
