//! A request to an upstream, which can be sent again while nothing of its body was sent.

use crate::response::{Body, BodyError, full};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Uri};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, SizeHint};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::time::Instant;

/// A request without an upstream's address.
pub(super) struct Outgoing {
    pub(super) method: Method,
    /// Path and query.
    target: String,
    headers: HeaderMap,
    /// Whether the connection is to be upgraded.
    pub(super) is_upgrade: bool,
    /// None if the request has no body.
    body: Option<SharedBody>,
}

impl Outgoing {
    /// The request of these parts, with other headers.
    pub(super) fn new(parts: Parts, headers: HeaderMap, body: Body, is_upgrade: bool) -> Outgoing {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let body = (!body.is_end_stream()).then(|| SharedBody(Arc::new(Mutex::new(State::new(body)))));
        Outgoing { method: parts.method, target, headers, is_upgrade, body }
    }

    /// Whether nothing of a body was sent.
    pub(super) fn is_body_unsent(&self) -> bool {
        self.body.as_ref().is_none_or(|body| !body.lock().is_started)
    }

    /// The request with this URL of an upstream. Only a request that `may_be_sent_again` keeps its
    /// headers.
    pub(super) fn request(&mut self, url: &str, may_be_sent_again: bool) -> Result<http::Request<Body>, http::Error> {
        let uri: Uri = format!("{url}{}", self.target).parse()?;
        let body = match &self.body {
            Some(body) => {
                body.lock().waiting_since = Some(Instant::now());
                SharedBody(Arc::clone(&body.0)).boxed_unsync()
            }
            None => full(""),
        };
        let mut request = http::Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = if may_be_sent_again { self.headers.clone() } else { mem::take(&mut self.headers) };
        Ok(request)
    }

    /// Why the client's body failed, if it did: then the upstream is not to blame for a request
    /// that failed. Over HTTP/2, the error of the request does not say so.
    pub(super) fn take_body_failure(&self) -> Option<BodyError> {
        self.body.as_ref().and_then(|body| body.lock().failure.take())
    }

    /// Time since which the edge waits for the upstream to read the body or to answer, if it sent
    /// the request at this time; none while it waits for the client's body, whose time
    /// [`TimedBody`](crate::timed_body::TimedBody) limits.
    pub(super) fn waiting_since(&self, sent: Instant) -> Option<Instant> {
        self.body.as_ref().map_or(Some(sent), |body| body.lock().waiting_since)
    }
}

/// A client's body, which the attempts to send a request share.
struct SharedBody(Arc<Mutex<State>>);

struct State {
    body: Body,
    is_started: bool,
    waiting_since: Option<Instant>,
    failure: Option<BodyError>,
}

impl State {
    fn new(body: Body) -> State {
        State { body, is_started: false, waiting_since: None, failure: None }
    }
}

impl SharedBody {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl hyper::body::Body for SharedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.lock();
        let polled = Pin::new(&mut state.body).poll_frame(context);
        state.is_started |= polled.is_ready();
        state.waiting_since = polled.is_ready().then(Instant::now);
        match polled {
            Poll::Ready(Some(Err(error))) => {
                state.failure = Some(error);
                Poll::Ready(Some(Err("the client's body failed".into())))
            }
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(method: &str, content: &'static str) -> Outgoing {
        let (parts, body) =
            http::Request::builder().method(method).uri("/x").body(full(content)).expect("valid").into_parts();
        Outgoing::new(parts, HeaderMap::new(), body, false)
    }

    #[tokio::test]
    async fn body_that_was_not_read_can_be_sent_again() {
        let mut outgoing = outgoing("POST", "content");
        let refused = outgoing.request("http://a", true).expect("a request");
        drop(refused);
        assert!(outgoing.is_body_unsent());
        let sent = outgoing.request("http://b", true).expect("a request");
        assert_eq!(sent.uri(), "http://b/x");
        assert_eq!(sent.into_body().collect().await.expect("no error").to_bytes(), "content");
        assert!(!outgoing.is_body_unsent());
    }

    #[tokio::test]
    async fn failure_of_the_clients_body_is_known_whatever_becomes_of_the_request() {
        let limited = http_body_util::Limited::new(full("content"), 3).boxed_unsync();
        let (parts, body) = http::Request::post("/x").body(limited).expect("valid").into_parts();
        let mut outgoing = Outgoing::new(parts, HeaderMap::new(), body, false);
        let sent = outgoing.request("http://a", false).expect("a request");
        assert!(outgoing.take_body_failure().is_none());
        assert!(sent.into_body().collect().await.is_err());
        let failure = outgoing.take_body_failure().expect("a failure");
        assert!(failure.is::<http_body_util::LengthLimitError>(), "{failure}");
    }

    #[test]
    fn request_without_a_body_has_nothing_to_send() {
        let outgoing = outgoing("GET", "");
        let sent = Instant::now();
        assert!(outgoing.is_body_unsent() && outgoing.waiting_since(sent) == Some(sent));
    }
}
