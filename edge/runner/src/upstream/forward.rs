//! Forwards an allowed request to the upstream and streams both bodies. Hop-by-hop headers are
//! removed in both directions (RFC 9110 section 7.6.1).

use super::client::{Client, HttpVersions, client};
use super::upgrade::{Switch, Upgrade};
use crate::error_chain::error_chain;
use crate::listener::ClientInfo;
use crate::response::{Body, BodyError, full, json_error};
use crate::settings::{StreamSettings, UpstreamTimeouts, UpstreamUrl};
use crate::streams::{Exchange, StreamedRequest, StreamedResponse, is_grpc, response_to_ended};
use crate::timed_body::{TimedBody, TooSlow};
use crate::{Forward, Settings};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::time::{Instant, timeout, timeout_at};
use tollgate_gate::{HopByHopHeaders, Peer, RequestHeaderPolicy, TrustedProxies};

/// The upstream that gets allowed requests.
pub(crate) struct Upstream {
    upstream: UpstreamUrl,
    timeouts: UpstreamTimeouts,
    trusted_proxies: TrustedProxies,
    client: Client,
    /// Opens a new connection for each request.
    unpooled_client: Client,
    /// Speaks HTTP/1.1 only, whose connections can be upgraded.
    upgrade_client: Client,
    streams: StreamSettings,
}

impl Upstream {
    pub(crate) fn new(settings: &Settings) -> Upstream {
        let (upstream, timeouts) = (settings.upstream.clone(), settings.upstream_timeouts);
        Upstream {
            client: client(upstream.versions, usize::MAX, &timeouts),
            unpooled_client: client(upstream.versions, 0, &timeouts),
            upgrade_client: client(HttpVersions::Http1, 0, &timeouts),
            streams: settings.streams.clone(),
            trusted_proxies: settings.trusted_proxies.clone(),
            upstream,
            timeouts,
        }
    }

