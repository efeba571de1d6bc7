//! Observability of every request: request ID, metrics, log, and trace if configured.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, STRICT_TRANSPORT_SECURITY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tollgate_services::refusals::{self, RefusalLog};
use tollgate_services::telemetry::{CredentialKind, Metrics, Span, SpanExporter, TraceContext, hex};
use tollgate_system::current_request::CurrentRequest;
use tollgate_system::{Clock, rng};
use tracing::Instrument as _;

use crate::extract::proxies::Proxies;
use crate::failed_authentication::FailedAuthentications;
use crate::issuer::Issuer;
use crate::operations::slow_requests::SlowRequestLog;
use crate::refused_request::RefusedRequest;
use crate::request_context::{Noted, RequestContext};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request ID that is accepted from a proxy, in characters.
const MAX_REQUEST_ID_LENGTH: usize = 128;

/// Why a request was refused: an error code that a response carries to the metrics.
#[derive(Debug, Clone, Copy)]
pub struct Refusal(pub &'static str);

/// Observes requests.
pub(crate) struct RequestObserver {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    pub(crate) proxies: Arc<Proxies>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) span_exporter: SpanExporter,
    pub(crate) slow_requests: SlowRequestLog,
    pub(crate) failures: FailedAuthentications,
    pub(crate) refusals: Arc<RefusalLog>,
}

/// Assigns the request ID, and counts, times, logs and traces the request. The log has the route,
/// never the path or query, which may contain secrets; of the headers, only the request ID and the
/// trace ID, which are validated.
pub(crate) async fn observe(State(observer): State<Arc<RequestObserver>>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("unknown", MatchedPath::as_str);
    let method = method(request.method());
    let id = request_id(&observer.proxies, &request);
    let traceparent = single_header(request.headers(), "traceparent");
    let trace = TraceContext::continued(traceparent);
    let span = tracing::info_span!("request", method, route, request_id = id, trace_id = hex(&trace.trace));
    let _in_flight = observer.metrics.begin_request();
    let (began_at_ms, began) = (observer.clock.now_ms(), Instant::now());
    let admin_address = admin_credentials_address(&observer.proxies, route, &request);
    let serving = RequestContext::default().scope(next.run(request).instrument(span.clone()));
    let current = CurrentRequest::new(id, observer.span_exporter.wants(&trace));
    let mut serving = pin!(current.scope(trace.scope(serving)));
    let (mut response, noted) = serving.as_mut().await;
    let (id, times) = serving.take_value().map(CurrentRequest::finish).unwrap_or_default();
    let (status, took) = (response.status().as_u16(), began.elapsed());
    observer.metrics.answered(route, status, took, trace.sampled.then_some(trace.trace));
    if let Some(Refusal(reason)) = response.extensions().get() {
        observer.metrics.refused(route, reason);
    }
    if let Some(refused) = response.extensions_mut().remove::<RefusedRequest>() {
        let refused = log_entry(refused, &noted, began_at_ms / 1000, route, &id);
        span.in_scope(|| observer.refusals.record(noted.client(), refused));
    }
    if let (Some(address), StatusCode::UNAUTHORIZED) = (admin_address, response.status()) {
        let recording = observer.failures.record(CredentialKind::AdminApi, None, address);
        Box::pin(recording.instrument(span.clone())).await;
    }
    let took_ms = took.as_secs_f64() * 1000.0;
    span.in_scope(|| {
        observer.slow_requests.record(status, took, &times);
        if response.status().is_server_error() {
            tracing::warn!(status, took_ms, "request answered");
        } else {
            tracing::debug!(status, took_ms, "request answered");
        }
    });
    observer.span_exporter.export(&trace, || {
        let (request_id, route, parts) = (id.clone(), route.to_owned(), times.parts);
        Span { trace, request_id, method, route, status, began_at_ms, began, took, parts }
    });
    // The ID is valid; otherwise, which cannot happen, the response has an empty one.
    let id = HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static(""));
    response.headers_mut().insert(REQUEST_ID, id);
    if let Some(hsts) = &observer.issuer.hsts {
        response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    response
}

/// The entry of a refused request in the log. It says why a client could not be authenticated,
/// which the response does not.
fn log_entry(
    refused: RefusedRequest,
    noted: &Noted,
    at: u64,
    route: &str,
    request_id: &str,
) -> refusals::RefusedRequest {
    let failure = noted.failure.filter(|_| refused.error == "invalid_client");
    refusals::RefusedRequest {
        at,
        request_id: request_id.to_owned(),
        endpoint: route.to_owned(),
        error: refused.error,
        reason: failure.map_or(refused.reason, |failure| failure.reason.to_owned()),
        parameter: failure.map_or(refused.parameter, |failure| failure.parameter),
        received: refused.received,
    }
}

/// For requests to the admin API with credentials: the client's address, if it is known.
fn admin_credentials_address(proxies: &Proxies, route: &str, request: &Request) -> Option<Option<IpAddr>> {
    let has_credentials = route.starts_with("/admin/api") && request.headers().contains_key(AUTHORIZATION);
    let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>().filter(|_| has_credentials)?;
    Some(proxies.client_address(request.headers(), peer.ip()))
}

/// The method; `_OTHER` if unknown, because clients may send any word.
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

/// The request ID that a trusted proxy sent, if it is valid; else a new one.
fn request_id(proxies: &Proxies, request: &Request) -> String {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
    let is_trusted = peer.is_some_and(|peer| proxies.is_trusted(peer));
    match single_header(request.headers(), REQUEST_ID.as_str()) {
        Some(id) if is_trusted && is_valid_request_id(id) => id.to_owned(),
        // Without randomness the ID is all zeros; what needs randomness fails elsewhere.
        _ => hex(&rng::random_id::<16>().unwrap_or_default()),
    }
}

/// Whether the ID is of hexadecimal digits and hyphens, as in a UUID. An ID of other characters
/// could be a token or a password, which must not get into the log.
fn is_valid_request_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    (1..=MAX_REQUEST_ID_LENGTH).contains(&id.len()) && id.bytes().all(is_plain)
}

/// The value of a header that occurs exactly once.
fn single_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
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
    fn request_ids_of_proxies_are_hexadecimal() {
        for id in ["7b0d9a7e-4b1c-4f3e-9d55-1f2a3b4c5d6e", "0af7651916cd43dd8448eb211c80319c", "1"] {
            assert!(is_valid_request_id(id), "{id}");
        }
        for id in ["", "a b", "tgs_EO_lqqc1aKPrhaxQ", "a\"b", "name", &"a".repeat(129)] {
            assert!(!is_valid_request_id(id), "{id}");
        }
    }
}
