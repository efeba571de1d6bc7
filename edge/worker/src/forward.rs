//! Passing an allowed request to the upstream and its answer back, both bodies streamed by the runtime.

use tollgate_gate::is_reserved_header;
use worker::{Result, console_error, web_sys};

use crate::{http, isolate::Isolate};

/// Headers of one connection (RFC 9110 section 7.6.1), which end here. `host` and `content-length` are among them because the
/// runtime writes the upstream's own, the length from the body that it really sends.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Sends the request to the upstream with the identity set, and hands back the upstream's answer; 502 if there is none.
pub(crate) async fn forward(
    isolate: &Isolate,
    request: &web_sys::Request,
    identity: &[(&'static str, String)],
) -> Result<web_sys::Response> {
    if is_upgrade(request) {
        return http::json_error(501, "not_implemented", "this edge does not pass protocol upgrades");
    }
    let body = body(request);
    if body.is_some() && matches!(request.method().as_str(), "GET" | "HEAD") {
        return http::json_error(501, "not_implemented", "this edge cannot pass a GET or HEAD request with a body");
    }
    let url = format!("{}{}", isolate.gate.borrow().settings().upstream, http::target(request));
    let init = web_sys::RequestInit::new();
    init.set_method(&request.method());
    init.set_headers_headers(&outbound_headers(request, identity)?);
    // The client follows redirects, with its own token; the edge must not carry that token to another place.
    init.set_redirect(web_sys::RequestRedirect::Manual);
    init.set_body_opt_readable_stream(body.as_ref());
    match http::fetch(&url, &init).await {
        // As it stands: the runtime sends an untouched answer on without looking into its body.
        Ok(response) => Ok(response),
        Err(why) => {
            console_error!("tollgate: the upstream cannot be reached: {why}");
            http::json_error(502, "bad_gateway", "the upstream cannot be reached")
        }
    }
}

/// Whether the client wants another protocol on this connection. `h2c` is an offer that a server may pass over.
fn is_upgrade(request: &web_sys::Request) -> bool {
    let wanted = request.headers().get("upgrade").ok().flatten();
    wanted.is_some_and(|protocol| !protocol.eq_ignore_ascii_case("h2c"))
}

/// The body's stream; a declared length of nothing is none.
fn body(request: &web_sys::Request) -> Option<web_sys::ReadableStream> {
    let length = request.headers().get("content-length").ok().flatten();
    request.body().filter(|_| length.as_deref() != Some("0"))
}

/// The client's headers without those that end here or are the gate's to set, then who the client is, then where from.
fn outbound_headers(request: &web_sys::Request, identity: &[(&'static str, String)]) -> Result<web_sys::Headers> {
    let inbound = http::headers(&request.headers());
    let outbound = web_sys::Headers::new()?;
    for (name, value) in &inbound {
        if !HOP_BY_HOP.contains(&name.as_str()) && !is_reserved_header(name) {
            outbound.append(name, value)?;
        }
    }
    for (name, value) in identity {
        outbound.set(name, value)?;
    }
    for (name, value) in forwarded(request, &inbound) {
        outbound.append(name, &value)?;
    }
    Ok(outbound)
}

/// This hop's own knowledge of where the request came from. It stands after what was said before, and only it is to be
/// trusted. Cloudflare itself has put the client's address into `X-Forwarded-For`.
fn forwarded(request: &web_sys::Request, inbound: &[(String, String)]) -> Vec<(&'static str, String)> {
    let url = request.url();
    let proto = url.split_once("://").map_or("http", |(scheme, _)| scheme);
    let host = inbound.iter().find(|(name, _)| name == "host").map(|(_, host)| host.clone());
    let mut said = vec![("x-forwarded-proto", proto.to_owned())];
    said.extend(host.map(|host| ("x-forwarded-host", host)));
    said
}
