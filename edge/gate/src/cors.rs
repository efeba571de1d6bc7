//! Cross-origin requests of browsers (Fetch standard, section 3.3): answers preflight requests, and
//! adds to responses the headers by which a page may read them.
//!
//! CORS authorizes no request: a page needs the token that every client needs.

use tollgate_core::Cors;

use crate::message::{Header, Request, Response};

/// Longest list of header names that a preflight request may ask for, in bytes.
const MAX_REQUESTED_HEADERS_BYTES: usize = 4096;
/// Response headers of the gate that pages may read, in addition to those of the rule.
const EXPOSED_HEADERS: &str = "WWW-Authenticate, DPoP-Nonce, Retry-After";
const ALLOW_ORIGIN: &str = "access-control-allow-origin";

/// The question of a browser whether a page may send a request.
pub(crate) struct Preflight<'a> {
    origin: &'a str,
    /// The method of the request that the page wants to send.
    pub(crate) method: &'a str,
    headers: &'a str,
}

impl<'a> Preflight<'a> {
    /// Reads a preflight request; none if the request is another one.
    pub(crate) fn read(request: &Request<'a>) -> Option<Self> {
        if request.method != "OPTIONS" {
            return None;
        }
        let method = only_value(request, "access-control-request-method")?;
        let headers = match request.header("access-control-request-headers").next() {
            None => "",
            Some(_) => only_value(request, "access-control-request-headers")?,
        };
        let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let origin = only_value(request, "origin")?;
        (is_method && headers.len() <= MAX_REQUESTED_HEADERS_BYTES).then_some(Self { origin, method, headers })
    }

    /// The answer by the rule for the method.
    pub(crate) fn answer(&self, cors: &Cors) -> Response {
        if !allows_origin(cors, self.origin) {
            return refuse("the route does not allow this origin");
        }
        let is_listed =
            |list: &[String], name: &str| list.iter().any(|one| one == "*" || one.eq_ignore_ascii_case(name));
        if !cors.methods.is_empty() && !is_listed(&cors.methods, self.method) {
            return refuse("the route does not allow this method");
        }
        let mut requested = self.headers.split(',').map(str::trim).filter(|name| !name.is_empty());
        if !requested.clone().all(is_header_name) {
            return refuse("Access-Control-Request-Headers is malformed");
        }
        if !cors.headers.is_empty() && !requested.all(|name| is_listed(&cors.headers, name)) {
            return refuse("the route does not allow one of these headers");
        }
        let mut response = Response::new(204).with(ALLOW_ORIGIN, allowed_origin(cors, self.origin));
        response = response.with("access-control-allow-methods", self.method);
        if !self.headers.is_empty() {
            response = response.with("access-control-allow-headers", self.headers);
        }
        if cors.allows_credentials {
            response = response.with("access-control-allow-credentials", "true");
        }
        if let Some(seconds) = cors.max_age {
            response = response.with("access-control-max-age", seconds.to_string());
        }
        response.with("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
    }
}

/// The headers by which pages of allowed origins may read a response.
pub(crate) fn response_headers(cors: &Cors, request: &Request<'_>) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::new();
    if !is_for_all(cors) {
        headers.push(("vary".into(), "Origin".to_owned())); // also without an origin: caches keep the response
    }
    let origin = only_value(request, "origin").unwrap_or_default();
    if !is_for_all(cors) && !allows_origin(cors, origin) {
        return headers;
    }
    headers.push((ALLOW_ORIGIN.into(), allowed_origin(cors, origin)));
    if cors.allows_credentials {
        headers.push(("access-control-allow-credentials".into(), "true".to_owned()));
    }
    let mut exposed = EXPOSED_HEADERS.to_owned();
    for name in &cors.expose {
        exposed.push_str(", ");
        exposed.push_str(name);
    }
    headers.push(("access-control-expose-headers".into(), exposed));
    headers
}

/// Those of a decision's response headers that a host adds to a response: none if the upstream has
/// decided on cross-origin requests by itself. `has` says whether the response has a header.
pub fn added_response_headers<T>(headers: &[T], has: impl Fn(&str) -> bool) -> &[T] {
    if headers.is_empty() || has(ALLOW_ORIGIN) { &[] } else { headers }
}

fn refuse(why: &str) -> Response {
    let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    Response::error(403, "cross_origin_request_refused", why).with("vary", vary)
}

/// Whether all pages may read the response, which then is the same for all.
fn is_for_all(cors: &Cors) -> bool {
    !cors.allows_credentials && cors.origins.iter().any(|origin| origin == "*")
}

fn allowed_origin(cors: &Cors, origin: &str) -> String {
    if is_for_all(cors) { "*" } else { origin }.to_owned()
}

fn allows_origin(cors: &Cors, origin: &str) -> bool {
    cors.origins.iter().any(|allowed| allowed == "*" || allowed == origin || is_subdomain(allowed, origin))
}

/// Whether the origin is one of `https://*.example`: a host below `example`, with the same scheme
/// and port.
fn is_subdomain(pattern: &str, origin: &str) -> bool {
    let Some((scheme, domain)) = pattern.split_once('*') else { return false };
    let name = origin.strip_prefix(scheme).and_then(|host| host.strip_suffix(domain));
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    name.is_some_and(|name| !name.is_empty() && domain.starts_with('.') && name.bytes().all(is_host_byte))
}

fn is_header_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The value of a header that occurs once and is text.
fn only_value<'a>(request: &Request<'a>, name: &str) -> Option<&'a str> {
    let mut values = request.header(name);
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    std::str::from_utf8(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Connection;

    fn cors(origins: &[&str]) -> Cors {
        Cors { origins: origins.iter().map(|origin| (*origin).to_owned()).collect(), ..Cors::default() }
    }

    #[test]
    fn origins_are_compared_whole() {
        let cors = cors(&["https://app.example", "https://*.preview.example", "http://localhost:3000"]);
        for origin in
            ["https://app.example", "https://a.preview.example", "https://a.b.preview.example", "http://localhost:3000"]
        {
            assert!(allows_origin(&cors, origin), "{origin}");
        }
        for origin in [
            "",
            "null",
            "http://app.example",
            "https://app.example:8443",
            "https://app.example.evil.example",
            "https://evilapp.example",
            "https://preview.example",
            "https://.preview.example",
            "https://evilpreview.example",
            "https://evil.example/.preview.example",
            "https://a.preview.example:8443",
            "https://a@b.preview.example",
            "http://localhost",
            "*",
        ] {
            assert!(!allows_origin(&cors, origin), "{origin}");
        }
    }

    #[test]
    fn responses_for_all_origins_are_the_same_for_all() {
        let headers: [(&str, &[u8]); 1] = [("origin", b"https://app.example")];
        let with = Request { method: "GET", target: "/", headers: &headers, connection: Connection::default() };
        let without = Request { headers: &[], ..with };
        let all = cors(&["*"]);
        assert_eq!(response_headers(&all, &with), response_headers(&all, &without));
        let some = cors(&["https://app.example"]);
        assert_eq!(response_headers(&some, &without), [("vary".into(), "Origin".to_owned())]);
        assert_eq!(response_headers(&some, &with)[1], (ALLOW_ORIGIN.into(), "https://app.example".to_owned()));
    }

    #[test]
    fn upstream_that_answers_cors_itself_is_not_contradicted() {
        let headers = [("vary", "Origin".to_owned())];
        assert_eq!(added_response_headers(&headers, |_| false), headers);
        assert!(added_response_headers(&headers, |name| name == ALLOW_ORIGIN).is_empty());
    }
}