    /// Sends the request with the identity headers and returns the upstream's response; 502 if the
    /// upstream cannot be reached, 504 if it does not answer in time.
    pub(crate) async fn forward(
        &self,
        mut request: http::Request<Body>,
        allowed: &Forward,
        client: &ClientInfo,
        exchange: Exchange,
    ) -> http::Response<Body> {
        if request.method() == Method::CONNECT {
            let why = "this edge does not support tunnels to other hosts";
            return json_error(StatusCode::NOT_IMPLEMENTED, "not_implemented", why);
        }
        let upgrade = Upgrade::take(&mut request, &self.streams.upgrades);
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let Ok(url) = format!("{}{target}", self.upstream.url).parse::<Uri>() else {
            let why = "the request's target cannot be forwarded";
            return json_error(StatusCode::BAD_REQUEST, "invalid_request", why);
        };
        let outbound = outbound_headers(request.headers(), &self.trusted_proxies, allowed, client);
        let Some(mut headers) = outbound else {
            let why = "the gate's identity headers are not valid HTTP";
            return json_error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", why);
        };
        if self.upstream.versions != HttpVersions::Http1 && accepts_trailers(request.headers()) {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        *request.uri_mut() = url;
        *request.version_mut() = http::Version::HTTP_11;
        *request.headers_mut() = headers;
        match upgrade {
            Some(upgrade) => self.forward_upgrade(request, upgrade, exchange).await,
            None => self.forward_request(request, exchange).await,
        }
    }

    async fn forward_request(&self, request: http::Request<Body>, mut exchange: Exchange) -> http::Response<Body> {
        let asks_grpc = is_grpc(request.headers());
        let request = request.map(|body| match body.is_end_stream() {
            true => body,
            false => StreamedRequest::new(body, &exchange).boxed_unsync(),
        });
        let outcome = exchange.run(pin!(self.send(request))).await;
        match outcome {
            Ok(Some(Ok(response))) => self.pass_back(response, exchange),
            Ok(Some(Err(error))) => failed(&error),
            Ok(None) => timed_out(),
            Err(end) => response_to_ended(end, asks_grpc),
        }
    }

    /// Forwards a request to upgrade the connection. If the upstream switches to the protocol, the
    /// edge does too, and passes bytes both ways.
    async fn forward_upgrade(
        &self,
        mut request: http::Request<Body>,
        upgrade: Upgrade,
        mut exchange: Exchange,
    ) -> http::Response<Body> {
        exchange.become_tunnel();
        upgrade.offer_to_upstream(request.headers_mut());
        let sending = timeout(self.timeouts.response, self.upgrade_client.request(request));
        let outcome = exchange.run(pin!(sending)).await;
        match outcome {
            Ok(Ok(Ok(response))) => match upgrade.switch(response, exchange, self.streams.idle_timeout) {
                Switch::Switched(response) => response,
                Switch::Declined(response, exchange) => self.pass_back(response, exchange),
                Switch::Invalid => {
                    let why = "the upstream switched to another protocol than requested";
                    json_error(StatusCode::BAD_GATEWAY, "bad_gateway", why)
                }
            },
            Ok(Ok(Err(error))) => failed(&error),
            Ok(Err(_)) => timed_out(),
            Err(end) => response_to_ended(end, false),
        }
    }

    /// The upstream's response for the client.
    fn pass_back(&self, mut response: http::Response<Incoming>, exchange: Exchange) -> http::Response<Body> {
        remove_hop_by_hop_headers(response.headers_mut());
        *response.version_mut() = http::Version::HTTP_11;
        let is_grpc = is_grpc(response.headers());
        response.map(|body| {
            let body = TimedBody::with_read_timeout(body, self.timeouts.read);
            StreamedResponse::new(body, exchange, is_grpc).boxed_unsync()
        })
    }

    /// Sends the request. If the upstream closed the pooled connection meanwhile, an idempotent
    /// request without a body is sent again on a new connection (RFC 9110 section 9.2.2). None
    /// without a response in time.
    async fn send(&self, request: http::Request<Body>) -> Option<Result<http::Response<Incoming>, legacy::Error>> {
        let retry =
            (request.method().is_idempotent() && request.body().is_end_stream()).then(|| clone_without_body(&request));
        match (self.send_with(&self.client, request).await, retry) {
            (Some(Err(error)), Some(retry)) if is_broken_connection(&error) => {
                self.send_with(&self.unpooled_client, retry).await
            }
            (result, _) => result,
        }
    }

    async fn send_with(
        &self,
        client: &Client,
        request: http::Request<Body>,
    ) -> Option<Result<http::Response<Incoming>, legacy::Error>> {
        let turn = UpstreamTurn::default();
        let request = request.map(|body| match body.is_end_stream() {
            true => body,
            false => TurnTrackingBody { body, turn: turn.clone() }.boxed_unsync(),
        });
        let mut response = pin!(client.request(request));
        loop {
            let since = turn.since();
            match timeout_at(since.unwrap_or_else(Instant::now) + self.timeouts.response, response.as_mut()).await {
                Ok(result) => return Some(result),
                Err(_) if since.is_some() && since == turn.since() => return None,
                Err(_) => {}
            }
        }
    }
}

/// The response if the upstream cannot be reached, or the client's body broke off.
fn failed(error: &legacy::Error) -> http::Response<Body> {
    if has_cause::<TooSlow>(error) {
        return json_error(StatusCode::REQUEST_TIMEOUT, "invalid_request", "the body arrived too slowly");
    }
    tracing::warn!(error = error_chain(error), "the upstream cannot be reached");
    json_error(StatusCode::BAD_GATEWAY, "bad_gateway", "the upstream cannot be reached")
}

/// The response if the upstream does not respond in time.
fn timed_out() -> http::Response<Body> {
    json_error(StatusCode::GATEWAY_TIMEOUT, "gateway_timeout", "the upstream did not answer in time")
}

/// Time since which the edge waits for the upstream to read the body or to answer; none while it
/// waits for the client's body, whose time [`TimedBody`] limits.
#[derive(Clone)]
struct UpstreamTurn(Arc<Mutex<Option<Instant>>>);

impl Default for UpstreamTurn {
    fn default() -> UpstreamTurn {
        UpstreamTurn(Arc::new(Mutex::new(Some(Instant::now()))))
    }
}

impl UpstreamTurn {
    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// A client's body that records whether the edge waits for the client or for the upstream.
struct TurnTrackingBody {
    body: Body,
    turn: UpstreamTurn,
}

impl hyper::body::Body for TurnTrackingBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.turn.set(polled.is_ready().then(Instant::now));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

fn clone_without_body(request: &http::Request<Body>) -> http::Request<Body> {
    let mut clone = http::Request::new(full(""));
    *clone.method_mut() = request.method().clone();
    *clone.uri_mut() = request.uri().clone();
    *clone.headers_mut() = request.headers().clone();
    clone
}

/// Whether the connection ended before a response.
fn is_broken_connection(error: &legacy::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let is_broken_http =
        |error: &hyper::Error| error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    let is_broken_io =
        |error: &io::Error| matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof);
    !error.is_connect()
        && (cause::<hyper::Error>(error).is_some_and(is_broken_http)
            || cause::<io::Error>(error).is_some_and(is_broken_io))
}

fn has_cause<E: std::error::Error + 'static>(error: &(dyn std::error::Error + 'static)) -> bool {
    cause::<E>(error).is_some()
}

