//! The HTTP server: HTTP/1.1 with bounded heads, bodies and times, and a shutdown that lets running requests end.

use crate::answer::{Body, BodyError};
use crate::component::ComponentGate;
use crate::connections::{Answering, Connection, Connections, TimedStream};
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

/// Bytes of a request's head: a token may be larger than the gate takes and is still the gate's to refuse.
const HEAD_BYTES: usize = 128 << 10;
/// Header lines of a request.
const HEADERS: usize = 128;
/// How long a shutdown waits for running requests.
const GRACE: Duration = Duration::from_secs(10);

/// Whatever answers requests.
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

/// Serves `max` connections at once until `stop` is sent or dropped, then lets running requests end.
pub(crate) async fn serve(listener: TcpListener, gate: Gate, max: usize, mut stop: oneshot::Receiver<()>) {
    let gate = Arc::new(gate);
    let connections = Connections::new(max);
    let running = GracefulShutdown::new();
    loop {
        let (stream, peer, connection) = tokio::select! {
            _ = &mut stop => break,
            next = accept(&listener, &connections) => next,
        };
        serve_connection(stream, peer, connection, Arc::clone(&gate), &running);
    }
    drop(listener);
    if tokio::time::timeout(GRACE, running.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and are cut off");
    }
}

/// The next connection, when there is room for it.
async fn accept(listener: &TcpListener, connections: &Arc<Connections>) -> (TcpStream, SocketAddr, Arc<Connection>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, connections.open().await),
            Err(error) => {
                // Out of file descriptors, say: accepting again at once would only spin.
                tracing::warn!(%error, "a connection is not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
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
    // Small answers must not wait for more; a socket that refuses is merely slower.
    let _ = stream.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    // `TimedStream` knows better than a timer for heads alone what a connection waits for.
    let mut http1 = builder.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD_BYTES).max_headers(HEADERS);
    let stream = TimedStream::new(stream, Arc::clone(&connection));
    let of_service = Arc::clone(&connection);
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (gate, answering) = (Arc::clone(&gate), of_service.begin());
        async move {
            let request = request.map(|body| TimedBody::of_request(body).boxed_unsync());
            let answer = gate.handle(request, peer).await;
            Ok::<_, Infallible>(answer.map(|body| AnswerBody { body, _answering: answering }))
        }
    });
    let mut serving: Pin<Box<dyn Future<Output = Result<(), BodyError>> + Send>> =
        Box::pin(running.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned()));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                served = &mut serving => {
                    if let Err(error) = served {
                        tracing::debug!(error = crate::forward::chain(&*error), "a connection ended badly");
                    }
                    break;
                }
                // Its next request may have come in that moment: that is answered, and another connection makes room.
                () = connection.displaced() => if !connection.is_answering() {
                    tracing::debug!("an idle connection made room for another");
                    break;
                },
            }
        }
    });
}

/// A body of an answer: until its end the client waits for us.
struct AnswerBody {
    body: Body,
    _answering: Answering,
}

impl http_body::Body for AnswerBody {
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
