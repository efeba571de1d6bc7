//! Settings of upstreams: their addresses, health checks and timeouts.

use super::SettingError;
use super::lookup::Lookup;
use super::table::{
    CONNECT_TIMEOUT, EJECT_AFTER, EJECT_SECONDS, HEALTH_CHECK_FAILURES, HEALTH_CHECK_INTERVAL, HEALTH_CHECK_PATH,
    HEALTH_CHECK_SUCCESSES, HEALTH_CHECK_TIMEOUT, READ_TIMEOUT, UPSTREAM, UPSTREAM_IDLE_TIMEOUT, UPSTREAMS,
};
use crate::upstream::HttpVersions;
use http::Uri;
use std::collections::BTreeMap;
use std::time::Duration;

/// Scheme of upstreams that speak HTTP/2 without TLS, known in advance.
const HTTP2_SCHEME: &str = "h2c://";
/// Addresses of one upstream: one bit each records those that a request has tried.
pub(crate) const MAX_TARGETS: usize = 64;
const MAX_UPSTREAMS: usize = 256;

/// Where requests are sent, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UpstreamSettings {
    /// Addresses of the upstream of routes that name none; at least one.
    pub(crate) default: Vec<UpstreamUrl>,
    /// Addresses of the upstreams that routes name; at least one each.
    pub(crate) named: BTreeMap<String, Vec<UpstreamUrl>>,
    pub(crate) timeouts: UpstreamTimeouts,
    pub(crate) health_checks: Option<HealthCheckSettings>,
    pub(crate) ejection: EjectionSettings,
}

impl UpstreamSettings {
    pub(super) fn from_lookup(get: Lookup<'_>, response_timeout: Duration) -> Result<UpstreamSettings, SettingError> {
        let default = get.text(UPSTREAM).unwrap_or_default();
        let default = default.split(',').map(|url| UpstreamUrl::parse(UPSTREAM, url)).collect::<Result<Vec<_>, _>>()?;
        let named = named(&get.text(UPSTREAMS).unwrap_or_default())?;
        if named.values().chain([&default]).any(|urls| urls.len() > MAX_TARGETS) {
            return Err(SettingError::new(
                UPSTREAMS,
                format_args!("has more than {MAX_TARGETS} addresses of one upstream"),
            ));
        }
        Ok(UpstreamSettings {
            default,
            named,
            timeouts: UpstreamTimeouts::from_lookup(get, response_timeout)?,
            health_checks: HealthCheckSettings::from_lookup(get)?,
            ejection: EjectionSettings {
                after: get.number(EJECT_AFTER, 5, 0..=1000)?,
                time: get.seconds(EJECT_SECONDS, 10, 1..=3600)?,
            },
        })
    }
}

/// Checks of an upstream's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HealthCheckSettings {
    /// Path of the GET, after the upstream's URL.
    pub(crate) path: String,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// Consecutive failures after which an address gets no more requests.
    pub(crate) failures: u64,
    /// Consecutive successes after which it gets requests again.
    pub(crate) successes: u64,
}

impl HealthCheckSettings {
    fn from_lookup(get: Lookup<'_>) -> Result<Option<HealthCheckSettings>, SettingError> {
        let settings = HealthCheckSettings {
            path: get.text(HEALTH_CHECK_PATH).unwrap_or_default(),
            interval: get.seconds(HEALTH_CHECK_INTERVAL, 10, 1..=3600)?,
            timeout: get.seconds(HEALTH_CHECK_TIMEOUT, 2, 1..=60)?,
            failures: get.number(HEALTH_CHECK_FAILURES, 2, 1..=100)?,
            successes: get.number(HEALTH_CHECK_SUCCESSES, 2, 1..=100)?,
        };
        match settings.path.as_str() {
            "" => Ok(None),
            path if path.starts_with('/') && path.parse::<Uri>().is_ok() => Ok(Some(settings)),
            path => {
                Err(SettingError::new(HEALTH_CHECK_PATH, format_args!("must be a path such as /health, not {path:?}")))
            }
        }
    }
}

/// When an address that fails requests gets no more of them for some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EjectionSettings {
    /// Consecutive failures; 0: never.
    pub(crate) after: u64,
    /// Time of the first ejection; each further one is longer.
    pub(crate) time: Duration,
}

/// Limits on the time that upstreams take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    fn from_lookup(get: Lookup<'_>, response: Duration) -> Result<UpstreamTimeouts, SettingError> {
        Ok(UpstreamTimeouts {
            connect: get.seconds(CONNECT_TIMEOUT, 5, 1..=3600)?,
            response,
            // As in Spin.
            read: get.seconds(READ_TIMEOUT, 600, 1..=86_400)?,
            idle: get.seconds(UPSTREAM_IDLE_TIMEOUT, 30, 1..=86_400)?,
        })
    }
}

