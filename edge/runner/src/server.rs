//! The HTTP server: HTTP/1.1 with bounded heads and patience, and a shutdown that lets running requests end.

use crate::answer::Body;
use crate::component::ComponentGate;
use crate::spin::SpinGate;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Bytes of a request's head: a token may be larger than the gate takes and is still the gate's to refuse.
const HEAD_BYTES: usize = 128 << 10;
/// Header lines of a request.
const HEADERS: usize = 128;
/// How long a client may take to send a head; also ends idle connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a shutdown waits for running requests.
const GRACE: Duration = Duration::from_secs(10);

/// Whatever answers requests.
pub(crate) enum Gate {
    Component(Box<ComponentGate>),
    Spin(Box<SpinGate>),
}

impl Gate {
    async fn handle(&self, request: http::Request<Incoming>, peer: SocketAddr) -> http::Response<Body> {
        match self {
            Gate::Component(gate) => Box::pin(gate.handle(request, peer)).await,
            Gate::Spin(gate) => Box::pin(gate.handle(request, peer)).await,
        }
    }
}

/// Serves until `stop` is sent or dropped, then lets running requests end.
pub(crate) async fn serve(listener: TcpListener, gate: Gate, mut stop: oneshot::Receiver<()>) {
    let gate = Arc::new(gate);
    let running = GracefulShutdown::new();
    loop {
        tokio::select! {
            _ = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => serve_connection(stream, peer, Arc::clone(&gate), &running),
                Err(error) => {
                    // Out of file descriptors, say: accepting again at once would only spin.
                    tracing::warn!(%error, "a connection is not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
    if tokio::time::timeout(GRACE, running.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and are cut off");
    }
}

fn serve_connection(stream: TcpStream, peer: SocketAddr, gate: Arc<Gate>, running: &GracefulShutdown) {
    // Small answers must not wait for more; a socket that refuses is merely slower.
    let _ = stream.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS);
    let service = service_fn(move |request| {
        let gate = Arc::clone(&gate);
        async move { Ok::<_, Infallible>(gate.handle(request, peer).await) }
    });
    let connection = running.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = crate::forward::chain(&*error), "a connection ended badly");
        }
    });
}
