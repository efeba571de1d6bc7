//! Limits on requests of an address, for all endpoints but those that edges, verifiers and operators must reach whatever happens;
//! and how a limit that was not passed is told, in the form of the endpoint: OAuth JSON, a problem, or a page.
//!
//! The header fields are those of draft-ietf-httpapi-ratelimit-headers-10.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tollgate_config::Network;
use tollgate_model::rate_limit::{Limit, Rule, Verdict};
use tollgate_services::rate_limit::{Passed, Refusal};

use super::oauth::error::OAuthError;
use super::{AppState, Problem};
use crate::pages::error::WebError;

/// What the limits are.
pub(crate) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// How they stand.
pub(crate) const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// What reads nothing but memory, or belongs to those who watch over this origin or live by it.
const UNLIMITED: [&str; 7] = ["/.well-known/", "/assets/", "/edge/", "/health", "/metrics", "/oauth/status", "/ssf/"];
/// What authorization requests, pushed ones and device codes leave in the database stays there for minutes.
const STARTS: [&str; 3] = ["/oauth/authorize", "/oauth/par", "/oauth/device/code"];
/// What registrations leave stays, and they have this server ask others: with `PUT`, too.
const REGISTRATIONS: [&str; 3] = ["/oauth/register", "/oauth/register/{client}", "/register"];

/// Lets a request pass if its address has not asked too often, and tells in the answer how it stands.
pub(super) async fn limit(
    State(app): State<AppState>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let route = matched.as_ref().map_or("", MatchedPath::as_str);
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
    let Some(peer) = peer.filter(|_| is_limited(route)) else {
        return next.run(request).await;
    };
    let address = sender(request.headers(), peer, &app.grants.trusted_proxies).unwrap_or(peer);
    match app.guard.request(address, beside(route, request.method())).await {
        Ok(passed) => {
            let mut response = next.run(request).await;
            tell(&passed, response.headers_mut());
            response
        }
        Err(refusal) => refuse(route, refusal),
    }
}

/// The address of whoever sent a request: the other end of the connection, or, if that is a proxy that the settings name, the last
/// address in `X-Forwarded-For` that is none; what stands before it is hearsay. None when that cannot be read.
pub(crate) fn sender(headers: &HeaderMap, peer: IpAddr, proxies: &[Network]) -> Option<IpAddr> {
    let is_proxy = |address: &IpAddr| proxies.iter().any(|network| network.contains(*address));
    if !is_proxy(&peer) {
        return Some(peer.to_canonical());
    }
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    // Empty members of a list are ignored (RFC 9110 §5.6.1.2).
    let mut hops = hops.filter(|hop| !hop.is_empty()).map(hop_address);
    match hops.find(|hop| !hop.as_ref().is_some_and(is_proxy)) {
        Some(sender) => sender.map(|sender| sender.to_canonical()),
        None => Some(peer.to_canonical()),
    }
}

/// The address of a hop: `198.51.100.1`, `2001:db8::1` or `[2001:db8::1]`, as some proxies write it with a port after it. The port is
/// another with each connection and is left out.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(hop).ok()?;
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    text.parse().ok().or_else(with_port).or_else(in_brackets)
}

fn is_limited(route: &str) -> bool {
    !route.is_empty() && !UNLIMITED.iter().any(|prefix| route.starts_with(prefix))
}

/// What a request is beside a request.
fn beside(route: &str, method: &Method) -> Option<Limit> {
    if STARTS.contains(&route) {
        Some(Limit::AuthorizationRequests)
    } else if REGISTRATIONS.contains(&route) && (method == Method::POST || method == Method::PUT) {
        Some(Limit::Registrations)
    } else {
        None
    }
}

fn refuse(route: &str, refusal: Refusal) -> Response {
    let is_page = matches!(route, "/oauth/authorize" | "/oauth/logout");
    let is_oauth = route.starts_with("/oauth/") || matches!(route, "/token" | "/revoke" | "/validate");
    if route.starts_with("/admin/api") {
        Problem::from(refusal).into_response()
    } else if is_oauth && !is_page {
        OAuthError::from(refusal).into_response()
    } else {
        WebError::from(refusal).into_response()
    }
}

/// Adds to an answer of 429 when to come again, and which limit it was.
pub(crate) fn tell_refusal(refusal: &Refusal, response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(refusal.seconds()));
    set(&[(refusal.limit, refusal.rule, refusal.verdict())], headers);
}

/// The status of a refusal.
pub(crate) const TOO_MANY: StatusCode = StatusCode::TOO_MANY_REQUESTS;

/// Adds to an answer how the limits stand, unless its handler told of one that was not passed.
fn tell(passed: &Passed, headers: &mut HeaderMap) {
    if !headers.contains_key(STATE) {
        let limits: Vec<(Limit, Rule, Verdict)> =
            passed.iter().map(|(check, verdict)| (check.limit, check.rule, *verdict)).collect();
        set(&limits, headers);
    }
}

