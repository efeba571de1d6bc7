//! Requests and answers as the gate sees them: no platform's types, nothing streamed.

use crate::json::JsonObject;

/// What the client asks for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method as sent.
    pub method: &'a str,
    /// Path and query as sent, e.g. `/reports/7?page=2`.
    pub target: &'a str,
    /// Every header in order of arrival; repeated ones stand repeated. Names compare without case.
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl<'a> Request<'a> {
    /// The values of the header `name`, in lower case.
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

/// A header that the gate writes.
pub type Header = (&'static str, String);

/// An answer that the adapter sends as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers, each name once.
    pub headers: Vec<Header>,
    /// The body; the headers say its type.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer of JSON that nobody may cache.
    pub fn json(status: u16, body: JsonObject) -> Self {
        let headers = vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())];
        Self { status, headers, body: body.into_text().into_bytes() }
    }

    /// An error in the form of RFC 6749 section 5.2, which RFC 6750 and the token endpoint share.
    pub fn error(status: u16, code: &str, description: &str) -> Self {
        Self::json(status, JsonObject::new().text("error", code).text("error_description", description))
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Let it pass: send it to the upstream with the headers that [`RequestHeaders`](crate::RequestHeaders) leaves and gives, and
    /// with these set.
    Forward {
        /// The verified identity; empty on a public route without a token.
        identity: Vec<Header>,
    },
    /// Send this; the upstream never sees the request.
    Answer(Response),
    /// The answer depends on word of the origin's that is fresher: await a fetch, or do not if [`BackOff`](crate::BackOff) says
    /// so, and decide again as one that has waited.
    Wait,
    /// Read the body, at most [`MAX_PUSH_BYTES`](crate::MAX_PUSH_BYTES) of it, and hand it to [`Gate::push`](crate::Gate::push).
    Push,
}
