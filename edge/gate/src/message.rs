//! Requests and responses in the gate's own types: independent of the platform, without streaming.

use std::borrow::Cow;

use tollgate_core::{RateLimit, RateLimitKey, Route, StreamPolicy, TokenReference, VerifiedToken};

use crate::json::JsonObject;
use crate::routing::route_label;

/// A client's request, without its body.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method as sent.
    pub method: &'a str,
    /// Path and query as sent, e.g. `/reports/7?page=2`.
    pub target: &'a str,
    /// All headers in the order in which they arrived, repeated headers included. Names are
    /// compared without case.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// What the host knows of the connection.
    pub connection: Connection,
}

/// The connection by which a request arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Connection {
    /// Whether its scheme is `https`.
    pub is_https: bool,
    /// Whether the peer is a [trusted proxy](crate::TrustedProxies).
    pub is_from_trusted_proxy: bool,
    /// SHA-256 of the client's certificate, whose private key the TLS handshake has proven.
    pub client_certificate: Option<[u8; 32]>,
}

impl<'a> Request<'a> {
    /// The values of a header.
    pub(crate) fn header(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    pub(crate) fn path(&self) -> &'a str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    pub(crate) fn query(&self) -> &'a str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }
}

/// A header that the gate sets: its name in lower case, and its value.
pub type Header = (Cow<'static, str>, String);

/// A response that the host sends unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers; each name occurs once.
    pub headers: Vec<Header>,
    /// The body; `content-type` gives its type.
    pub body: Vec<u8>,
    /// What the body of an error says.
    pub(crate) error: Option<ErrorText>,
    /// Why a request was refused, for the log of the host; none in other responses.
    pub refused: Option<RefusedRequest>,
}

/// What a log says of a refused request. It has neither the token nor what the client chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRequest {
    /// One of [`REFUSAL_REASONS`](tollgate_core::REFUSAL_REASONS).
    pub reason: &'static str,
    /// The route rule, if one matched.
    pub route: Option<String>,
    /// The token's client, if its signature is good.
    pub client: Option<String>,
}

/// An error in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorText {
    /// Its code, for programs.
    pub(crate) code: String,
    /// Its description, for developers.
    pub(crate) description: String,
}

impl Response {
    /// A response without headers and body.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), error: None, refused: None }
    }

    /// A JSON response that must not be cached.
    pub fn json(status: u16, body: JsonObject) -> Self {
        let response = Self { body: body.into_text().into_bytes(), ..Self::new(status) };
        response.with("content-type", "application/json").with("cache-control", "no-store")
    }

    /// A JSON error as in RFC 6749 section 5.2: the form of all errors of the gate and of its
    /// hosts.
    pub fn error(status: u16, code: &str, description: &str) -> Self {
        let error = ErrorText { code: code.to_owned(), description: description.to_owned() };
        let body = JsonObject::new().text("error", code).text("error_description", description);
        Self { error: Some(error), ..Self::json(status, body) }
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(self, body: Vec<u8>) -> Self {
        Self { body, ..self }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        self.with_header(name, value.into())
    }

    // Not inlined, to keep components small.
    #[inline(never)]
    fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name.into(), value));
        self
    }
}

/// How to send an allowed request to the upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forward {
    /// Headers with the verified identity; none on a public route without a token.
    pub identity: Vec<Header>,
    /// Headers of the client that the upstream must not get, in addition to those that the
    /// [`RequestHeaderPolicy`](crate::RequestHeaderPolicy) removes: names under which it gets the
    /// identity, and `authorization` where the route removes the token.
    pub removed_headers: Vec<String>,
    /// Headers for the response, as far as
    /// [`added_response_headers`](crate::added_response_headers) says. They are for responses of
    /// the host to this request, too.
    pub response_headers: Vec<Header>,
    /// What the route rule says about forwarding.
    pub route: ForwardRoute,
}

/// What a route rule says about forwarding. Where a member is absent, the host does as its settings
/// say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForwardRoute {
    /// Name of the upstream.
    pub upstream: Option<String>,
    /// Time until the upstream must begin its response.
    pub timeout_ms: Option<u64>,
    /// Most bytes of the request's body.
    pub max_body_bytes: Option<u64>,
    /// The limit on the rate of such requests.
    pub rate_limit: Option<RouteRateLimit>,
    /// What happens to the exchange when the token is revoked or expires while it is open. Without
    /// a token, it continues.
    pub streams: StreamPolicy,
}

impl ForwardRoute {
    /// Forwards a request with this token; without one, there is none whose end could end a stream.
    pub(crate) fn new(route: &Route, token: Option<&VerifiedToken>) -> Self {
        let rate_limit = |limit: RateLimit| RouteRateLimit {
            rule: route_label(route),
            limit,
            holder: token.and_then(|token| match limit.by {
                RateLimitKey::Client => Some(token.client_id().to_owned()),
                RateLimitKey::Subject => Some(token.subject().to_owned()),
                RateLimitKey::Address => None,
            }),
        };
        Self {
            upstream: route.upstream().map(str::to_owned),
            timeout_ms: route.timeout_ms(),
            max_body_bytes: route.max_body_bytes(),
            rate_limit: route.rate_limit().map(rate_limit),
            streams: if token.is_some() { route.streams() } else { StreamPolicy::Continue },
        }
    }
}

/// The rate limit of a route rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRateLimit {
    /// Methods, hosts and path of the rule: each rule has its own counts.
    pub rule: String,
    /// The limit.
    pub limit: RateLimit,
    /// Client or subject whose requests are counted together; none if they are counted by address,
    /// as those without a token are.
    pub holder: Option<String>,
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Send the request to the upstream, with the headers that
    /// [`RequestHeaderPolicy`](crate::RequestHeaderPolicy) passes and adds, and with those of the
    /// identity.
    Forward(Forward),
    /// Send this response; the upstream gets nothing.
    Answer(Response),
    /// The decision needs a fresher replica: await a fetch, unless [`BackOff`](crate::BackOff)
    /// advises against it, and decide again with `has_waited` set.
    Wait,
    /// The decision depends on what the origin says of this token: ask it
    /// ([`Gate::next_introspection`](crate::Gate::next_introspection)), one question at a time for
    /// a token, and decide again with `has_waited` set. If this decision comes again, answer 503.
    Introspect(TokenReference),
    /// The request is a push from the origin: read the body, at most
    /// [`MAX_PUSH_BYTES`](crate::MAX_PUSH_BYTES), and pass it to [`Gate::push`](crate::Gate::push).
    Push,
}
