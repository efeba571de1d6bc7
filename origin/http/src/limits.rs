//! Rate limits on requests by client address, for all endpoints except those that edges, verifiers
//! and operators must always reach. A refusal has the endpoint's error format: OAuth JSON, a
//! problem, or a page.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tollgate_model::rate_limit::Limit;
use tollgate_services::rate_limit::{LimitExceeded, RateLimiter};

use super::Problem;
use super::oauth::error::OAuthError;
use crate::extract::proxies::Proxies;
use crate::pages::error::WebError;
use crate::ratelimit_headers::insert_ratelimit_headers;

/// Routes without a limit: they read only memory, or serve monitoring, edges and verifiers.
const UNLIMITED_PREFIXES: [&str; 7] =
    ["/.well-known/", "/assets/", "/edge/", "/health", "/metrics", "/oauth/status", "/ssf/"];
/// Each request stores an authorization request, a pushed one or a device code for minutes.
const AUTHORIZATION_REQUEST_ROUTES: [&str; 3] = ["/oauth/authorize", "/oauth/par", "/oauth/device/code"];
/// Registrations are stored permanently, and `POST` and `PUT` may cause requests to other servers.
const REGISTRATION_ROUTES: [&str; 3] = ["/oauth/register", "/oauth/register/{client}", "/register"];

/// Limits the requests of a client address.
pub(super) struct RequestLimits {
    pub(super) rate_limiter: Arc<RateLimiter>,
    pub(super) proxies: Arc<Proxies>,
}

/// Counts a request against the limits of its client address, and adds their state to the response.
pub(super) async fn limit(
    State(limits): State<Arc<RequestLimits>>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let route = matched.as_ref().map_or("", MatchedPath::as_str);
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
    let Some(peer) = peer.filter(|_| is_limited(route)) else {
        return next.run(request).await;
    };
    let address = limits.proxies.client_address(request.headers(), peer).unwrap_or(peer);
    match limits.rate_limiter.acquire_request(address, additional_limit(route, request.method())).await {
        Ok(passed) => {
            let mut response = next.run(request).await;
            insert_ratelimit_headers(&passed, response.headers_mut());
            response
        }
        Err(refusal) => refuse(route, refusal),
    }
}

fn is_limited(route: &str) -> bool {
    !route.is_empty() && !UNLIMITED_PREFIXES.iter().any(|prefix| route.starts_with(prefix))
}

/// The limit of a route in addition to that of requests.
fn additional_limit(route: &str, method: &Method) -> Option<Limit> {
    if AUTHORIZATION_REQUEST_ROUTES.contains(&route) {
        Some(Limit::AuthorizationRequests)
    } else if REGISTRATION_ROUTES.contains(&route) && (method == Method::POST || method == Method::PUT) {
        Some(Limit::Registrations)
    } else {
        None
    }
}

/// The 429 response in the error format of the route.
fn refuse(route: &str, refusal: LimitExceeded) -> Response {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tollgate_model::rate_limit::{Rate, Rule};

    use super::*;

    #[test]
    fn a_refusal_has_retry_after_and_the_format_of_its_endpoint() {
        let rule = Rule::SlidingWindow(Rate::new(60, Duration::from_secs(60)).expect("a rate"));
        let refusal = LimitExceeded::new(Limit::Secrets, rule, Duration::from_millis(1500));
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
    fn endpoints_for_monitoring_edges_and_verifiers_have_no_limit() {
        for route in ["/health/live", "/edge/v1/deltas", "/.well-known/jwks.json", "/ssf/poll/{stream}", ""] {
            assert!(!is_limited(route), "{route}");
        }
        assert!(is_limited("/oauth/token") && is_limited("/login"));
        assert_eq!(additional_limit("/oauth/par", &Method::POST), Some(Limit::AuthorizationRequests));
        assert_eq!(additional_limit("/register", &Method::GET), None);
    }
}
