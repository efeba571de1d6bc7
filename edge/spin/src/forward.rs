//! Passing an allowed request to the upstream and its answer back, both bodies streamed by the host.

use crate::http::{self, Body};
use crate::state::Edge;
use spin_sdk::http::Request;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Method, Response};
use spin_sdk::wasip3::{spawn, wit_future};
use tollgate_gate::{HopByHopHeaders, Peer, RequestHeaderPolicy};

/// Limit on connecting to the upstream, in milliseconds.
const CONNECT_TIMEOUT_MS: u64 = 5_000;
/// Limit on every pause in the upstream's answer, in milliseconds; Spin's own.
const PAUSE_MS: u64 = 600_000;
/// What a client may take to send a body: this, in milliseconds, and so many bytes a second behind it.
const BODY_MS: u64 = 20_000;
const BODY_BYTES_PER_SECOND: u64 = 500;

/// Sends the request to the upstream with the identity set, and hands back the upstream's answer; 502 if there is none, 504 if
/// there is none in time.
pub(crate) async fn forward(
    edge: &Edge,
    request: Request,
    identity: &[(&'static str, String)],
) -> Result<Response, ErrorCode> {
    let url = format!("{}{}", edge.gate().settings().upstream, http::target(&request));
    let method = Method::from(request.method());
    let headers = outbound_headers(edge, &request, identity);
    let first_byte_ms = edge.gate().settings().upstream_timeout_ms.saturating_add(body_ms(&request));
    let send = async |headers, body| {
        let options = http::timeouts(nanos(CONNECT_TIMEOUT_MS), nanos(first_byte_ms), nanos(PAUSE_MS));
        client::send(http::request(&method, &url, headers, body, Some(options))?).await
    };
    let answer = if has_body(&request) {
        send(headers, request_body(request)).await
    } else {
        let is_idempotent = request.method().is_idempotent();
        match send(headers.clone(), None).await {
            // A kept connection that the upstream closed in the moment of its use (RFC 9112 section 9.3.1).
            Err(code) if is_idempotent && is_broken_connection(&code) => send(headers, None).await,
            answer => answer,
        }
    };
    match answer {
        Ok(answer) => pass_back(answer),
        Err(ErrorCode::ConnectionReadTimeout | ErrorCode::HttpResponseTimeout) => {
            http::json_error(504, "gateway_timeout", "the upstream did not answer in time")
        }
        Err(code) => {
            eprintln!("tollgate: the upstream cannot be reached: {code}");
            http::json_error(502, "bad_gateway", "the upstream cannot be reached")
        }
    }
}

fn nanos(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

/// Whether a connection may have ended before the request was taken, however the host calls that.
fn is_broken_connection(code: &ErrorCode) -> bool {
    matches!(code, ErrorCode::ConnectionTerminated | ErrorCode::HttpResponseIncomplete | ErrorCode::HttpProtocolError)
}

/// How long the client may take to send the body, milliseconds: the host counts that as waiting for the upstream.
fn body_ms(request: &Request) -> u64 {
    if !has_body(request) {
        return 0;
    }
    let length = request.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    length.map_or(PAUSE_MS, |length| BODY_MS.saturating_add(length.saturating_mul(1000) / BODY_BYTES_PER_SECOND))
}

/// A request without a length carries no body if its method gives one no meaning (RFC 9110 section 9.3); for the others
/// the stream tells.
fn has_body(request: &Request) -> bool {
    match request.headers().get("content-length") {
        Some(length) => length != "0",
        None => !matches!(request.method().as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE"),
    }
}

/// The client's headers as far as they go on, where the request came from, and who the client is.
fn outbound_headers(edge: &Edge, request: &Request, identity: &[(&'static str, String)]) -> Vec<(String, Vec<u8>)> {
    let values = |name: &str| http::values(request, name).collect::<Vec<_>>();
    let scheme = if http::came_by_https(request) { "https" } else { "http" };
    let authority = || request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let host = http::values(request, "host").next().or_else(authority);
    let sender = Peer { address: http::client_address(request), scheme, host };
    let policy = RequestHeaderPolicy::new(sender, &edge.proxies, values("connection"));
    let passes = |name: &str| policy.passes(name) && !name.starts_with("spin-");
    let passing = request.headers().iter().filter(|(name, _)| passes(name.as_str()));
    let mut headers: Vec<(String, Vec<u8>)> =
        passing.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    headers.extend(policy.forwarding_headers(values).into_iter().map(|(name, value)| (name.to_owned(), value)));
    headers.extend(identity.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes())));
    headers
}

/// The inbound body as streams to hand on. What becomes of them outbound is told to the host, which then stops reading.
fn request_body(request: Request) -> Option<Body> {
    let inbound = request.into_body().take_unstarted()?;
    let (done, result) = wit_future::new(|| Ok(()));
    let (contents, trailers) = spin_sdk::wasip3::http::types::Request::consume_body(inbound, result);
    Some(Body { contents, trailers, done })
}

/// The upstream's answer without the headers of its connection; the body goes from host to host.
fn pass_back(answer: Response) -> Result<Response, ErrorCode> {
    let status = answer.get_status_code();
    let mut headers = answer.get_headers().copy_all();
    let connection = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    let hop_by_hop = HopByHopHeaders::new(connection.map(|(_, value)| value.as_slice()));
    headers.retain(|(name, _)| !hop_by_hop.contains(name));
    let headers = Fields::from_list(&headers).map_err(http::internal)?;
    let (done, result) = wit_future::new(|| Ok(()));
    let (contents, trailers) = Response::consume_body(answer, result);
    let (response, sent) = Response::new(headers, Some(contents), trailers);
    response.set_status_code(status).map_err(|()| http::internal("the upstream's status is no status"))?;
    spawn(async move {
        // Whoever reads no more does not care; there is nobody left to tell.
        let _ = done.write(sent.await).await;
    });
    Ok(response)
}
