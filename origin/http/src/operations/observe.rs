//! What is done with every request beside answering it: it is named, counted, timed, logged and, if
//! somebody wants to know, traced.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, STRICT_TRANSPORT_SECURITY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tollgate_services::telemetry::{CredentialKind, Span, TraceContext, hex};
use tollgate_system::rng;
use tracing::Instrument as _;

use crate::client_address::client_address;
use crate::{App, AppState, failed_authentication};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of a request's name at most, if somebody else gave it.
const MAX_REQUEST_ID: usize = 128;

/// Why a request was refused, in one of few words: an answer carries it to where it is counted.
#[derive(Debug, Clone, Copy)]
pub struct Refusal(pub &'static str);

/// Names, counts, times and logs a request. The log names the route, never the path or the query as
/// sent, and no headers but those that name it, which are checked: any of the others may carry a
/// secret.
pub(crate) async fn observe(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("unknown", MatchedPath::as_str);
    let method = method(request.method());
    let id = request_id(&app, &request);
    let traceparent = one(request.headers(), "traceparent");
    let trace = TraceContext::continued(traceparent);
    let span = tracing::info_span!("request", method, route, request_id = id, trace_id = hex(&trace.trace));
    let (began_at_ms, started) = (app.clock.now_ms(), Instant::now());
    let administrator = shown_administrator(&app, route, &request);
    let mut response = trace.scope(next.run(request).instrument(span.clone())).await;
    let (status, took) = (response.status().as_u16(), started.elapsed());
    app.metrics.answered(route, status, took);
    if let Some(Refusal(reason)) = response.extensions().get() {
        app.metrics.refused(route, reason);
    }
    if let (Some(address), StatusCode::UNAUTHORIZED) = (administrator, response.status()) {
        let noting = failed_authentication::note(&app, CredentialKind::AdminApi, None, address);
        Box::pin(noting.instrument(span.clone())).await;
    }
    app.span_exporter.export(|| Span { trace, method, route: route.to_owned(), status, began_at_ms, took });
    let took_ms = took.as_secs_f64() * 1000.0;
    span.in_scope(|| {
        if response.status().is_server_error() {
            tracing::warn!(status, took_ms, "answered");
        } else {
            tracing::debug!(status, took_ms, "answered");
        }
    });
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if let Some(hsts) = &app.hsts {
        response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    response
}

/// The address of whoever shows the admin API that they are an administrator, if it is known.
fn shown_administrator(app: &App, route: &str, request: &Request) -> Option<Option<IpAddr>> {
    let is_shown = route.starts_with("/admin/api") && request.headers().contains_key(AUTHORIZATION);
    let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>().filter(|_| is_shown)?;
    Some(client_address(request.headers(), peer.ip(), &app.grants.trusted_proxies))
}

/// The method, if it is one that is known: strangers may send any word.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "_OTHER",
    }
}

/// The name that a trusted proxy gave the request, if it is fit for the log, else a new one.
fn request_id(app: &App, request: &Request) -> String {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
    let trusted = peer.is_some_and(|peer| app.grants.trusted_proxies.iter().any(|network| network.contains(peer)));
    match one(request.headers(), REQUEST_ID.as_str()) {
        Some(id) if trusted && is_fit(id) => id.to_owned(),
        // Without randomness it has no name of its own; whatever needs randomness fails by itself.
        _ => hex(&rng::random_id::<16>().unwrap_or_default()),
    }
}

/// Hexadecimal digits, with hyphens as in a UUID: what proxies make. Anything wider could hold a
/// token or a password, and it goes to the log.
fn is_fit(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    (1..=MAX_REQUEST_ID).contains(&id.len()) && id.bytes().all(plain)
}

/// The value of a header that is there once.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_elsewhere_is_fit_for_the_log() {
        for id in ["7b0d9a7e-4b1c-4f3e-9d55-1f2a3b4c5d6e", "0af7651916cd43dd8448eb211c80319c", "1"] {
            assert!(is_fit(id), "{id}");
        }
        for id in ["", "a b", "tgs_EO_lqqc1aKPrhaxQ", "a\"b", "name", &"a".repeat(129)] {
            assert!(!is_fit(id), "{id}");
        }
    }
}
