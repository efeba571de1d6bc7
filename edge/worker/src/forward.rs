//! Forwards an allowed request to the upstream. The runtime streams both bodies.

use std::{net::IpAddr, rc::Rc};

use tollgate_gate::{Forward, Header, Peer, RequestHeaderPolicy, StreamPolicy, added_response_headers};
use worker::{Context, Env, Result, console_error, web_sys};

use crate::{
    http,
    isolate::Isolate,
    observe::{self, Stopwatch},
    streams::{self, StreamWatch},
};

/// Sends the request with the identity headers and returns the upstream's response; 502 if the
/// upstream cannot be reached.
pub(crate) async fn forward(
    isolate: &Rc<Isolate>,
    env: &Env,
    context: &Rc<Context>,
    request: &web_sys::Request,
    allowed: &Forward,
) -> Result<web_sys::Response> {
    let body = body(request);
    if body.is_some() && matches!(request.method().as_str(), "GET" | "HEAD") {
        return http::json_error(501, "not_implemented", "this edge cannot forward a GET or HEAD request with a body");
    }
    let url = format!("{}{}", isolate.gate.borrow().settings().upstream, http::target(request));
    let init = web_sys::RequestInit::new();
    init.set_method(&request.method());
    let headers = outbound_headers(isolate, request, allowed)?;
    if is_upgrade(request) {
        headers.set("upgrade", "websocket")?;
    }
    init.set_headers_headers(&headers);
    // The client follows redirects itself. The edge must not send its token to another host.
    init.set_redirect(web_sys::RequestRedirect::Manual);
    init.set_body_opt_readable_stream(body.as_ref());
    let started = Stopwatch::start();
    let fetched = http::fetch(&url, &init).await;
    let response = match fetched {
        Ok(response) => {
            isolate.gate.borrow().counters().upstream_responded(started.elapsed());
            let ends_with_token = allowed.route.streams == StreamPolicy::End;
            match ends_with_token && streams::may_last(&response) {
                true => streams::watch(response, StreamWatch::new(isolate, env, context, request))?,
                false => response,
            }
        }
        Err(why) => {
            isolate.gate.borrow().counters().upstream_failed();
            console_error!("tollgate: the upstream cannot be reached: {why}");
            http::json_error(502, "bad_gateway", "the upstream cannot be reached")?
        }
    };
    with_headers(response, &allowed.response_headers)
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

/// The body's stream; none if its declared length is 0.
fn body(request: &web_sys::Request) -> Option<web_sys::ReadableStream> {
    let length = request.headers().get("content-length").ok().flatten();
    request.body().filter(|_| length.as_deref() != Some("0"))
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
