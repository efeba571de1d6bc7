//! Forwards an allowed request to the upstream. The host streams both bodies.

use crate::edge::Edge;
use crate::http::{self, Body};
use crate::observe::{self, Stopwatch};
use crate::shared;
use crate::{streams, with_gate_request};
use spin_sdk::http::Request;
#[cfg(not(feature = "middleware"))]
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{self, ErrorCode, Fields, Method, Response};
use spin_sdk::wasip3::http_compat::IncomingRequestBody;
use spin_sdk::wasip3::{spawn, wit_future};
use std::rc::Rc;
use std::time::Duration;
use tollgate_gate::{
    Forward, HopByHopHeaders, Peer, RequestHeaderPolicy, Response as GateResponse, StreamPolicy,
    added_response_headers, rate_limited, server_timing,
};

const CONNECT_TIMEOUT_MS: u64 = 5_000;
/// Limit on each pause in the upstream's response; Spin has the same.
const RESPONSE_READ_TIMEOUT_MS: u64 = 600_000;
/// Time for a request's body, extended by its bytes at the minimum rate.
const REQUEST_BODY_TIMEOUT_MS: u64 = 20_000;
const MIN_BYTES_PER_SECOND: u64 = 500;

/// Sends the request with the identity headers to the upstream of its route and returns the
/// upstream's response; 502 if the upstream cannot be reached, 504 if it does not answer in time,
/// 429, 413 or 411 where the route does not allow the request. `decided` is how long the gate
/// took.
pub(crate) async fn forward(
    edge: &Rc<Edge>,
    request: Request,
    allowed: &Forward,
    decided: Duration,
) -> Result<Response, ErrorCode> {
    if let Some(limit) = &allowed.route.rate_limit
        && let Err(seconds) = shared::count_request(limit, http::client_address(&request))
    {
        return refused(allowed, &rate_limited(seconds));
    }
    if let Some(refusal) = refuse_body(&request, allowed.route.max_body_bytes) {
        return refused(allowed, &refusal);
    }
    let Some(upstream) = upstream(edge, &request, allowed.route.upstream.as_deref()) else {
        eprintln!("tollgate: the route's upstream is not in TOLLGATE_EDGE_UPSTREAMS");
        return refused(allowed, &GateResponse::error(502, "bad_gateway", "this edge has no such upstream"));
    };
    let started = Stopwatch::start();
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts, ());
    let url = format!("{upstream}{}", http::target(&request));
    let method = Method::from(request.method());
    let headers = outbound_headers(edge, &request, allowed);
    let timeout_ms = allowed.route.timeout_ms.unwrap_or_else(|| edge.gate().settings().upstream_timeout_ms);
    let first_byte_ms = timeout_ms.saturating_add(body_time_ms(&request));
    let send = async |headers, body| {
        let options = http::timeouts(nanos(CONNECT_TIMEOUT_MS), nanos(first_byte_ms), nanos(RESPONSE_READ_TIMEOUT_MS));
        transmit(http::request(&method, &url, headers, body, Some(options))?).await
    };
    let result = if has_body(&request) {
        send(headers, request_body(body)).await
    } else {
        let is_idempotent = request.method().is_idempotent();
        match send(headers.clone(), None).await {
            // The upstream closed the pooled connection meanwhile (RFC 9112 section 9.3.1).
            Err(code) if is_idempotent && is_broken_connection(&code) => send(headers, None).await,
            result => result,
        }
    };
    let took = started.elapsed();
    match &result {
        Ok(_) => edge.gate().counters().upstream_responded(took),
        Err(_) => edge.gate().counters().upstream_failed(),
    }
    match result {
        Ok(response) => {
            let timing = edge.gate().settings().server_timing.then(|| server_timing(decided, Some(took)));
            pass_back(edge, &request, response, allowed, timing)
        }
        Err(ErrorCode::ConnectionReadTimeout | ErrorCode::HttpResponseTimeout) => {
            refused(allowed, &GateResponse::error(504, "gateway_timeout", "the upstream did not answer in time"))
        }
        Err(code) => {
            eprintln!("tollgate: the upstream cannot be reached: {code}");
            refused(allowed, &GateResponse::error(502, "bad_gateway", "the upstream cannot be reached"))
        }
    }
}

/// URL of the upstream of this name, or of the default one; none if the name is not in the
/// settings.
#[cfg(not(feature = "middleware"))]
fn upstream(edge: &Edge, _request: &Request, name: Option<&str>) -> Option<String> {
    match name {
        Some(name) => edge.upstreams.url(name).map(str::to_owned),
        None => Some(edge.gate().settings().upstream.clone()),
    }
}

/// The request's own address: the next component decides what it is for.
#[cfg(feature = "middleware")]
fn upstream(_edge: &Edge, request: &Request, _name: Option<&str>) -> Option<String> {
    let scheme = if http::is_https(request) { "https" } else { "http" };
    request.uri().authority().map(|authority| format!("{scheme}://{authority}"))
}

/// Sends a request to the upstream.
#[cfg(not(feature = "middleware"))]
async fn transmit(request: types::Request) -> Result<Response, ErrorCode> {
    client::send(request).await
}

/// Hands a request to the next component of Spin's chain.
#[cfg(feature = "middleware")]
async fn transmit(request: types::Request) -> Result<Response, ErrorCode> {
    spin_sdk::http::IntoResponse::into_response(spin_sdk::http::next(request).await?)
}

