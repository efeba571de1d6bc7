//! Connections: taken one by one up to a number, served, over TLS if so set, and cut
//! when the other end takes too long.
//!
//! What a request is and who answers it is no matter here. What never happens: a
//! connection waits for ever for bytes that do not come, or holds memory for what
//! nobody takes.

mod patience;
mod requests;
mod tls;
mod tls_files;

pub(crate) use tls::Tls;
pub(crate) use tls_files::TlsFiles;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::watch::Receiver;
use tokio::time::{sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::issuers::Dispatcher;
use patience::{Activity, Patience, Patient};
use requests::Requests;

/// Bytes of a request's line and header fields: a token of 16 KiB, a proof, a
/// certificate, and as much again.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Requests at once in one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// How often the other end of an HTTP/2 connection is asked whether it is there, and
/// how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait when the system can open no more files: others may close theirs.
const PAUSE: Duration = Duration::from_millis(200);
/// Files that a process needs beside its connections: databases, logs, what it asks
/// of others.
const OTHER_FILES: u64 = 256;

/// Serves until `stop`, over TLS if there is such a thing; returns when what was
/// being answered then is answered.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Receiver<Arc<Tls>>>,
    dispatcher: Dispatcher,
    max: usize,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(max));
    let (connections, builder) = (TaskTracker::new(), builder());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((slot, stream, peer)) = accepted else { continue };
        let tls = tls.as_ref().map(|tls| Arc::clone(&tls.borrow()));
        let (dispatcher, builder, stop) = (dispatcher.clone(), builder.clone(), stop.clone());
        connections.spawn(async move {
            // Small answers go out at once.
            let _ = stream.set_nodelay(true);
            let requests = Requests { dispatcher, peer, certificate: None, activity: Activity::new(Patience::USUAL) };
            match tls {
                Some(tls) => Box::pin(secured(stream, &tls, requests, &builder, stop)).await,
                None => connection(stream, requests, &builder, stop).await,
            }
            drop(slot);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The next connection, when there is room for one.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(tokio::sync::OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((slot, stream, peer)),
        Err(error) if is_of_one_connection(&error) => None,
        Err(error) => {
            tracing::error!(%error, "no connection can be taken");
            sleep(PAUSE).await;
            None
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Shakes hands, in the time that the first request has, and serves the connection to
/// its end.
async fn secured(
    stream: TcpStream,
    tls: &Tls,
    requests: Requests,
    builder: &Builder<TokioExecutor>,
    stop: CancellationToken,
) {
    let handshake = timeout_at(requests.activity.first_by(), tls.accept(stream));
    let met = tokio::select! {
        () = stop.cancelled() => return,
        met = handshake => met,
    };
    match met {
        Ok(Ok((stream, certificate))) => connection(stream, Requests { certificate, ..requests }, builder, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
        Err(_) => tracing::debug!("a handshake took too long"),
    }
}

/// Serves one connection to its end.
async fn connection<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: T,
    requests: Requests,
    builder: &Builder<TokioExecutor>,
    stop: CancellationToken,
) {
    let io = TokioIo::new(Patient::new(stream, Arc::clone(&requests.activity)));
    let serving = builder.serve_connection(io, requests);
    tokio::pin!(serving);
    let mut stopping = false;
    loop {
        tokio::select! {
            served = serving.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(error, "a connection ended");
                }
                return;
            }
            () = stop.cancelled(), if !stopping => {
                serving.as_mut().graceful_shutdown();
                stopping = true;
            }
        }
    }
}

/// Connections that can be open at once, of `max` that are wanted.
pub(crate) fn openable_connections(max: usize) -> usize {
    max.min(openable())
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // `Patient` knows better than a timer for heads alone what a connection waits for.
    // Header fields are 100 at most by hyper's own bound: setting one, even the same,
    // costs memory of its own for each request.
    let mut http1 = builder.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEADER_BYTES);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS);
    http2.max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX));
    http2.keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_PATIENCE);
    builder
}

/// Connections that this process can have open, once it may open as many files as the
/// system lets it.
#[cfg(unix)]
fn openable() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { mut current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
        current = maximum;
    }
    let files = current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX).clamp(16, Semaphore::MAX_PERMITS)
}

#[cfg(not(unix))]
fn openable() -> usize {
    Semaphore::MAX_PERMITS
}
