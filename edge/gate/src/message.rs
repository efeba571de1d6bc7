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
    /// Let it pass: send it to the upstream without the inbound headers that [`is_reserved_header`] names, with these set.
    Forward {
        /// The verified identity; empty on a public route without a token.
        identity: Vec<Header>,
    },
    /// Send this; the upstream never sees the request.
    Answer(Response),
    /// Read the body, at most [`MAX_PUSH_BYTES`](crate::MAX_PUSH_BYTES) of it, and hand it to [`Gate::push`](crate::Gate::push).
    Push,
}

/// Headers by which some frameworks let a client run another method or path than the one it asked for, and was judged by.
const REWRITING: [&str; 5] =
    ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"];

/// Whether a client's header of this name must not reach the upstream: the identity is the gate's to tell, and the request's
/// method and path are the judged ones. `_` counts as `-`: servers in the tradition of CGI cannot tell the two apart, and a
/// client must not speak for the gate through that gap.
pub fn is_reserved_header(name: &str) -> bool {
    let normal = name.to_ascii_lowercase().replace('_', "-");
    normal.starts_with("x-tollgate-") || REWRITING.contains(&normal.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_headers_are_known_in_every_spelling() {
        for name in [
            "x-tollgate-subject",
            "X-Tollgate-Subject",
            "X_TOLLGATE_SUBJECT",
            "x-tollgate_scope",
            "x-tollgate-",
            "X-HTTP-Method-Override",
            "X_Rewrite_URL",
        ] {
            assert!(is_reserved_header(name), "{name}");
        }
        for name in ["x-tollgate", "xtollgate-subject", "authorization", "x-tollgates-a", ""] {
            assert!(!is_reserved_header(name), "{name}");
        }
    }
}
