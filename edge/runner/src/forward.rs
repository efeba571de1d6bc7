//! Passing an allowed request to the upstream and its answer back, both bodies streamed. Headers of one connection end
//! here in both directions (RFC 9110 section 7.6.1).

use crate::answer::{Body, BodyError, full, json_error};
use crate::timed_body::{TimedBody, TooSlow};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tollgate_gate::{HopByHopHeaders, Peer, RequestHeaderPolicy, TrustedProxies};

/// The client for everything that a gate sends out, with its connections kept open.
pub(crate) type Client = legacy::Client<HttpsConnector<HttpConnector>, Body>;

/// Limit on every pause in an upstream's answer; Spin has the same.
const PAUSE: Duration = Duration::from_secs(600);

/// A client that keeps its connections.
pub(crate) fn client() -> Client {
    client_with(usize::MAX)
}

/// A client that keeps so many idle connections to a host.
fn client_with(max_idle: usize) -> Client {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(Duration::from_secs(5)));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    let https =
        HttpsConnectorBuilder::new().with_tls_config(tls()).https_or_http().enable_http1().wrap_connector(connector);
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(max_idle)
        .build(https)
}

/// TLS that trusts what the platform trusts. A platform without certificates serves `http` all the same; `https` fails
/// there.
pub(crate) fn tls() -> rustls::ClientConfig {
    match rustls::ClientConfig::builder().try_with_platform_verifier() {
        Ok(builder) => builder.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "no trusted certificates are found; https will fail");
            rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
        }
    }
}

/// Where allowed requests go, and how.
pub(crate) struct Upstream {
    url: String,
    /// How long it may take to begin its answer, once it has the request.
    timeout: Duration,
    proxies: TrustedProxies,
    client: Client,
    /// Keeps no connection, so that each is fresh.
    fresh: Client,
}

impl Upstream {
    pub(crate) fn new(url: String, timeout: Duration, proxies: TrustedProxies) -> Upstream {
        Upstream { url, timeout, proxies, client: client(), fresh: client_with(0) }
    }

    /// Sends the request with the identity set, and hands back the answer; 502 if there is none, 504 if there is none in time.
    pub(crate) async fn forward(
        &self,
        mut request: http::Request<Body>,
        identity: &[(String, Vec<u8>)],
        peer: SocketAddr,
    ) -> http::Response<Body> {
        if is_upgrade(&request) {
            let why = "this edge does not pass protocol upgrades";
            return json_error(StatusCode::NOT_IMPLEMENTED, "not_implemented", why);
        }
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let Ok(url) = format!("{}{target}", self.url).parse::<Uri>() else {
            let why = "the request's target is not one that can be forwarded";
            return json_error(StatusCode::BAD_REQUEST, "invalid_request", why);
        };
        let Some(headers) = outbound_headers(request.headers(), &self.proxies, identity, peer) else {
            let why = "the gate's identity headers are not HTTP";
            return json_error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", why);
        };
        *request.uri_mut() = url;
        *request.version_mut() = http::Version::HTTP_11;
        *request.headers_mut() = headers;
        match self.send(request).await {
            Some(Ok(mut answer)) => {
                strip_hop_by_hop(answer.headers_mut());
                answer.map(|body| TimedBody::with_pause(body, PAUSE).boxed_unsync())
            }
            Some(Err(error)) if has_cause::<TooSlow>(&error) => {
                json_error(StatusCode::REQUEST_TIMEOUT, "invalid_request", "the body came too slowly")
            }
            Some(Err(error)) => {
                tracing::warn!(error = chain(&error), "the upstream cannot be reached");
                json_error(StatusCode::BAD_GATEWAY, "bad_gateway", "the upstream cannot be reached")
            }
            None => {
                let why = "the upstream did not answer in time";
                json_error(StatusCode::GATEWAY_TIMEOUT, "gateway_timeout", why)
            }
        }
    }

    /// Sends the request; once more, on a fresh connection, if it may be repeated and a kept one ended in the moment of its use
    /// (RFC 9110 section 9.2.2). None: no answer in time.
    async fn send(&self, request: http::Request<Body>) -> Option<Result<http::Response<Incoming>, legacy::Error>> {
        let again =
            (request.method().is_idempotent() && request.body().is_end_stream()).then(|| without_body(&request));
        match (self.send_by(&self.client, request).await, again) {
            (Some(Err(error)), Some(again)) if is_broken_connection(&error) => self.send_by(&self.fresh, again).await,
            (answer, _) => answer,
        }
    }

