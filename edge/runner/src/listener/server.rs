//! The HTTP/1.1 server: limits on heads, bodies and times, and graceful shutdown.

use super::connections::{Connection, Connections, RequestGuard, TimedStream};
use crate::component::ComponentGate;
use crate::error_chain::error_chain;
use crate::request_id;
use crate::response::{Body, BodyError};
use crate::spin::SpinGate;
use crate::timed_body::TimedBody;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Larger than the gate's limit on tokens, so that the gate itself refuses tokens that are too
/// long.
const MAX_HEAD_BYTES: usize = 128 << 10;
const MAX_HEADERS: usize = 128;
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// The component that answers requests.
pub(crate) enum Gate {
    Component(Box<ComponentGate>),
    Spin(Box<SpinGate>),
}

impl Gate {
    async fn handle(&self, request: http::Request<Body>, peer: SocketAddr) -> http::Response<Body> {
        match self {
            Gate::Component(gate) => Box::pin(gate.handle(request, peer)).await,
            Gate::Spin(gate) => Box::pin(gate.handle(request, peer)).await,
        }
    }
}

/// Serves until `stop` is sent or dropped, then waits for running requests.
pub(crate) async fn serve(listener: TcpListener, gate: Gate, max_connections: usize, mut stop: oneshot::Receiver<()>) {
    let gate = Arc::new(gate);
    let connections = Connections::new(max_connections);
    let running = GracefulShutdown::new();
    loop {
        let (stream, peer, connection) = tokio::select! {
            _ = &mut stop => break,
            next = accept(&listener, &connections) => next,
        };
        serve_connection(stream, peer, connection, Arc::clone(&gate), &running);
    }
    drop(listener);
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, running.shutdown()).await.is_err() {
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

fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    connection: Arc<Connection>,
    gate: Arc<Gate>,
    running: &GracefulShutdown,
) {
    // Without Nagle's algorithm, small responses are sent immediately.
    let _ = stream.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    // `TimedStream` replaces the timer for heads, which does not cover idle connections.
    let mut http1 = builder.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
    let stream = TimedStream::new(stream, Arc::clone(&connection));
    let connection_of_service = Arc::clone(&connection);
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (gate, guard) = (Arc::clone(&gate), connection_of_service.begin_request());
        async move {
            let mut request = request.map(|body| TimedBody::of_request(body).boxed_unsync());
            let id = request_id::of_request(request.headers_mut());
            let mut response = gate.handle(request, peer).await;
            request_id::set_on_response(response.headers_mut(), id);
            Ok::<_, Infallible>(response.map(|body| GuardedBody { body, _request: guard }))
        }
    });
    let mut serving: Pin<Box<dyn Future<Output = Result<(), BodyError>> + Send>> =
        Box::pin(running.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned()));
    tokio::spawn(async move {
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
            }
        }
    });
}

/// A response body that ends its request when it is dropped.
struct GuardedBody {
    body: Body,
    _request: RequestGuard,
}

impl http_body::Body for GuardedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
