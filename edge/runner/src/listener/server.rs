//! The server of HTTP/1.1 and HTTP/2, with TLS if it is configured: limits on heads, bodies and
//! times, and graceful shutdown.

use super::client_info::ClientInfo;
use super::connections::{Connection, Connections, RequestGuard, TimedStream};
use super::guarded_body::GuardedBody;
use super::unread_body::UnreadBody;
use super::{proxy_protocol, request_head};
use crate::error_chain::error_chain;
use crate::gate::Gate;
use crate::request_id;
use crate::response::{Body, BodyError, json_error};
use crate::settings::ClientTimeouts;
use crate::streams::{TunnelHold, is_grpc};
use crate::timed_body::TimedBody;
use http::header::EXPECT;
use http::{StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout_at;
use tollgate_gate::TrustedProxies;
use tollgate_tls::Tls;

/// Larger than the gate's limit on tokens, so that the gate itself refuses tokens that are too
/// long.
const MAX_HEAD_BYTES: usize = 128 << 10;
const MAX_HEADERS: usize = 128;
/// Concurrent requests in one HTTP/2 connection.
const MAX_CONCURRENT_STREAMS: u32 = 128;
/// Streams of an HTTP/2 connection that the client resets before the server has seen them, and
/// those that the server resets because of errors of the client; beyond, the connection ends.
const MAX_RESET_STREAMS: usize = 64;
/// What is read of a request's body over HTTP/2 before the upstream takes it, and of all of a
/// connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 512 << 10;
/// Keep-alive pings of HTTP/2 connections.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Where connections come from, and their limits.
pub(crate) struct Listener {
    pub(crate) tcp: TcpListener,
    pub(crate) tls: Option<watch::Receiver<Arc<Tls>>>,
    pub(crate) max_connections: usize,
    pub(crate) timeouts: ClientTimeouts,
    /// Proxies whose connections begin with a header of the PROXY protocol.
    pub(crate) proxy_protocol: Option<TrustedProxies>,
    /// For running requests, when the server stops.
    pub(crate) shutdown_timeout: Duration,
}

/// What all connections use.
struct Server {
    gate: Arc<Gate>,
    builder: auto::Builder<TokioExecutor>,
}

/// Serves until `stop` is sent or dropped, then waits for running requests.
pub(crate) async fn serve(listener: Listener, gate: Arc<Gate>, mut stop: oneshot::Receiver<()>) {
    let server = Arc::new(Server { gate, builder: http_builder() });
    let connections = Connections::new(listener.max_connections, listener.timeouts);
    let running = GracefulShutdown::new();
    loop {
        let (stream, address, connection) = tokio::select! {
            _ = &mut stop => break,
            next = accept(&listener.tcp, &connections) => next,
        };
        let tls = listener.tls.as_ref().map(|tls| Arc::clone(&tls.borrow()));
        let is_by_proxy = listener.proxy_protocol.as_ref().is_some_and(|proxies| proxies.contains(address.ip()));
        let (server, watcher) = (Arc::clone(&server), running.watcher());
        tokio::spawn(async move {
            let accepted = Accepted { stream, address, is_by_proxy, tls };
            let serving = serve_connection(&server, accepted, Arc::clone(&connection), watcher);
            run_connection(serving, &connection).await;
        });
    }
    let shutdown_timeout = listener.shutdown_timeout;
    drop(listener);
    server.gate.end_tunnels().await;
    if tokio::time::timeout(shutdown_timeout, running.shutdown()).await.is_err() {
        tracing::warn!("shutdown timeout: closing connections with running requests");
    }
}

/// The next connection, once the limit allows it.
async fn accept(listener: &TcpListener, connections: &Arc<Connections>) -> (TcpStream, SocketAddr, Arc<Connection>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, connections.open().await),
            Err(error) => {
                // Without file descriptors, for example, accepting again without delay would only
                // spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// HTTP/1.1 and HTTP/2, which a client begins with its preface, after ALPN or by prior knowledge.
fn http_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // `TimedStream` replaces the timer for heads, which does not cover idle connections.
    let mut http1 = builder.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(MAX_CONCURRENT_STREAMS);
    http2.max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX));
    http2.max_pending_accept_reset_streams(MAX_RESET_STREAMS).max_local_error_reset_streams(MAX_RESET_STREAMS);
    http2.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    http2.keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// Serves a connection until it ends, another one displaces it, or its client floods it.