/// `RateLimit-Policy: "requests";q=600;w=60` and `RateLimit: "requests";r=599;t=1`
fn set(limits: &[(Limit, Rule, Verdict)], headers: &mut HeaderMap) {
    let (mut policies, mut states) = (String::new(), String::new());
    for (limit, rule, verdict) in limits {
        let Some(rate) = rule.rate() else { continue };
        let (name, comma) = (limit.as_str(), if policies.is_empty() { "" } else { ", " });
        let reset = verdict.wait.unwrap_or(verdict.reset).as_secs_f64().ceil();
        // Writing to a String cannot fail.
        let _ = write!(policies, "{comma}\"{name}\";q={};w={}", rate.count(), rate.period().as_secs());
        let _ = write!(states, "{comma}\"{name}\";r={};t={reset}", verdict.remaining);
    }
    for (name, value) in [(POLICY, policies), (STATE, states)] {
        if let Ok(value) = HeaderValue::try_from(value)
            && !value.is_empty()
        {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use tollgate_model::rate_limit::Rate;

    #[test]
    fn an_address_is_believed_of_trusted_proxies_alone() {
        let of = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append("x-forwarded-for", HeaderValue::from_bytes(line.as_bytes()).expect("a header"));
            }
            let proxies = ["10.0.0.0/8".parse().expect("a network")];
            sender(&headers, peer.parse().expect("an address"), &proxies).map(|address| address.to_string())
        };
        let text = |address: &str| Some(address.to_owned());
        assert_eq!(of("192.0.2.1", &["198.51.100.1"]), text("192.0.2.1"), "anybody can send the header");
        assert_eq!(
            of("10.0.0.1", &["203.0.113.9, 198.51.100.1"]),
            text("198.51.100.1"),
            "what stands before is hearsay"
        );
        assert_eq!(of("10.0.0.1", &["203.0.113.9", "198.51.100.1, 10.0.0.2"]), text("198.51.100.1"));
        assert_eq!(of("10.0.0.1", &[]), text("10.0.0.1"));
        assert_eq!(of("10.0.0.1", &["198.51.100.1, nonsense"]), None);
        assert_eq!(of("::ffff:192.0.2.1", &[]), text("192.0.2.1"));
    }

    #[test]
    fn ports_brackets_and_odd_members_do_not_hide_an_address() {
        let of = |forwarded: &str| {
            let mut headers = HeaderMap::new();
            headers.append("x-forwarded-for", HeaderValue::from_bytes(forwarded.as_bytes()).expect("a header"));
            let proxies = ["10.0.0.0/8".parse().expect("a network")];
            sender(&headers, "10.0.0.1".parse().expect("an address"), &proxies).map(|address| address.to_string())
        };
        for (forwarded, address) in [
            ("198.51.100.1:40001", "198.51.100.1"),
            ("198.51.100.1:40001, 10.0.0.2:443", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:40001", "2001:db8::1"),
            ("[::ffff:198.51.100.1]:1", "198.51.100.1"),
            ("198.51.100.1, , ", "198.51.100.1"),
            ("J\u{fc}rgen, 198.51.100.1", "198.51.100.1"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(of(forwarded).as_deref(), Some(address), "{forwarded}");
        }
        for forwarded in
            ["unknown", "_hidden", "198.51.100.1:", "198.51.100.1:x", "[2001:db8::1", "198.51.100.1, J\u{fc}rgen"]
        {
            assert_eq!(of(forwarded), None, "{forwarded}");
        }
    }

    #[test]
    fn a_refusal_says_when_to_come_again() {
        let rule = Rule::SlidingWindow(Rate::new(60, Duration::from_secs(60)).expect("a rate"));
        let refusal = Refusal::new(Limit::Secrets, rule, Duration::from_millis(1500));
        for route in ["/oauth/token", "/oauth/authorize", "/login", "/admin/api/clients"] {
            let response = refuse(route, refusal);
            let header = |name: &str| response.headers()[name].to_str().expect("text").to_owned();
            assert_eq!(response.status(), 429, "{route}");
            assert_eq!(header("retry-after"), "2", "{route}");
            assert_eq!(header("ratelimit-policy"), "\"secrets\";q=60;w=60", "{route}");
            assert_eq!(header("ratelimit"), "\"secrets\";r=0;t=2", "{route}");
        }
        let is_page = |route| refuse(route, refusal).extensions().get::<WebError>().is_some();
        assert!(["/oauth/authorize", "/login", "/account/sessions", "/admin"].into_iter().all(is_page));
        let form = |route| refuse(route, refusal).headers()["content-type"].clone();
        assert_eq!(form("/oauth/par"), "application/json");
        assert_eq!(form("/admin/api/users"), "application/problem+json");
    }

    #[test]
    fn what_must_be_reached_has_no_limit() {
        for route in ["/health/live", "/edge/v1/deltas", "/.well-known/jwks.json", "/ssf/poll/{stream}", ""] {
            assert!(!is_limited(route), "{route}");
        }
        assert!(is_limited("/oauth/token") && is_limited("/login"));
        assert_eq!(beside("/oauth/par", &Method::POST), Some(Limit::AuthorizationRequests));
        assert_eq!(beside("/register", &Method::GET), None);
    }
}
