//! Passing an allowed request to the upstream and its answer back, both bodies streamed. Headers of one connection end
//! here in both directions (RFC 9110 section 7.6.1).

use crate::answer::{Body, json_error};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::net::SocketAddr;
use std::time::Duration;
use tollgate_gate::{HopByHop, RequestHeaders, Sender, TrustedProxies};

/// The client for everything that a gate sends out, with its connections kept open.
pub(crate) type Client = legacy::Client<HttpsConnector<HttpConnector>, Body>;

/// A client that keeps its connections.
pub(crate) fn client() -> Client {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(Duration::from_secs(5)));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    let https =
        HttpsConnectorBuilder::new().with_tls_config(tls()).https_or_http().enable_http1().wrap_connector(connector);
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
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

/// Sends the request to `upstream` with the identity set, and hands back the answer; 502 if there is none.
pub(crate) async fn forward(
    client: &Client,
    upstream: &str,
    proxies: &TrustedProxies,
    mut request: http::Request<Incoming>,
    identity: &[(String, Vec<u8>)],
    peer: SocketAddr,
) -> http::Response<Body> {
    if is_upgrade(&request) {
        return json_error(StatusCode::NOT_IMPLEMENTED, "not_implemented", "this edge does not pass protocol upgrades");
    }
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let Ok(url) = format!("{upstream}{target}").parse::<Uri>() else {
        return json_error(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "the request's target is not one that can be forwarded",
        );
    };
    let Some(headers) = outbound_headers(request.headers(), proxies, identity, peer) else {
        return json_error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "the gate's identity headers are not HTTP",
        );
    };
    *request.uri_mut() = url;
    *request.version_mut() = http::Version::HTTP_11;
    *request.headers_mut() = headers;
    match client.request(request.map(|body| body.map_err(Into::into).boxed_unsync())).await {
        Ok(mut answer) => {
            strip_hop_by_hop(answer.headers_mut());
            answer.map(|body| body.map_err(Into::into).boxed_unsync())
        }
        Err(error) => {
            tracing::warn!(error = chain(&error), "the upstream cannot be reached");
            json_error(StatusCode::BAD_GATEWAY, "bad_gateway", "the upstream cannot be reached")
        }
    }
}

/// Whether the client wants another protocol on this connection. `h2c` is an offer that a server may pass over.
fn is_upgrade(request: &http::Request<Incoming>) -> bool {
    let asked = request.headers().get_all(header::UPGRADE);
    request.method() == Method::CONNECT || asked.iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"h2c"))
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
    let sender = Sender { address: Some(peer.ip().to_canonical()), scheme: "http", host };
    let policy = RequestHeaders::new(sender, proxies, values("connection"));
    let mut headers = HeaderMap::with_capacity(inbound.len() + identity.len());
    for (name, value) in inbound.iter().filter(|(name, _)| policy.has(name.as_str())) {
        headers.append(name, value.clone());
    }
    for (name, value) in policy.forwarded(values) {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(&value).ok()?);
    }
    for (name, value) in identity {
        headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    Some(headers)
}

/// Removes the headers of one connection, those that `Connection` names included.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let hop_by_hop = HopByHop::new(headers.get_all(header::CONNECTION).iter().map(HeaderValue::as_bytes));
    let ending: Vec<HeaderName> = headers.keys().filter(|name| hop_by_hop.has(name.as_str())).cloned().collect();
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
