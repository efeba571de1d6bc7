//! Forwards an allowed request to an upstream and streams both bodies. Hop-by-hop headers are
//! removed in both directions (RFC 9110 section 7.6.1).

use super::outgoing::Outgoing;
use super::send::{SendError, Sent, UpstreamSet};
use super::upgrade::{Switch, Upgrade};
use crate::error_chain::{error_chain, has_cause};
use crate::listener::ClientInfo;
use crate::response::{Body, json_error};
use crate::settings::{StreamSettings, UpstreamSettings};
use crate::streams::{Exchange, StreamedRequest, StreamedResponse, is_grpc, response_to_ended};
use crate::timed_body::{TimedBody, TooSlow};
use crate::{Forward, Settings};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body as _;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tollgate_gate::{HopByHopHeaders, Peer, RequestHeaderPolicy, TrustedProxies};

/// The upstreams that get allowed requests.
pub(crate) struct Upstreams {
    set: RwLock<Arc<UpstreamSet>>,
    trusted_proxies: TrustedProxies,
    streams: StreamSettings,
}

impl Upstreams {
    pub(crate) fn new(settings: &Settings) -> Upstreams {
        Upstreams {
            set: RwLock::new(Arc::new(UpstreamSet::new(&settings.upstreams))),
            trusted_proxies: settings.trusted_proxies.clone(),
            streams: settings.streams.clone(),
        }
    }

    /// Sends further requests to the upstreams of these settings. Does nothing if they are the
    /// same, so that connections and health are kept.
    pub(crate) fn reload(&self, settings: &UpstreamSettings) {
        let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
        if set.settings() != settings {
            *set = Arc::new(UpstreamSet::new(settings));
            tracing::info!("new upstreams in use");
        }
    }

    /// Sends the request with the identity headers and returns the upstream's response; 502 if the
    /// upstream cannot be reached, 504 if it does not answer in time. If the client asks to upgrade
    /// the connection and the upstream switches to the protocol, the edge does too, and passes
    /// bytes both ways.
    pub(crate) async fn forward(
        &self,
        mut request: http::Request<Body>,
        allowed: &Forward,
        client: &ClientInfo,
        mut exchange: Exchange,
    ) -> http::Response<Body> {
        if request.method() == Method::CONNECT {
            let why = "this edge does not support tunnels to other hosts";
            return json_error(StatusCode::NOT_IMPLEMENTED, "not_implemented", why);
        }
        let set = Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner));
        let Some(pool) = set.pool(allowed.route.upstream.as_deref()) else {
            tracing::error!(upstream = allowed.route.upstream, "a route names an upstream that is not configured");
            let why = "the route's upstream is not configured at this edge";
            return json_error(StatusCode::BAD_GATEWAY, "bad_gateway", why);
        };
        let upgrade = Upgrade::take(&mut request, &self.streams.upgrades);
        let Some(mut headers) = outbound_headers(request.headers(), &self.trusted_proxies, allowed, client) else {
            let why = "the gate's identity headers are not valid HTTP";
            return json_error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", why);
        };
        if accepts_trailers(request.headers()) && pool.may_speak_http2() {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        if let Some(upgrade) = &upgrade {
            exchange.become_tunnel();
            upgrade.offer_to_upstream(&mut headers);
        }
        let asks_grpc = is_grpc(request.headers());
        let (parts, body) = request.into_parts();
        let Some(body) = limit_body(body, allowed.route.max_body_bytes) else { return too_large() };
        let body = match body.is_end_stream() {
            true => body,
            false => StreamedRequest::new(body, &exchange).boxed_unsync(),
        };
        let mut outgoing = Outgoing::new(parts, headers, body, upgrade.is_some());
        let timeout = allowed.route.timeout_ms.map_or(set.timeouts().response, Duration::from_millis);
        let outcome = exchange.run(pin!(set.send(pool, &mut outgoing, timeout))).await;
        match (outcome, upgrade) {
            (Ok(Ok(sent)), None) => pass_back(sent, exchange, set.timeouts().read),
            (Ok(Ok(sent)), Some(upgrade)) => match upgrade.switch(sent, exchange, self.streams.idle_timeout) {
                Switch::Switched(response) => response,
                Switch::Declined(sent, exchange) => pass_back(sent, exchange, set.timeouts().read),
                Switch::Invalid => {
                    let why = "the upstream switched to another protocol than requested";
                    json_error(StatusCode::BAD_GATEWAY, "bad_gateway", why)
                }
            },
            (Ok(Err(error)), _) => failed(&error),
            (Err(end), _) => response_to_ended(end, asks_grpc),
        }
    }
}

/// The body, which fails when it has more bytes than the route allows. None if that is known in
/// advance.
fn limit_body(body: Body, max_bytes: Option<u64>) -> Option<Body> {
    let Some(max) = max_bytes else { return Some(body) };
    let limit = usize::try_from(max).unwrap_or(usize::MAX);
    (body.size_hint().lower() <= max).then(|| Limited::new(body, limit).boxed_unsync())
}

/// The upstream's response for the client.
fn pass_back(sent: Sent, exchange: Exchange, read_timeout: Duration) -> http::Response<Body> {
    let Sent { mut response, lease } = sent;
    remove_hop_by_hop_headers(response.headers_mut());
    *response.version_mut() = http::Version::HTTP_11;
    let is_grpc = is_grpc(response.headers());
    response.map(|body| {
        let body = TimedBody::with_read_timeout(body, read_timeout).with_lease(lease);
        StreamedResponse::new(body, exchange, is_grpc).boxed_unsync()
    })
}

/// The response if there is none of the upstream.
fn failed(error: &SendError) -> http::Response<Body> {
    match error {
        SendError::Body(error) if has_cause::<TooSlow>(&**error) => {
            json_error(StatusCode::REQUEST_TIMEOUT, "invalid_request", "the body arrived too slowly")
        }
        SendError::Body(error) if has_cause::<LengthLimitError>(&**error) => too_large(),
        SendError::Body(_) => {
            json_error(StatusCode::BAD_REQUEST, "invalid_request", "the body is malformed or ended early")
        }
        SendError::Failed(error) => {
            tracing::warn!(error = error_chain(error), "the upstream cannot be reached");
            json_error(StatusCode::BAD_GATEWAY, "bad_gateway", "the upstream cannot be reached")
        }
        SendError::InvalidTarget => {
            json_error(StatusCode::BAD_REQUEST, "invalid_request", "the request's target cannot be forwarded")
        }
        SendError::TimedOut => {
            json_error(StatusCode::GATEWAY_TIMEOUT, "gateway_timeout", "the upstream did not answer in time")
        }
    }
}

fn too_large() -> http::Response<Body> {
    json_error(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is larger than this route allows")
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
    use crate::response::BodyError;
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
    fn body_that_the_client_breaks_off_is_no_failure_of_the_upstream() {
        for (error, status) in
            [("broken off".into(), StatusCode::BAD_REQUEST), (BodyError::from(TooSlow), StatusCode::REQUEST_TIMEOUT)]
        {
            assert_eq!(failed(&SendError::Body(error)).status(), status);
        }
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
