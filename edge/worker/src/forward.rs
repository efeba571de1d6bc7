//! Forwards an allowed request to the upstream. The runtime streams both bodies.

use std::{cell::Cell, net::IpAddr, rc::Rc};

use futures::StreamExt;
use tollgate_gate::{Forward, Header, Peer, RequestHeaderPolicy, StreamPolicy, added_response_headers};
use worker::{AbortController, Context, Env, ResponseBody, Result, console_error, web_sys};

use crate::{
    http,
    isolate::Isolate,
    observe::{self, Stopwatch},
    origin::within,
    rate_limit,
    streams::{self, StreamWatch},
};

/// Sends the request with the identity headers to the upstream of its route and returns the
/// upstream's response; 429, 413, 502 or 504 where the route or the upstream does not allow that.
pub(crate) async fn forward(
    isolate: &Rc<Isolate>,
    env: &Env,
    context: &Rc<Context>,
    request: &web_sys::Request,
    allowed: &Forward,
) -> Result<web_sys::Response> {
    let refused = match &allowed.route.rate_limit {
        Some(limit) => rate_limit::check(isolate, env, request, limit).await,
        None => None,
    };
    let response = match refused {
        Some(refused) => http::from_gate(&refused)?,
        None => send(isolate, env, context, request, allowed).await?,
    };
    with_headers(response, &allowed.response_headers)
}

async fn send(
    isolate: &Rc<Isolate>,
    env: &Env,
    context: &Rc<Context>,
    request: &web_sys::Request,
    allowed: &Forward,
) -> Result<web_sys::Response> {
    let body = match Body::of(request, allowed.route.max_body_bytes)? {
        Some(body) => body,
        None => return too_large(),
    };
    if body.stream.is_some() && matches!(request.method().as_str(), "GET" | "HEAD") {
        return http::json_error(501, "not_implemented", "this edge cannot forward a GET or HEAD request with a body");
    }
    let Some(upstream) = upstream(isolate, allowed.route.upstream.as_deref()) else {
        console_error!("tollgate: the route's upstream is not in TOLLGATE_EDGE_UPSTREAMS");
        return http::json_error(502, "bad_gateway", "this edge has no such upstream");
    };
    let url = format!("{upstream}{}", http::target(request));
    let init = web_sys::RequestInit::new();
    init.set_method(&request.method());
    let headers = outbound_headers(isolate, request, allowed)?;
    if is_upgrade(request) {
        headers.set("upgrade", "websocket")?;
    }
    init.set_headers_headers(&headers);
    // The client follows redirects itself. The edge must not send its token to another host.
    init.set_redirect(web_sys::RequestRedirect::Manual);
    init.set_body_opt_readable_stream(body.stream.as_ref());
    let started = Stopwatch::start();
    let fetched = match allowed.route.timeout_ms {
        Some(timeout_ms) => fetch_within(timeout_ms, &url, &init).await,
        None => Some(http::fetch(&url, &init).await),
    };
    match fetched {
        Some(Ok(response)) => {
            isolate.gate.borrow().counters().upstream_responded(started.elapsed());
            let ends_with_token = allowed.route.streams == StreamPolicy::End;
            match ends_with_token && streams::may_last(&response) {
                true => streams::watch(response, StreamWatch::new(isolate, env, context, request)),
                false => Ok(response),
            }
        }
        Some(Err(_)) if body.is_too_large.get() => too_large(),
        Some(Err(why)) => {
            isolate.gate.borrow().counters().upstream_failed();
            console_error!("tollgate: the upstream cannot be reached: {why}");
            http::json_error(502, "bad_gateway", "the upstream cannot be reached")
        }
        None => {
            isolate.gate.borrow().counters().upstream_failed();
            http::json_error(504, "gateway_timeout", "the upstream did not answer in time")
        }
    }
}

/// Sends a request whose response must begin within this time; none if it does not.
async fn fetch_within(
    timeout_ms: u64,
    url: &str,
    init: &web_sys::RequestInit,
) -> Option<std::result::Result<web_sys::Response, String>> {
    let abort = AbortController::default();
    init.set_signal(Some(&*abort.signal()));
    let fetched = within(timeout_ms, http::fetch(url, init)).await;
    if fetched.is_none() {
        abort.abort();
    }
    fetched
}

/// URL of the upstream of this name, or of the default one; none if the name is not in the
/// settings.
fn upstream(isolate: &Isolate, name: Option<&str>) -> Option<String> {
    match name {
        Some(name) => isolate.upstreams.url(name).map(str::to_owned),
        None => Some(isolate.gate.borrow().settings().upstream.clone()),
    }
}