/// The first cause of this type in an error's chain.
fn cause<'a, E: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// The headers for the upstream: the client's that the policy passes, the forwarding headers and
/// the identity. The HTTP client adds `host`. None if an identity header is invalid.
fn outbound_headers(
    inbound: &HeaderMap,
    trusted_proxies: &TrustedProxies,
    allowed: &Forward,
    client: &ClientInfo,
) -> Option<HeaderMap> {
    let values = |name: &str| inbound.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
    let host = inbound.get(header::HOST).map(HeaderValue::as_bytes);
    let peer = Peer { address: Some(client.address.ip().to_canonical()), scheme: client.scheme, host };
    let policy = RequestHeaderPolicy::new(peer, trusted_proxies, values("connection"));
    let policy = policy.without(&allowed.removed_headers);
    let mut headers = HeaderMap::with_capacity(inbound.len() + allowed.identity.len());
    for (name, value) in inbound.iter().filter(|(name, _)| policy.passes(name.as_str())) {
        headers.append(name, value.clone());
    }
    for (name, value) in policy.forwarding_headers(values) {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(&value).ok()?);
    }
    for (name, value) in &allowed.identity {
        headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    Some(headers)
}

/// Whether the client accepts trailers, which gRPC needs: the only value of `TE` that HTTP/2 has
/// (RFC 9113 section 8.2.2).
fn accepts_trailers(headers: &HeaderMap) -> bool {
    let is_trailers = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"trailers");
    headers.get_all(header::TE).iter().any(|value| value.as_bytes().split(|byte| *byte == b',').any(is_trailers))
}

pub(super) fn remove_hop_by_hop_headers(headers: &mut HeaderMap) {
    let hop_by_hop = HopByHopHeaders::new(headers.get_all(header::CONNECTION).iter().map(HeaderValue::as_bytes));
    let names: Vec<HeaderName> = headers.keys().filter(|name| hop_by_hop.contains(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ForwardRoute, StreamPolicy};

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn hop_by_hop_headers_are_removed() {
        let mut all = headers(&[
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("accept", "*/*"),
        ]);
        remove_hop_by_hop_headers(&mut all);
        assert_eq!(all, headers(&[("accept", "*/*")]));
    }

    #[test]
    fn trailers_are_accepted_only_if_the_client_says_so() {
        assert!(accepts_trailers(&headers(&[("te", "gzip, Trailers")])));
        assert!(!accepts_trailers(&headers(&[("te", "gzip")])) && !accepts_trailers(&HeaderMap::new()));
    }

    #[test]
    fn upstream_gets_identity_and_forwarding_headers() {
        let inbound = headers(&[
            ("host", "api.example"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-tollgate-subject", "forged"),
            ("x-user", "forged"),
            ("authorization", "Bearer t"),
        ]);
        let allowed = Forward {
            identity: vec![("x-tollgate-subject".to_owned(), b"alice".to_vec())],
            removed_headers: vec!["x-user".to_owned()],
            response_headers: Vec::new(),
            route: ForwardRoute {
                upstream: None,
                timeout_ms: None,
                max_body_bytes: None,
                rate_limit: None,
                streams: StreamPolicy::End,
            },
        };
        let no_proxies = TrustedProxies::default();
        let client = ClientInfo { address: ([127, 0, 0, 1], 4000).into(), scheme: "https", certificate: None };
        let outbound = outbound_headers(&inbound, &no_proxies, &allowed, &client);
        let expected = headers(&[
            ("authorization", "Bearer t"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "api.example"),
            ("x-tollgate-subject", "alice"),
        ]);
        assert_eq!(outbound, Some(expected));
    }
}