async fn run_connection(serving: impl Future<Output = Result<(), BodyError>>, connection: &Connection) {
    let mut serving = pin!(serving);
    loop {
        tokio::select! {
            served = &mut serving => {
                if let Err(error) = served {
                    tracing::debug!(error = error_chain(&*error), "connection failed");
                }
                break;
            }
            // If its next request has just arrived, it is answered, and another connection is
            // displaced.
            () = connection.displaced() => if !connection.is_answering() {
                tracing::debug!("idle connection displaced");
                break;
            },
            () = connection.is_flooding() => {
                tracing::warn!("connection closed: its client cancels too many requests");
                break;
            }
        }
    }
}

/// A connection of which nothing was read.
struct Accepted {
    stream: TcpStream,
    address: SocketAddr,
    /// It begins with a header of the PROXY protocol.
    is_by_proxy: bool,
    tls: Option<Arc<Tls>>,
}

async fn serve_connection(
    server: &Arc<Server>,
    accepted: Accepted,
    connection: Arc<Connection>,
    watcher: Watcher,
) -> Result<(), BodyError> {
    let Accepted { mut stream, mut address, is_by_proxy, tls } = accepted;
    // Without Nagle's algorithm, small responses are sent immediately.
    let _ = stream.set_nodelay(true);
    if is_by_proxy {
        let header = timeout_at(connection.first_request_deadline(), proxy_protocol::read_client(&mut stream));
        address = header.await??.unwrap_or(address);
    }
    let client = ClientInfo { address, scheme: "http", certificate: None };
    match tls {
        Some(tls) => Box::pin(serve_tls(server, stream, client, &tls, connection, watcher)).await,
        None => serve_http(server, stream, client, connection, watcher).await,
    }
}

/// Performs the handshake, within the time of the first request's head, and serves the connection.
async fn serve_tls(
    server: &Arc<Server>,
    stream: TcpStream,
    client: ClientInfo,
    tls: &Tls,
    connection: Arc<Connection>,
    watcher: Watcher,
) -> Result<(), BodyError> {
    let (stream, certificate) = timeout_at(connection.first_request_deadline(), tls.accept(stream)).await??;
    let certificate = certificate.filter(|certificate| tls.is_accepted(certificate));
    let certificate = certificate.map(|certificate| certificate.thumbprint());
    let client = ClientInfo { scheme: "https", certificate, ..client };
    serve_http(server, stream, client, connection, watcher).await
}

async fn serve_http<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    server: &Arc<Server>,
    stream: T,
    client: ClientInfo,
    connection: Arc<Connection>,
    watcher: Watcher,
) -> Result<(), BodyError> {
    let stream = TimedStream::new(stream, Arc::clone(&connection));
    let server_of_requests = Arc::clone(server);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let is_http2 = request.version() == Version::HTTP_2;
        let guard = connection.begin_request(is_http2);
        let server = Arc::clone(&server_of_requests);
        let (body_timeout, stream_timeout) = (connection.timeouts().body, connection.timeouts().stream);
        async move {
            // A gRPC client may send a message an hour.
            let is_stream = is_grpc(request.headers());
            let unread = UnreadBody::default();
            // With the final response, such a client need not send the body (RFC 9110 section
            // 10.1.1).
            let waits_for_continue = request.headers().contains_key(EXPECT);
            let request = request.map(|body| match is_stream {
                _ if body.is_end_stream() => body.map_err(Into::into).boxed_unsync(),
                true => TimedBody::with_read_timeout(body, stream_timeout).boxed_unsync(),
                false => unread.watch(TimedBody::of_request(body, body_timeout).boxed_unsync()),
            });
            let mut response = server.answer(request, &client, guard.as_ref()).await;
            if !waits_for_continue {
                unread.drain().await;
            }
            let guard = match response.extensions_mut().remove::<TunnelHold>() {
                Some(hold) => {
                    hold.keep(guard);
                    None
                }
                None => guard,
            };
            Ok::<_, Infallible>(response.map(|body| GuardedBody::new(body, guard, is_http2)))
        }
    });
    watcher.watch(server.builder.serve_connection_with_upgrades(TokioIo::new(stream), service)).await
}

impl Server {
    async fn answer(
        &self,
        mut request: http::Request<Body>,
        client: &ClientInfo,
        guard: Option<&RequestGuard>,
    ) -> http::Response<Body> {
        let id = request_id::of_request(request.headers_mut());
        let mut response = if guard.is_none() {
            json_error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "too many requests at a time")
        } else if let Err(why) = request_head::normalize(&mut request) {
            json_error(StatusCode::BAD_REQUEST, "invalid_request", why)
        } else {
            self.gate.handle(request, client).await
        };
        request_id::set_on_response(response.headers_mut(), id);
        response
    }
}