fn too_large() -> Result<web_sys::Response> {
    http::json_error(413, "too_large", "the request's body is larger than this route allows")
}

/// Adds the headers of a decision to the response. Without any it stays as it is. In both cases the
/// runtime streams the body without the Worker.
fn with_headers(response: web_sys::Response, headers: &[Header]) -> Result<web_sys::Response> {
    let has = |name: &str| response.headers().has(name).unwrap_or_default();
    let added = added_response_headers(headers, has);
    // A WebSocket cannot be built again, and needs no such headers.
    if added.is_empty() || response.status() == 101 {
        return Ok(response);
    }
    http::with_added_headers(&response, added.iter().map(|(name, value)| (&**name, value.as_str())))
}

/// Whether the client asks for a WebSocket. Other offers of `Upgrade` (`h2c`, `TLS/1.2`) may be
/// ignored (RFC 9110 section 7.8).
fn is_upgrade(request: &web_sys::Request) -> bool {
    let offers = request.headers().get("upgrade").ok().flatten();
    offers.is_some_and(|offers| offers.split(',').any(|offer| offer.trim().eq_ignore_ascii_case("websocket")))
}

/// The body of a request, which the runtime streams.
struct Body {
    /// None if the request has none.
    stream: Option<web_sys::ReadableStream>,
    /// Whether a body without a declared length has turned out to be larger than the route allows.
    is_too_large: Rc<Cell<bool>>,
}

impl Body {
    /// The body within this limit; none if its declared length exceeds it. A body of undeclared
    /// length passes through the Worker, which counts it.
    fn of(request: &web_sys::Request, max_bytes: Option<u64>) -> Result<Option<Self>> {
        let is_too_large = Rc::new(Cell::new(false));
        let length = request.headers().get("content-length").ok().flatten();
        let stream = request.body().filter(|_| length.as_deref() != Some("0"));
        let (Some(max_bytes), Some(unlimited)) = (max_bytes, &stream) else {
            return Ok(Some(Self { stream, is_too_large }));
        };
        if let Some(length) = length {
            let fits = length.parse().is_ok_and(|length: u64| length <= max_bytes);
            return Ok(fits.then_some(Self { stream, is_too_large }));
        }
        let unlimited = worker::Response::from_body(ResponseBody::Stream(unlimited.clone()));
        let chunks = unlimited.and_then(|mut body| body.stream())?;
        let (mut bytes, flag) = (0, Rc::clone(&is_too_large));
        let counted = chunks.map(move |chunk| {
            let chunk = chunk?;
            bytes += chunk.len() as u64;
            if bytes > max_bytes {
                flag.set(true);
                return Err(worker::Error::from("the body is larger than the route allows"));
            }
            Ok(chunk)
        });
        let stream = web_sys::Response::from(worker::Response::from_stream(counted)?).body();
        Ok(Some(Self { stream, is_too_large }))
    }
}

/// The headers for the upstream: the client's that the policy passes, the forwarding headers and
/// the identity. The runtime sets `Host`, and `Content-Length` by the body that it sends.
fn outbound_headers(isolate: &Isolate, request: &web_sys::Request, allowed: &Forward) -> Result<web_sys::Headers> {
    let inbound = http::headers(&request.headers());
    let values = |name: &str| -> Vec<&[u8]> {
        inbound.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_bytes()).collect()
    };
    let url = request.url();
    let scheme = url.split_once("://").map_or("http", |(scheme, _)| scheme);
    let host = values("host").into_iter().next();
    let policy = RequestHeaderPolicy::new(
        Peer { address: client_address(&inbound), scheme, host },
        &isolate.trusted_proxies,
        values("connection"),
    )
    .without(&allowed.removed_headers);
    let outbound = web_sys::Headers::new()?;
    for (name, value) in &inbound {
        if policy.passes(name) && name != "content-length" {
            outbound.append(name, value)?;
        }
    }
    for (name, value) in policy.forwarding_headers(values) {
        outbound.append(name, &String::from_utf8_lossy(&value))?;
    }
    for (name, value) in &allowed.identity {
        outbound.set(name, value)?;
    }
    observe::continue_trace(isolate, &outbound)?;
    Ok(outbound)
}

/// The address of the peer. Cloudflare overwrites this header of the client.
pub(crate) fn client_address(inbound: &[(String, String)]) -> Option<IpAddr> {
    inbound.iter().find(|(name, _)| name == "cf-connecting-ip").and_then(|(_, address)| address.trim().parse().ok())
}