/// An address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UpstreamUrl {
    /// With the scheme `http` or `https`, without a trailing slash.
    pub(crate) url: String,
    pub(crate) versions: HttpVersions,
}

impl UpstreamUrl {
    /// Reads a URL whose scheme is `http`, `https` or `h2c`, without query and user.
    fn parse(setting: &str, url: &str) -> Result<UpstreamUrl, SettingError> {
        let url = url.trim().trim_end_matches('/');
        let versions = match url {
            _ if url.starts_with(HTTP2_SCHEME) => HttpVersions::Http2,
            _ if url.starts_with("https://") => HttpVersions::Negotiated,
            _ => HttpVersions::Http1,
        };
        let http_url = http_url(url);
        let is_valid = |parsed: &Uri| {
            matches!(parsed.scheme_str(), Some("http" | "https"))
                && parsed.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                && parsed.query().is_none()
        };
        match http_url.parse::<Uri>().is_ok_and(|parsed| is_valid(&parsed)) && !url.contains('#') {
            true => Ok(UpstreamUrl { url: http_url, versions }),
            false => Err(SettingError::new(
                setting,
                format_args!("must have URLs such as http://127.0.0.1:5000, not {url:?}"),
            )),
        }
    }
}

/// The URL with `http` for the scheme of HTTP/2 without TLS, which gates do not know.
pub(super) fn http_url(url: &str) -> String {
    url.strip_prefix(HTTP2_SCHEME).map_or_else(|| url.to_owned(), |rest| format!("http://{rest}"))
}

/// Reads `name=url,url;name=url`. A part with a name begins an upstream, so that commas and
/// semicolons mean the same.
fn named(value: &str) -> Result<BTreeMap<String, Vec<UpstreamUrl>>, SettingError> {
    let mut upstreams = BTreeMap::<String, Vec<UpstreamUrl>>::new();
    let mut current = None;
    for part in value.split([',', ';']).map(str::trim).filter(|part| !part.is_empty()) {
        let url = match part.split_once('=').filter(|(name, _)| !name.contains("://")) {
            Some((name, url)) => {
                let name = name.trim();
                if name.is_empty() || upstreams.contains_key(name) || upstreams.len() >= MAX_UPSTREAMS {
                    return Err(SettingError::new(UPSTREAMS, format_args!("has the name {name:?} twice, or too many")));
                }
                current = Some(name.to_owned());
                url
            }
            None => part,
        };
        let Some(name) = &current else {
            return Err(SettingError::new(UPSTREAMS, format_args!("must be name=URL,URL;name=URL, not {value:?}")));
        };
        upstreams.entry(name.clone()).or_default().push(UpstreamUrl::parse(UPSTREAMS, url)?);
    }
    Ok(upstreams)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_of_an_upstream_says_which_http_it_speaks() {
        let upstream = |url: &str, versions| Ok(UpstreamUrl { url: url.to_owned(), versions });
        let parse = |url| UpstreamUrl::parse(UPSTREAM, url);
        assert_eq!(parse("http://api:80/"), upstream("http://api:80", HttpVersions::Http1));
        assert_eq!(parse("https://api/v1"), upstream("https://api/v1", HttpVersions::Negotiated));
        assert_eq!(parse("h2c://api:80"), upstream("http://api:80", HttpVersions::Http2));
        for invalid in ["", "api", "ftp://api", "http://", "http://u@api", "http://api?x", "http://api#x", "http://a b"]
        {
            assert!(parse(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn upstreams_have_names_and_addresses() {
        let read = |text| {
            let upstreams = named(text).map_err(|error| error.to_string())?;
            let urls = |urls: Vec<UpstreamUrl>| urls.into_iter().map(|url| url.url).collect::<Vec<_>>().join(" ");
            Ok::<_, String>(upstreams.into_iter().map(|(name, all)| (name, urls(all))).collect::<Vec<_>>())
        };
        let expected = Ok(vec![
            ("media".to_owned(), "https://media".to_owned()),
            ("orders".to_owned(), "http://a http://b".to_owned()),
        ]);
        assert_eq!(read("orders=http://a,http://b;media=https://media"), expected);
        assert_eq!(read(" orders = http://a , http://b , media = https://media ; "), expected);
        assert_eq!(read(""), Ok(Vec::new()));
        for invalid in ["http://a", "orders", "=http://a", "a=http://a;a=http://b", "a=", "a=http://a;ftp://b"] {
            assert!(read(invalid).is_err(), "{invalid}");
        }
    }
}
