//! The requests of a connection: each with a limit on its address and on the time that its body may
//! take, and with the address and the certificate that it came from.

use std::convert::Infallible;
use std::future::Future as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::header::{CONNECTION, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, Version};
use axum::response::{IntoResponse as _, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::time::{Instant, Sleep, sleep_until};
use tollgate_http::{Certificate, Problem};

use super::patience::{Activity, Running};
use crate::issuers::Dispatcher;

/// From the end of a request's head to the end of its body. The largest is 64 KiB.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a request's path and query. The longest that is meant is an authorization request with
/// a signed request object.
const MAX_URI_BYTES: usize = 16 * 1024;

/// Answers the requests of a connection.
pub(super) struct Requests {
    pub(super) dispatcher: Dispatcher,
    pub(super) peer: SocketAddr,
    /// What the peer showed in the TLS handshake.
    pub(super) certificate: Option<Certificate>,
    pub(super) activity: Arc<Activity>,
}

type Answering = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

impl Service<Request<Incoming>> for Requests {
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let running = self.activity.begin();
        let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
        if uri > MAX_URI_BYTES {
            let problem = Problem::new(StatusCode::URI_TOO_LONG, "the path and the query are longer than 16 KiB");
            return Box::pin(async move { Ok(held(problem.into_response(), running)) });
        }
        if let Err(wrong) = check_host(request.version(), request.uri(), request.headers()) {
            let mut response = Problem::new(StatusCode::BAD_REQUEST, wrong).into_response();
            close(request.version(), &mut response);
            return Box::pin(async move { Ok(held(response, running)) });
        }
        let (version, late) = (request.version(), Arc::new(AtomicBool::new(false)));
        let mut request = request.map(|body| match body.is_end_stream() {
            true => Body::empty(),
            false => Body::new(Timely::new(body, BODY_PATIENCE, Arc::clone(&late))),
        });
        request.extensions_mut().insert(ConnectInfo(self.peer));
        if let Some(certificate) = &self.certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        let answering = tower::Service::call(&mut self.dispatcher.clone(), request);
        Box::pin(async move {
            let Ok(mut response) = answering.await;
            if late.load(Ordering::Relaxed) {
                response =
                    Problem::new(StatusCode::REQUEST_TIMEOUT, "the request did not come in time").into_response();
                // RFC 9110 §15.5.9.
                close(version, &mut response);
            }
            Ok(held(response, running))
        })
    }
}

/// Has the connection end with this answer. HTTP/2 has no such field, and needs none: the stream
/// ends.
fn close(version: Version, response: &mut Response) {
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Checks that a request says which host it is for, and once: whoever reads another one of two is a
/// different server than the one that a proxy before this one believed to ask (RFC 9112 §3.2, RFC
/// 9113 §8.3.1).
fn check_host(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err("the request has two Host header fields"),
        (None, None) if version == Version::HTTP_11 => return Err("the request has no Host header field"),
        (None, None) => return Ok(()),
        (Some(host), None) => host,
    };
    let host = Authority::try_from(host.as_bytes()).ok().filter(is_host_and_port);
    let host = host.ok_or("the Host header field is not a host and a port")?;
    match uri.authority() {
        Some(authority) if version == Version::HTTP_2 && *authority != host => {
            Err("Host and :authority name two hosts")
        }
        _ => Ok(()),
    }
}

/// Whether there is nothing but a host and perhaps a port: no user, no list, no port that is no
/// number.
fn is_host_and_port(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host()).map(|rest| rest.strip_prefix(':').unwrap_or(rest));
    !authority.host().contains(',') && port.is_some_and(|port| port.is_empty() || port.parse::<u16>().is_ok())
}

/// The answer, which is not over before its body is.
fn held(response: Response, running: Running) -> Response {
    response.map(|body| Body::new(Held { body, _running: running }))
}

struct Held {
    body: Body,
    _running: Running,
}

impl HttpBody for Held {
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

/// A request's body that must come in time.
struct Timely<B> {
    body: B,
    deadline: Instant,
    /// Most bodies come with their head: then there is nothing to wait for.
    waiting: Option<Pin<Box<Sleep>>>,
    late: Arc<AtomicBool>,
}

impl<B> Timely<B> {
    fn new(body: B, patience: Duration, late: Arc<AtomicBool>) -> Timely<B> {
        Timely { body, deadline: Instant::now() + patience, waiting: None, late }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Timely<B>
where
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let deadline = self.deadline;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if waiting.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.late.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err("the body did not come in time".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body of which nothing comes.
    struct Silent;

    impl HttpBody for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[test]
    fn a_request_names_one_host() {
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
    async fn a_body_has_its_time() {
        let late = Arc::new(AtomicBool::new(false));
        let (began, patience) = (Instant::now(), Duration::from_millis(20));
        let body = Body::new(Timely::new(Silent, patience, Arc::clone(&late)));
        assert!(axum::body::to_bytes(body, 1024).await.is_err());
        assert!(late.load(Ordering::Relaxed) && began.elapsed() >= patience);

        let late = Arc::new(AtomicBool::new(false));
        let body = Body::new(Timely::new(Body::from("all of it"), BODY_PATIENCE, Arc::clone(&late)));
        assert_eq!(axum::body::to_bytes(body, 1024).await.expect("read"), "all of it");
        assert!(!late.load(Ordering::Relaxed));
    }
}
