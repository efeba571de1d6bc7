//! Which pages of other sites may read answers in a browser (the Fetch standard's CORS protocol):
//! all may read what is public anyway, and the sites of apps that run in browsers may ask for and
//! give back tokens. Nobody's cookies ever go with such a request.
//!
//! A site is an app's if a public client has a redirect URI there: it is where the app's codes are
//! sent already. What a client is given is the client's alone all the same: this only tells
//! browsers what to keep from pages.

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::AppState;

/// What anybody may read: what is below these.
const PUBLIC: [&str; 3] = ["/.well-known/", "/oauth/status", "/openapi.json"];
/// Where apps in browsers get, show and give back tokens.
const OF_APPS: [&str; 5] = ["/oauth/token", "/token", "/oauth/revoke", "/revoke", "/oauth/userinfo"];
/// The header fields that their pages may send there.
const FIELDS_OF_APPS: &str = "authorization, content-type, dpop";
/// How long browsers need not ask again, in seconds.
const MAX_AGE: &str = "600";
/// The fields of an answer that a page may read beside those that all may.
const EXPOSED: &str = "DPoP-Nonce, WWW-Authenticate, Retry-After, RateLimit, RateLimit-Policy";

/// Says in answers which pages may read them, and answers the question that browsers ask before
/// some requests.
pub(super) async fn allow(
    State(app): State<AppState>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let route = matched.as_ref().map_or("", MatchedPath::as_str);
    let asks = request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    // Where there is no document, a page may read that, too: clients look in several places.
    let path = if matched.is_some() { route } else { request.uri().path() };
    if PUBLIC.iter().any(|public| path.starts_with(public)) {
        let mut response = if asks { preflight(any_field(request.headers())) } else { next.run(request).await };
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        return response;
    }
    if !OF_APPS.contains(&route) {
        return next.run(request).await;
    }
    let origin = one_origin(request.headers());
    let allowed = match &origin {
        Some(origin) => app.allowed_origins.has(&app, origin).await,
        None => false,
    };
    let mut response = match asks && allowed {
        true => preflight(HeaderValue::from_static(FIELDS_OF_APPS)),
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin.and_then(|origin| HeaderValue::try_from(origin).ok()).filter(|_| allowed) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
    response
}

fn preflight(fields: HeaderValue) -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        (VARY, "access-control-request-method, access-control-request-headers"),
    ];
    (StatusCode::NO_CONTENT, [(ACCESS_CONTROL_ALLOW_HEADERS, fields)], headers).into_response()
}

/// The header fields that a page asks to send with a request for what anybody may read: all of
/// them. Nothing that is public depends on one, and clients send fields of protocols that this
/// origin does not know. Named, not `*`, which would leave out `authorization`.
fn any_field(headers: &HeaderMap) -> HeaderValue {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~, ".contains(byte);
    let asked = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|asked| asked.as_bytes().iter().all(plain));
    asked.cloned().unwrap_or(HeaderValue::from_static("*"))
}

fn one_origin(headers: &HeaderMap) -> Option<String> {
    let mut origins = headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (Some(origin), None) => origin.to_str().ok().map(str::to_owned),
        _ => None,
    }
}
