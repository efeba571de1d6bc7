//! HTTP service of one connection: limits the length of the URI and the time for the body, checks
//! the host, and passes on the client's address and certificate.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::header::{CONNECTION, EXPECT, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, Version};
use axum::response::{IntoResponse as _, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tollgate_http::{Certificate, Problem};

use super::connection_timeouts::{ActiveRequest, Activity};
use crate::issuers::Dispatcher;

/// From the end of a request's head to the end of its body, which has at most 64 KiB.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest rest of a request body that is read before a response to it is sent: as much as
/// endpoints accept.
const MAX_DRAINED_BYTES: usize = 64 * 1024;
/// For reading that rest; it delays the response.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// Limit for path and query. The longest legitimate one is an authorization request with a signed
/// request object.
const MAX_URI_BYTES: usize = 16 * 1024;

/// Serves the requests of a connection.
pub(super) struct ConnectionService {
    pub(super) dispatcher: Dispatcher,
    pub(super) peer: SocketAddr,
    /// Client certificate from the TLS handshake.
    pub(super) certificate: Option<Certificate>,
    pub(super) activity: Arc<Activity>,
}

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

impl Service<Request<Incoming>> for ConnectionService {
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn call(&self, request: Request<Incoming>) -> ResponseFuture {
        let active_request = self.activity.begin_request();
        let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
        if uri > MAX_URI_BYTES {
            let problem = Problem::new(StatusCode::URI_TOO_LONG, "the path and query are longer than 16 KiB");
            return Box::pin(refuse(request, problem.into_response(), active_request));
        }
        if let Err(problem) = check_host(request.version(), request.uri(), request.headers()) {
            let mut response = Problem::new(StatusCode::BAD_REQUEST, problem).into_response();
            close_connection(request.version(), &mut response);
            return Box::pin(refuse(request, response, active_request));
        }
        let (version, waits_for_continue) = (request.version(), waits_for_continue(request.headers()));
        let outcome = Arc::new(BodyOutcome::default());
        let mut request = request.map(|body| match body.is_end_stream() {
            true => Body::empty(),
            false => Body::new(TimeoutBody::new(body, BODY_TIMEOUT, Arc::clone(&outcome))),
        });
        request.extensions_mut().insert(ConnectInfo(self.peer));
        if let Some(certificate) = &self.certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        let response = tower::Service::call(&mut self.dispatcher.clone(), request);
        Box::pin(async move {
            let Ok(mut response) = response.await;
            if outcome.has_timed_out.load(Ordering::Relaxed) {
                response = Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout while receiving the request body")
                    .into_response();
                // RFC 9110 §15.5.9.
                close_connection(version, &mut response);
            } else if let Some(body) = outcome.take_unread().filter(|_| !waits_for_continue) {
                drain(body).await;
            }
            Ok(track(response, active_request))
        })
    }
}

/// Answers a request that no issuer gets to see.
async fn refuse(
    request: Request<Incoming>,
    response: Response,
    active_request: ActiveRequest,
) -> Result<Response, Infallible> {
    if !waits_for_continue(request.headers()) {
        drain(request.into_body()).await;
    }
    Ok(track(response, active_request))
}

/// Whether the client sends the body only after an interim response (RFC 9110 §10.1.1). With the
/// final response it need not send it.
fn waits_for_continue(headers: &HeaderMap) -> bool {
    headers.contains_key(EXPECT)
}

/// Reads what is left of a small request body before the response is sent. Otherwise an HTTP/2
/// stream is reset after the response (RFC 9113 §8.1), and common clients, such as curl 7.88,
/// then lose the response.
async fn drain<B: HttpBody<Data = Bytes> + Unpin>(mut body: B) {
    let max_bytes = MAX_DRAINED_BYTES as u64;
    if body.is_end_stream() || body.size_hint().lower() > max_bytes {
        return;
    }
    let read = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > MAX_DRAINED_BYTES {
                return;
            }
        }
    };
    // A client that does not send the rest in time gets its response all the same.
    let _ = timeout(DRAIN_TIMEOUT, read).await;
}

/// Closes the connection after this response. HTTP/2 has no such header field; there only the
/// stream ends.
fn close_connection(version: Version, response: &mut Response) {
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Checks that a request names exactly one host (RFC 9112 §3.2, RFC 9113 §8.3.1). With two, a proxy
/// and this server could choose different ones.
fn check_host(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err("the request has more than one Host header field"),
        (None, None) if version == Version::HTTP_11 => return Err("the request has no Host header field"),
        (None, None) => return Ok(()),
        (Some(host), None) => host,
    };
    let host = Authority::try_from(host.as_bytes()).ok().filter(is_host_and_port);
    let host = host.ok_or("the Host header field is not a host and a port")?;
    match uri.authority() {
        Some(authority) if version == Version::HTTP_2 && *authority != host => Err("Host and :authority differ"),
        _ => Ok(()),
    }
}

/// Whether this is a host with an optional numeric port: no user information, no list.
fn is_host_and_port(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host()).map(|rest| rest.strip_prefix(':').unwrap_or(rest));
    !authority.host().contains(',') && port.is_some_and(|port| port.is_empty() || port.parse::<u16>().is_ok())
}

/// Keeps the request active until the body of the response is sent.
fn track(response: Response, active_request: ActiveRequest) -> Response {
    response.map(|body| Body::new(TrackedBody { body, _active_request: active_request }))
}