    async fn send_by(
        &self,
        client: &Client,
        request: http::Request<Body>,
    ) -> Option<Result<http::Response<Incoming>, legacy::Error>> {
        let wait = UpstreamWait::default();
        let request = request.map(|body| match body.is_end_stream() {
            true => body,
            false => WatchedBody { body, wait: wait.clone() }.boxed_unsync(),
        });
        let mut answer = pin!(client.request(request));
        loop {
            let since = wait.since();
            match timeout_at(since.unwrap_or_else(Instant::now) + self.timeout, answer.as_mut()).await {
                Ok(answer) => return Some(answer),
                Err(_) if since.is_some() && since == wait.since() => return None,
                Err(_) => {}
            }
        }
    }
}

/// Since when it has been the upstream's turn to take the body or to answer; none while the client's body is waited for, whose
/// time is limited by [`TimedBody`].
#[derive(Clone)]
struct UpstreamWait(Arc<Mutex<Option<Instant>>>);

impl Default for UpstreamWait {
    fn default() -> UpstreamWait {
        UpstreamWait(Arc::new(Mutex::new(Some(Instant::now()))))
    }
}

impl UpstreamWait {
    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// A client's body that tells whose turn it is.
struct WatchedBody {
    body: Body,
    wait: UpstreamWait,
}

impl hyper::body::Body for WatchedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.wait.set(polled.is_ready().then(Instant::now));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// The same request again, which had no body.
fn without_body(request: &http::Request<Body>) -> http::Request<Body> {
    let mut again = http::Request::new(full(""));
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    again
}

/// Whether the connection ended before an answer came.
fn is_broken_connection(error: &legacy::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let of_hyper = |error: &hyper::Error| error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    let of_system =
        |error: &io::Error| matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof);
    !error.is_connect()
        && (cause::<hyper::Error>(error).is_some_and(of_hyper) || cause::<io::Error>(error).is_some_and(of_system))
}

fn has_cause<E: std::error::Error + 'static>(error: &(dyn std::error::Error + 'static)) -> bool {
    cause::<E>(error).is_some()
}

/// The first of an error's causes that is of this type.
fn cause<'a, E: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// Whether the client wants a protocol that the connection would have to be handed over to. Other offers of `Upgrade` (`h2c`,
/// `TLS/1.2`) may be passed over, and are (RFC 9110 section 7.8).
fn is_upgrade<B>(request: &http::Request<B>) -> bool {
    let offers = request.headers().get_all(header::UPGRADE);
    let is_websocket = |offer: &[u8]| offer.trim_ascii().eq_ignore_ascii_case(b"websocket");
    request.method() == Method::CONNECT
        || offers.iter().any(|offers| offers.as_bytes().split(|byte| *byte == b',').any(is_websocket))
}

/// The client's headers as far as they go on, where the request came from, and who the client is. The client library adds the
/// upstream's own `host`. None: an identity that is no header.
fn outbound_headers(
    inbound: &HeaderMap,
    proxies: &TrustedProxies,
    identity: &[(String, Vec<u8>)],
    peer: SocketAddr,
) -> Option<HeaderMap> {
    let values = |name: &str| inbound.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
    let host = inbound.get(header::HOST).map(HeaderValue::as_bytes);
    let sender = Peer { address: Some(peer.ip().to_canonical()), scheme: "http", host };
    let policy = RequestHeaderPolicy::new(sender, proxies, values("connection"));
    let mut headers = HeaderMap::with_capacity(inbound.len() + identity.len());
    for (name, value) in inbound.iter().filter(|(name, _)| policy.passes(name.as_str())) {
        headers.append(name, value.clone());
    }
    for (name, value) in policy.forwarding_headers(values) {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(&value).ok()?);
    }
    for (name, value) in identity {
        headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    Some(headers)
}

/// Removes the headers of one connection, those that `Connection` names included.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let hop_by_hop = HopByHopHeaders::new(headers.get_all(header::CONNECTION).iter().map(HeaderValue::as_bytes));
    let ending: Vec<HeaderName> = headers.keys().filter(|name| hop_by_hop.contains(name.as_str())).cloned().collect();
    for name in ending {
        headers.remove(name);
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn headers_of_the_connection_end_here() {
        let mut all = headers(&[
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("accept", "*/*"),
        ]);
        strip_hop_by_hop(&mut all);
        assert_eq!(all, headers(&[("accept", "*/*")]));
    }

    #[test]
    fn the_upstream_learns_who_and_where_from() {
        let inbound = headers(&[
            ("host", "api.example"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-tollgate-subject", "forged"),
            ("authorization", "Bearer t"),
        ]);
        let identity = [("x-tollgate-subject".to_owned(), b"alice".to_vec())];
        let proxies = TrustedProxies::default();
        let outbound = outbound_headers(&inbound, &proxies, &identity, ([127, 0, 0, 1], 4000).into());
        let expected = headers(&[
            ("authorization", "Bearer t"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "api.example"),
            ("x-tollgate-subject", "alice"),
        ]);
        assert_eq!(outbound, Some(expected));
    }
}