/// A response of this edge to an allowed request, with the headers that the route adds to every
/// one.
fn refused(allowed: &Forward, response: &GateResponse) -> Result<Response, ErrorCode> {
    let has = |name: &str| response.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let added: Vec<_> = added_response_headers(&allowed.response_headers, has).to_vec();
    let mut response = response.clone();
    response.headers.extend(added);
    http::from_gate(response)
}

/// Refuses a body that is larger than the route allows. The host streams bodies without the
/// component, which cannot count those of undeclared length.
fn refuse_body(request: &Request, max_bytes: Option<u64>) -> Option<GateResponse> {
    let max_bytes = max_bytes.filter(|_| has_body(request))?;
    let length = request.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length <= max_bytes => None,
        Some(_) => Some(GateResponse::error(413, "too_large", "the request's body is larger than this route allows")),
        None => Some(GateResponse::error(411, "length_required", "this route needs the length of the request's body")),
    }
}

fn nanos(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

/// Whether the connection may have ended before the upstream read the request. Hosts use several
/// codes.
fn is_broken_connection(code: &ErrorCode) -> bool {
    matches!(code, ErrorCode::ConnectionTerminated | ErrorCode::HttpResponseIncomplete | ErrorCode::HttpProtocolError)
}

/// Time in which the client may send the body. The host counts it as time of the upstream.
fn body_time_ms(request: &Request<()>) -> u64 {
    if !has_body(request) {
        return 0;
    }
    let length = request.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    length.map_or(RESPONSE_READ_TIMEOUT_MS, |length| {
        REQUEST_BODY_TIMEOUT_MS.saturating_add(length.saturating_mul(1000) / MIN_BYTES_PER_SECOND)
    })
}

/// Without a length, a request has no body if a body has no meaning for its method (RFC 9110
/// section 9.3). For other methods, the body may turn out to be empty.
fn has_body<B>(request: &Request<B>) -> bool {
    match request.headers().get("content-length") {
        Some(length) => length != "0",
        None => !matches!(request.method().as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE"),
    }
}

/// The headers for the upstream: the client's that the policy passes, the forwarding headers and
/// the identity.
fn outbound_headers(edge: &Edge, request: &Request<()>, allowed: &Forward) -> Vec<(String, Vec<u8>)> {
    let values = |name: &str| http::values(request, name).collect::<Vec<_>>();
    let scheme = if http::is_https(request) { "https" } else { "http" };
    let authority = || request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let host = http::values(request, "host").next().or_else(authority);
    let peer = Peer { address: http::client_address(request), scheme, host };
    let policy = RequestHeaderPolicy::new(peer, &edge.trusted_proxies, values("connection"));
    let policy = policy.without(&allowed.removed_headers);
    let passes = |name: &str| policy.passes(name) && !name.starts_with("spin-");
    let passed = request.headers().iter().filter(|(name, _)| passes(name.as_str()));
    let mut headers: Vec<(String, Vec<u8>)> =
        passed.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    headers.extend(policy.forwarding_headers(values).into_iter().map(|(name, value)| (name.to_owned(), value)));
    headers.extend(allowed.identity.iter().map(|(name, value)| (name.to_string(), value.clone().into_bytes())));
    observe::continue_trace(edge, &mut headers);
    headers
}

/// The inbound body as streams for the outbound request. When the outbound request ends, the host
/// learns the result and stops reading.
fn request_body(mut inbound: IncomingRequestBody) -> Option<Body> {
    let inbound = inbound.take_unstarted()?;
    let (done, result) = wit_future::new(|| Ok(()));
    let (contents, trailers) = types::Request::consume_body(inbound, result);
    Some(Body { contents, trailers, done })
}

/// The upstream's response without hop-by-hop headers, with those that the decision adds, and with
/// `Server-Timing` if it is given. The host streams the body, unless it may last.
fn pass_back(
    edge: &Rc<Edge>,
    request: &Request<()>,
    response: Response,
    allowed: &Forward,
    timing: Option<String>,
) -> Result<Response, ErrorCode> {
    let status = response.get_status_code();
    let mut headers = response.get_headers().copy_all();
    let connection = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    let hop_by_hop = HopByHopHeaders::new(connection.map(|(_, value)| value.as_slice()));
    headers.retain(|(name, _)| !hop_by_hop.contains(name));
    let has = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let added = added_response_headers(&allowed.response_headers, has);
    headers.extend(added.iter().map(|(name, value)| (name.to_string(), value.clone().into_bytes())));
    headers.extend(timing.map(|timing| ("server-timing".to_owned(), timing.into_bytes())));
    let is_watched = allowed.route.streams == StreamPolicy::End && streams::may_last(&headers);
    let headers = Fields::from_list(&headers).map_err(http::internal)?;
    let (done, result) = wit_future::new(|| Ok(()));
    let (mut contents, mut trailers) = Response::consume_body(response, result);
    if is_watched {
        let ticket = with_gate_request(edge, request, |gate, request| gate.stream_ticket(request));
        (contents, trailers) = streams::watch(edge, ticket, contents, trailers);
    }
    let (response, sent) = Response::new(headers, Some(contents), trailers);
    response.set_status_code(status).map_err(|()| http::internal("the upstream's status is invalid"))?;
    spawn(async move {
        // Fails if the upstream's body is no longer being read.
        let _ = done.write(sent.await).await;
    });
    Ok(response)
}
