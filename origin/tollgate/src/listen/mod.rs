//! Accepts and serves connections, with TLS if it is configured, up to a maximum number.
//!
//! Never: a connection waits for bytes without a timeout, or holds memory for a response that the
//! client does not read.

mod connection_service;
mod connection_timeouts;
mod tls;

pub(crate) use tls::open_tls_files;

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
use tollgate_http::Certificate;
use tollgate_tls::Tls;

use crate::issuers::Dispatcher;
use connection_service::ConnectionService;
use connection_timeouts::{Activity, ConnectionTimeouts, TimeoutStream};

/// Limit for request line and header fields: a token of 16 KiB, a DPoP proof and a certificate, and
/// as much again.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Concurrent requests in one HTTP/2 connection.
const MAX_CONCURRENT_STREAMS: u32 = 128;
/// Keep-alive pings of HTTP/2 connections.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Delay after the system refused to open another file.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);
/// File descriptors reserved for the database, logs and outgoing requests.
const RESERVED_FILES: u64 = 256;

/// Serves until `stop`; returns when the active requests are complete.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Receiver<Arc<Tls>>>,
    dispatcher: Dispatcher,
    max_connections: usize,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(max_connections));
    let (connections, builder) = (TaskTracker::new(), http_builder());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept_connection(&listener, &slots) => accepted,
        };
        let Some((slot, stream, peer)) = accepted else { continue };
        let tls = tls.as_ref().map(|tls| Arc::clone(&tls.borrow()));
        let (dispatcher, builder, stop) = (dispatcher.clone(), builder.clone(), stop.clone());
        connections.spawn(async move {
            // Sends small responses without delay.
            let _ = stream.set_nodelay(true);
            let activity = Activity::new(ConnectionTimeouts::DEFAULT);
            let service = ConnectionService { dispatcher, peer, certificate: None, activity };
            match tls {
                Some(tls) => Box::pin(serve_tls_connection(stream, &tls, service, &builder, stop)).await,
                None => serve_connection(stream, service, &builder, stop).await,
            }
            drop(slot);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Waits for a free slot and accepts a connection.
async fn accept_connection(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(tokio::sync::OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((slot, stream, peer)),
        Err(error) if is_connection_error(&error) => None,
        Err(error) => {
            tracing::error!(%error, "cannot accept connections");
            sleep(ACCEPT_RETRY_DELAY).await;
            None
        }
    }
}

/// Whether the error concerns only the connection that was to be accepted.
fn is_connection_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Performs the TLS handshake, within the timeout of the first request, and serves the connection.
async fn serve_tls_connection(
    stream: TcpStream,
    tls: &Tls,
    service: ConnectionService,
    builder: &Builder<TokioExecutor>,
    stop: CancellationToken,
) {
    let handshake = timeout_at(service.activity.first_request_deadline(), tls.accept(stream));
    let accepted = tokio::select! {
        () = stop.cancelled() => return,
        accepted = handshake => accepted,
    };
    match accepted {
        Ok(Ok((stream, certificate))) => {
            let certificate = certificate.map(|own| Certificate::of_connection(&own.der, own.is_trusted));
            serve_connection(stream, ConnectionService { certificate, ..service }, builder, stop).await
        }
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake timed out"),
    }
}

/// Serves one connection until it ends.
async fn serve_connection<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: T,
    service: ConnectionService,
    builder: &Builder<TokioExecutor>,
    stop: CancellationToken,
) {
    let io = TokioIo::new(TimeoutStream::new(stream, Arc::clone(&service.activity)));
    let serving = builder.serve_connection(io, service);
    tokio::pin!(serving);
    let mut is_stopping = false;
    loop {
        tokio::select! {
            served = serving.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(error, "connection ended with an error");
                }
                return;
            }
            () = stop.cancelled(), if !is_stopping => {
                serving.as_mut().graceful_shutdown();
                is_stopping = true;
            }
        }
    }
}

/// The configured maximum, or less if the process cannot open as many files.
pub(crate) fn limit_connections(configured_max: usize) -> usize {
    configured_max.min(max_open_connections())
}

fn http_builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // `TimeoutStream` replaces hyper's timeout for heads. hyper limits header fields to 100 by
    // default; setting the limit, even to the same value, makes it allocate for each request.
    let mut http1 = builder.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEADER_BYTES);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(MAX_CONCURRENT_STREAMS);
    http2.max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX));
    http2.keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// Raises the limit of open files to the maximum that the system allows, and returns how many
/// connections this leaves room for.
#[cfg(unix)]
fn max_open_connections() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { mut current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
        current = maximum;
    }
    let files = current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(RESERVED_FILES)).unwrap_or(usize::MAX).clamp(16, Semaphore::MAX_PERMITS)
}

#[cfg(not(unix))]
fn max_open_connections() -> usize {
    Semaphore::MAX_PERMITS
}