struct TrackedBody {
    body: Body,
    _active_request: ActiveRequest,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What became of a request body.
struct BodyOutcome<B> {
    has_timed_out: AtomicBool,
    /// The body, if it was dropped before its end.
    unread: Mutex<Option<B>>,
}

impl<B> Default for BodyOutcome<B> {
    fn default() -> BodyOutcome<B> {
        BodyOutcome { has_timed_out: AtomicBool::new(false), unread: Mutex::new(None) }
    }
}

impl<B> BodyOutcome<B> {
    fn unread(&self) -> MutexGuard<'_, Option<B>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_unread(&self) -> Option<B> {
        self.unread().take()
    }
}

/// A request body that fails when it is not complete by the deadline.
struct TimeoutBody<B> {
    /// `None` after its end.
    body: Option<B>,
    deadline: Instant,
    /// Set when a read waits; most bodies arrive together with the head.
    timer: Option<Pin<Box<Sleep>>>,
    outcome: Arc<BodyOutcome<B>>,
}

impl<B> TimeoutBody<B> {
    fn new(body: B, timeout: Duration, outcome: Arc<BodyOutcome<B>>) -> TimeoutBody<B> {
        TimeoutBody { body: Some(body), deadline: Instant::now() + timeout, timer: None, outcome }
    }
}

impl<B> Drop for TimeoutBody<B> {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            *self.outcome.unread() = Some(body);
        }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for TimeoutBody<B>
where
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            if !matches!(frame, Some(Ok(_))) {
                self.body = None;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let deadline = self.deadline;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.outcome.has_timed_out.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err("timeout while receiving the request body".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A body that never sends data.
    struct PendingBody;

    impl HttpBody for PendingBody {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[test]
    fn request_must_name_exactly_one_host() {
        let check = |version, uri: &str, hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, HeaderValue::from_bytes(host.as_bytes()).expect("a header"));
            }
            check_host(version, &uri.parse().expect("a URI"), &headers).is_ok()
        };
        for host in ["auth.example", "auth.example:8443", "127.0.0.1:80", "[::1]:8080", "AUTH.example"] {
            assert!(check(Version::HTTP_11, "/", &[host]), "{host}");
        }
        for host in ["", "a b", "a/b", "user@auth.example", "auth.example:x", "b\u{fc}ro.example", "a,b"] {
            assert!(!check(Version::HTTP_11, "/", &[host]), "{host}");
        }
        assert!(!check(Version::HTTP_11, "/", &[]) && !check(Version::HTTP_11, "http://auth.example/", &[]));
        assert!(!check(Version::HTTP_11, "/", &["auth.example", "auth.example"]), "two");
        assert!(check(Version::HTTP_10, "/", &[]) && !check(Version::HTTP_10, "/", &["a", "b"]));
        assert!(check(Version::HTTP_2, "https://auth.example/", &[]));
        assert!(check(Version::HTTP_2, "https://auth.example/", &["auth.example"]));
        assert!(!check(Version::HTTP_2, "https://auth.example/", &["other.example"]));
    }

    #[tokio::test]
    async fn incomplete_body_times_out() {
        let outcome = Arc::new(BodyOutcome::default());
        let (start, timeout) = (Instant::now(), Duration::from_millis(20));
        let body = Body::new(TimeoutBody::new(PendingBody, timeout, Arc::clone(&outcome)));
        assert!(axum::body::to_bytes(body, 1024).await.is_err());
        assert!(outcome.has_timed_out.load(Ordering::Relaxed) && start.elapsed() >= timeout);

        let outcome = Arc::new(BodyOutcome::default());
        let body = Body::new(TimeoutBody::new(Body::from("all of it"), BODY_TIMEOUT, Arc::clone(&outcome)));
        assert_eq!(axum::body::to_bytes(body, 1024).await.expect("read"), "all of it");
        assert!(!outcome.has_timed_out.load(Ordering::Relaxed));
    }

    /// A body of as many frames of 16 KiB. It counts those that were read.
    struct Frames {
        left: usize,
        read: Arc<AtomicUsize>,
    }

    impl HttpBody for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
            self.left = left;
            self.read.fetch_add(1, Ordering::Relaxed);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 16 * 1024])))))
        }
    }

    #[tokio::test]
    async fn body_that_the_handler_did_not_read_is_drained_up_to_64_kib() {
        for (frames, drained) in [(0, 0), (1, 1), (4, 4), (1000, 5)] {
            let (outcome, read) = (Arc::new(BodyOutcome::default()), Arc::new(AtomicUsize::new(0)));
            let body = Frames { left: frames, read: Arc::clone(&read) };
            drop(TimeoutBody::new(body, BODY_TIMEOUT, Arc::clone(&outcome)));
            assert_eq!(read.load(Ordering::Relaxed), 0, "dropped unread");
            drain(outcome.take_unread().expect("the unread body")).await;
            assert_eq!(read.load(Ordering::Relaxed), drained, "of {frames}");
        }
    }

    #[tokio::test]
    async fn body_that_was_read_is_not_drained() {
        let outcome = Arc::new(BodyOutcome::default());
        let body = Body::new(TimeoutBody::new(Body::from("all of it"), BODY_TIMEOUT, Arc::clone(&outcome)));
        assert_eq!(axum::body::to_bytes(body, 1024).await.expect("read"), "all of it");
        assert!(outcome.take_unread().is_none_or(|body| body.is_end_stream()));
    }

    #[tokio::test]
    async fn draining_ends_though_the_rest_never_comes() {
        let start = Instant::now();
        drain(PendingBody).await;
        assert!(start.elapsed() >= DRAIN_TIMEOUT);
    }
}
