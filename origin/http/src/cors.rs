//! CORS: which pages of other origins may read responses in a browser (Fetch standard).
//!
//! Every page may read public documents, and register clients where registration is open: anybody
//! may, and a registration is managed only with its token. Browser apps may also request and revoke
//! tokens: an origin is that of an app if a public client has a redirect URI there, so its
//! authorization codes are sent there anyway. Credentials (cookies) are never allowed.
//!
//! CORS authenticates no request. Tokens are protected by client authentication and PKCE.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::allowed_origins::AllowedOrigins;

/// Path prefixes of public documents.
const PUBLIC_PREFIXES: [&str; 3] = ["/.well-known/", "/oauth/status", "/openapi.json"];
/// Routes that browser apps call.
const APP_ROUTES: [&str; 5] = ["/oauth/token", "/token", "/oauth/revoke", "/revoke", "/oauth/userinfo"];
/// Routes of dynamic client registration (RFC 7591, RFC 7592).
const REGISTRATION_ROUTES: [&str; 2] = ["/oauth/register", "/oauth/register/{client}"];
/// Request headers that pages may send to [`APP_ROUTES`].
const APP_REQUEST_HEADERS: &str = "authorization, content-type, dpop";
/// Methods of all routes but those of registration.
const READ_AND_POST: &str = "GET, POST";
/// Seconds for which browsers cache the answer to a preflight request.
const PREFLIGHT_MAX_AGE: &str = "600";
/// Response headers that a page may read in addition to the safelisted ones.
const EXPOSED_HEADERS: &str = "DPoP-Nonce, WWW-Authenticate, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id";

/// Adds CORS headers to responses, and answers preflight requests.
pub(super) async fn allow(
    State(allowed_origins): State<Arc<AllowedOrigins>>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let route = matched.as_ref().map_or("", MatchedPath::as_str);
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    // Pages may read a 404 as well: clients look for metadata at several paths.
    let path = if matched.is_some() { route } else { request.uri().path() };
    let is_open_registration = allowed_origins.is_registration_open && REGISTRATION_ROUTES.contains(&route);
    if is_open_registration || PUBLIC_PREFIXES.iter().any(|prefix| path.starts_with(prefix)) {
        let methods = if is_open_registration { "GET, POST, PUT, DELETE" } else { READ_AND_POST };
        let mut response = if is_preflight {
            preflight(requested_headers(request.headers()), methods)
        } else {
            next.run(request).await
        };
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        if is_open_registration {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
        }
        return response;
    }
    if !APP_ROUTES.contains(&route) {
        return next.run(request).await;
    }
    let origin = one_origin(request.headers());
    let is_allowed = match &origin {
        Some(origin) => allowed_origins.contains(origin).await,
        None => false,
    };
    let mut response = match is_preflight && is_allowed {
        true => preflight(HeaderValue::from_static(APP_REQUEST_HEADERS), READ_AND_POST),
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin.and_then(|origin| HeaderValue::try_from(origin).ok()).filter(|_| is_allowed) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
    }
    response
}

fn preflight(allowed_headers: HeaderValue, methods: &'static str) -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, methods),
        (ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE),
        (VARY, "access-control-request-method, access-control-request-headers"),
    ];
    (StatusCode::NO_CONTENT, [(ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers)], headers).into_response()
}

/// The request headers that a preflight request asks for. All are allowed for public documents,
/// which depend on none of them. The answer names them, because `*` does not include
/// `authorization`.
fn requested_headers(headers: &HeaderMap) -> HeaderValue {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~, ".contains(byte);
    let requested =
        headers.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|requested| requested.as_bytes().iter().all(is_plain));
    requested.cloned().unwrap_or(HeaderValue::from_static("*"))
}

fn one_origin(headers: &HeaderMap) -> Option<String> {
    let mut origins = headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (Some(origin), None) => origin.to_str().ok().map(str::to_owned),
        _ => None,
    }
}
